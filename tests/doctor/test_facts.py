"""Facts about the machine at hand."""

from pathlib import Path

import jax
import pytest

from dkjax import machine
from dkjax.doctor import gather


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
    assert (facts.platform, facts.jax_error) == (None, None)
