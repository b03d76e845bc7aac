"""What a client sends: the difference that its training made, in 32, 16 or 8 bits a number."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

Encoding = Literal["float32", "bfloat16", "int8"]


def encode(update: Any, encoding: Encoding) -> Any:
    """Encode an update for sending.

    Args:
        update: a pytree of float32 arrays.
        encoding: `float32`, `bfloat16` (rounded to the nearest), or `int8`: each array in whole numbers from -127 to
            127 times one float32, its largest magnitude over 127.

    Returns:
        A pytree of what is sent; what is not finite stays so, in the numbers or in the factor.

    Guarantees:
        - int8 is off by at most half a step (`test_update.py::test_errors_are_bounded`).
    """
    if encoding == "float32":
        return update
    if encoding == "bfloat16":
        return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), update)
    return jax.tree.map(_quantised, update)


def decode(sent: Any, encoding: Encoding) -> Any:
    """Return the update, float32, that the server makes of what it received."""
    if encoding != "int8":
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), sent)
    return jax.tree.map(
        lambda pair: pair.values.astype(jnp.float32) * pair.scale, sent, is_leaf=lambda node: isinstance(node, _Int8)
    )


def encoded_bytes(params: Any, encoding: Encoding) -> int:
    """Bytes of one encoded update, from the very arrays that are sent or their shapes; nothing is computed."""
    sent = jax.eval_shape(lambda update: encode(update, encoding), params)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(sent))


class _Int8(NamedTuple):
    """An array in whole numbers, and what they are multiples of. A type of its own: a network may call anything so."""

    values: jax.Array
    scale: jax.Array


def _quantised(leaf: jax.Array) -> _Int8:
    scale = jnp.abs(leaf).max() / 127
    steps = leaf / jnp.where(scale > 0, scale, 1.0)
    return _Int8(jnp.round(jnp.nan_to_num(steps)).astype(jnp.int8), scale)
