"""Facts about the machine at hand."""

from pathlib import Path

import jax
import pytest

from dkjax.cipher import native
from dkjax.doctor import gather
from dkjax.runtime import machine


def test_here(tmp_path: Path) -> None:
    facts = gather(tmp_path / "not" / "there", {})
    assert (facts.platform, facts.devices, facts.processes, facts.jax_error) == ("cpu", 4, 1, None)
    assert facts.versions["jax"] == jax.__version__
    assert facts.folder == str(tmp_path)
    assert 0 < facts.disk_free_bytes <= facts.disk_bytes
    assert facts.memory_bytes > 1 << 28 and facts.cpu_cores >= 1
    assert facts.cluster is None
    assert not (tmp_path / "not").exists()


def test_jax_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("Unable to initialize backend 'cuda'\nand so on")

    monkeypatch.setattr(machine, "device", fail)
    facts = gather(tmp_path, {})
    assert facts.jax_error == "RuntimeError: Unable to initialize backend 'cuda'"
    assert (facts.platform, facts.devices) == (None, 0)


def test_a_pod_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "device", lambda: pytest.fail("JAX was started"))
    facts = gather(tmp_path, {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "0"})
    assert (facts.platform, facts.jax_error, facts.native_kernel) == (None, None, None)


def test_which_kernel_encrypts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gather(tmp_path, {}).native_kernel == native.status()
    monkeypatch.setenv("DKJAX_NATIVE", "0")
    assert gather(tmp_path, {}).native_kernel == (False, "DKJAX_NATIVE=0")


def test_what_processes_find_on_their_way(tmp_path: Path) -> None:
    mpi = {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "1"}
    proxies = {"http_proxy": "x", "NO_PROXY": "y", "HTTPS_PROXY": "z", "PROXY": "z"}
    assert gather(tmp_path, proxies).proxies == ("HTTPS_PROXY", "http_proxy")
    assert not gather(tmp_path, mpi).finds_others
    assert gather(tmp_path, {**mpi, "JAX_COORDINATOR_ADDRESS": "a:1"}).finds_others


def test_where_compiled_programs_are(tmp_path: Path) -> None:
    of_the_tests = jax.config.jax_compilation_cache_dir
    assert gather(tmp_path, {}).compile_cache == of_the_tests
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        assert gather(tmp_path, {}).compile_cache is None
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        cache = gather(tmp_path, {"XDG_CACHE_HOME": str(tmp_path)}).compile_cache
    finally:
        jax.config.update("jax_compilation_cache_dir", of_the_tests)
    assert cache == str(tmp_path / "dkjax" / f"compiled-{machine.cpu_kind()}")
