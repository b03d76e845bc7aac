"""Trained parameters in the formats of other libraries, or with the whole computation as StableHLO."""

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.formats.safetensors import write_safetensors
from dkjax.models.pretrained.checkpoint import POSITIONS, Arrays, by_name
from dkjax.models.pretrained.folding import fold_layer_scales
from dkjax.models.pretrained.google import flat_arrays
from dkjax.models.pretrained.hugging_face import hugging_face_configs, hugging_face_state
from dkjax.models.pretrained.timm import ARGUMENTS, TIMM, timm_arguments
from dkjax.models.pretrained.torch_layout import to_torch
from dkjax.models.vit import Model, Params

Format = Literal["npz", "safetensors", "hf", "stablehlo"]
_STABLEHLO = "1.17.0"
"""The version of JAX 0.10.2, the oldest that dkjax runs with."""

FORMATS: tuple[Format, ...] = get_args(Format)


def export_params(
    params: Params,
    model: Model,
    image_shape: tuple[int, int, int],
    path: Path | str,
    *,
    to: Format,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Write parameters for another library.

    - `npz`: Google's names and shapes, read by vision_transformer, big_vision and timm.
    - `safetensors`: timm's names; `timm_arguments` says which model, and stands in the file's metadata, too.
    - `hf`: a folder for `AutoModelForImageClassification.from_pretrained` and `transformers.pipeline`, with what the
      image processor has to do; a model for grey images reads them as RGB, of which it takes the grey value.
    - `stablehlo`: the whole network with its weights, for `jax.export.deserialize` or any compiler of StableHLO:
      float32[n, H, W, C], pixels from -1 to 1, to logits float32[n, num_classes], for any n, on CPU, GPU and TPU.

    Args:
        params: the parameters, of `model`'s names and shapes.
        model: what they are of.
        image_shape: (H, W, C) of one image.
        path: the file to write, or for `hf` the folder; what is there under the same names is replaced.
        to: the format.
        class_names: of the logits, in order; only `hf` has a place for them.

    Returns:
        The path.

    Raises:
        ConfigError: `to` is unknown or has no counterpart for something in the model, or there are not as many
            class names as classes.
        ArgumentError: `params` are not of this model.
        DataError: the file cannot be written.

    Guarantees:
        - What is loaded again is bit by bit what was written (test_export_and_load_is_the_identity).
        - Logits of the exported network are the model's: timm (test_timm_computes_the_same_from_an_export),
          transformers (test_transformers_computes_the_same_from_an_export, test_the_pipeline_of_transformers),
          StableHLO (test_stablehlo_gives_the_same_logits).
        - StableHLO written under a newer JAX loads in JAX 0.10.2 (test_stablehlo_is_of_the_oldest_version).
        - A file appears whole or not at all (test_files_appear_whole_or_not_at_all).
        - The same parameters give the same bytes (test_same_parameters_give_the_same_bytes).
    """
    path = Path(path)
    if to not in FORMATS:
        raise ConfigError(f"to={to!r} is not one of {', '.join(FORMATS)}")
    if model.reading != "values" and to != "stablehlo":
        raise ConfigError(
            f"reading={model.reading!r} has no counterpart in other libraries, whose networks read values "
            'by their places: export to "stablehlo", which holds the whole computation'
        )
    if model.relation_bias and to != "stablehlo":
        raise ConfigError(
            "relation_bias=true has no counterpart in other libraries, whose attention has no such bias: export "
            'to "stablehlo", which holds the whole computation'
        )
    arrays = _flat(params, model, image_shape)
    if to == "hf":
        _write_folder(path, arrays, hugging_face_configs(model, image_shape, class_names), model.depth)
        return path
    with _replacing(path) as file:
        if to == "npz":
            np.savez(file, allow_pickle=False, **arrays)
        elif to == "safetensors":
            metadata = {"format": "pt", ARGUMENTS: json.dumps(timm_arguments(model, image_shape))}
            write_safetensors(file.write, _sorted(to_torch(TIMM, flat_arrays(arrays), model.depth)), metadata)
        else:
            file.write(_stablehlo(params, model, image_shape))
    return path


def how_to_load(path: Path | str, model: Model, image_shape: tuple[int, int, int], *, to: Format) -> str:
    """Say in Python how others load what `export_params` wrote.

    Args:
        path: what it wrote.
        model: what was written.
        image_shape: (H, W, C) of one image.
        to: the format.

    Returns:
        Statements on one line, without the imports of the modules that they name, after which `network` computes the
        logits: of float[n, C, H, W] where it is PyTorch's (C is 3 also for grey images in `hf`), of
        float32[n, H, W, C] for `stablehlo`.

    Raises:
        ConfigError: timm, which reads `npz` and `safetensors`, has no such model.

    Guarantees:
        - The network loaded so gives the model's logits (test_loads_as_how_to_load_says,
          test_stablehlo_loads_by_the_line_that_is_printed).
    """
    name = str(path)
    if to == "hf":
        return f"network = transformers.AutoModelForImageClassification.from_pretrained({name!r})"
    if to == "stablehlo":
        return f"network = jax.export.deserialize(bytearray(pathlib.Path({name!r}).read_bytes())).call"
    arguments = ", ".join(f"{key}={value!r}" for key, value in timm_arguments(model, image_shape).items())
    load = f"load_pretrained({name!r})" if to == "npz" else f"load_state_dict(safetensors.torch.load_file({name!r}))"
    return f"network = timm.models.VisionTransformer({arguments}); network.{load}"


def _flat(params: Params, model: Model, image_shape: tuple[int, int, int]) -> Arrays:
    """The parameters by their names, in the order of the model's, once they are known to be the model's."""
    expected = jax.eval_shape(lambda key: model.init(key, image_shape), jax.random.key(0))
    shapes = {name: leaf.shape for name, leaf in by_name(expected).items()}
    arrays = {name: np.asarray(leaf, np.float32) for name, leaf in by_name(params).items()}
    for name in sorted(shapes.keys() | arrays.keys()):
        ours, theirs = shapes.get(name), arrays[name].shape if name in arrays else None
        if ours != theirs:
            raise ArgumentError(f"params are not of this model: {name} has shape {theirs}, expected {ours}")
    if not model.position_embedding:  # others add one always: zeros change nothing
        tokens = image_shape[0] * image_shape[1] // model.patch_size**2 + (model.pool == "token")
        arrays[POSITIONS] = np.zeros((1, tokens, model.width), np.float32)
        shapes |= {POSITIONS: arrays[POSITIONS].shape}
    return fold_layer_scales({name: arrays[name] for name in shapes})


def _write_folder(folder: Path, arrays: Arrays, configs: dict[str, dict[str, Any]], depth: int) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}") from error
    for name, tree in configs.items():
        with _replacing(folder / name) as file:
            file.write((json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode())
    # The weights come last: a folder that has them is whole.
    with _replacing(folder / "model.safetensors") as file:
        write_safetensors(file.write, _sorted(hugging_face_state(flat_arrays(arrays), depth)), {"format": "pt"})


def _stablehlo(params: Params, model: Model, image_shape: tuple[int, int, int]) -> bytes:
    """The network with its weights, for any number of images.

    JAX writes what only versions of the last four weeks read, and has no setting for it.
    """
    images = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("n"), *image_shape), jnp.float32)
    network = jax.jit(lambda images: model.apply(params, images))
    exported = jax.export.export(network, platforms=("cpu", "cuda", "tpu"))(images)
    with ir.Context() as context:
        stablehlo.register_dialect(context)
        module = stablehlo.deserialize_portable_artifact(context, exported.mlir_module_serialized)
        written = stablehlo.serialize_portable_artifact(module, _STABLEHLO)
    return bytes(dataclasses.replace(exported, mlir_module_serialized=written).serialize())


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside the one to be written and move it into place, so that no half file is seen under its name."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _sorted(arrays: Arrays) -> dict[str, np.ndarray]:
    """The same arrays in float32, in the order of their names: so that equal parameters give equal bytes."""
    return {name: np.asarray(arrays[name], np.float32) for name in sorted(arrays)}
