"""Each trap on made-up facts: found where it is, silent where it is not."""

import dataclasses
from typing import Any

import pytest

from dkjax.doctor import TRAPS, Facts, find_traps
from dkjax.runtime.cluster import Cluster
from dkjax.runtime.machine import REQUIRED

WHOLE = Facts(versions=dict.fromkeys(REQUIRED, "1"))
CUDA = (*WHOLE.modules, "jax_cuda13_plugin")
TORCH = (*WHOLE.modules, "torch")

CASES: list[tuple[str, dict[str, Any], str]] = [
    ("missing_packages", {"versions": dict.fromkeys(REQUIRED[1:], "1")}, "not installed: jax"),
    ("jax_does_not_start", {"jax_error": "RuntimeError: no", "platform": None}, "JAX does not start: RuntimeError: no"),
    ("gpu_without_cuda", {"nvidia": True}, "JAX without CUDA"),
    ("gpu_not_used", {"nvidia": True, "modules": CUDA}, "computes on the CPU"),
    ("tpu_not_used", {"tpu": True}, "without libtpu"),
    ("tpu_not_used", {"tpu": True, "modules": (*WHOLE.modules, "libtpu")}, "computes on the CPU"),
    ("odd_platforms", {"jax_platforms": "nvidia"}, "'nvidia', which is none of cpu, cuda"),
    ("odd_platforms", {"jax_platforms": "cpu", "nvidia": True, "modules": CUDA}, "keeps JAX from a GPU"),
    ("odd_platforms", {"jax_platforms": "cpu", "tpu": True}, "keeps JAX from a TPU"),
    ("threefry_not_partitionable", {"threefry_partitionable": False}, "jax_threefry_partitionable is off"),
    (
        "processes_on_their_own",
        {"cluster": Cluster("Open MPI", 4, 1), "finds_others": False},
        "Open MPI started 4 processes and does not say where process 0 is",
    ),
    (
        "proxies_between_processes",
        {"cluster": Cluster("SLURM", 4, 1), "proxies": ("http_proxy", "https_proxy")},
        "http_proxy and https_proxy may keep the 4 processes from finding each other",
    ),
    ("small_shm", {"shm_bytes": 64 << 20}, "/dev/shm has 64 MiB"),
    ("disk_nearly_full", {"disk_free_bytes": 1 << 30}, "has 1.0 GiB left"),
    ("disk_nearly_full", {"disk_free_bytes": 15 << 30}, "has 15.0 GiB left"),
    ("tfds_packages", {"modules": ()}, "tfds: sources cannot be read without array_record"),
    ("tfds_packages", {"modules": (*WHOLE.modules, "tensorflow")}, "cannot be built without importlib_resources"),
    ("forked_workers", {"start_method": "fork", "modules": TORCH}, "multiprocessing forks here"),
]

HARMLESS: dict[str, dict[str, Any]] = {
    "a CPU": {},
    "a GPU at work": {"nvidia": True, "modules": CUDA, "platform": "gpu"},
    "a TPU at work": {"tpu": True, "platform": "tpu"},
    "a GPU named": {"nvidia": True, "modules": CUDA, "platform": "gpu", "jax_platforms": "cuda,cpu"},
    "the CPU named": {"jax_platforms": "cpu"},
    "one process of SLURM": {"cluster": Cluster("SLURM", 1, 0)},
    "processes that find each other": {"cluster": Cluster("SLURM", 4, 1)},
    "hosts of a TPU slice": {"cluster": Cluster("TPU pod", 2, 0), "platform": None},
    "a proxy for one process": {"proxies": ("http_proxy",), "cluster": Cluster("SLURM", 1, 0)},
    "a Job that does not say": {"cluster": Cluster("Kubernetes", None, 3)},
    "no shared memory": {"shm_bytes": None},
    "a small disk": {"disk_bytes": 10 << 30, "disk_free_bytes": 3 << 30},
    "fork without PyTorch": {"start_method": "fork"},
    "PyTorch without fork": {"modules": TORCH},
}


@pytest.mark.parametrize(("trap", "changed", "problem"), CASES)
def test_found(trap: str, changed: dict[str, Any], problem: str) -> None:
    (finding,) = find_traps(dataclasses.replace(WHOLE, **changed))
    assert finding.trap == trap
    assert problem in finding.problem
    assert finding.fix and "\n" not in finding.problem + finding.fix
    assert finding.unusable == (trap in ("missing_packages", "jax_does_not_start"))


@pytest.mark.parametrize("changed", HARMLESS.values(), ids=HARMLESS)
def test_silent(changed: dict[str, Any]) -> None:
    assert find_traps(dataclasses.replace(WHOLE, **changed)) == []


def test_every_trap_has_a_case() -> None:
    assert {trap.__name__ for trap in TRAPS} == {trap for trap, _, _ in CASES}


def test_a_wrong_name_is_taken_back_first() -> None:
    facts = dataclasses.replace(WHOLE, jax_error="RuntimeError: nvidia", platform=None, jax_platforms="nvidia")
    unusable, odd = find_traps(facts)
    assert unusable.fix.startswith("unset JAX_PLATFORMS, which is nvidia")
    assert odd.trap == "odd_platforms"
