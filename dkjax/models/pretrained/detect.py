"""Which kind of checkpoint a file is, told by what is in it and not by its name."""

import dataclasses
import struct
from pathlib import Path

import numpy as np

from dkjax.errors import ConfigError, DataError
from dkjax.formats.npz import array_names
from dkjax.models.pretrained.checkpoint import Checkpoint
from dkjax.models.pretrained.google import read_google
from dkjax.models.pretrained.hugging_face import VIT, read_hugging_face
from dkjax.models.pretrained.onnx_vit import read_onnx
from dkjax.models.pretrained.report import listed
from dkjax.models.pretrained.safetensors_file import read_safetensors
from dkjax.models.pretrained.sidecar import read_json
from dkjax.models.pretrained.timm import TIMM, read_timm
from dkjax.runtime.files import special_file

_UNPICKLED = (
    "is a PyTorch pickle, which can run code when it is read; convert it where you trust it: "
    "safetensors.torch.save_file(torch.load(path, weights_only=True), 'model.safetensors')"
)
_BEGINNINGS = {
    b"\x80": _UNPICKLED,
    b"\x89HDF": "is an HDF5 file of Keras or TensorFlow; save the model as safetensors instead",
    b"version https://git-lfs": "is a Git LFS pointer and not the weights; fetch them with git lfs pull",
}


def read_checkpoint(path: Path, architecture: str | None = None) -> Checkpoint:
    """Read a checkpoint of any kind that is known.

    Args:
        path: a file, or the folder of a Hugging Face or timm model.
        architecture: timm's name of it, for weights that do not say their attention heads.

    Returns:
        The checkpoint in the ViT's names.

    Raises:
        ConfigError: `architecture` is not known, or the file is of a kind that says all of it.
        DataError: there is no such file, it is of no kind that is read, is damaged, or holds no plain ViT.
        MissingPackageError: it is an ONNX file and the package `onnx` is not installed.

    Guarantees:
        - The name of the file plays no part (test_kind_is_told_by_content).
        - Nothing is unpickled (test_pickles_are_refused).
        - Damaged files are refused in one line (test_damaged_files_are_refused_in_one_line).
    """
    checkpoint = _read(_weights_in(path) if path.is_dir() else path, architecture)
    for name, array in checkpoint.arrays.items():
        # bfloat16 is of NumPy's kind V, as it is not NumPy's own.
        if array.dtype.kind not in "fV":
            raise DataError(f"{checkpoint.path}: {name} holds {array.dtype}, not floating point numbers")
    floats = {name: np.asarray(array, np.float32) for name, array in checkpoint.arrays.items()}
    return dataclasses.replace(checkpoint, arrays=floats)


def _read(path: Path, architecture: str | None) -> Checkpoint:
    if (kind := special_file(path)) is not None:
        raise DataError(f"{path} is {kind}; expected a file of weights")
    try:
        with path.open("rb") as file:
            beginning = file.read(32)
            size = file.seek(0, 2)
    except FileNotFoundError:
        raise DataError(f"there is no checkpoint {path}") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    # First of all, since its first byte may be any.
    if beginning[8:9] == b"{" and 8 + struct.unpack("<Q", beginning[:8])[0] <= size:
        return _read_safetensors(path, architecture)
    if architecture is not None:
        raise ConfigError(
            f"architecture={architecture[:60]!r} is for safetensors; {path} is another file: leave it away"
        )
    for magic, what in _BEGINNINGS.items():
        if beginning.startswith(magic):
            raise DataError(f"{path} {what}")
    if beginning.startswith(b"PK\x03\x04"):
        if not array_names(path):
            raise DataError(f"{path} {_UNPICKLED}")
        return read_google(path)
    if beginning[:1] == b"\x08" and len(beginning) > 1 and beginning[1] < 32:  # field 1, the version of the format
        return read_onnx(path)
    raise DataError(f"{path} is no checkpoint of a kind that is read: neither .npz nor safetensors nor ONNX")


def _weights_in(folder: Path) -> Path:
    path = folder / "model.safetensors"
    if path.is_file():
        return path
    if (folder / "model.safetensors.index.json").is_file():
        raise DataError(f"the weights in {folder} are in several files; save them as one model.safetensors")
    raise DataError(
        f"there is no model.safetensors in {folder}, and no model that dkjax trained: such is the folder of dkjax "
        "train, or of a simulation its arms/NAME/run-N"
    )


def _read_safetensors(path: Path, architecture: str | None) -> Checkpoint:
    state, metadata = read_safetensors(path)
    config = read_json(path.parent / "config.json")
    if any(name.endswith(f"{TIMM.embedding}.weight") for name in state):
        return read_timm(path, state, metadata, config, architecture)
    if any(name.endswith(f"{VIT.embedding}.weight") for name in state):
        preprocessor = read_json(path.parent / "preprocessor_config.json")
        return read_hugging_face(path, state, config, preprocessor, architecture)
    raise DataError(
        f"{path} holds no ViT with timm's or Hugging Face's names: {listed(sorted(state)) or 'it is empty'}"
    )
