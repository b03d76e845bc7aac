"""The steps by which the arrays of a checkpoint are made to fit a model and its images.

Each takes arrays and the report so far, and returns both anew.
"""

import dataclasses
import math

import jax
import numpy as np

from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.models.pretrained.checkpoint import (
    CLASS_TOKEN,
    EMBEDDING,
    HEAD,
    POSITIONS,
    Arrays,
    Description,
    by_name,
    depth_of,
    scale_name,
)
from dkjax.models.pretrained.folding import fold_layer_scales, fold_normalisation, sum_channels
from dkjax.models.pretrained.position import ResizeMethod, resize_position_embedding, sincos_position_embedding
from dkjax.models.pretrained.report import Report
from dkjax.models.reading import APART
from dkjax.models.vit import VARIANTS, Model, Sizes


def check_settings(
    path: object,
    described: Description,
    model: Model,
    image_shape: tuple[int, int, int],
    keep_head: bool,
    *,
    same_patches: bool,
) -> None:
    """Refuse a checkpoint of another model, and name everything that differs and what to set.

    `same_patches` says whether the patch embedding is to read patches of the checkpoint's size and channels.

    Raises:
        ConfigError: something differs.
    """
    theirs = Sizes(described.width, described.depth, described.mlp_dim, described.heads or model.heads)
    differing = [name for name in Sizes._fields if getattr(theirs, name) != getattr(model, name)]
    if differing:
        variant = next((name for name, sizes in VARIANTS.items() if sizes == theirs), None)
        raise ConfigError(
            f"{path} is of a model with {_settings(theirs, differing)}, and the model here has "
            f"{_settings(model, differing)}; set "
            + (f'variant="{variant}"' if variant else _settings(theirs, differing))
        )
    if same_patches and described.patch_size != model.patch_size:
        raise ConfigError(
            f"{path} has patch_size={described.patch_size} and the model has patch_size={model.patch_size}; set "
            f"patch_size={described.patch_size}, as patch embeddings are not resized, or new_embedding=true to learn "
            "another"
        )
    if same_patches and described.channels != image_shape[2] and image_shape[2] != 1:
        raise ConfigError(
            f"{path} reads images of {described.channels} channels, and these have {image_shape[2]}; set "
            "new_embedding=true to learn another patch embedding"
        )
    if described.pool == "mean" and model.pool == "token":
        raise ConfigError(f'{path} has no class token; set pool="mean"')
    if keep_head and described.num_classes is None:
        raise ConfigError(f"{path} has no head that could be kept; leave keep_head away")
    if keep_head and described.num_classes != model.num_classes:
        raise ConfigError(
            f"{path} has a head for {described.num_classes} classes and the model has num_classes={model.num_classes}; "
            "leave keep_head away to start from a new one"
        )


def fit_embedding(
    arrays: Arrays, report: Report, normalisation: tuple[tuple[float, ...], tuple[float, ...]], channels: int
) -> tuple[Arrays, Report]:
    """Make the patch embedding read what dkjax feeds: pixels from -1 to 1, grey ones if need be."""
    kernel, bias = arrays[f"{EMBEDDING}/kernel"], arrays.get(f"{EMBEDDING}/bias")
    if bias is None or bias.shape != kernel.shape[-1:]:
        raise DataError(f"{report.path} is no whole ViT: {EMBEDDING}/bias is missing or of another width")
    mean, std = normalisation
    if set(mean + std) != {0.5}:
        kernel, bias = fold_normalisation(kernel, bias, mean, std)
        report = report.adding(folded=f"mean {_numbers(mean)} and standard deviation {_numbers(std)} of the pixels")
    if kernel.shape[2] != channels:
        report = report.adding(folded=f"the sum over {kernel.shape[2]} channels, for grey images")
        kernel = sum_channels(kernel)
    return arrays | {f"{EMBEDDING}/kernel": kernel, f"{EMBEDDING}/bias": bias}, report


def fit_sorted_embedding(arrays: Arrays, report: Report, model: Model, channels: int) -> tuple[Arrays, Report]:
    """Make the embedding of sorted values read patches of another size, by the cosine coefficients that both have.

    The sorted values of a patch are a quantile function, whose coefficient `k` means the same whatever number of values
    it is sampled at, and grows with the root of that number. Where each channel has one, what was learned of grey
    images is divided among the channels, and what was learned of several is summed for grey ones.
    """
    kernel = arrays[f"{EMBEDDING}/kernel"]
    shape = (model.patch_size, model.patch_size, channels, kernel.shape[-1])
    if kernel.shape == shape:
        return arrays, report
    apart, found_apart = (count if model.reading in APART else 1 for count in (channels, kernel.shape[2]))
    flat = kernel.reshape(-1, found_apart, shape[-1])
    if found_apart != apart:
        flat = np.repeat(flat.sum(axis=1, keepdims=True) / apart, apart, axis=1)
    fitted = np.zeros((math.prod(shape[:-1]) // apart, apart, shape[-1]), np.float32)
    common = min(len(flat), len(fitted))
    fitted[:common] = flat[:common] * math.sqrt(len(flat) / len(fitted))
    each = f" of each of {apart} channels" if apart > 1 else ""
    how = f"{EMBEDDING}/kernel from {len(flat)} to {len(fitted)} sorted values{each}"
    return arrays | {f"{EMBEDDING}/kernel": fitted.reshape(shape)}, report.adding(resized=how)


def fit_layer_scale(arrays: Arrays, report: Report, model: Model) -> tuple[Arrays, Report]:
    """Keep the factors on the branches where the model has them, and take them into other weights where not."""
    expected = [scale_name(layer, branch) for layer in range(depth_of(arrays)) for branch in (0, 1)]
    found = [name for name in expected if name in arrays]
    if model.layer_scale:
        ones = {name: np.ones(model.width, np.float32) for name in expected if name not in arrays}
        for name in ones:
            report = report.adding(missing=name)
        return arrays | ones, report
    if not found:
        return arrays, report
    largest = max(float(np.abs(arrays[name]).max()) for name in found)
    note = (
        f"LayerScale, of at most {largest:.2g}, was taken into other weights: set layer_scale=true to train on, as "
        "Adam moves weights that were multiplied by little too far"
    )
    return fold_layer_scales(arrays), report.adding(folded="LayerScale", notes=note)


def fit_positions(
    arrays: Arrays,
    report: Report,
    model: Model,
    image_shape: tuple[int, int, int],
    grid: tuple[int, int] | None,
    *,
    sincos: bool,
    method: ResizeMethod,
) -> tuple[Arrays, Report]:
    """Bring the position embedding to the images' grid of patches, and the class token to what the model wants."""
    arrays = dict(arrays)
    to_grid = (image_shape[0] // model.patch_size, image_shape[1] // model.patch_size)
    if not model.position_embedding:
        if arrays.pop(POSITIONS, None) is not None:
            report = report.adding(unexpected=POSITIONS)
        if model.pool == "mean" and arrays.pop(CLASS_TOKEN, None) is not None:
            report = report.adding(unexpected=CLASS_TOKEN)
        return arrays, report
    if sincos:
        arrays[POSITIONS] = sincos_position_embedding(to_grid, model.width)
        report = report.adding(notes="the position embedding is the fixed one of sines and cosines, computed anew")
    if POSITIONS not in arrays:
        return arrays, report
    positions = arrays[POSITIONS]
    if positions.ndim != 3 or len(positions) != 1 or positions.shape[2] != model.width:
        raise DataError(f"{report.path}: {POSITIONS} has shape {list(positions.shape)}; expected [1, L, {model.width}]")
    grid, class_rows = _grid_of(report.path, positions.shape[1], grid, to_grid, CLASS_TOKEN in arrays)
    if grid != to_grid:
        positions = resize_position_embedding(
            positions, to_grid, from_grid=grid, class_tokens=class_rows, method=method
        )
        how = f"{POSITIONS} from {grid[0]}x{grid[1]} to {to_grid[0]}x{to_grid[1]}, {method}"
        report = report.adding(resized=how)
    if model.pool == "mean":
        positions = positions[:, class_rows:]
        if arrays.pop(CLASS_TOKEN, None) is not None:
            report = report.adding(unexpected=CLASS_TOKEN)
    elif not class_rows:
        # The class token was added after the positions, and has none.
        positions = np.concatenate([np.zeros_like(positions[:, :1]), positions], axis=1)
    return arrays | {POSITIONS: positions}, report


def reset_head(arrays: Arrays, report: Report, model: Model) -> tuple[Arrays, Report]:
    """Start the head from zero, as `model.init` does."""
    head = {
        f"{HEAD}/bias": np.zeros(model.num_classes, np.float32),
        f"{HEAD}/kernel": np.zeros((model.width, model.num_classes), np.float32),
    }
    for name in head:
        report = report.adding(reset=name)
        if name not in arrays:
            report = report.adding(missing=name)
    return arrays | head, report


def draw_embedding(
    arrays: Arrays, report: Report, model: Model, image_shape: tuple[int, int, int]
) -> tuple[Arrays, Report]:
    """Draw the patch embedding anew, as `model.init` does, always the same."""
    kept = {name: array for name, array in arrays.items() if not name.startswith(f"{EMBEDDING}/")}
    layers = _drawn(model, image_shape, f"{EMBEDDING}/")
    return kept | layers, dataclasses.replace(report, drawn=tuple(layers))


def fit_relations(
    arrays: Arrays, report: Report, model: Model, image_shape: tuple[int, int, int]
) -> tuple[Arrays, Report]:
    """Keep a relation bias where the model has one, or draw it as `model.init` does: it starts as none.

    Only networks of dkjax have one.
    """
    own = [name for name in arrays if "/relation" in name]
    if not model.relation_bias:
        for name in own:
            report = report.adding(unexpected=name)
        return {name: array for name, array in arrays.items() if name not in own}, report
    if own:
        return arrays, report
    new = _drawn(model, image_shape, "/relation")
    return arrays | new, dataclasses.replace(report, drawn=(*report.drawn, *new))


def _drawn(model: Model, image_shape: tuple[int, int, int], part: str) -> Arrays:
    """Draw those arrays whose names contain `part`."""
    drawn = by_name(model.init(jax.random.key(0), image_shape))
    return {name: np.asarray(leaf) for name, leaf in drawn.items() if part in name}


def _grid_of(
    path: str, length: int, grid: tuple[int, int] | None, to_grid: tuple[int, int], class_token: bool
) -> tuple[tuple[int, int], int]:
    """Tell the grid of a position embedding, and whether the class token has a row in it."""
    candidates = ((length - 1, 1), (length, 0)) if class_token else ((length, 0), (length - 1, 1))
    for num_positions, class_rows in candidates:
        side = math.isqrt(max(num_positions, 0))
        # A square before the grid that is wanted, as nearly all are squares.
        for rows, columns in [grid] if grid else [(side, side), to_grid]:
            if rows * columns == num_positions > 0:
                return (rows, columns), class_rows
    if grid:
        raise ArgumentError(f"{path} has {length} position embeddings, which are no grid of {grid[0]}x{grid[1]}")
    raise ArgumentError(f"{path} has {length} position embeddings, which are no square: say grid=(rows, columns)")


def _settings(sizes: Sizes | Model, names: list[str]) -> str:
    return ", ".join(f"{name}={getattr(sizes, name)}" for name in names)


def _numbers(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)
