"""The native kernel as an operation of JAX: under `vmap`, on sharded arrays, and with derivatives of real numbers."""

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from dkjax.cipher import permutations
from dkjax.cipher.blocks import block_shape
from dkjax.cipher.native.library import TARGET
from dkjax.cipher.scheme import Scheme
from dkjax.cipher.transforms import BlockScrambling, BlockwisePixelPermutation, PixelPermutation, SortedValues

Operation = Callable[[jax.Array, jax.Array], jax.Array]
"""From keys or their words, and images, to images."""

_MOVED = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_MOVED_REAL = ("float16", "bfloat16", "float32", "float64")


class Inside(enum.IntEnum):
    """What happens to the values inside a block; kernel.cc has the same numbers."""

    KEPT = 0
    ALIKE = 1
    OWN = 2
    SORTED = 3


_INSIDE = {PixelPermutation: Inside.ALIKE, BlockwisePixelPermutation: Inside.OWN, SortedValues: Inside.SORTED}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the handler is told of a scheme, in the order of its fields.

    A child of the image's key that does not draw has the number -1.
    """

    block_size: int
    transforms: int
    blocks_child: int
    fixed_blocks: int
    inside: Inside
    inside_child: int
    fixed_pixels: int
    inverse: bool


def plan_of(scheme: Scheme, image_shape: tuple[int, ...], dtype: np.dtype, inverse: bool) -> Plan | None:
    """Say how the native kernel runs a scheme on images `(H, W, C)`; None if it is not made for that.

    It is made for block scrambling, followed or preceded by one order of values for all blocks, followed by an order
    for each block, or followed by sorting all bytes of it; for up to 32768 blocks, and values of a block.
    """
    kinds = [type(transform) for transform in scheme.transforms]
    inside = [kind for kind in kinds if kind in _INSIDE]
    if set(kinds) - {BlockScrambling, *_INSIDE} or len(set(kinds)) < len(kinds) or len(inside) > 1 or not kinds:
        return None
    if any(getattr(transform, "order_by", "value") != "value" for transform in scheme.transforms):
        return None
    how = _INSIDE[inside[0]] if inside else Inside.KEPT
    if how == Inside.OWN and kinds[-1] is not inside[0]:
        return None
    if dtype.name not in (("uint8",) if how == Inside.SORTED else (*_MOVED, *_MOVED_REAL)):
        return None
    shape = block_shape(image_shape, scheme.block_size)
    if permutations.words_for(max(shape.num_blocks, shape.values)) > 2 or (inverse and not scheme.invertible):
        return None
    child = {kind: number for number, kind in enumerate(kinds)}
    fixed = {kind: getattr(transform, "fixed", 0) for kind, transform in zip(kinds, scheme.transforms, strict=True)}
    return Plan(
        block_size=scheme.block_size,
        transforms=len(kinds),
        blocks_child=child.get(BlockScrambling, -1),
        fixed_blocks=fixed.get(BlockScrambling, 0),
        inside=how,
        inside_child=child[inside[0]] if inside else -1,
        fixed_pixels=fixed[inside[0]] if inside else 0,
        inverse=inverse,
    )


def run(plan: Plan, image_keys: jax.Array, images: jax.Array, by_xla: Operation) -> jax.Array:
    """Encrypt or decrypt on a CPU; the library must have been loaded.

    Args:
        plan: from `plan_of`.
        image_keys: typed keys of chacha20, `[...]` or `[]`; an axis of length 1 shares its key along that axis.
        images: `[..., H, W, C]`.
        by_xla: the same by XLA's own operations, of which the derivatives are taken.

    Returns:
        The images, of their shape and dtype.

    Guarantees:
        - the bytes of the other kernels, under `vmap` and on any mesh, where no key or image leaves its device
          (`test_native.py::test_same_bytes`, `test_native.py::test_vmap`, `test_native.py::test_no_collective`).
        - derivatives as those of the other kernels (`test_native.py::test_derivatives`).
    """
    words = jax.random.key_data(image_keys)
    words = words.reshape((1,) * (images.ndim - 2 - words.ndim) + words.shape)
    operation = _batched(plan)
    if images.dtype.name in _MOVED:
        return operation(words, images)
    return _differentiable(operation, by_xla, image_keys)(words, images)


def _differentiable(operation: Operation, by_xla: Operation, image_keys: jax.Array) -> Operation:
    """Make an operation that is linear in the images differentiable."""
    prng = jax.random.key_impl(image_keys)
    shape = image_keys.shape

    @jax.custom_jvp
    def permuted(words: jax.Array, images: jax.Array) -> jax.Array:
        return operation(words, images)

    @permuted.defjvp
    def _(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[jax.Array, jax.Array]:
        words, images = primals
        same_keys = jax.random.wrap_key_data(words.reshape(*shape, words.shape[-1]), impl=prng)
        return permuted(words, images), by_xla(same_keys, tangents[1])

    return permuted


@functools.lru_cache(maxsize=256)
def _batched(plan: Plan) -> Operation:
    """The operation on words `[..., 8]` and images `[..., H, W, C]` of any number of leading axes."""
    partitioned = custom_partitioning(_natively)
    partitioned.def_partition(partition=_partition, sharding_rule=_sharding_rule)
    # An operand, not attributes of the call: until it is divided among devices, a program shows the operands alone, and
    # by what it shows JAX's compilation cache tells programs apart.
    settings = np.array(dataclasses.astuple(plan), np.int32)

    @custom_vmap
    def batched(words: jax.Array, images: jax.Array) -> jax.Array:
        return partitioned(jnp.asarray(settings), words, images)[1]

    @batched.def_vmap
    def _(size: int, mapped: list[bool], words: jax.Array, images: jax.Array) -> tuple[jax.Array, bool]:
        words = words if mapped[0] else words[None]
        images = images if mapped[1] else jnp.broadcast_to(images, (size, *images.shape))
        return batched(words, images), True

    return batched


def _natively(settings: jax.Array, words: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the words, overwritten with zeros, and the permuted images."""
    # In shard_map, the result differs between devices where keys or images do: the type of what depends on both says
    # so. The sum itself is never computed.
    result = jax.typeof(images + jnp.sum(words).astype(images.dtype))
    # XLA does not overwrite the memory of what it computes on the way, such as keys that a program selects. As the
    # first result has the memory of the words, the handler does; XLA copies them before where others still read them.
    call = jax.ffi.ffi_call(TARGET, (jax.typeof(words), result), input_output_aliases={1: 0})
    erased, permuted = call(settings, words, images)
    return erased, permuted


def _partition(mesh: Any, operands: tuple[Any, Any, Any], results: tuple[Any, Any]) -> tuple[Any, ...]:
    """Divide the work along the axes before an image's own; every device needs the keys of its images alone."""
    _, words, images = operands
    leading = len(images.shape) - 3
    axes = (*results[1].sharding.spec, *(None,) * leading)[:leading]
    of_keys = [None if words.shape[axis] == 1 else name for axis, name in enumerate(axes)]
    both = NamedSharding(mesh, PartitionSpec(*of_keys)), NamedSharding(mesh, PartitionSpec(*axes))
    return mesh, _natively, both, (NamedSharding(mesh, PartitionSpec()), *both)


def _sharding_rule(mesh: Any, operands: tuple[Any, Any, Any], result: Any) -> str:
    """Name the axes as the partitioner wants it: an axis of the keys of length 1 is one of its own."""
    _, words, images = operands
    axes = [f"n{axis}" for axis in range(len(images.shape) - 3)]
    of_keys = [f"s{axis}" if words.shape[axis] == 1 != images.shape[axis] else name for axis, name in enumerate(axes)]
    both = f"{' '.join([*of_keys, 'k'])}, {' '.join([*axes, 'h w c'])}"
    return f"p, {both} -> {both}"
