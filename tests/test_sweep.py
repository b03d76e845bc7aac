"""`[sweep]` of a configuration: the arms and seeds it stands for."""

import pytest

from dkjax.config import SimulationConfig, config_hash, parse_as, parse_config, resolved
from dkjax.config.as_toml import as_toml
from dkjax.errors import ConfigError

DATA = {"source": "digits", "image_size": 8}


def parse(sweep, **sections):
    return parse_config({"data": DATA, "scheme": {"block_size": 4}, "sweep": sweep, **sections})


def test_every_pair_of_levels_is_an_arm():
    levels = {"fixed_blocks": ["0%", "50%"], "fixed_pixels": [0, 3, "100%"], "seeds": 3}
    config = parse(levels, arms=[{"name": "plain"}])
    found = [(arm.name, arm.fixed_blocks, arm.fixed_pixels) for arm in config.arms]
    assert found == [
        ("plain", None, None),
        ("disposable-0-0", "0%", 0),
        ("disposable-0-n3", "0%", 3),
        ("disposable-0-100", "0%", "100%"),
        ("disposable-50-0", "50%", 0),
        ("disposable-50-n3", "50%", 3),
        ("disposable-50-100", "50%", "100%"),
    ]
    assert config.train.runs == 3
    # It is the same as the arms written one by one, and is so in what a run keeps.
    by_hand = [{"name": name, "fixed_blocks": b, "fixed_pixels": p} for name, b, p in found[1:]]
    written = {"data": DATA, "scheme": {"block_size": 4}, "train": {"runs": 3}, "arms": [{"name": "plain"}, *by_hand]}
    assert config == parse_config(written)
    assert "sweep" not in resolved(config)
    assert "sweep" not in as_toml(resolved(config))
    assert config_hash(config) == config_hash(parse_config(written))


def test_a_sweep_alone_and_of_several_kinds():
    names = [arm.name for arm in parse({"arms": ["disposable", "client_key"], "fixed_pixels": ["0%", "50%"]}).arms]
    assert names == ["disposable-0-0", "disposable-0-50", "client_key-0-0", "client_key-0-50"]


@pytest.mark.parametrize(
    ("sweep", "sections", "text"),
    [
        ({"seeds": 0}, {}, "sweep.seeds"),
        ({"fixed_blocks": []}, {}, "sweep.fixed_blocks"),
        ({"fixed_bloks": [0]}, {}, "fixed_bloks"),
        ({"seeds": 2}, {"train": {"runs": 3}}, "both say how many seeds"),
        ({"arms": ["magic"]}, {}, "'magic-0-0' must begin with one of"),
        ({"fixed_blocks": ["200%"]}, {}, "200%"),
        ({"fixed_blocks": [0, "0%"]}, {}, "two arms are named 'disposable-0-0'"),
    ],
)
def test_what_makes_no_sense(sweep, sections, text):
    with pytest.raises(ConfigError, match=text) as raised:
        parse(sweep, arms=[{"name": "plain"}], **sections)
    assert "\n" not in str(raised.value)


def test_other_commands_pass_over_it():
    assert "sweep" in SimulationConfig.model_fields
    with pytest.raises(ConfigError):
        parse_as(SimulationConfig, {"data": DATA, "sweep": 3, "arms": [{"name": "plain"}]})
