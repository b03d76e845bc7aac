"""On what something ran: versions, devices and cores, as they stand beside results and measurements."""

import hashlib
import importlib.metadata
import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dkjax

REQUIRED = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
"""Packages whose version may decide what a training comes to."""


def versions(packages: Sequence[str] = REQUIRED) -> dict[str, str]:
    """Return the versions of Python, dkjax and those of some packages that are installed."""
    found = {"python": platform.python_version(), "dkjax": dkjax.__version__}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def code() -> dict[str, str]:
    """Return the version of dkjax and the SHA-256 of its source, which tells two states of one version apart."""
    package = Path(dkjax.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\n".encode() + path.read_bytes())
    return {"dkjax": dkjax.__version__, "sha256": digest.hexdigest()}


def device() -> dict[str, Any]:
    """Return the platform and kind of JAX's devices, how many there are, and how many CPU cores XLA may use."""
    import jax

    first = jax.devices()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"platform": first.platform, "kind": first.device_kind, "count": jax.device_count(), "cores": cores}


def has_tpu() -> bool:
    """Say whether there is a TPU, as far as the system knows."""
    return Path("/dev/accel0").exists() or Path("/dev/vfio/0").exists()


def cpu_kind() -> str:
    """Return a short name that differs where CPUs have different instructions, such as `x86_64-1a2b3c4d`."""
    lines = _read(Path("/proc/cpuinfo")).splitlines()
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:8]}"


def compile_cache(environ: Mapping[str, str]) -> Path:
    """Return the folder where the commands that train keep compiled programs, if JAX's own settings name none.

    Programs for CPUs use what this CPU can do, and JAX does not ask another one of a shared home for it: each kind of
    CPU has a folder of its own.

    Args:
        environ: the environment variables.
    """
    caches = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "dkjax" / f"compiled-{cpu_kind()}"


def cpu_cores(root: Path = Path("/")) -> int:
    """Return the number of CPU cores this process may use, at least 1: all threads of dkjax are counted by it.

    Args:
        root: where the files are that say which control group of Linux this process is in, and what that may use.

    Returns:
        The cores that the scheduler may choose (`taskset`, SLURM), or fewer where a control group has a quota of CPU
        time (`docker run --cpus`, a limit of Kubernetes), whose fraction is rounded up.

    Guarantees:
        - the smallest limit counts, of both versions of control groups (`test_machine.py::test_quotas_of_groups`).
    """
    return max(1, min([len(os.sched_getaffinity(0)), *_group_quotas(root)]))


def _group_quotas(root: Path) -> Iterator[int]:
    """Read how many cores' time this process's control group, and those that contain it, may use."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top, files = root / "sys/fs/cgroup", ["cpu.max"]
        if controllers:  # version 1
            top, files = top / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        own = top / group.lstrip("/")
        # In a container, `group` may be the host's name of what the container sees as `top`.
        for folder in (own, *own.parents):
            if folder.is_relative_to(top):
                limit = " ".join(_read(folder / file) for file in files).split()
                if len(limit) == 2 and limit[0] not in ("max", "-1"):
                    yield math.ceil(int(limit[0]) / int(limit[1]))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def describe() -> dict[str, Any]:
    """Return what stands beside a measurement: the device, the CPU cores, and the versions."""
    return {"device": device(), "cpu_cores": cpu_cores(), "versions": versions((*REQUIRED, "torch"))}
