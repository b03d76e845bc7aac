"""A client's part of the way to the server loads neither JAX nor anything of training."""

import subprocess
import sys
from pathlib import Path

from sites import file_server

HEAVY = (
    "flax",
    "optax",
    "orbax",
    "jax",
    "dkjax.models",
    "dkjax.train",
    "dkjax.server",
    "dkjax.experiment",
    "dkjax.cipher",
)

PROGRAM = """
import sys
from dkjax.cli.main import app
commands = (["ticket", "show", "a.ticket"], ["ticket", "recipe", "a.ticket"], ["ticket", "key", "--key", "k"],
    ["upload", "sites/plant-a.dkds", "--ticket", "a.ticket", "--key", "k"])
for command in commands:
    try:
        app(command)
    except SystemExit as stop:
        assert not stop.code, (command, stop.code)
print(sorted(name for name in sys.modules for one in HEAVY if f"{name}.".startswith(f"{one}.")))
"""


def test_a_client_loads_nothing_of_training(tmp_path: Path) -> None:
    server = file_server(tmp_path)
    server.data_set("plant-a")
    ticket = server.ticket("plant-a")
    (tmp_path / "a.ticket").write_bytes((server.keys.path / "tickets" / f"{ticket.id}.ticket").read_bytes())
    program = PROGRAM.replace("HEAVY", repr(HEAVY))
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert "sent sites/plant-a.dkds: 25 images in 7 objects" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "[]"
