"""Everything that handles keys, in the way that people start it. Each phase ends with no round open.

As a program, it goes through the phases that it is told, and pauses after each for its memory to be looked through.
"""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

SEED = ["--set", "keys.mode=reproducible", "--set", "keys.seed=5"]

CONFIG = """
[data]
source = "digits"
image_size = 16
train_images = 96
[clients]
count = 2
rounds = 2
[scheme]
block_size = 8
fixed_pixels = "25%"
[keys]
mode = "reproducible"
seed = 5
[store]
shard_images = 20
[model]
variant = "mu"
width = 8
heads = 1
mlp_dim = 8
[train]
epochs = 2
batch_size = 32
evaluations = 1
[[arms]]
name = "plain"
[[arms]]
name = "disposable"
[[arms]]
name = "client_key"
[[arms]]
name = "shared_key"
adapt_embedding = true
"""


def in_python(folder: Path) -> None:
    """The round of the README."""
    import numpy as np

    import dkjax

    images = np.random.default_rng(0).integers(0, 256, (100, 16, 16, 3), np.uint8)
    scheme = dkjax.schemes.disposable(block_size=8)
    ratchet = dkjax.keys.reproducible(seed=5)
    with ratchet.next_round() as round_keys:
        image_keys = round_keys.for_client("plant-a", len(images))
        encrypted = dkjax.encrypt(scheme, image_keys, images)
        assert (dkjax.decrypt(scheme, image_keys, encrypted) == images).all()
    ratchet.discard()


def in_python_raising(folder: Path) -> None:
    """The same, ended by an exception in the middle of it, on the other PRNG's keys too."""
    import numpy as np

    import dkjax

    scheme = dkjax.schemes.disposable(block_size=8)
    ratchet = dkjax.keys.reproducible(seed=6)
    try:
        with ratchet.next_round() as round_keys:
            image_keys = round_keys.for_client("plant-a", 100)
            encrypted = dkjax.encrypt(scheme, image_keys, np.zeros((100, 16, 16, 3), np.uint8))
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        encrypted.block_until_ready()
    with ratchet.next_round() as round_keys:
        dkjax.encrypt(scheme, round_keys.for_client("plant-a"), np.zeros((7, 16, 16, 3), np.uint8)).block_until_ready()
    ratchet.discard()


def batch(folder: Path) -> None:
    """A batch of a pipeline."""
    import numpy as np

    import dkjax

    make, dkjax.keys.disposable = dkjax.keys.disposable, lambda prng: dkjax.keys.reproducible(seed=7, prng=prng)
    try:
        images = np.zeros((300, 16, 16, 3), np.uint8)
        dkjax.encrypt_batch({"image": images}, scheme=dkjax.schemes.disposable(block_size=8))
    finally:
        dkjax.keys.disposable = make


def encrypt_views(folder: Path) -> None:
    """`dkjax encrypt`, two views of each image."""
    _command("encrypt", "digits", "--out", folder / "a.dkds", "--config", folder / "run.toml", "--views", "2", *SEED)


def encrypt_resumed(folder: Path) -> None:
    """`dkjax encrypt`, stopped after some shards, and once more to the end."""
    from dkjax.dkds.growing_shard import GrowingShard

    command = ["encrypt", "digits", "--out", folder / "b.dkds", "--config", folder / "run.toml", *SEED]
    finish = GrowingShard.finish

    def stop(self, path):
        if path.name == "shard-00002.safetensors":
            raise OSError(28, "No space left on device")
        finish(self, path)

    GrowingShard.finish = stop
    try:
        _command(*command, code=75)
    finally:
        GrowingShard.finish = finish
    _command(*command)


def simulate(folder: Path) -> None:
    """`dkjax simulate`, every kind of arm, all in memory."""
    _simulate(folder, "memory")


def simulate_on_disk(folder: Path) -> None:
    """The same by way of data sets on disk."""
    _simulate(folder, "disk", "--set", "store.on_disk=true")


def simulate_on_devices(folder: Path) -> None:
    """The same with images encrypted on the devices, whenever a step needs them."""
    _simulate(folder, "device", "--set", 'train.input="device"')


PHASES: dict[str, Callable[[Path], None]] = {
    phase.__name__: phase
    for phase in (
        in_python,
        in_python_raising,
        batch,
        encrypt_views,
        encrypt_resumed,
        simulate,
        simulate_on_disk,
        simulate_on_devices,
    )
}


def _simulate(folder: Path, name: str, *how: str) -> None:
    _command("simulate", folder / "run.toml", "--workdir", folder / name, *how)


def _command(*arguments: object, code: int = 0) -> None:
    from typer.testing import CliRunner

    from dkjax.cli.main import app

    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    del result


def main() -> None:
    """Go through the phases named on the command line, after the folder to work in."""
    folder, *names = sys.argv[1:]
    for name in names:
        PHASES[name](Path(folder))
        gc.collect()
        print("DONE", name, flush=True)
        sys.stdin.readline()
    os._exit(0)


if __name__ == "__main__":
    main()
