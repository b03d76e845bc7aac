"""Pretrained weights into a model: checked against its settings, fitted to its images, its head reset."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.errors import DataError
from dkjax.models.pretrained.checkpoint import EMBEDDING, Arrays, Checkpoint, Description, by_name, description_of
from dkjax.models.pretrained.detect import read_checkpoint
from dkjax.models.pretrained.fit import (
    check_settings,
    draw_embedding,
    fit_embedding,
    fit_layer_scale,
    fit_positions,
    fit_relations,
    fit_sorted_embedding,
    reset_head,
)
from dkjax.models.pretrained.google import google_arrays
from dkjax.models.pretrained.position import ResizeMethod
from dkjax.models.pretrained.report import Report, listed
from dkjax.models.reading import SORTED
from dkjax.models.vit import Model, Params

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def describe(path: Path | str, *, architecture: str | None = None) -> Description:
    """Say which model a checkpoint is of.

    Args:
        path: a file of any kind that `load_pretrained` reads, or the folder of a Hugging Face or timm model.
        architecture: as for `load_pretrained`.

    Returns:
        The settings that it fixes; their `model()` is a model that it fits.

    Raises:
        ConfigError: `architecture` is not known.
        DataError: as `load_pretrained`.
        MissingPackageError: as `load_pretrained`.

    Example:
        >>> description = describe("B_16.npz")
        >>> description.width, description.heads, description.gelu
        (768, 12, 'tanh')
        >>> model = description.model(num_classes=10)
    """
    return description_of(read_checkpoint(Path(path), architecture))


def load_pretrained(
    path: Path | str,
    model: Model,
    image_shape: tuple[int, int, int],
    *,
    keep_head: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    grid: tuple[int, int] | None = None,
    resize: ResizeMethod = "bicubic",
    architecture: str | None = None,
    new_embedding: bool = False,
) -> tuple[Params, Report]:
    """Load a pretrained ViT, ready to be fine-tuned.

    The kind of file is told by what is in it: Google's ViT, AugReg and big_vision (`.npz`), timm and Hugging Face
    (safetensors), ONNX. The position embedding is resized to the images. What other networks do and this one does
    not is taken into weights where that is exact: LayerScale into the last projection of its branch, unless the
    model has it, too, and a normalisation by mean and standard deviation into the patch embedding. Weights for
    colour read grey images by the sum over their channels, as if the grey value stood in each of them. A class
    token is dropped where `model.pool` is "mean". Where anything else differs, the checkpoint is refused.

    Args:
        path: the file, or the folder of a Hugging Face or timm model.
        model: what the parameters are for; `describe(path).model(...)` fits.
        image_shape: (H, W, C) of one image.
        keep_head: keep the checkpoint's head instead of starting from zero, as for evaluation.
        mean: what was subtracted from the pixel values in [0, 1] that the network was trained on, one a channel.
            If None, what the checkpoint says, else 0.5, as for all of Google's; timm's DINOv2 or DeiT and ONNX files
            need to be told, mostly `IMAGENET_MEAN`.
        std: what they were then divided by, likewise.
        grid: rows and columns of the checkpoint's position embedding; a square if None and it does not say.
        resize: how the position embedding is resized, see `resize_position_embedding`.
        architecture: timm's name of the network, such as "vit_huge_patch14_224", where safetensors without a
            `config.json` do not say how many attention heads it has and the width does not tell.
        new_embedding: draw the patch embedding anew, as `model.init` does, always the same: for images of another form
            than those the trunk knows. Patches may then be of another size, too. Done unasked where `model` reads
            patches in another way than the checkpoint, which the report notes.

    Returns:
        The parameters, float32, with the names and shapes that `model.init` gives; and what came of it, in which the
        names without a counterpart are listed.

    Raises:
        ConfigError: the checkpoint is of another model than `model`, or does not fit the images.
        ArgumentError: `mean`, `std` or `grid` make no sense for it, or `image_shape` is none.
        DataError: the file is missing, damaged, of an unknown kind, incomplete, holds no plain ViT, or one whose
            attention heads nothing tells.
        MissingPackageError: it is an ONNX file and the package `onnx` is not installed.

    Guarantees:
        - The logits are those of timm, transformers and ONNX Runtime (test_pretrained_torch.py).
        - Names, shapes and dtypes are those of `model.init` (test_params_are_like_those_of_init).
        - What was exported comes back bit by bit (test_export_and_load_is_the_identity).
        - Every difference from `model` is named (test_other_models_are_refused).
    """
    checkpoint = read_checkpoint(Path(path), architecture)
    return fit_checkpoint(
        checkpoint,
        model,
        image_shape,
        keep_head=keep_head,
        mean=mean,
        std=std,
        grid=grid,
        resize=resize,
        new_embedding=new_embedding,
    )


def fit_checkpoint(
    checkpoint: Checkpoint,
    model: Model,
    image_shape: tuple[int, int, int],
    *,
    keep_head: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    grid: tuple[int, int] | None = None,
    resize: ResizeMethod = "bicubic",
    new_embedding: bool = False,
) -> tuple[Params, Report]:
    """Fit a checkpoint that was read to a model and its images: what `load_pretrained` does after reading.

    Args:
        checkpoint: the arrays and what is known of them.
        model: as for `load_pretrained`, like all that follows.
        image_shape: (H, W, C) of one image.
        keep_head: whether the head is kept.
        mean: of the pixel values that were subtracted.
        std: what they were divided by.
        grid: of the checkpoint's position embedding.
        resize: how that is resized.
        new_embedding: whether the patch embedding is drawn anew.

    Returns:
        The parameters and what came of them.

    Raises:
        ConfigError: it is of another model than `model`, or does not fit the images.
        ArgumentError: `mean`, `std` or `grid` make no sense for it, or `image_shape` is none.
        DataError: it is incomplete, or holds no plain ViT.
    """
    path = checkpoint.path
    expected = _expected(model, image_shape)
    described = description_of(checkpoint)
    new_embedding = new_embedding or not _reads_alike(checkpoint, model)
    by_place = model.reading == "values" and not new_embedding
    check_settings(path, described, model, image_shape, keep_head, same_patches=by_place)
    report = Report(
        path=str(path),
        format=checkpoint.format,
        unexpected=checkpoint.unexpected,
        notes=_notes(checkpoint, described, model),
    )
    arrays, report = fit_layer_scale(dict(checkpoint.arrays), report, model)
    if new_embedding:
        arrays, report = draw_embedding(arrays, report, model, image_shape)
    elif not by_place:
        arrays, report = fit_sorted_embedding(arrays, report, model, image_shape[2])
    else:
        arrays, report = fit_embedding(arrays, report, _normalisation(checkpoint, described, mean, std), image_shape[2])
    arrays, report = fit_positions(
        arrays, report, model, image_shape, grid or checkpoint.grid, sincos=checkpoint.sincos, method=resize
    )
    if not keep_head:
        arrays, report = reset_head(arrays, report, model)
    arrays, report = fit_relations(arrays, report, model, image_shape)
    if missing := sorted(set(expected) - set(arrays)):
        unused = f"; without a place in it are {listed(report.unexpected)}" if report.unexpected else ""
        raise DataError(f"{path} is no whole ViT: {listed(missing)} missing{unused}")
    params = _in_shape(path, arrays, expected, model.heads)
    not_its_own = {*report.reset, *report.missing, *report.drawn}
    return params, dataclasses.replace(report, loaded=len(expected) - len(not_its_own))


def _reads_alike(checkpoint: Checkpoint, model: Model) -> bool:
    """Whether both read patches in one way: of grey images all that sort do, as there is nothing to keep apart."""
    grey = checkpoint.reading in SORTED and checkpoint.arrays[f"{EMBEDDING}/kernel"].shape[2] == 1
    return checkpoint.reading == model.reading or (grey and model.reading in SORTED)


def _normalisation(
    checkpoint: Checkpoint, described: Description, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that the network was trained with: as given, as the checkpoint says, or 0.5."""
    halves = (0.5,) * described.channels
    chosen_mean = tuple(map(float, mean)) if mean is not None else checkpoint.mean or halves
    chosen_std = tuple(map(float, std)) if std is not None else checkpoint.std or halves
    return chosen_mean, chosen_std


def _notes(checkpoint: Checkpoint, described: Description, model: Model) -> tuple[str, ...]:
    """What differs from the model without keeping it from working."""
    notes = []
    if not _reads_alike(checkpoint, model):
        notes.append(
            f"the checkpoint has reading={checkpoint.reading!r} and the model reading={model.reading!r}: its patch "
            "embedding is of no use"
        )
    if described.gelu != model.gelu:
        notes.append(
            f"the checkpoint was trained with the {described.gelu} GELU and the model has gelu={model.gelu!r}; "
            f"set gelu={described.gelu!r} for the same outputs"
        )
    if described.layer_norm_epsilon != model.layer_norm_epsilon:
        notes.append(
            f"the checkpoint's layer norms have epsilon {described.layer_norm_epsilon:g} and the model "
            f"layer_norm_epsilon={model.layer_norm_epsilon:g}: outputs differ a little"
        )
    if described.heads is None:
        notes.append(f"the checkpoint does not say how many attention heads it has; taken to be {model.heads}")
    return tuple(notes)


def _expected(model: Model, image_shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    """The model's names and shapes."""
    shapes = jax.eval_shape(lambda key: model.init(key, image_shape), jax.random.key(0))
    return {name: leaf.shape for name, leaf in by_name(shapes).items()}


def _in_shape(path: Path, arrays: Arrays, expected: dict[str, tuple[int, ...]], heads: int) -> Params:
    """Make the tree of parameters out of arrays that are all there."""
    params: Params = {}
    shaped = google_arrays(path, arrays, heads)
    for name, shape in expected.items():
        array = np.asarray(shaped[name], np.float32)
        if array.shape != shape:
            raise DataError(f"{path}: {name} has shape {list(array.shape)}, expected {list(shape)}")
        if not np.isfinite(array).all():
            raise DataError(f"{path}: {name} holds numbers that are not finite")
        *parents, leaf = name.split("/")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = jnp.array(array)
    return params
