"""What a work directory holds for a report: results of a simulation, of attacks, and pictures."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from dkjax.attacks.suite import PICTURE_FOLDER, RESULTS
from dkjax.errors import ConfigError, DataError
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
    path = attacks / RESULTS if attacks.is_dir() else attacks
    found = read_results(path, "request", "settings", printed=path == attacks)
    if simulation is None and found is None:
        raise ConfigError(f"{workdir} holds nothing to report: neither results.json nor {RESULTS}")
    return RunFiles(workdir, simulation, found, None if found is None else path.parent)


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
