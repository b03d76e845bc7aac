"""What a client's machine needs for the client's commands: no library of training, and nothing of the server."""

import subprocess
import sys
from pathlib import Path

from small_data_sets import write_small

HEAVY = ("flax", "optax", "orbax", "dkjax.models", "dkjax.train", "dkjax.server", "dkjax.experiment")

PROGRAM = """
import sys
from dkjax.cli.main import app
for command in (["inspect", "a.dkds"], ["verify", "a.dkds"], ENCRYPT, ["recipes"]):
    try:
        app(command)
    except SystemExit as stop:
        assert not stop.code, (command, stop.code)
heavy = [name for name in sys.modules for one in HEAVY if f"{name}.".startswith(f"{one}.")]
sys.exit(", ".join(heavy[:5]) or 0)
"""
ENCRYPT = ["encrypt", "p.npz", "--out", "b.dkds", "--set", "scheme.block_size=4"]


def test_client_commands_load_no_training(tmp_path: Path) -> None:
    import numpy as np

    write_small(tmp_path / "a.dkds")
    np.savez(tmp_path / "p.npz", image=np.zeros((4, 8, 8, 1), np.uint8), label=np.arange(4) % 2)
    program = PROGRAM.replace("HEAVY", repr(HEAVY)).replace("ENCRYPT", repr(ENCRYPT))
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr.splitlines()[-1:]) == (0, []), ran.stderr
    assert "b.dkds: 4 images in 1 shard" in ran.stdout
