"""Looking at data sets needs no library of training and nothing of the server, as `dkjax encrypt` does not."""

import subprocess
import sys
from pathlib import Path

from small_data_sets import write_small

HEAVY = ("flax", "optax", "orbax", "dkjax.models", "dkjax.train", "dkjax.server", "dkjax.experiment")

PROGRAM = """
import sys
from dkjax.cli.main import app
for command in (["inspect", "a.dkds"], ["verify", "a.dkds"], ["recipes"]):
    try:
        app(command)
    except SystemExit as stop:
        assert not stop.code, (command, stop.code)
heavy = [name for name in sys.modules for one in HEAVY if f"{name}.".startswith(f"{one}.")]
sys.exit(", ".join(heavy[:5]) or 0)
"""


def test_client_commands_load_no_training(tmp_path: Path) -> None:
    write_small(tmp_path / "a.dkds")
    program = PROGRAM.replace("HEAVY", repr(HEAVY))
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr.splitlines()[-1:]) == (0, []), ran.stderr
    assert "a.dkds is whole: 25 images in 3 shards" in ran.stdout
