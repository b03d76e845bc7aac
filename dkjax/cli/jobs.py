"""Which share of the work is this process's: said on the command line, or told by the job array it runs in."""

import re
from collections.abc import Mapping

from dkjax.errors import ConfigError

ARRAY_VARIABLES = ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX")


def parse_share(text: str, environ: Mapping[str, str]) -> tuple[int, int]:
    """Read a share of the work.

    Args:
        text: `i/n`, counted from 0; `auto` for what SLURM's job array says; or `auto/n` with the index from SLURM's
            array or from a Kubernetes indexed Job, which does not tell how many there are.
        environ: the environment variables.

    Returns:
        `(i, n)`, with `0 <= i < n`.

    Raises:
        ConfigError: the text is none of these, the variables are missing, or `i` is not below `n`.

    Example:
        >>> array = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "4"}
        >>> parse_share("auto", array)
        (2, 4)
    """
    match = re.fullmatch(r"(auto|\d+)(?:/(\d+))?", text)
    if match is None or (match[1] != "auto" and match[2] is None):
        raise ConfigError(f"--shard {text}: expected i/n, counted from 0, such as 2/8, or auto, or auto/n")
    index = _index(text, environ) if match[1] == "auto" else int(match[1])
    count = _number(text, environ, "SLURM_ARRAY_TASK_COUNT") if match[2] is None else int(match[2])
    if not 0 <= index < count:
        raise ConfigError(f"--shard {text}: share {index} of {count} does not exist; shares are counted from 0")
    return index, count


def _index(text: str, environ: Mapping[str, str]) -> int:
    if "SLURM_ARRAY_TASK_ID" in environ:
        # An array may begin anywhere and step over numbers.
        first = _number(text, {"SLURM_ARRAY_TASK_MIN": "0", **environ}, "SLURM_ARRAY_TASK_MIN")
        step = _number(text, {"SLURM_ARRAY_TASK_STEP": "1", **environ}, "SLURM_ARRAY_TASK_STEP")
        return (_number(text, environ, "SLURM_ARRAY_TASK_ID") - first) // max(1, step)
    return _number(text, environ, "JOB_COMPLETION_INDEX")


def _number(text: str, environ: Mapping[str, str], name: str) -> int:
    if not re.fullmatch(r"\d{1,9}", environ.get(name, "")):
        raise ConfigError(f"--shard {text}: the job array does not say {name}; write i/n, such as 2/8")
    return int(environ[name])
