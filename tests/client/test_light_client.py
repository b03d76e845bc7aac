"""A client loads nothing of training."""

import json
import subprocess
import sys

import pytest

HEAVY = {"flax", "optax", "orbax", "grain", "tensorflow_datasets", "tensorflow", "torch"}
ROOMS = {"models", "train", "server", "experiment", "federated", "attacks", "bench"}

PROGRAM = """
import json, sys
{body}
print(json.dumps(sorted({{".".join(name.split(".")[:2]) for name in sys.modules}})))
"""

BODIES = {
    "import dkjax.client": "import dkjax.client",
    "dkjax encrypt": """
sys.argv = ["dkjax", "encrypt", "digits", "--out", sys.argv[1], "--set", "data.train_images=10", "--json",
            "--set", "scheme.block_size=8"]
import io, contextlib
from dkjax.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
""",
}


@pytest.mark.parametrize("body", BODIES)
def test_no_training(tmp_path, body):
    program = PROGRAM.format(body=BODIES[body])
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.dkds")], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    loaded = json.loads(run.stdout.splitlines()[-1])
    assert "dkjax.client" in loaded
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    assert not {f"dkjax.{room}" for room in ROOMS} & set(loaded)
