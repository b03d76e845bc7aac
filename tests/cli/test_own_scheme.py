"""A user's own scheme: registered, configured, written, read with it and without it, and what is refused."""

import dataclasses
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from dkjax import schemes
from dkjax.cipher.transforms import BlockScrambling, PixelPermutation
from dkjax.cli.main import app
from dkjax.client import encrypt
from dkjax.client.from_config import make_scheme
from dkjax.config import SchemeConfig, parse_as, resolved
from dkjax.dkds.disclosure import not_hidden
from dkjax.dkds.manifest import describe
from dkjax.errors import ArgumentError, ConfigError, DataError

PAGE = (Path(__file__).parents[2] / "docs" / "schemes.md").read_text(encoding="utf-8")
MODULE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
SCHEME, PROJECT = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)

CONFIG = f"""
{SCHEME.replace("block_size = 8", "block_size = 4")}
[data]
source = "digits"
image_size = 8
train_images = 24
[model]
variant = "mu"
width = 8
heads = 1
mlp_dim = 8
[train]
epochs = 1
batch_size = 8
[[arms]]
name = "disposable"
fixed_blocks = 1
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    for name in set(schemes.names()) - set(schemes.NAMES):
        schemes.unregister(name)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a package where Python looks for them, as pip does."""

    def install(code: str, entry: str = PROJECT.split("[project.entry-points.")[1].splitlines()[1]) -> None:
        folder = tmp_path / "installed"
        (folder / "my_cipher-1.dist-info").mkdir(parents=True)
        (folder / "my_cipher-1.dist-info" / "METADATA").write_text("Name: my-cipher\nVersion: 1\n")
        text = f"[{schemes.registry.ENTRY_POINTS}]\n{entry.replace(chr(34), '')}\n"
        (folder / "my_cipher-1.dist-info" / "entry_points.txt").write_text(text)
        (folder / "my_cipher.py").write_text(code)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, "my_cipher", raising=False)
        importlib.invalidate_caches()

    yield install
    sys.modules.pop("my_cipher", None)


def dkjax(*arguments: object, exit_code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == exit_code, result.stderr
    return result.stdout, result.stderr


MISSING = "the scheme add_and_scramble does not come with dkjax 0.1.0 and is not installed: "


def test_from_a_configuration_to_a_training(
    install: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text(CONFIG.replace("fixed_blocks = 1", ""))
    _, error = dkjax("encrypt", "digits", "--out", "a.dkds", "--config", "run.toml", exit_code=2)
    assert error.startswith("dkjax: run.toml: scheme.name: there is no scheme 'add_and_scramble'; known are disposable")
    install(MODULE)
    out, _ = dkjax("encrypt", "digits", "--out", "a.dkds", "--config", "run.toml", "--set", "scheme.times=3")
    assert "; the differences between the values of each block." in out
    written = json.loads(Path("a.dkds/manifest.json").read_text())["scheme"]
    assert (written["name"], written["parameters"]) == ("add_and_scramble", {"block_size": 4, "times": 3})

    schemes.unregister("add_and_scramble")
    sys.modules.pop("my_cipher")
    assert dkjax("verify", "a.dkds")[0].splitlines()[1].startswith(MISSING)
    assert "my_cipher" not in sys.modules
    summary = json.loads(dkjax("inspect", "a.dkds", "--json")[0])  # imports what is installed
    assert summary["protection"]["key_space_bits"]["transform"] == pytest.approx(4 * 8 + np.log2(24))
    assert summary["protection"]["warnings"] == []
    assert "add_and_scramble" in schemes.names()

    # A reader without it.
    schemes.unregister("add_and_scramble")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "installed" not in path])
    importlib.invalidate_caches()
    summary = json.loads(dkjax("inspect", "a.dkds", "--json")[0])
    assert summary["protection"]["key_space_bits"] is None
    assert summary["protection"]["warnings"][0].startswith("T" + MISSING[1:])
    out, _ = dkjax("inspect", "a.dkds")
    assert "key space  not known here" in out
    assert "what the scheme add_and_scramble leaves, which is not known here." in out
    _, error = dkjax("train", "run.toml", "--data", "a.dkds", "--workdir", "w")
    assert MISSING in " ".join(error.split())
    assert json.loads(Path("w/results.json").read_text())["notes"][0].startswith(MISSING)


def own(block_size: int = 4, fixed_blocks: int = 0, fixed_pixels: int = 0, kind: str = "soft") -> schemes.Scheme:
    """Shipped transforms, which say what they leave, and a parameter that no other scheme has."""
    return schemes.Scheme("own", block_size, (BlockScrambling(fixed_blocks), PixelPermutation(fixed_pixels)))


def test_what_a_configuration_says_of_it() -> None:
    schemes.register(own)
    config = parse_as(SchemeConfig, {"name": "own", "block_size": 4, "fixed_blocks": "50%", "kind": "hard"})
    assert resolved(config) == {
        "name": "own",
        "block_size": 4,
        "fixed_blocks": "50%",
        "fixed_pixels": 0,
        "kind": "hard",
    }
    made = make_scheme(config, (8, 8, 1))
    assert schemes.parameters_of(made) == {"block_size": 4, "fixed_blocks": 2, "fixed_pixels": 0, "kind": "hard"}
    assert schemes.find("own").restrictions == ("fixed_blocks", "fixed_pixels")
    assert schemes.find("own").adaptable
    for key, value, said in (
        ("knd", "hard", "unknown key scheme.knd; did you mean 'kind'?"),
        ("kind", ["hard"], r"kind: expected a number, true, false or a text, got \['hard'\]"),
    ):
        with pytest.raises(ConfigError, match=said):
            parse_as(SchemeConfig, {"name": "own", key: value})


def test_what_it_does_not_hide() -> None:
    made = schemes.register(own)(fixed_blocks=3)
    assert "3 of 4 blocks, which stay at their place; " in not_hidden(describe(made, (8, 8, 1), ["a"]))
    schemes.unregister("own")
    schemes.register(own, not_hidden="nothing at all")
    assert not_hidden(describe(made, (8, 8, 1), ["a"])).endswith("(8 x 8 pixels); nothing at all.")
    schemes.unregister("own")
    assert "what the scheme own leaves" in not_hidden(describe_by(made))


def describe_by(made: schemes.Scheme) -> Any:
    """Describe a data set where the scheme is known."""
    schemes.register(own)
    try:
        return describe(made, (8, 8, 1), ["a"])
    finally:
        schemes.unregister("own")


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A transform that does one thing wrong."""

    what: str

    def check(self, shape: Any, dtype: Any = None) -> None: ...

    def sample(self, key: jax.Array, shape: Any) -> jax.Array:
        return jax.random.bits(key, (1, 1), np.uint8)

    def apply(self, parameters: jax.Array, blocks: jax.Array, shape: Any) -> jax.Array:
        if self.what == "raises":
            raise ZeroDivisionError("one\ntwo")
        return {"shape": blocks[:, :-1], "dtype": blocks.astype(np.int16), "value": blocks + parameters}[self.what]

    def invert(self, parameters: jax.Array, blocks: jax.Array, shape: Any) -> jax.Array:
        return blocks

    def count(self, shape: Any) -> int:
        return 1


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("value", "the scheme wrong does not give back the image that it encrypted: let invert undo what apply does"),
        ("dtype", r"the scheme wrong encrypts uint8\[8, 8, 3\] to int16\[8, 8, 3\]: its transforms must keep"),
        ("shape", r"the scheme wrong cannot encrypt uint8\[8, 8, 3\]: TypeError"),
        ("raises", r"the scheme wrong cannot encrypt uint8\[8, 8, 3\]: ZeroDivisionError: one$"),
    ],
)
def test_a_scheme_that_does_not_round_trip(what: str, said: str) -> None:
    @schemes.register(not_hidden="everything")
    def wrong(block_size: int = 4) -> schemes.Scheme:
        return schemes.Scheme("wrong", block_size, (Wrong(what),))

    with pytest.raises(ArgumentError, match=said):
        describe(wrong(), (16, 16, 3), ["a"])
    with pytest.raises(ArgumentError, match=said):
        make_scheme(parse_as(SchemeConfig, {"name": "wrong", "block_size": 4}), (16, 16, 3))
    with pytest.raises(ArgumentError, match=said):
        encrypt(np.zeros((2, 16, 16, 3), np.uint8), [0, 1], wrong())


def scheme_called(name: str, /, *steps: Any, **kind: Any) -> Callable[..., schemes.Scheme]:
    def factory(block_size: int = 4) -> schemes.Scheme:
        return schemes.Scheme(**{"name": name, "block_size": block_size, "transforms": steps, **kind})

    factory.__name__ = name
    return factory


def without_default(block_size: int) -> schemes.Scheme: ...


def without_block_size(side: int = 4) -> schemes.Scheme: ...


def with_anything(block_size: int = 4, **more: int) -> schemes.Scheme: ...


def of_an_array(block_size: int = 4, weights: Any = (1, 2)) -> schemes.Scheme:
    return schemes.Scheme("of_an_array", block_size, ())


def no_scheme(block_size: int = 4) -> Any:
    return block_size


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (scheme_called("qi"), "there is a scheme qi already: choose another name"),
        (scheme_called("disposable"), "there is a scheme disposable already"),
        (scheme_called("a b"), "a scheme cannot be called 'a b'"),
        (lambda block_size=4: None, "a scheme cannot be called '<lambda>'"),
        (scheme_called("x", name="y"), r"the scheme x must be a Scheme\('x', block_size, ...\), got Scheme\(name='y'"),
        (scheme_called("x", block_size=3), "the scheme x must be a Scheme"),
        (no_scheme, "the scheme no_scheme must be a Scheme"),
        (without_default, "the parameter block_size: int of the scheme without_default needs a name and a default"),
        (without_block_size, "the scheme without_block_size has no parameter block_size"),
        (with_anything, r"the parameter \*\*more: int of the scheme with_anything needs a name and a default"),
        (of_an_array, r"weights=\(1, 2\) of the scheme of_an_array cannot be written to a data set"),
        (scheme_called("x", Wrong("value")), "the scheme x does not say what it leaves to be seen, for Wrong does not"),
    ],
)
def test_what_cannot_be_registered(factory: Any, said: str) -> None:
    before = schemes.names()
    with pytest.raises(ArgumentError, match=said):
        schemes.register(factory)
    assert schemes.names() == before


def test_a_name_that_is_taken() -> None:
    schemes.register(own)
    with pytest.raises(ArgumentError, match="there is a scheme own already"):
        schemes.register(own)
    schemes.unregister("own")
    schemes.register(own)
    with pytest.raises(ArgumentError, match="there is no scheme 'qi' of your own"):
        schemes.unregister("qi")


@pytest.mark.parametrize("value", [-1, 2**53, np.inf, -0.5, "a\nb", "a" * 257, None, [1], b"a", np.zeros(3)])
def test_parameters_that_json_has_not(value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"kind=.* of the scheme own cannot be written to a data set"):
        schemes.register(own)(kind=value)


@pytest.mark.parametrize(
    ("value", "written"), [(np.int64(3), 3), (np.float32(0.5), 0.5), (np.bool_(True), True), ("é", "é")]
)
def test_parameters_that_json_has(value: Any, written: Any) -> None:
    entry = describe(schemes.register(own)(kind=value), (8, 8, 1), ["a"]).scheme
    assert entry.parameters["kind"] == written
    assert type(entry.parameters["kind"]) is type(written)
    assert schemes.parameters_of(entry.scheme()) == entry.parameters


def test_a_scheme_that_is_not_registered() -> None:
    with pytest.raises(ArgumentError, match=r"no name under which another could make it: .* register the function"):
        describe(own(), (8, 8, 1), ["a"])
    with pytest.raises(DataError, match=r"^the scheme own does not come with dkjax"):
        describe_by(own()).scheme.scheme()


def test_made_past_the_registration() -> None:
    schemes.register(own)
    made = own(8, fixed_pixels=2)
    assert (made.parameters, schemes.parameters_of(made)) == ((), {**OWN, "block_size": 8, "fixed_pixels": 2})
    by_hand = schemes.Scheme("disposable", 4, (BlockScrambling(1), PixelPermutation(0)))
    assert schemes.parameters_of(by_hand) == {"block_size": 4, "fixed_blocks": 1, "fixed_pixels": 0}
    for other in ((BlockScrambling(1),), (PixelPermutation(0), BlockScrambling(1))):
        with pytest.raises(ArgumentError, match="no name under which another could make it"):
            schemes.parameters_of(schemes.Scheme("disposable", 4, other))


OWN = {"block_size": 4, "fixed_blocks": 0, "fixed_pixels": 0, "kind": "soft"}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nothing_like_that", "my-cipher cannot be imported, repair or uninstall it: ModuleNotFoundError: No"),
        ("", "my-cipher is not registered by my_cipher: see docs/schemes.md, or uninstall it"),
    ],
)
def test_a_package_that_is_broken(install: Callable[..., None], code: str, said: str) -> None:
    install(code)
    assert parse_as(SchemeConfig, {}).name == "disposable"  # nothing is imported for what is there
    with pytest.raises(ConfigError, match=f"the scheme add_and_scramble of the installed package {said}"):
        parse_as(SchemeConfig, {"name": "add_and_scramble"})
