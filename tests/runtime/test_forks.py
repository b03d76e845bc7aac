"""A process that was forked while JAX was at work is told so, whichever JAX it is."""

import os
import pickle
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import dkjax
from dkjax.errors import ForkedProcessError
from dkjax.runtime import forks

BATCH = {"image": np.zeros((1, 4, 4, 1), np.uint8)}


@pytest.fixture(autouse=True)
def no_fork_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_parent", None)


def test_a_fork_of_jax_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = dkjax.schemes.disposable(4)
    dkjax.encrypt_batch(BATCH, scheme=scheme)
    forks._remember()
    # A forked process has all of its parent but the number; really to fork under JAX would risk a deadlock.
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(ForkedProcessError, match="spawn") as caught:
        dkjax.encrypt_batch(BATCH, scheme=scheme)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


class _JaxOfTomorrow:
    """Where JAX keeps the answer today, without it."""


@pytest.mark.parametrize(
    ("bridge", "imported", "began"),
    [(None, True, True), (_JaxOfTomorrow(), True, True), (None, False, False)],
    ids=["moved", "renamed", "not imported"],
)
def test_a_jax_without_the_question(
    bridge: object, imported: bool, began: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jnp.zeros(())
    assert forks.jax_began()
    modules = {name: module for name, module in sys.modules.items() if imported or name != "jax"}
    monkeypatch.setattr(sys, "modules", modules | {"jax._src.xla_bridge": bridge})
    assert forks.jax_began() == began


FORK = """
import os, sys, warnings
import numpy as np
import dkjax
warnings.simplefilter("ignore")
encrypt_batch, scheme = dkjax.encrypt_batch, dkjax.schemes.disposable(4)
batch = {"image": np.zeros((1, 4, 4, 1), np.uint8)}
if sys.argv[1] == "after":
    import jax
    jax.numpy.zeros(3)
if child := os.fork():
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
try:
    encrypt_batch(batch, scheme=scheme, prng="threefry2x32")
    code = 3
except dkjax.errors.ForkedProcessError:
    code = 4
os._exit(code)
"""


@pytest.mark.parametrize(("forked", "code"), [("before", 3), ("after", 4)])
def test_forks_before_and_after_jax_began(forked: str, code: int) -> None:
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    run = subprocess.run([sys.executable, "-c", FORK, forked], capture_output=True, timeout=120, env=environment)
    assert run.returncode == code, run.stderr
