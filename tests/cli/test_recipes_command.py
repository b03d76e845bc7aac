"""`dkjax recipes`, and recipes by name: what comes along is found, in a clone and in a wheel."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dkjax.cli.main import app
from dkjax.config import load_config
from dkjax.config import recipes as module
from dkjax.config.recipes import recipes
from dkjax.errors import ConfigError

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["recipes", *arguments])


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_wheel_has_them() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert hatch["wheel"]["force-include"] == {"configs": "dkjax/configs"}
    package = ROOT / "dkjax"
    assert (package / "configs", ROOT / "configs") == module._FOLDERS
    assert not (package / "configs").exists()  # there is one copy
    assert "configs" in hatch["sdist"]["include"]


def test_all_of_them() -> None:
    assert list(recipes()) == sorted(path.stem for path in CONFIGS.glob("*.toml"))
    for recipe in recipes().values():
        assert 20 <= len(recipe.summary) <= 125
        assert recipe.source == tomllib.loads(recipe.text)["data"]["source"]
        assert recipe.needs
        assert bool({"the weights", "the trunk"} & {*recipe.needs}) == ("pretrained =" in recipe.text)
    assert recipes()["quickstart"].summary == "The whole method on real images that come with the install"
    assert recipes()["elpv_vit_s16"].needs == ("a GPU or a TPU", "the images", "the weights")


def test_a_list_for_people() -> None:
    result = run()
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert len(lines) == 2 * len(recipes())
    assert "quickstart: The whole method on real images that come with the install" in lines
    assert "  images: digits; needs: the images" in lines


def test_json() -> None:
    told = json.loads(run("--json").stdout)["recipes"]
    assert [one["name"] for one in told] == list(recipes())
    assert set(told[0]) == {"name", "summary", "source", "needs"}
    (one,) = json.loads(run("--json", "--show", "quickstart").stdout)["recipes"]
    assert one["source"] == "digits"


def test_show_and_copy(tmp_path: Path) -> None:
    text = (CONFIGS / "quickstart.toml").read_text()
    assert run("--show", "quickstart").stdout == text
    result = run("--copy", "quickstart")
    assert (result.exit_code, result.stdout) == (0, "written: quickstart.toml\n")
    assert (tmp_path / "quickstart.toml").read_text() == text
    (tmp_path / "quickstart.toml").write_text("mine")
    result = run("--copy", "quickstart")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("dkjax: quickstart.toml exists and was left as it is")
    assert (tmp_path / "quickstart.toml").read_text() == "mine"


@pytest.mark.parametrize("option", ["--show", "--copy"])
def test_an_unknown_one(option: str) -> None:
    result = run(option, "quickstrt")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "dkjax: there is no recipe 'quickstrt'; did you mean 'quickstart'?\n"


def test_a_recipe_by_name(tmp_path: Path) -> None:
    by_name = load_config(Path("quickstart"), ["train.epochs=2"])
    assert by_name == load_config(CONFIGS / "quickstart.toml", ["train.epochs=2"])
    # A folder of that name, such as one of results, is no configuration.
    (tmp_path / "quickstart").mkdir()
    assert load_config(Path("quickstart"), ["train.epochs=2"]) == by_name


def test_a_file_of_that_name_wins(tmp_path: Path) -> None:
    text = (CONFIGS / "quickstart.toml").read_text().replace("count = 4", "count = 3")
    (tmp_path / "quickstart").write_text(text)
    assert load_config(Path("quickstart")).clients.count == 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("quickstrt", "there is no configuration quickstrt; did you mean the recipe quickstart?"),
        (
            "configs/quickstart.toml",
            "there is no configuration configs/quickstart.toml; did you mean the recipe quickstart?",
        ),
        ("mine.toml", "there is no configuration mine.toml; dkjax recipes lists those that come along"),
    ],
)
def test_no_such_configuration(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(Path(name))
    assert text in str(refused.value)
