"""`encrypt`, `decrypt` and the size of the key space: the public face of the cipher."""

import functools
import math
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType

from dkjax import keys
from dkjax import prng as prngs
from dkjax.cipher import native
from dkjax.cipher.blocks import block_shape
from dkjax.cipher.scheme import Parameters, Scheme
from dkjax.errors import ArgumentError

_Result = TypeVar("_Result")


def encrypt(scheme: Scheme, image_keys: jax.Array, images: Any) -> jax.Array:
    """Encrypt images, each under its own key.

    Every image is cut into blocks and sent through the transforms of the scheme, with parameters drawn from its key.
    Under `disposable`, `horio`, `qi`, `patch_shuffle` and `sorted_blocks` values move and do not change; other schemes
    change them too.

    This is no cipher: under the first four, as their papers have them, nearly the whole picture can be rebuilt from one
    encrypted photograph without its key (`dkjax attack`; docs/protection.md has the numbers).

    Args:
        scheme: which transforms, on blocks of which size.
        image_keys: typed keys, shape `[...]`; an axis of length 1 shares its key along that axis of the images, and a
            single key of shape `[]` is shared by all.
        images: shape `[..., H, W, C]` with the leading axes of the keys, of any integer or floating dtype where the
            scheme only moves values; schemes that change them take `uint8`, and `orthogonal` floating point numbers.

    Returns:
        The encrypted images, of the shape and dtype of `images`.

    Raises:
        ArgumentError: keys are not typed keys or are of an implementation without independent streams, shapes do not
            fit each other, the block size or the fixed positions do not fit the image, the scheme is not one for
            images of this dtype, or a jitted function has captured the keys instead of taking them as an argument.
        KeyDiscardedError: the keys' round has ended.

    Guarantees:
        - `decrypt` with the same keys gives back the same bits (`test_encryption.py::test_round_trip`,
          `test_all_schemes.py::test_round_trip`); `orthogonal` up to the tolerance of `OrthogonalMatrix`, and
          `sorted_blocks` has no inverse.
        - an image's encryption depends on its own key and values alone (`test_encryption.py::test_one_key_one_image`).
        - a batch equals a loop, and neither the number of devices nor the type of a mesh's axes changes a byte
          (`test_encryption.py::test_batch_equals_loop`, `test_encryption.py::test_devices_change_nothing`,
          `test_encryption.py::test_meshes_change_nothing`).
        - keys are arguments of the compiled program, never constants in it
          (`test_encryption.py::test_keys_are_not_in_the_program`,
          `test_encryption.py::test_captured_keys_are_refused`).
        - `jax_debug_key_reuse` finds a key that encrypts twice, and lets it decrypt
          (`test_encryption.py::test_key_reuse_is_found`).

    Example:
        >>> import jax, numpy as np, dkjax
        >>> scheme = dkjax.schemes.disposable(block_size=4, fixed_pixels=12)
        >>> with dkjax.keys.disposable().next_round() as round_keys:
        ...     image_keys = round_keys.for_client("plant-a", 2)
        ...     encrypted = dkjax.encrypt(scheme, image_keys, np.zeros((2, 8, 12, 3), np.uint8))
        >>> encrypted.shape, encrypted.dtype
        ((2, 8, 12, 3), dtype('uint8'))

    Source: Aso, Shiota, Kiya 2024, arXiv 2408.05737.
    """
    return _encrypt_or_decrypt(scheme, image_keys, images, inverse=False)


def decrypt(scheme: Scheme, image_keys: jax.Array, images: Any) -> jax.Array:
    """Decrypt images, while their keys live.

    Args:
        scheme: the scheme they were encrypted with.
        image_keys: the keys they were encrypted with, in the same order.
        images: encrypted images, `[..., H, W, C]`.

    Returns:
        The plain images, of the shape and dtype of `images`. With another key the result is another image, not an
        error: nothing in an encrypted image tells the two apart.

    Raises:
        ArgumentError: as `encrypt`; or the scheme is one that nothing undoes, such as `sorted_blocks`.
        KeyDiscardedError: as `encrypt`.
    """
    return _encrypt_or_decrypt(scheme, image_keys, images, inverse=True)


def sample(scheme: Scheme, image_key: jax.Array, image_shape: tuple[int, ...]) -> Parameters:
    """Draw what one key decides: the parameters of every transform. They are as secret as the key.

    Args:
        scheme: the scheme.
        image_key: one typed key, shape `[]`.
        image_shape: `(H, W, C)`.

    Returns:
        A tuple with the draws of each transform, an array or a tuple of arrays as its `sample` says; for `disposable`
        the permutation of the blocks `int32[N]` and that of a block's values `int32[P]`, both acting by gathering.

    Raises:
        ArgumentError: as `encrypt`.
        KeyDiscardedError: as `encrypt`.
    """
    _check_keys(image_key)
    if image_key.shape:
        raise ArgumentError(f"expected a single key of shape (), got keys of shape {image_key.shape}")
    scheme.check(image_shape)
    return _not_captured(image_key, _sample(scheme, image_key, tuple(image_shape)))


def key_space_bits(scheme: Scheme, image_shape: tuple[int, ...], prng: str = "chacha20") -> dict[str, float]:
    """Say how many bits a brute-force search over one image has to guess.

    This bounds one attack only: every other one, from looking at the picture to learned inversion, is cheaper.

    Args:
        scheme: the scheme.
        image_shape: `(H, W, C)`.
        prng: the keys' implementation, `chacha20` or `threefry2x32`.

    Returns:
        `key`: the bits of a key drawn from the operating system (a key from an integer seed has those of the seed);
        `transform`: log2 of the number of different transformations, exactly counted, and infinite for a matrix of
        real numbers; `effective`: the smaller one.

    Raises:
        ArgumentError: the scheme does not fit the image, or the implementation is unknown or refused.

    Example:
        >>> from dkjax import schemes
        >>> bits = key_space_bits(schemes.disposable(fixed_blocks=147, fixed_pixels=576), (224, 224, 3))
        >>> round(bits["transform"]), bits["effective"]
        (2163, 256.0)
    """
    scheme.check(image_shape)
    shape = block_shape(image_shape, scheme.block_size)
    transform_bits = sum((math.log2(transform.count(shape)) for transform in scheme.transforms), 0.0)
    key_bits = float(prngs.key_bits(prng))
    return {"key": key_bits, "transform": transform_bits, "effective": min(key_bits, transform_bits)}


@functools.partial(jax.jit, static_argnums=(0, 2))
def _sample(scheme: Scheme, image_key: jax.Array, image_shape: tuple[int, ...]) -> Parameters:
    return scheme.sample(image_key, image_shape)


def _encrypt_or_decrypt(scheme: Scheme, image_keys: jax.Array, images: Any, inverse: bool) -> jax.Array:
    on_device = _checked(scheme, image_keys, images)
    # What was copied to an accelerator for this call alone is memory for the result. A CPU may not have copied it.
    ours = not isinstance(images, jax.Array) and jax.default_backend() != "cpu"
    run = _run_donating if ours else _run
    natively = native.status().runs
    return _not_captured(
        image_keys, run(scheme, image_keys, on_device, inverse, natively, natively and _on_cpus(on_device))
    )


def _on_cpus(images: jax.Array) -> bool:
    """Whether a program for these images is one for CPUs alone."""
    # What looks for keys that are used twice sees them drawn from in XLA's kernels alone.
    if isinstance(images, jax.core.Tracer) or jax.config.jax_debug_key_reuse:  # type: ignore[attr-defined]
        return False
    return {device.platform for device in images.devices()} == {"cpu"}


def _run_once(
    scheme: Scheme,
    image_keys: jax.Array,
    images: jax.Array,
    inverse: bool,
    natively: bool = False,
    on_cpus: bool = False,
) -> jax.Array:
    """Run on mesh axes of every type: on explicit ones, too, the compiler divides the work, which moves no byte."""
    run = functools.partial(_draw_and_run, scheme, inverse)
    if natively and prngs.prng_name(image_keys) == "chacha20":
        plan = native.plan_of(scheme, images.shape[-3:], np.dtype(images.dtype), inverse)
        run = functools.partial(_natively_on_cpu, plan, run, on_cpus) if plan else run
    for array in (images, image_keys):
        sharding = jax.typeof(array).sharding
        types = zip(sharding.mesh.axis_names, sharding.mesh.axis_types, strict=True)
        if explicit := tuple(name for name, kind in types if kind == AxisType.Explicit):
            return jax.sharding.auto_axes(run, axes=explicit, out_sharding=sharding)(image_keys, images)
    return run(image_keys, images)


def _natively_on_cpu(
    plan: native.Plan, by_xla: native.Operation, on_cpus: bool, image_keys: jax.Array, images: jax.Array
) -> jax.Array:
    natively = functools.partial(native.run, plan, by_xla=by_xla)
    if on_cpus:  # tracing the other kernels, too, would take a sixth of a second
        return natively(image_keys, images)
    return jax.lax.platform_dependent(image_keys, images, cpu=natively, default=by_xla)


def _draw_and_run(scheme: Scheme, inverse: bool, image_keys: jax.Array, images: jax.Array) -> jax.Array:
    """Draw the parameters at the shape of the keys, then apply them at the shape of the images."""
    if inverse:
        # Decrypting uses a key again, and rightly: `jax_debug_key_reuse` is to find those who encrypt under it twice.
        image_keys = prngs.wrap_key(jax.random.key_data(image_keys), prngs.prng_name(image_keys))
    draw = functools.partial(scheme.sample, image_shape=images.shape[-3:])
    run = scheme.invert if inverse else scheme.apply
    shared_axes = tuple(axis for axis, size in enumerate(image_keys.shape) if size == 1)
    own_keys = image_keys.reshape([size for size in image_keys.shape if size != 1])
    for _ in own_keys.shape:
        draw = jax.vmap(draw)
    for axis in reversed(range(images.ndim - 3)):
        shared = not image_keys.shape or axis in shared_axes
        run = jax.vmap(run, in_axes=(None if shared else 0, 0))
    return run(draw(own_keys), images)


_run = jax.jit(_run_once, static_argnums=(0, 3, 4, 5))
_run_donating = jax.jit(_run_once, static_argnums=(0, 3, 4, 5), donate_argnums=2)


def _not_captured(image_keys: jax.Array, result: _Result) -> _Result:
    """Return a result, unless it is part of a program that is being traced with the keys as a constant in it."""
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(result))
    # Under vmap alone, too, results are tracers; but there a value that depends on no argument is computed.
    if traced and not isinstance(image_keys, jax.core.Tracer) and isinstance(jnp.zeros(()), jax.core.Tracer):
        raise ArgumentError(
            "a jitted function has captured keys that are no argument of it, so that its program would hold them: "
            "give the keys to it as an argument"
        )
    return result


def _checked(scheme: Scheme, image_keys: jax.Array, images: Any) -> jax.Array:
    """Check all that can be known before tracing; return the images as a JAX array of their own dtype."""
    _check_keys(image_keys)
    dtype = np.dtype(images.dtype) if hasattr(images, "dtype") else np.asarray(images).dtype
    if not (jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.floating)):
        raise ArgumentError(f"images must be integers or floating point numbers, got {dtype}")
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ArgumentError(f"images of dtype {dtype} need jax_enable_x64, or convert them to 32 bits first")
    images = jnp.asarray(images)
    if images.ndim < 3:
        raise ArgumentError(f"images must have shape [..., height, width, channels], got {images.shape}")
    leading = images.shape[:-3]
    fits = len(image_keys.shape) == len(leading) and all(
        key_size in (1, size) for key_size, size in zip(image_keys.shape, leading, strict=True)
    )
    if image_keys.shape and not fits:
        raise ArgumentError(
            f"keys of shape {image_keys.shape} do not fit images with leading axes {leading}: give one key for each "
            "image, 1 along an axis that shares its key, or a single key of shape ()"
        )
    scheme.check(images.shape[-3:], dtype)
    return images


def _check_keys(image_keys: jax.Array) -> None:
    if not (hasattr(image_keys, "dtype") and jnp.issubdtype(image_keys.dtype, jax.dtypes.prng_key)):
        raise ArgumentError("expected typed keys, as round_keys.for_client or jax.random.key give them")
    prngs.check_prng(prngs.prng_name(image_keys))
    keys.require_live(image_keys)
