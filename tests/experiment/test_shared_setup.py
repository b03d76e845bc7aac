"""Whose images are whose."""

from pathlib import Path

import pytest
from PIL import Image

from dkjax.config import SimulationConfig, parse_config
from dkjax.errors import ConfigError, DataError
from dkjax.experiment.shared_setup import prepare
from dkjax.train.observer import Observer

SITES = {"plant-a": 4, "plant-b": 2}


def config_of(folder: Path, by: str = "folder", **clients: object) -> SimulationConfig:
    return parse_config(
        {
            "data": {"source": str(folder), "image_size": 8, "channels": 1},
            "clients": {"partition": "natural_id", "partition_by": by, **clients},
            "scheme": {"block_size": 4},
            "arms": [{"name": "plain"}],
        }
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes for training, each with a sub-folder of every site, and one image of each for testing."""
    for label, shade in (("crack", 10), ("whole", 200)):
        for site, count in SITES.items():
            for number in range(count):
                path = tmp_path / "train" / label / site / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), shade + number).save(path)
        (tmp_path / "test" / label).mkdir(parents=True)
        Image.new("L", (8, 8), shade).save(tmp_path / "test" / label / "0.png")
    return tmp_path


def test_clients_are_sites(photos: Path) -> None:
    setup = prepare(config_of(photos), Observer())
    assert {client.name: len(client.records["label"]) for client in setup.clients} == {"plant-a": 8, "plant-b": 4}
    assert setup.clients[1].records["image"][:, 0, 0, 0].tolist() == [10, 11, 200, 201]
    assert setup.clients[1].records["label"].tolist() == [0, 0, 1, 1]


def test_an_image_that_cannot_be_read_is_missing_at_its_site(photos: Path) -> None:
    (photos / "train" / "crack" / "plant-b" / "1.png").write_bytes(b"no image")
    setup = prepare(config_of(photos), Observer())
    assert [len(client.records["label"]) for client in setup.clients] == [8, 3]
    assert setup.skipped == 1


def test_names_that_fit_no_file_are_numbered(photos: Path) -> None:
    for label in ("crack", "whole"):
        (photos / "train" / label / "plant-b").rename(photos / "train" / label / "Küche 2")
    assert [client.name for client in prepare(config_of(photos), Observer()).clients] == ["client-1", "client-2"]


def test_what_does_not_fit(photos: Path) -> None:
    with pytest.raises(DataError, match=r"client 2 .* would have 4 images, and min_partition_size=5; use a smaller"):
        prepare(config_of(photos, min_partition_size=5), Observer())
    with pytest.raises(ConfigError, match="partition_by='site' is neither 'folder' nor a column"):
        prepare(config_of(photos, "site"), Observer())
    with pytest.raises(ConfigError, match="this source does not say it"):
        prepare(config_of(Path("digits")), Observer())
    Image.new("L", (8, 8)).save(photos / "train" / "whole" / "stray.png")
    with pytest.raises(DataError, match=r"1 images, such as whole/stray.png, are in no sub-folder"):
        prepare(config_of(photos), Observer())
    for clients in ({"partition": "natural_id"}, {"partition_by": "site"}):
        with pytest.raises(ConfigError, match="partition_by belong together"):
            parse_config({"data": {"source": "digits"}, "clients": clients, "arms": [{"name": "plain"}]})
