"""A configuration written as TOML is the same when it is read again."""

import tomllib
from pathlib import Path

import pytest

from dkjax.config import config_hash, load_config, parse_config, resolved
from dkjax.config.as_toml import as_toml
from dkjax.config.recipes import recipes


@pytest.mark.parametrize("path", [recipe.path for recipe in recipes().values()], ids=lambda path: path.stem)
def test_recipes_are_read_again(path: Path) -> None:
    config = load_config(path)
    assert config_hash(parse_config(tomllib.loads(as_toml(resolved(config))))) == config_hash(config)


def test_text_that_needs_quotes() -> None:
    config = {
        "data": {"source": 'a "b" \\ c\n\x7fé', "columns": {"file": "x", "un usual": None, "a b": [1, 2.5, True]}}
    }
    read = tomllib.loads(as_toml(config))
    del config["data"]["columns"]["un usual"]
    assert read == config
