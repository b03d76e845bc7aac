"""On what something ran: versions, devices and cores, as they stand beside results and measurements."""

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
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


def device() -> dict[str, Any]:
    """Return the platform and kind of JAX's devices, and how many there are."""
    import jax

    first = jax.devices()[0]
    return {"platform": first.platform, "kind": first.device_kind, "count": jax.device_count()}


def has_tpu() -> bool:
    """Say whether there is a TPU, as far as the system knows."""
    return Path("/dev/accel0").exists() or Path("/dev/vfio/0").exists()


def cpu_kind() -> str:
    """Return a short name that differs where CPUs have different instructions, such as `x86_64-1a2b3c4d`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
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


def cpu_cores() -> int:
    """Return the number of CPU cores this process may use."""
    return len(os.sched_getaffinity(0))


def describe() -> dict[str, Any]:
    """Return what stands beside a measurement: the device, the CPU cores, and the versions."""
    return {"device": device(), "cpu_cores": cpu_cores(), "versions": versions((*REQUIRED, "torch"))}
