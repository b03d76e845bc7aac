"""The permutations on a CPU as native code: one handler of XLA, written in C++, from keys to bytes in one pass.

It is built with the package where there is a compiler. Without it, and for what it is not made for, the kernels of
`dkjax.cipher.kernels` run. Both give the same bytes.
"""

from dkjax.cipher.native.library import VARIABLE, Status, status, turned_off
from dkjax.cipher.native.permute import Operation, Plan, plan_of, run

__all__ = ["VARIABLE", "Operation", "Plan", "Status", "plan_of", "run", "status", "turned_off"]
