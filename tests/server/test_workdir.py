"""The folder of a run: one configuration, one process, no half-written file."""

import os
from pathlib import Path

import pytest

from dkjax.config import SimulationConfig, config_hash, parse_config, resolved
from dkjax.errors import ConfigError, DataError, StoppedError
from dkjax.runtime.files import read_json, write_json
from dkjax.server.workdir import open_workdir


def config(**train: object) -> SimulationConfig:
    return parse_config({"data": {"source": "digits"}, "train": train, "arms": [{"name": "plain"}]})


@pytest.mark.parametrize("before", ["missing", "deep", "empty", "only a lock"])
def test_a_new_folder(tmp_path: Path, before: str) -> None:
    path = tmp_path / ("a/b/run" if before == "deep" else "run")
    if before in ("empty", "only a lock"):
        path.mkdir()
    if before == "only a lock":
        (path / ".lock").touch()
    with open_workdir(path, config()) as folder:
        assert folder == path
    held = read_json(path / "config.json")
    assert held == {"hash": config_hash(config()), "config": resolved(config())}


def test_the_same_run_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        with open_workdir(tmp_path / "run", config(seed=3)) as folder:
            (folder / "result.json").touch()
    with open_workdir(tmp_path / "run", config(seed=3, epochs=10)):
        pass  # the default, spelt out


@pytest.mark.parametrize(
    ("other", "places"),
    [
        ({"learning_rate": 0.5}, "train.learning_rate"),
        ({"epochs": 3, "batch_size": 4}, "train.batch_size, train.epochs"),
    ],
)
def test_another_run(tmp_path: Path, other: dict, places: str) -> None:
    with open_workdir(tmp_path / "run", config()):
        pass
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(ConfigError, match=f"holds another run, which differs in {places}: choose another --workdir"):
        open_workdir(tmp_path / "run", config(**other)).__enter__()
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_a_run_that_knew_fewer_settings(tmp_path: Path) -> None:
    """Where a setting is missing it had its default, and another value of it is another run."""
    with open_workdir(tmp_path / "run", config()):
        pass
    held = read_json(tmp_path / "run" / "config.json")
    assert held is not None
    for section, key in (("model", "reading"), ("train", "mixup"), ("train", "seed")):
        del held["config"][section][key]
    write_json(tmp_path / "run" / "config.json", held)
    with pytest.raises(ConfigError, match=r"differs in train\.seed:"):
        open_workdir(tmp_path / "run", config(seed=1)).__enter__()
    with open_workdir(tmp_path / "run", config()):
        pass
    assert read_json(tmp_path / "run" / "config.json") == {"hash": config_hash(config()), "config": resolved(config())}


def test_another_arm(tmp_path: Path) -> None:
    with open_workdir(tmp_path / "run", config()):
        pass
    other = parse_config({"data": {"source": "digits"}, "arms": [{"name": "plain"}, {"name": "shared_key"}]})
    with pytest.raises(ConfigError, match="differs in arms:"):
        open_workdir(tmp_path / "run", other).__enter__()


def test_other_inputs(tmp_path: Path) -> None:
    inputs = {"data_sets": [{"client": "a", "id": "12"}]}
    for _ in range(2):
        with open_workdir(tmp_path / "run", config(), inputs):
            pass
    held = read_json(tmp_path / "run" / "config.json")
    assert held == {"hash": config_hash(config()), "config": resolved(config()), **inputs}
    for other in ({"data_sets": [{"client": "a", "id": "13"}]}, None):
        with pytest.raises(ConfigError, match="holds another run, which differs in data_sets: choose"):
            open_workdir(tmp_path / "run", config(), other).__enter__()
    with pytest.raises(ConfigError, match=r"differs in data_sets, train\.epochs:"):
        open_workdir(tmp_path / "run", config(epochs=3)).__enter__()


def test_other_files_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="holds other files: choose another --workdir"):
        open_workdir(tmp_path, config()).__enter__()
    with pytest.raises(ConfigError, match=r"thesis\.tex is a file"):
        open_workdir(tmp_path / "thesis.tex", config()).__enter__()
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize("text", ['{"model_type": "vit"}', "[1]", "{", "\xff"])
def test_a_config_json_of_somebody_else(tmp_path: Path, text: str) -> None:
    # Such as the folder of a pretrained model, which has a config.json too.
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="choose another --workdir") as caught:
        open_workdir(tmp_path, config()).__enter__()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", "[" * 100_000, "seed", "gone"])
def test_a_damaged_configuration(tmp_path: Path, text: str) -> None:
    with open_workdir(tmp_path, config(seed=3)):
        pass
    file = tmp_path / "config.json"
    whole = file.read_text()
    file.write_text(whole.replace('"seed": 3', '"seed": 4') if text == "seed" else text)
    if text == "gone":
        file.unlink()
        os.mkfifo(file)
    with pytest.raises(DataError, match=r"config\.json is (damaged: copy it again|a named pipe)") as caught:
        open_workdir(tmp_path, config(seed=4)).__enter__()
    assert "\n" not in str(caught.value)


def test_killed_before_the_configuration_was_whole(tmp_path: Path) -> None:
    # What a full disk or a kill in the middle of the first write leaves; the same command has to go on.
    (tmp_path / ".lock").touch()
    (tmp_path / "config.json.unfinished").write_text('{"hash": "12')
    with open_workdir(tmp_path, config()):
        pass
    assert read_json(tmp_path / "config.json")["hash"] == config_hash(config())


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with open_workdir(path, config()):
        with pytest.raises(ConfigError, match=f"another process is working in {path}"):
            open_workdir(path, config()).__enter__()
        with pytest.raises(ConfigError, match="holds another run"):
            open_workdir(path, config(seed=1)).__enter__()
    with pytest.raises(ZeroDivisionError), open_workdir(path, config()):
        raise ZeroDivisionError
    with open_workdir(path, config()):
        pass


@pytest.mark.parametrize("how", ["removed", "replaced", "begun anew"])
@pytest.mark.parametrize("failing", [None, FileNotFoundError("some file of Orbax"), StoppedError("kept")])
def test_removed_meanwhile(tmp_path: Path, how: str, failing: Exception | None) -> None:
    path = tmp_path / "run"
    removed = pytest.raises(DataError, match=r"run was removed, or its files replaced, while it was in use")
    with removed, open_workdir(path, config(seed=3)):
        path.rename(tmp_path / "elsewhere")
        if how != "removed":
            path.mkdir()
        if how == "begun anew":
            with open_workdir(path, config(seed=4)):
                pass
        if failing is not None:
            raise failing
