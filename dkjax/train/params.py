"""Trained parameters on disk, written and read by Orbax."""

from pathlib import Path
from typing import Any

import jax

from dkjax.errors import DataError
from dkjax.runtime.full_disk import full_disk_is_an_os_error, quiet_about_full_disk, require_room


def save_params(path: Path, params: Any) -> None:
    """Write parameters to a folder of their own, which appears whole or not at all.

    Args:
        path: the folder; an existing one is replaced.
        params: a pytree of arrays.

    Raises:
        OSError: the disk is full.
    """
    import orbax.checkpoint as ocp

    require_room(path, params)
    with quiet_about_full_disk(), full_disk_is_an_os_error(), ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), params, force=True)


def load_params(path: Path, like: Any, sharding: jax.sharding.Sharding) -> Any:
    """Read parameters that `save_params` wrote.

    Args:
        path: the folder.
        like: arrays, or shapes and dtypes as `jax.eval_shape` returns them, in the expected tree.
        sharding: of the parameters; the devices they were saved from do not matter.

    Returns:
        The parameters.

    Raises:
        DataError: there is no such folder, or its parameters are not of this model.
    """
    import orbax.checkpoint as ocp

    if not path.is_dir():
        raise DataError(f"there are no parameters in {path}")
    target = placed(like, sharding)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            # For an array of another shape, Orbax only logs, at length and on a background thread.
            _check_shapes(checkpointer.metadata(path.absolute()).item_metadata.tree, target)
            return checkpointer.restore(path.absolute(), target)
    except (ValueError, KeyError, OSError, AttributeError) as error:
        raise DataError(f"the parameters in {path} are not those of this model: {str(error).splitlines()[0]}") from None


def placed(like: Any, sharding: jax.sharding.Sharding) -> Any:
    """Return shapes and dtypes with the sharding with which Orbax restores them."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), like)


def _check_shapes(saved: Any, expected: Any) -> None:
    saved_shapes = {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(saved)}
    for path, leaf in jax.tree.leaves_with_path(expected):
        name = jax.tree_util.keystr(path)
        if name in saved_shapes and tuple(saved_shapes[name]) != leaf.shape:
            raise ValueError(f"{name} has shape {tuple(saved_shapes[name])}, expected {leaf.shape}")
