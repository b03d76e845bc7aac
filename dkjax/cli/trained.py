"""The trained model that a command is to use, and what to name instead where the folder holds none or several."""

from pathlib import Path
from typing import TYPE_CHECKING

from dkjax.errors import DataError

if TYPE_CHECKING:
    from dkjax.train.trained_model import Trained


def open_trained(folder: Path) -> "Trained":
    """Load the model in the work directory of a training, or in the folder of a simulation's run.

    Args:
        folder: as named on the command line.

    Raises:
        DataError: there is no folder, no finished model in it, or it is a simulation's, which has several.
    """
    from dkjax.train.trained_model import load_trained

    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}: expected the --workdir of a finished dkjax train")
    runs = sorted(model.parent for below in ("arms/*/run-*", "run-*") for model in folder.glob(f"{below}/model.json"))
    if runs and not (folder / "model.json").exists():
        raise DataError(f"{folder} is a simulation, which trained several models: name one of them, such as {runs[0]}")
    return load_trained(folder)


def refuse_simulation(folder: Path) -> None:
    """Refuse a simulation, or the run of one, where a training's own results are needed.

    Args:
        folder: as named on the command line.

    Raises:
        DataError: it is such a folder.
    """
    # A training has results.json beside its model, the run of an arm result.json.
    if (folder / "arms").is_dir() or any(folder.glob("run-*/result.json")) or (folder / "result.json").is_file():
        raise DataError(
            f"{folder} belongs to a simulation, which has tested its models already: results.json in its --workdir has "
            "the accuracies; dkjax predict names the classes of other images"
        )
