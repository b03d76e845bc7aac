"""A trained model in a folder: its parameters and description."""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from dkjax.errors import DataError, DkjaxError
from dkjax.models.vit import Model
from dkjax.runtime import machine
from dkjax.runtime.files import checksums_of, read_json, write_json
from dkjax.runtime.processes import leader_does
from dkjax.train.mesh import replicated, train_mesh
from dkjax.train.params import load_params, save_params

_MODEL, _PARAMS = "model.json", "params"


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: the network.
        params: its parameters, on every device.
        image_shape: `(H, W, C)` of its input images, uint8.
        class_names: by label.
        made_from: the data sets it was trained on; empty where that is not known.
    """

    model: Model
    params: Any
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    made_from: tuple[dict[str, Any], ...] = ()


def save_trained(folder: Path, trained: Trained) -> None:
    """Write a trained model to `params/` (Orbax) and, last, `model.json`; called in every process.

    Args:
        folder: a folder; earlier versions of the two are replaced.
        trained: the model.
    """
    leader_does(lambda: (folder / _MODEL).unlink(missing_ok=True))
    save_params(folder / _PARAMS, trained.params)
    described = {
        "model": dataclasses.asdict(trained.model),
        "image_shape": list(trained.image_shape),
        "class_names": list(trained.class_names),
        "provenance": {"data_sets": list(trained.made_from), "code": machine.code()},
    }
    leader_does(lambda: write_json(folder / _MODEL, described | {"sha256": checksums_of(folder / _PARAMS)}))


def holds_trained(folder: Path) -> bool:
    """Say whether a path is a folder that `save_trained` wrote to."""
    return (folder / _MODEL).is_file()


def load_trained(folder: Path) -> Trained:
    """Read what `save_trained` wrote.

    Args:
        folder: the folder.

    Returns:
        The model, on all current devices.

    Raises:
        DataError: there is none, or it is damaged.

    Guarantees:
        - the parameters are those that were saved, to the bit (`test_trained_model.py::test_round_trip`), or refused
          (`test_trained_model.py::test_a_flipped_bit_is_noticed`), and so is what describes them
          (`test_trained_model.py::test_swapped_classes_are_noticed`).
    """
    path = folder / _MODEL
    try:
        described = read_json(path)
    except DataError as error:
        raise DataError(f"{error}, or of another version of dkjax: copy it again, or train again") from None
    if described is None:
        raise DataError(f"there is no trained model in {folder}: dkjax train puts one there when it has finished")
    try:
        model = Model(**described["model"])
        height, width, channels = described["image_shape"]
        class_names = tuple(described["class_names"])
        # Models of earlier versions do not say.
        made_from = tuple(described.get("provenance", {}).get("data_sets", ()))
        checksums = dict(described["sha256"])
        like = jax.eval_shape(lambda key: model.init(key, (height, width, channels)), jax.random.key(0))
    except (ValueError, TypeError, KeyError) as error:
        reason = str(error) if isinstance(error, DkjaxError) else "it was not written by this version of dkjax train"
        raise DataError(f"{path} describes no model: {reason}") from None
    if (folder / _PARAMS).is_dir() and checksums_of(folder / _PARAMS) != checksums:
        raise DataError(f"the parameters in {folder / _PARAMS} are damaged: copy them again, or train again")
    params = load_params(folder / _PARAMS, like, replicated(train_mesh(jax.device_count())))
    return Trained(model, params, (height, width, channels), class_names, made_from)
