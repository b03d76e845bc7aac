"""What there is: software, devices, memory and disk."""

import dataclasses
import importlib.util
import multiprocessing
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dkjax.cipher import native
from dkjax.runtime import machine
from dkjax.runtime.cluster import Cluster, detect_cluster
from dkjax.runtime.join import says_where

_LOOKED_FOR = (
    "array_record",
    "importlib_resources",
    "jax_cuda12_plugin",
    "jax_cuda13_plugin",
    "libtpu",
    "tensorflow",
    "torch",
)


_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")


@dataclasses.dataclass(frozen=True)
class Facts:
    """What was found. The defaults are a machine without anything to say of it, for tests.

    Attributes:
        versions: of Python, dkjax and the packages that it needs; a package that is missing is not there.
        jax_error: why JAX does not start; None if it does.
        platform: JAX's, such as `cpu`; None where it was not started.
        device_kind: JAX's name of the devices; None where it was not started.
        devices: how many of them.
        processes: how many JAX knows of.
        cluster: what started this process, if it was a cluster.
        jax_platforms: what JAX_PLATFORMS says, or "".
        threefry_partitionable: whether JAX's random numbers are those that do not depend on the sharding.
        finds_others: whether the processes of the cluster can find each other.
        proxies: variables that name a proxy, which processes that look for each other may be led astray by.
        compile_cache: the folder where the commands that train keep compiled programs; None if that is turned off.
        native_kernel: whether encryption on a CPU runs as native code, and why or why not; None where JAX was not
            started.
        nvidia: whether there is an NVIDIA GPU, as far as the system knows.
        tpu: whether there is a TPU, likewise.
        modules: packages that matter and can be imported.
        start_method: how multiprocessing starts processes.
        cpu_cores: that this process may use.
        memory_bytes: that this process may use.
        folder: where runs go, or its nearest parent that is there.
        disk_bytes: of the disk of that folder.
        disk_free_bytes: of these, free for this user.
        shm_bytes: size of /dev/shm; None where there is none.
    """

    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    jax_error: str | None = None
    platform: str | None = "cpu"
    device_kind: str | None = "cpu"
    devices: int = 1
    processes: int = 1
    cluster: Cluster | None = None
    jax_platforms: str = ""
    threefry_partitionable: bool = True
    finds_others: bool = True
    proxies: tuple[str, ...] = ()
    compile_cache: str | None = None
    native_kernel: native.Status | None = None
    nvidia: bool = False
    tpu: bool = False
    modules: tuple[str, ...] = ("array_record",)
    start_method: str = "spawn"
    cpu_cores: int = 8
    memory_bytes: int = 32 << 30
    folder: str = "."
    disk_bytes: int = 1 << 40
    disk_free_bytes: int = 1 << 39
    shm_bytes: int | None = 16 << 30


def gather(folder: Path, environ: Mapping[str, str]) -> Facts:
    """Look around. JAX is started on the devices of this host; nothing is written or sent.

    Args:
        folder: where runs go; it need not exist.
        environ: the environment variables.

    Returns:
        What was found.

    Guarantees:
        - JAX that does not start is a fact, not an error (`test_facts.py::test_jax_that_does_not_start`).
        - a TPU pod is not touched: it would wait for its other hosts (`test_facts.py::test_a_pod_is_left_alone`).
    """
    cluster = detect_cluster(environ)
    held = _nearest(folder)
    disk = shutil.disk_usage(held)
    shm = Path("/dev/shm")
    pod = cluster is not None and cluster.kind == "TPU pod" and (cluster.processes or 1) > 1
    return dataclasses.replace(
        _jax(environ, start=not pod),
        versions=machine.versions(),
        cluster=cluster,
        finds_others=cluster is None or says_where(cluster, environ),
        proxies=tuple(sorted(name for name in environ if name.lower() in _PROXIES)),
        jax_platforms=environ.get("JAX_PLATFORMS", ""),
        nvidia=Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None,
        tpu=machine.has_tpu(),
        modules=tuple(name for name in _LOOKED_FOR if importlib.util.find_spec(name) is not None),
        start_method=multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0],
        cpu_cores=machine.cpu_cores(),
        memory_bytes=_memory(),
        folder=str(held),
        disk_bytes=disk.total,
        disk_free_bytes=disk.free,
        shm_bytes=shutil.disk_usage(shm).total if shm.is_dir() else None,
    )


def _jax(environ: Mapping[str, str], start: bool) -> Facts:
    """What JAX says of itself."""
    try:
        import jax

        settings: Any = jax.config
        device: dict[str, Any] = machine.device() if start else {"platform": None, "kind": None, "count": 0}
        return Facts(
            platform=device["platform"],
            device_kind=device["kind"],
            devices=device["count"],
            processes=jax.process_count() if start else 1,
            threefry_partitionable=bool(settings.jax_threefry_partitionable),
            compile_cache=_compile_cache(settings, environ),
            native_kernel=native.status() if start else None,
        )
    except Exception as error:  # whatever keeps JAX from working is what is asked for
        reason = (str(error).splitlines() or [""])[0]
        return Facts(jax_error=f"{type(error).__name__}: {reason}", platform=None, device_kind=None, devices=0)


def _compile_cache(settings: Any, environ: Mapping[str, str]) -> str | None:
    if not settings.jax_enable_compilation_cache:
        return None
    return settings.jax_compilation_cache_dir or str(machine.compile_cache(environ))


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _memory() -> int:
    """Memory of the machine, or what the container may use of it."""
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(installed, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return installed
