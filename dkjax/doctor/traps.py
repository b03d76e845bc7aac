"""Known traps: each is a function of the facts alone, and says what is wrong and the way out, or nothing."""

import dataclasses
from collections.abc import Callable

from dkjax.doctor.facts import Facts
from dkjax.runtime.install import how_to_install
from dkjax.runtime.machine import REQUIRED

_PLATFORMS = ("cpu", "cuda", "gpu", "rocm", "tpu")
_SMALL_DISK, _SMALL_SHM = 2 << 30, 1 << 30


@dataclasses.dataclass(frozen=True)
class Finding:
    """A trap that is there.

    Attributes:
        trap: the name of its function.
        problem: what is wrong, and what comes of it.
        fix: the way out.
        unusable: whether dkjax cannot work before that.
    """

    trap: str
    problem: str
    fix: str
    unusable: bool = False


def missing_packages(facts: Facts) -> Finding | None:
    """Packages without which nothing works."""
    missing = [package for package in REQUIRED if package not in facts.versions]
    if not missing:
        return None
    return Finding("missing_packages", f"not installed: {', '.join(missing)}", how_to_install(), unusable=True)


def jax_does_not_start(facts: Facts) -> Finding | None:
    """JAX cannot be imported or finds no device."""
    if facts.jax_error is None:
        return None
    again = f"if that fails too, install anew: {how_to_install()}"
    fix = f"JAX_PLATFORMS=cpu works without an accelerator; {again}"
    if facts.jax_platforms:
        fix = f"unset JAX_PLATFORMS, which is {facts.jax_platforms}; {again}"
    return Finding("jax_does_not_start", f"JAX does not start: {facts.jax_error}", fix, unusable=True)


def gpu_without_cuda(facts: Facts) -> Finding | None:
    """A GPU that JAX has no code for."""
    if not facts.nvidia or {"jax_cuda12_plugin", "jax_cuda13_plugin"} & set(facts.modules):
        return None
    return Finding(
        "gpu_without_cuda",
        "there is an NVIDIA GPU, and JAX without CUDA: it computes on the CPU",
        how_to_install("cuda"),
    )


def gpu_not_used(facts: Facts) -> Finding | None:
    """A GPU and JAX with CUDA, and still the CPU."""
    if not facts.nvidia or facts.platform != "cpu" or gpu_without_cuda(facts) or _cpu_wanted(facts):
        return None
    return Finding(
        "gpu_not_used",
        "there is an NVIDIA GPU and JAX with CUDA, and JAX computes on the CPU",
        "JAX_PLATFORMS=cuda dkjax doctor says why; most often the driver is too old (nvidia-smi) or the container was "
        "started without GPUs",
    )


def tpu_not_used(facts: Facts) -> Finding | None:
    """A TPU, and still the CPU."""
    if not facts.tpu or facts.platform != "cpu" or _cpu_wanted(facts):
        return None
    if "libtpu" not in facts.modules:
        return Finding("tpu_not_used", "there is a TPU, and JAX without libtpu", how_to_install("tpu"))
    return Finding(
        "tpu_not_used",
        "there is a TPU, and JAX computes on the CPU",
        "one process at a time can have a TPU: end the other one",
    )


def odd_platforms(facts: Facts) -> Finding | None:
    """JAX_PLATFORMS names what there is not, or hides what there is."""
    words = [word.strip() for word in facts.jax_platforms.split(",") if word.strip()]
    unknown = [word for word in words if word not in _PLATFORMS]
    if unknown:
        return Finding(
            "odd_platforms",
            f"JAX_PLATFORMS={facts.jax_platforms} names {unknown[0]!r}, which is none of {', '.join(_PLATFORMS)}",
            "unset JAX_PLATFORMS",
        )
    if _cpu_wanted(facts) and (facts.nvidia or facts.tpu):
        there = "a GPU" if facts.nvidia else "a TPU"
        return Finding(
            "odd_platforms",
            f"JAX_PLATFORMS={facts.jax_platforms} keeps JAX from {there} that is there",
            "unset JAX_PLATFORMS, unless that is wanted",
        )
    return None


def threefry_not_partitionable(facts: Facts) -> Finding | None:
    """Random numbers of JAX's past."""
    if facts.threefry_partitionable:
        return None
    return Finding(
        "threefry_not_partitionable",
        "jax_threefry_partitionable is off: threefry2x32 keys and training randomness "
        "are others than elsewhere, and differ with the number of devices",
        "unset JAX_THREEFRY_PARTITIONABLE",
    )


def processes_on_their_own(facts: Facts) -> Finding | None:
    """Several processes were started, and cannot find each other."""
    cluster = facts.cluster
    if cluster is None or facts.finds_others:
        return None
    return Finding(
        "processes_on_their_own",
        f"{cluster.kind} started {cluster.processes} processes and does not say where process 0 is, as from version 5: "
        "dkjax train and simulate refuse to begin",
        "mpirun -x JAX_COORDINATOR_ADDRESS=HOST:PORT ..., HOST being the machine of rank 0; or --num-processes 1",
    )


def proxies_between_processes(facts: Facts) -> Finding | None:
    """A proxy that processes would ask for each other."""
    if not facts.proxies or facts.cluster is None or (facts.cluster.processes or 1) < 2:
        return None
    return Finding(
        "proxies_between_processes",
        f"{' and '.join(facts.proxies)} may keep the {facts.cluster.processes} processes from finding each other",
        "unset them for the training, or name its machines in no_proxy",
    )


def small_shm(facts: Facts) -> Finding | None:
    """Little shared memory, as containers have by default."""
    if facts.shm_bytes is None or facts.shm_bytes >= _SMALL_SHM:
        return None
    return Finding(
        "small_shm",
        f"/dev/shm has {facts.shm_bytes / (1 << 20):,.0f} MiB: worker processes of data loaders and GPUs "
        "that talk to each other die of that",
        "docker run --shm-size=8g, or in Kubernetes an emptyDir with medium: Memory at /dev/shm",
    )


def disk_nearly_full(facts: Facts) -> Finding | None:
    """No room for a run."""
    if facts.disk_free_bytes >= max(_SMALL_DISK, facts.disk_bytes // 50):
        return None
    return Finding(
        "disk_nearly_full",
        f"the disk of {facts.folder} has {facts.disk_free_bytes / (1 << 30):,.1f} GiB left",
        "make room, or choose another --workdir; a run stopped by a full disk goes on afterwards",
    )


def tfds_packages(facts: Facts) -> Finding | None:
    """What tensorflow-datasets needs to read, or where there is TensorFlow to build, and may not have."""
    needed = ["array_record"] + ["importlib_resources"] * ("tensorflow" in facts.modules)
    missing = [name for name in needed if name not in facts.modules]
    if not missing:
        return None
    concerned = "read" if "array_record" in missing else "built"
    return Finding(
        "tfds_packages",
        f"tfds: sources cannot be {concerned} without {' and '.join(missing)}",
        f"pip install {' '.join(missing)}; all other sources work without",
    )


def forked_workers(facts: Facts) -> Finding | None:
    """Worker processes that would hang once JAX is at work."""
    if facts.start_method != "fork" or "torch" not in facts.modules:
        return None
    return Finding(
        "forked_workers",
        "multiprocessing forks here: a DataLoader's workers that use JAX after the parent did hang",
        'DataLoader(..., multiprocessing_context="spawn")',
    )


def _cpu_wanted(facts: Facts) -> bool:
    return facts.jax_platforms.split(",")[0].strip() == "cpu"


TRAPS: tuple[Callable[[Facts], Finding | None], ...] = (
    missing_packages,
    jax_does_not_start,
    gpu_without_cuda,
    gpu_not_used,
    tpu_not_used,
    odd_platforms,
    threefry_not_partitionable,
    processes_on_their_own,
    proxies_between_processes,
    small_shm,
    disk_nearly_full,
    tfds_packages,
    forked_workers,
)
"""All that is known; those that make dkjax unusable come first."""


def find_traps(facts: Facts) -> list[Finding]:
    """Judge facts.

    Args:
        facts: from `gather`, or made up.

    Returns:
        A finding for each trap that is there, in the order of `TRAPS`.

    Guarantees:
        - each is found where it is, and not where it is not (`test_traps.py`).
    """
    return [finding for trap in TRAPS if (finding := trap(facts)) is not None]
