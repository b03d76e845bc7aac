"""What a work directory holds for a report: results of a simulation, of attacks, and pictures."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from dkjax.attacks.suite import PICTURE_FOLDER, RESULTS
from dkjax.config import SimulationConfig, parse_config
from dkjax.config.schema import ArmConfig
from dkjax.errors import ConfigError, DataError
from dkjax.experiment.arms.registry import arm_kind
from dkjax.experiment.results import VARIANT, spread
from dkjax.formats.npz import read_array
from dkjax.runtime.files import read_results


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """What there is to report.

    Attributes:
        workdir: the folder that was asked about.
        simulation: what `dkjax simulate` wrote to `results.json`; None where the folder holds attacks alone.
        attacks: what `dkjax attack` wrote to `attacks.json`; None where no attack was tried.
        attack_folder: where the attacks' pictures are; None likewise.
    """

    workdir: Path
    simulation: dict[str, Any] | None
    attacks: dict[str, Any] | None
    attack_folder: Path | None

    @property
    def same_images(self) -> bool:
        """Whether the attacked settings are the simulation's arms."""
        if self.simulation is None or self.attacks is None:
            return False
        return bool(self.attacks["request"].get("config_hash") == self.simulation["config_hash"])

    def pictures(self, setting: str, name: str) -> np.ndarray | None:
        """Read `plain`, `sent` or an attack's pictures of a setting, uint8[k, H, W, C]; None where there are none."""
        if self.attack_folder is None:
            return None
        path = self.attack_folder / PICTURE_FOLDER / setting / f"{name}.npz"
        return _read_image(path, "image") if path.is_file() else None

    def samples(self, arm: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Read images of a client and what the server received of them; None where the simulation kept none."""
        path = self.workdir / "arms" / arm / "run-0" / "seen.npz"
        return (_read_image(path, "plain"), _read_image(path, "seen")) if path.is_file() else None


def read_run(workdir: Path, attacks: Path | None = None) -> RunFiles:
    """Read a work directory.

    Args:
        workdir: a work directory of `dkjax simulate` or of `dkjax attack`.
        attacks: a work directory of `dkjax attack`, or the file that it printed with `--json`; by default `attacks` in
            the work directory, if that is there.

    Returns:
        What there is.

    Raises:
        ConfigError: there is nothing to report, or the simulation is not finished.
        DataError: a file is damaged.
    """
    if not workdir.is_dir():
        raise ConfigError(f"{workdir} is no folder: name the --workdir of a dkjax simulate or a dkjax attack")
    simulation = read_results(workdir / "results.json", "config", "config_hash", "versions", "device")
    if simulation is not None and "arms" not in simulation:
        raise ConfigError(f"{workdir} holds a dkjax train: a report is of a dkjax simulate or a dkjax attack")
    if simulation is None and (workdir / "config.json").is_file():
        raise ConfigError(_unfinished(workdir))
    if attacks is not None and not attacks.exists():
        raise ConfigError(f"--attacks {attacks}: there is nothing of that name")
    if attacks is None:
        own = workdir / RESULTS
        attacks = own if own.is_file() else workdir / "attacks"
    found, folder = _attacks(attacks)
    if simulation is None and found is None:
        raise ConfigError(f"{workdir} holds nothing to report: neither results.json nor {RESULTS}")
    return RunFiles(workdir, simulation, found, None if found is None else folder)


def _attacks(path: Path) -> tuple[dict[str, Any] | None, Path]:
    """Read attacks, and say in which folder their pictures are."""
    file = path / RESULTS if path.is_dir() else path
    return read_results(file, "request", "settings", printed=file == path), file.parent


def read_attacks(path: Path) -> dict[str, Any]:
    """Read what attacks got back.

    Args:
        path: a work directory of `dkjax attack`, or a file with what it printed with `--json`.

    Raises:
        ConfigError: there is nothing.
        DataError: the file is damaged.
    """
    found, _ = _attacks(path)
    if found is None:
        raise ConfigError(f"{path}: there is no dkjax attack: name its --workdir, or what it printed with --json")
    return found


def read_arms(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Read what a simulation has found so far.

    Args:
        path: a work directory of `dkjax simulate`, whose arms need not all be finished, or a file with what it printed
            with `--json`.

    Returns:
        The arms that have at least one finished run, as `results.json` has them or, of a simulation that is not
        finished, as much of that as is known; and the names of the others.

    Raises:
        ConfigError: there is no simulation.
        DataError: a file is damaged.
    """
    results = read_results(path if path.is_file() else path / "results.json", "config", printed=path.is_file())
    if results is None:
        results = read_results(path / "config.json", "config")
        if results is None:
            raise ConfigError(f"{path} holds no dkjax simulate: neither results.json nor config.json")
    if "arms" not in results["config"]:
        raise ConfigError(f"{path} holds a dkjax train: arms are those of a dkjax simulate")
    if "arms" in results:
        return results["arms"], []
    config = parse_config(results["config"], str(path / "config.json"))
    found = {arm.name: _so_far(config, arm, path / "arms" / arm.name) for arm in config.arms}
    return [arm for arm in found.values() if arm is not None], [name for name, arm in found.items() if arm is None]


def _so_far(config: SimulationConfig, arm: ArmConfig, folder: Path) -> dict[str, Any] | None:
    """What `arm_summary` says of an arm as far as its configuration and its finished runs tell; None without a run."""
    read = [read_results(folder / f"run-{run}" / "result.json", "test_accuracy") for run in range(config.train.runs)]
    runs = [run for run in read if run is not None]
    if not runs:
        return None
    kind, scheme = arm_kind(arm.kind), config.scheme_of(arm)
    return {
        "name": arm.name,
        "scheme": scheme.name if kind.encrypted else None,
        "fixed_blocks": scheme.fixed_blocks,
        "fixed_pixels": scheme.fixed_pixels,
        "pixel_order": getattr(scheme, "pixel_order", "image"),
        **{name: getattr(scheme, name, None) for name in VARIANT},
        "keys": kind.key_sharing,
        "test_accuracy": {
            view: spread([run["test_accuracy"][view] for run in runs]) for view in runs[0]["test_accuracy"]
        },
        "federation": None if kind.train is None else [],
    }


def _unfinished(workdir: Path) -> str:
    held = read_results(workdir / "config.json", "config")
    config = {} if held is None else held["config"]
    if "arms" not in config:
        return f"{workdir} holds a dkjax train that is not finished: a report is of a dkjax simulate"
    total = len(config["arms"]) * config["train"]["runs"]
    done = len(list(workdir.glob("arms/*/run-*/result.json")))
    return f"{workdir}: {done} of {total} runs are finished: give the same dkjax simulate again, then report"


def _read_image(path: Path, name: str) -> np.ndarray:
    image = read_array(path, name)
    if image.dtype != np.uint8 or image.ndim != 4 or not image.size:
        raise DataError(f"{path}: expected {name} as uint8[n, H, W, C], got {image.dtype}{list(image.shape)}")
    return image
