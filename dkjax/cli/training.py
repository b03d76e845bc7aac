"""What the commands that train have in common: joining other processes, keeping compiled programs, recording."""

import os
import re
import sys
from typing import TYPE_CHECKING

from dkjax.errors import ConfigError
from dkjax.report.console import say
from dkjax.runtime import machine

if TYPE_CHECKING:
    from dkjax.train.profiling import Profiling


def prepare_training(
    coordinator: str | None, num_processes: int | None, process_id: int | None, join_timeout: int | None
) -> bool:
    """Join the other processes, if there are any, and let compiled programs be kept; to be called before JAX computes.

    Args:
        coordinator: as given on the command line.
        num_processes: likewise.
        process_id: likewise.
        join_timeout: likewise.

    Returns:
        Whether this process is the one that prints and writes.
    """
    _keep_compiled_programs()

    from dkjax.runtime.join import WAIT_SECONDS, Place, join
    from dkjax.runtime.processes import is_leader

    place = Place(coordinator, num_processes, process_id)
    if join(place, os.environ, say, join_timeout or WAIT_SECONDS):
        _give_stdout_to_results()
        return is_leader()
    return True


def parse_profiling(profile: str | None, tensorboard: bool) -> "Profiling":
    """Read what is to be recorded.

    Args:
        profile: `FROM:TO`, steps counted from 0, or None.
        tensorboard: whether events are to be written.

    Raises:
        ConfigError: `profile` is not of that form, or names no step.
    """
    from dkjax.train.profiling import Profiling

    steps = None
    if profile is not None:
        match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", profile)
        if match is None or not int(match[1]) < int(match[2]):
            raise ConfigError(f"--profile {profile}: expected the first step and the one after the last, such as 10:15")
        steps = range(int(match[1]), int(match[2]))
    return Profiling(steps, tensorboard)


def _keep_compiled_programs() -> None:
    """Let JAX keep what it compiled on the disk, unless its own settings say where or that it should not."""
    import jax

    settings: dict[str, object] = jax.config.values
    if settings["jax_compilation_cache_dir"] is None and settings["jax_enable_compilation_cache"]:
        jax.config.update("jax_compilation_cache_dir", str(machine.compile_cache(os.environ)))


def _give_stdout_to_results() -> None:
    """Send what libraries print to stderr: Gloo says on stdout who is connected."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(own, "w", encoding=sys.stdout.encoding, buffering=1)
