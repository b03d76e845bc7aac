"""Where the command `dkjax` begins: what has to come before anything is imported."""

import os
import sys
import warnings
from collections.abc import Sequence

from dkjax.cli.stop import leave_at_once_when_stopped
from dkjax.runtime.huge_pages import start_again_with_huge_pages


def main() -> None:
    """Run the command line as a process of its own."""
    leave_at_once_when_stopped()
    if trains_on_cpu(sys.argv[1:], os.environ.get("JAX_PLATFORMS", "")):
        start_again_with_huge_pages(os.environ)
    # What Pillow finds odd in a file it still reads; what it cannot read is told by name.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    from dkjax.cli.main import main

    main()


def trains_on_cpu(arguments: Sequence[str], platforms: str) -> bool:
    """Say whether a command line may train on this machine's CPU, where huge pages make a difference.

    Args:
        arguments: those of the command line.
        platforms: JAX_PLATFORMS.
    """
    command = [word for word in arguments if not word.startswith("-")][:2]
    trains = command[:1] in (["train"], ["simulate"]) or command == ["bench", "step"]
    accelerators = ("/dev/nvidia0", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")
    on_cpu = "cpu" in platforms.split(",")[:1] if platforms else not any(map(os.path.exists, accelerators))
    return trains and on_cpu and not {"-h", "--help"}.intersection(arguments)
