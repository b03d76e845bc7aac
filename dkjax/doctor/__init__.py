"""Whether dkjax can work here: what there is, and which known traps it holds.

`gather` looks and changes nothing; `find_traps` judges what it found, and would judge made-up facts alike.
"""

from dkjax.doctor.facts import Facts, gather
from dkjax.doctor.traps import TRAPS, Finding, find_traps

__all__ = ["TRAPS", "Facts", "Finding", "find_traps", "gather"]
