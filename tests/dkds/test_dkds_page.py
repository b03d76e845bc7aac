"""docs/dkds.md says what the code does, and its reader reads."""

import re
from pathlib import Path

import numpy as np
import pytest
from small_data_sets import flip, shard_of, write_small

from dkjax.dkds import Manifest, layout, open_data_set
from dkjax.errors import DAMAGE

PAGE = (Path(__file__).parents[2] / "docs" / "dkds.md").read_text(encoding="utf-8")


def reader():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    imports = set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE))
    assert imports == {"hashlib", "json", "pathlib", "numpy"}
    names: dict = {}
    exec(code, names)
    return names["read"]


def test_the_reader_of_the_page_reads(tmp_path):
    write_small(tmp_path / "a.dkds")
    shards = list(reader()(tmp_path / "a.dkds"))
    opened = open_data_set(tmp_path / "a.dkds").shards
    assert len(shards) == len(opened)
    for tensors, shard in zip(shards, opened, strict=True):
        assert tensors.keys() == vars(shard).keys() - {"file"}
        for name, array in tensors.items():
            np.testing.assert_array_equal(array, getattr(shard, name))


@pytest.mark.parametrize("name", ["manifest.json", "COMMIT", "shard-00001.safetensors"])
def test_the_reader_of_the_page_refuses(tmp_path, name):
    write_small(tmp_path / "a.dkds")
    flip(tmp_path / "a.dkds" / name, 30)
    with pytest.raises(AssertionError):
        list(reader()(tmp_path / "a.dkds"))


def test_every_field_is_on_the_page():
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    fields = {field for row in rows for field in re.findall(r"`(\w+)`", row)}
    assert fields == set(Manifest.model_fields) | {"image", "label", "id", "crc32"}


def test_every_kind_of_damage_is_on_the_page():
    assert [kind for kind in DAMAGE if f"`{kind}`" not in PAGE] == []


def test_the_numbers_of_the_page():
    assert layout.MAX_MANIFEST_BYTES == 16 << 20 and "At most 16 MiB" in PAGE
    assert layout.MAX_SHARD_HEADER_BYTES == 64 << 10 and "at most 64 KiB" in PAGE
    assert layout.MAX_IMAGE_BYTES == 1 << 30 and "at most 2^30 bytes" in PAGE
    assert layout.MAX_CLASSES == 65536 and "at most 65 536" in PAGE
    assert shard_of(Path(), 0).name in PAGE


def test_it_is_one_page():
    assert len(PAGE.splitlines()) <= 130
