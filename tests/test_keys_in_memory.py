"""No key of a round that is over is found in the memory of the process that had it.

A process goes through everything that handles keys, with keys that are known here, and its memory is searched from
outside after each. That is Linux's /proc; whoever may attach a debugger, or gets a core dump, sees as much.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import key_phases
import numpy as np
import pytest
from key_search import watched_keys
from memory_search import PausingProcess

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="searches memory by way of /proc")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PausingProcess]:
    folder = tmp_path_factory.mktemp("searched")
    (folder / "run.toml").write_text(key_phases.CONFIG)
    with PausingProcess(key_phases.__file__, folder, *key_phases.PHASES) as process:
        yield process


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Every root, round key, node, client key and image key that a phase makes, of the same phases run here."""
    folder: Path = tmp_path_factory.mktemp("known")
    (folder / "run.toml").write_text(key_phases.CONFIG)
    keys = {}
    for name, phase in key_phases.PHASES.items():
        if name.startswith("simulate_"):
            keys[name] = keys["simulate"]  # the same seed, and so the same keys
            continue
        with watched_keys() as used:
            phase(folder)
        keys[name] = np.unique(np.concatenate(used), axis=0)
    return keys


@pytest.mark.parametrize("name", key_phases.PHASES)
def test_no_key_is_left(process: PausingProcess, known: dict[str, np.ndarray], name: str) -> None:
    process.wait()
    found = process.found(known[name])
    process.go_on()
    assert len(known[name]) > 100
    assert (int((found > 0).sum()), int(found.sum())) == (0, 0), f"of {len(found)} keys"


PLANTED = """
import numpy as np
keys = np.random.default_rng(0).integers(0, 2**32, (100, 8), np.uint32)
kept = keys[3].copy()
half = keys[5, 2:4].copy()
keys[:] = 0
print("DONE", flush=True)
input()
"""


def test_a_planted_key_is_found(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(PLANTED)
    keys = np.random.default_rng(0).integers(0, 2**32, (100, 8), np.uint32)
    with PausingProcess(tmp_path / "planted.py") as process:
        process.wait()
        found = process.found(keys)
    assert found[3] >= 7
    assert found[5] >= 1
    assert not np.delete(found, [3, 5]).any()
