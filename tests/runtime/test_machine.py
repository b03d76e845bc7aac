"""How many cores there are for this process."""

import os
from pathlib import Path

import pytest

from dkjax.runtime import machine
from dkjax.runtime.machine import cpu_cores
from dkjax.runtime.threads import on_all_cores


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(os, "cpu_count", lambda: pytest.fail("it counts cores that a process may not use"))


def system(root: Path, groups: str, **files: str) -> Path:
    """Write what Linux says of control groups; `__` in a name stands for a folder."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


V1 = "9:name=systemd:/\n2:cpuset:/jobs\n1:cpu,cpuacct:/jobs/one\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu_max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu_max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu_max": "250000 100000\n"}, 3),
        ("0::/\n", {"cpu_max": "1000 100000\n"}, 1),
        ("0::/\n", {"cpu_max": "6400000 100000\n"}, 8),
        ("0::/a/b\n", {"a__b__cpu_max": "max 100000\n", "a__cpu_max": "300000 100000\n"}, 3),
        ("0::/a/b\n", {"a__b__cpu_max": "400000 100000\n", "a__cpu_max": "600000 100000\n"}, 4),
        ("0::/a\n", {"other__cpu_max": "100000 100000\n"}, 8),
        (V1, {"cpu__jobs__one__cpu_cfs_quota_us": "-1\n", "cpu__jobs__one__cpu_cfs_period_us": "100000\n"}, 8),
        (V1, {"cpu__jobs__one__cpu_cfs_quota_us": "150000\n", "cpu__jobs__one__cpu_cfs_period_us": "50000\n"}, 3),
        # As in a container, which sees its own group alone.
        (V1, {"cpu__cpu_cfs_quota_us": "500000\n", "cpu__cpu_cfs_period_us": "100000\n"}, 5),
        ("", {"cpu_max": "200000 100000\n"}, 8),
    ],
)
def test_quotas_of_groups(eight: None, tmp_path: Path, groups: str, files: dict[str, str], cores: int) -> None:
    assert cpu_cores(system(tmp_path, groups, **files)) == cores


def test_a_system_without_groups(eight: None, tmp_path: Path) -> None:
    assert cpu_cores(tmp_path) == 8


def test_cores_of_this_machine() -> None:
    assert 1 <= cpu_cores() <= len(os.sched_getaffinity(0))
    assert machine.describe()["cpu_cores"] == cpu_cores()


@pytest.mark.parametrize("cores", [1, 3])
def test_threads_are_as_many_as_cores(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    import threading

    monkeypatch.setattr("dkjax.runtime.threads.cpu_cores", lambda: cores)
    together = threading.Barrier(cores)
    assert on_all_cores(lambda item: together.wait(20) * 0 + item, range(3 * cores)) == list(range(3 * cores))
    names = on_all_cores(lambda _: together.wait(20) * 0 + threading.get_ident(), range(3 * cores))
    assert len(set(names)) == cores
