"""Learned inverter: a network that is shown public images and their encryptions, and then encrypted images alone.

Whoever knows the scheme and the distribution of its keys can encrypt public images under any number of keys, and learn
to undo it. Learned can be what all keys have in common: which values tend to stay, and how pictures look.
"""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dkjax.attacks.inverter_network import Params, init, restore
from dkjax.attacks.protocol import Knowledge, Reconstruction
from dkjax.attacks.ssim import WINDOW
from dkjax.cipher import encrypt
from dkjax.errors import ArgumentError
from dkjax.models.reading import Reading
from dkjax.seeds import generator

READINGS: tuple[Reading, ...] = ("equivariant", "values", "sorted")
"""What can be read of a block, the most first."""

_SOFTNESS = 0.03
"""A value that is off by so much, of 1, is still trusted by a third."""


@dataclasses.dataclass(frozen=True)
class Inverter:
    """Learns from public images under keys of its own how to undo an encryption.

    Attributes:
        reading: what it sees of the values of a block: each where it is (`values`); besides, how far the values of that
            position of a block are from their surroundings in all blocks of the image (`equivariant`); sorted, so that
            their order is not seen (`sorted`).
        steps: of AdamW, whose rate rises for a tenth of them and falls by a cosine.
        batch: public images a step, each under a key that was never used before.
        rate: the highest rate.
        seed: of the network, the keys and the order of the images.

    Guarantees:
        - where most positions stay it does better than a median filter on images that it never saw
          (`test_inverter.py::test_learns_where_most_stays`), and no better than the mean image where nothing does
          (`test_inverter.py::test_learns_nothing_where_nothing_stays`).
        - one seed, one result (`test_inverter.py::test_one_seed_one_result`).
        - sorted, it does not see the order of a block's values
          (`test_inverter.py::test_sorted_does_not_see_the_order`).
    """

    reading: Reading = "equivariant"
    steps: int = 20
    batch: int = 2
    rate: float = 0.01
    seed: int = 0
    name: str = "inverter"
    needs: frozenset[str] = frozenset({"public", "scheme"})

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction:
        """Learn, then restore."""
        *_, params = self.learn(knowledge)
        return self.restore(params, encrypted, knowledge)

    def learn(self, knowledge: Knowledge) -> Iterator[Params]:
        """Train on the public images.

        Args:
            knowledge: with `public`, of the shape of the images to be attacked, and `scheme`.

        Yields:
            The parameters after each step.

        Raises:
            ArgumentError: the public images are none, smaller than SSIM's window, or of fewer than 2 x 2 blocks.
        """
        assert knowledge.public is not None and knowledge.scheme is not None
        public, side = knowledge.public, knowledge.block_size
        if not len(public) or min(public.shape[1:3]) < max(WINDOW, 2 * side):
            raise ArgumentError(f"expected images of at least 2 x 2 blocks and {WINDOW} pixels, got {public.shape}")
        rng = generator("dkjax.attacks.inverter", self.seed)
        first, *keys = jax.random.split(jax.random.key(int(rng.integers(2**32))), self.steps + 1)
        params = init(first, public.shape[1:])
        opt_state, prior = _TX.init(params), _prior(public)
        rates = optax.schedules.warmup_cosine_decay_schedule(0.0, self.rate, self.steps // 10, self.steps)
        for number, image_key in enumerate(keys, start=1):
            plain = public[rng.integers(len(public), size=self.batch)]
            sent = encrypt(knowledge.scheme, jax.random.split(image_key, self.batch), plain)
            params, opt_state = _step(self.reading, side, rates(number), params, opt_state, prior, sent, plain)
            yield params

    def restore(self, params: Params, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction:
        """Make pictures of encrypted images, uint8[n, H, W, C], by learned parameters."""
        assert knowledge.public is not None
        prior = _prior(knowledge.public)
        pictures = [_restore(self.reading, knowledge.block_size, params, prior, image[None]) for image in encrypted]
        return Reconstruction(np.concatenate(pictures))


def _prior(public: np.ndarray) -> np.ndarray:
    return public.mean(axis=0, dtype=np.float32) / np.float32(255)


_TX = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1.0))
"""What it gives is multiplied by the rate."""


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(
    reading: Reading,
    side: int,
    rate: jax.Array,
    params: Params,
    opt_state: optax.OptState,
    prior: jax.Array,
    sent: jax.Array,
    plain: jax.Array,
) -> tuple[Params, optax.OptState]:
    def loss(params: Params) -> jax.Array:
        true = plain / 255.0
        made = restore(params, sent / 255.0, prior, side, reading)
        # Besides: to be trusted are values that are those of the plain image.
        right = jnp.exp(-jnp.abs(made.seen - true) / _SOFTNESS)
        trusted = jnp.clip(made.trusted, 1e-4, 1 - 1e-4)
        trust = -(right * jnp.log(trusted) + (1 - right) * jnp.log(1 - trusted)).mean()
        return jnp.abs(made.picture - true).mean() + 1 - _ssim(made.picture, true) + trust

    updates, opt_state = _TX.update(jax.grad(loss)(params), opt_state, params)
    return jax.tree.map(lambda param, update: param + rate * update, params, updates), opt_state


@functools.partial(jax.jit, static_argnums=(0, 1))
def _restore(reading: Reading, side: int, params: Params, prior: jax.Array, sent: jax.Array) -> jax.Array:
    made = restore(params, sent / 255.0, prior, side, reading).picture
    return jnp.clip(jnp.rint(made * 255), 0, 255).astype(jnp.uint8)


def _ssim(one: jax.Array, other: jax.Array) -> jax.Array:
    """The mean SSIM of images from 0 to 1, as `dkjax.attacks.ssim` measures it, to be differentiated."""
    mean_one, mean_other = _windows(one), _windows(other)
    sample = WINDOW**2 / (WINDOW**2 - 1)
    variances = sample * (_windows(one * one + other * other) - mean_one**2 - mean_other**2)
    covariance = sample * (_windows(one * other) - mean_one * mean_other)
    brightness = (2 * mean_one * mean_other + 0.01**2) / (mean_one**2 + mean_other**2 + 0.01**2)
    return (brightness * (2 * covariance + 0.03**2) / (variances + 0.03**2)).mean()


def _windows(images: jax.Array) -> jax.Array:
    """The means of windows of `[n, H, W, C]`, by a narrow matrix for each axis."""
    down, across = (
        np.tri(size - WINDOW + 1, size, WINDOW - 1, np.float32) - np.tri(size - WINDOW + 1, size, -1, np.float32)
        for size in images.shape[1:3]
    )
    return jnp.einsum("ih,nhwc,jw->nijc", down, images, across) / WINDOW**2
