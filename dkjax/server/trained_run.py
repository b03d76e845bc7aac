"""A finished training in Python: accuracy, predictions, exports."""

import dataclasses
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import ConfigError, DataError
from dkjax.models.pretrained import Format, export_params
from dkjax.models.vit import Model, Params
from dkjax.runtime.files import read_results, refuse_existing, whole_folder
from dkjax.server.new_images import preparation_of
from dkjax.server.predict import predict_images
from dkjax.sources.preparation import Resize
from dkjax.train import trained_model
from dkjax.train.trained_model import Trained


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A trained model and what it was found to do; made by `dkjax.server.train` and `dkjax.load_trained`.

    Attributes:
        trained: the model, its parameters, image shape and class names.
        accuracy: after the last step, 0 to 1, by the name of the test set; empty where nothing was tested.
        curve: what each evaluation on the way found: `step`, `epoch` and `test_accuracy`.
        resize: what becomes of new images of other proportions, `[data] resize` of the training.
    """

    trained: Trained = dataclasses.field(repr=False)
    accuracy: dict[str, float]
    curve: tuple[dict[str, Any], ...] = dataclasses.field(default=(), repr=False)
    resize: Resize = "stretch"

    @property
    def model(self) -> Model:
        """The network."""
        return self.trained.model

    @property
    def params(self) -> Params:
        """Its parameters: nested dictionaries of float32 arrays, on every device."""
        return cast(Params, self.trained.params)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(H, W, C)` of the images it was trained on."""
        return self.trained.image_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """By label."""
        return self.trained.class_names

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Name the class of each image.

        Args:
            images: as for `probabilities`.

        Returns:
            int32[n], the most probable label of each image; `class_names` has its name.

        Raises:
            ArgumentError: as for `probabilities`.
        """
        return self.probabilities(images).argmax(axis=-1).astype(np.int32)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the probability of each class.

        Args:
            images: uint8[n, H, W, C], plain ones, or encrypted like those it was trained on; another size is brought to
                the model's, as `resize` says.

        Returns:
            float32[n, num_classes]; each row sums to 1.

        Raises:
            ArgumentError: images of another dtype, rank or number of channels.

        Guarantees:
            - what `dkjax predict` finds (`test_python_api.py::test_python_predicts_as_the_command_does`).
        """
        return predict_images(self.trained, np.asarray(images), resize=self.resize)

    def export(self, path: Path | str, to: Format | None = None) -> Path:
        """Write the model for another library.

        Args:
            path: a file, or for `hf` a folder, that does not exist yet.
            to: `npz`, `safetensors`, `hf` or `stablehlo`, as `dkjax export --to`; by default the suffix of the path
                says it, and a path without a suffix is a folder for `hf`.

        Returns:
            The path, which appears when it is complete, or not at all.

        Raises:
            ConfigError: the path exists, its suffix is none of the formats, or a format has no counterpart for
                something in the model.
            DataError: the path cannot be written.
        """
        path = Path(path)
        name = to or path.suffix.removeprefix(".") or "hf"
        if name not in get_args(Format):
            raise ConfigError(f"{path}: say with to= which format is meant, one of {', '.join(get_args(Format))}")
        return export_trained(self.trained, path, cast(Format, name), "path")


def export_trained(trained: Trained, path: Path, to: Format, option: str) -> Path:
    """Write a trained model for another library.

    Args:
        trained: the model.
        path: a file, or for `hf` a folder, that does not exist yet.
        to: the format.
        option: what chose the path, for messages.

    Returns:
        The path, which appears when it is complete, or not at all.

    Raises:
        ConfigError: the path exists, or the format has no counterpart for something in the model.
        DataError: the path cannot be written.
    """
    refuse_existing(path, option)
    described = (trained.params, trained.model, trained.image_shape)
    if to != "hf":
        path.parent.mkdir(parents=True, exist_ok=True)
        return export_params(*described, path, to=to)
    with whole_folder(path, option) as unfinished:
        export_params(*described, unfinished, to=to, class_names=trained.class_names)
    return path


def load_trained(workdir: Path | str) -> TrainedRun:
    """Read a trained model.

    Args:
        workdir: of `dkjax train` or `dkjax.server.train`, or `arms/NAME/run-N` of a simulation.

    Returns:
        The model, on all devices there are now, and what it was found to do when it was trained.

    Raises:
        DataError: there is none, it is damaged, or the folder is a simulation with several.

    Guarantees:
        - the parameters are those that were trained, to the bit (`test_python_api.py::test_load_trained`).
    """
    workdir = Path(workdir)
    if runs := sorted(workdir.glob("arms/*/run-*")):
        raise DataError(f"{workdir} is a simulation, which trained several models: name one of them, such as {runs[0]}")
    trained = trained_model.load_trained(workdir)
    results = (read_results(workdir / name, "test_accuracy") for name in ("results.json", "result.json"))
    found = next((one for one in results if one), {})
    curve = tuple(found.get("curve", ()))
    return TrainedRun(trained, found.get("test_accuracy", {}), curve, preparation_of(workdir).resize)
