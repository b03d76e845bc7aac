"""On what it was measured."""

import importlib.metadata
import os
import platform
from typing import Any

import jax


def describe() -> dict[str, Any]:
    """Return the device, the number of CPU cores this process may use, and the versions."""
    device = jax.devices()[0]
    packages = ["dkjax", "jax", "jaxlib", "numpy", "torch"]
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "device": {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()},
        "cpu_cores": len(os.sched_getaffinity(0)),
        "versions": versions,
    }
