"""The configuration that `dkjax init` writes: read by both sides, with the scheme that was asked for."""

import tomllib

import pytest

from dkjax.config import EncryptConfig, ServerConfig, load_as, starter_config
from dkjax.errors import ConfigError


@pytest.mark.parametrize("first", ["accuracy", "protection"])
@pytest.mark.parametrize(("image_size", "block_size"), [(224, 16), (32, 8), (28, 7), ((240, 320), 16), (18 * 14, 14)])
def test_both_sides_read_it(tmp_path, first, image_size, block_size):
    path = tmp_path / "run.toml"
    path.write_text(starter_config(image_size, channels=1, classes=["gut", 'Riß "x"'], first=first), encoding="utf-8")
    client, server = load_as(EncryptConfig, path, data={"source": "photos"}), load_as(ServerConfig, path)
    assert client.data.image_size == image_size
    assert client.data.classes == ("gut", 'Riß "x"')
    assert client.data.channels == 1
    assert client.keys.mode == "disposable"
    assert client.scheme.block_size == block_size
    wanted = {
        "accuracy": ("disposable", 0, "100%", "values"),
        "protection": ("sorted_blocks", 0, 0, "sorted"),
    }[first]
    assert (client.scheme.name, client.scheme.fixed_blocks, client.scheme.fixed_pixels, server.model.reading) == wanted


def test_what_is_not_asked_for_is_a_comment():
    tree = tomllib.loads(starter_config(64))
    assert tree["data"] == {"image_size": 64, "channels": 3}
    assert tree["model"]["variant"] == "mu"
    assert tomllib.loads(starter_config(96, block_size=12))["scheme"]["block_size"] == 12
    assert tomllib.loads(starter_config(224))["model"] == {"variant": "Ti"}


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((224,), {"block_size": 15}, "block_size=15 does not divide 224x224; one of 16, 14, 8, 7, 4 does"),
        ((225,), {}, "block_size=None does not divide 225x225; choose an image size of a multiple of 16"),
        ((224,), {"first": "speed"}, "first='speed' is not one of accuracy, protection"),
        ((224,), {"channels": 0}, "data.channels"),
        ((0,), {}, "image_size=0 must be positive"),
        ((224,), {"classes": ["a", "a"]}, "must be names, each of them once"),
        ((224,), {"classes": ["a", "b\x7f"]}, "cannot stand in TOML"),
    ],
)
def test_arguments_that_make_no_sense(arguments, options, text):
    with pytest.raises(ConfigError, match=text) as raised:
        starter_config(*arguments, **options)
    assert "\n" not in str(raised.value)
