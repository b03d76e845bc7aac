"""Learned inverter: a network that is trained to undo the encryption of public images, and then reads others.

The scheme and the distribution of its keys are public, so an adversary makes any number of pairs of plain and encrypted
images. A small transformer over the blocks reads each block both as it was sent and sorted, which is the same for
every order of its values, and writes the plain block at that place. Each pixel is then corrected by its neighbours,
weighted by how likely it is that they were left in place.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dkjax.attacks.protocol import Knowledge, Reconstruction
from dkjax.cipher import Scheme, encrypt
from dkjax.cipher.blocks import from_blocks, to_blocks

_Weights = dict[str, Any]
_UNITS, _FASTER = 32, 8


@dataclasses.dataclass(frozen=True)
class Training:
    """How an inverter is trained.

    Attributes:
        steps: optimizer steps, each on new keys.
        batch: pairs in a step.
        width: of the network.
        depth: its layers.
        heads: of its attention.
        learning_rate: at the beginning; it falls to zero by a cosine.
        seed: of weights, batches and keys.
    """

    steps: int = 600
    batch: int = 32
    width: int = 96
    depth: int = 1
    heads: int = 4
    learning_rate: float = 2e-3
    seed: int = 0


class LearnedInverter:
    """Trains on public images, and inverts.

    Guarantees:
        - above the encrypted image where positions stay in place
          (`test_inverter.py::test_inverts_what_stays_in_place`).
        - at chance where every block has an order of its own (`test_inverter.py::test_fails_on_an_own_order`).
    """

    name = "inverter"
    needs = frozenset({"public", "scheme"})

    def __init__(self, training: Training = Training()) -> None:
        """Choose how to train."""
        self._training = training

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction:
        """Train on the public images, then read the encrypted ones."""
        assert knowledge.public is not None and knowledge.scheme is not None
        return Reconstruction(train_inverter(knowledge.scheme, knowledge.public, self._training)(encrypted))


def train_inverter(
    scheme: Scheme,
    public: np.ndarray,
    training: Training = Training(),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Callable[[np.ndarray], np.ndarray]:
    """Train an inverter.

    Args:
        scheme: the scheme; every pair is made under a fresh key.
        public: uint8[m, H, W, C], plain images, of which none is attacked.
        training: how.
        report: called with how many steps are done, and of how many.

    Returns:
        A function from encrypted images, uint8[n, H, W, C], to what the network makes of them, likewise.
    """
    shape = public.shape[1:]
    blocks = jax.eval_shape(lambda: to_blocks(jnp.zeros(shape, jnp.uint8), scheme.block_size)).shape
    weights_key, pairs_key = jax.random.split(jax.random.key(training.seed))
    weights = _initial(weights_key, blocks, shape[-1], training)
    tx = optax.adamw(optax.cosine_decay_schedule(training.learning_rate, training.steps), weight_decay=1e-4)
    state, images = tx.init(weights), jnp.asarray(public)
    step = jax.jit(functools.partial(_step, scheme, tx, training), donate_argnums=(0, 1))
    for number in range(training.steps):
        weights, state = step(weights, state, images, jax.random.fold_in(pairs_key, number))
        report(number + 1, training.steps)
    read = jax.jit(lambda weights, sent: _pictures(_forward(weights, sent, scheme, training)))
    return lambda encrypted: np.concatenate(
        [
            np.asarray(read(weights, jnp.asarray(encrypted[first : first + 64])))
            for first in range(0, len(encrypted), 64)
        ]
    )


def _step(
    scheme: Scheme,
    tx: optax.GradientTransformation,
    training: Training,
    weights: _Weights,
    state: optax.OptState,
    images: jax.Array,
    key: jax.Array,
) -> tuple[_Weights, optax.OptState]:
    rows_key, image_key = jax.random.split(key)
    plain = images[jax.random.randint(rows_key, (training.batch,), 0, len(images))]
    sent = encrypt(scheme, jax.random.split(image_key, training.batch), plain)

    def loss(weights: _Weights) -> jax.Array:
        return jnp.mean((_forward(weights, sent, scheme, training) - _scaled(plain)) ** 2)

    updates, state = tx.update(jax.grad(loss)(weights), state, weights)
    return optax.apply_updates(weights, updates), state


def _scaled(images: jax.Array) -> jax.Array:
    """Bring values to [-1, 1], float32."""
    return images.astype(jnp.float32) / 127.5 - 1


def _pictures(values: jax.Array) -> jax.Array:
    return jnp.clip(jnp.round((values + 1) * 127.5), 0, 255).astype(jnp.uint8)


def _initial(key: jax.Array, blocks: tuple[int, ...], channels: int, training: Training) -> _Weights:
    count, values = blocks
    width, keys = training.width, iter(jax.random.split(key, 6 + 4 * training.depth))

    def dense(inputs: int, outputs: int) -> jax.Array:
        return jax.random.normal(next(keys), (inputs, outputs)) * inputs**-0.5

    return {
        "embed": dense(2 * values, width),
        "place": 0.02 * jax.random.normal(next(keys), (count, width)),
        "layers": [
            {
                "attend": dense(width, 3 * width),
                "join": dense(width, width) * 0.5,
                "wide": dense(width, 4 * width),
                "narrow": dense(4 * width, width) * 0.5,
            }
            for _ in range(training.depth)
        ],
        "write": dense(width, values) * 0.1,
        "mean": jnp.zeros((count, values)),
        "doubt": jnp.array([0.25, 0.25]),
        "near": dense(5 * channels + 2, _UNITS),
        "bent": dense(_UNITS, _UNITS),
        "fine": dense(_UNITS, channels + 1) * 0.1,
        "bias": jnp.array(0.1),
    }


def _forward(weights: _Weights, sent: jax.Array, scheme: Scheme, training: Training) -> jax.Array:
    """Write the plain images, float32[n, H, W, C], block by block, and then pixel by pixel."""
    values, shape = _scaled(sent), sent.shape[1:]
    blocks = jax.vmap(lambda image: to_blocks(image, scheme.block_size))(values)
    hidden = jnp.concatenate([blocks, jnp.sort(blocks, axis=-1)], axis=-1) @ weights["embed"] + weights["place"][None]
    for layer in weights["layers"]:
        hidden = hidden + _attention(layer, _normalised(hidden), training.heads)
        hidden = hidden + jax.nn.gelu(_normalised(hidden) @ layer["wide"]) @ layer["narrow"]
    # Weights of which each is for one value alone move faster than Adam's steps.
    written = _normalised(hidden) @ weights["write"] + _FASTER * weights["mean"][None]
    coarse = jax.vmap(lambda one: from_blocks(one, shape, scheme.block_size))(written)
    trusts = _trusts(values, scheme.block_size, _FASTER * weights["doubt"])
    trust = jnp.prod(trusts, axis=-1, keepdims=True)
    means = [_window_sum(values * trust, radius) / (_window_sum(trust, radius) + 1e-6) for radius in (1, 2)]
    fine = jnp.concatenate([values, coarse, *means, jnp.abs(values - means[0]), trusts], axis=-1) @ weights["near"]
    fine = jax.nn.relu(jax.nn.relu(fine) @ weights["bent"])
    fine = fine @ weights["fine"]
    # A pixel that seems to be in place is kept as it is, to the value.
    kept = jax.nn.sigmoid(fine[..., -1:] + _FASTER * weights["bias"])
    return kept * values + (1 - kept) * (coarse + fine[..., :-1])


def _trusts(values: jax.Array, block_size: int, doubt: jax.Array) -> jax.Array:
    """How likely each pixel's position, and its block, were left in place, float32[n, H, W, 2].

    A position that was moved was moved in all blocks: over all of them it differs from its neighbours. A block that was
    moved differs along its border from the blocks around it.
    """
    count, height, width, _ = values.shape
    odd = jnp.abs(values - _window_sum(values, 1) / 9).mean(axis=-1)
    rows, columns = height // block_size, width // block_size
    blocks = odd.reshape(count, rows, block_size, columns, block_size)
    border = jnp.zeros((block_size, block_size)).at[jnp.array([0, -1])].set(1).at[:, jnp.array([0, -1])].set(1)
    of_position = blocks.mean(axis=(1, 3), keepdims=True)
    of_block = (blocks * border[None, None, :, None]).mean(axis=(2, 4), keepdims=True)
    trusts = (
        jnp.exp(-each / (each.mean(axis=(1, 2, 3, 4), keepdims=True) + 1e-6) * strength)
        for each, strength in ((of_position, doubt[0]), (of_block, doubt[1]))
    )
    return jnp.stack([jnp.broadcast_to(trust, blocks.shape).reshape(odd.shape) for trust in trusts], axis=-1)


def _window_sum(values: jax.Array, radius: int) -> jax.Array:
    """The sum over each pixel's window; edges are repeated."""
    padded = jnp.pad(values, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="edge")
    for axis in (1, 2):
        length = values.shape[axis]
        shifts = range(2 * radius + 1)
        padded = jnp.sum(
            jnp.stack([jax.lax.slice_in_dim(padded, start, start + length, axis=axis) for start in shifts]), axis=0
        )
    return padded


def _attention(layer: _Weights, hidden: jax.Array, heads: int) -> jax.Array:
    parts = jnp.split(hidden @ layer["attend"], 3, axis=-1)
    query, key, value = (part.reshape(*part.shape[:2], heads, -1) for part in parts)
    return jax.nn.dot_product_attention(query, key, value).reshape(hidden.shape) @ layer["join"]


def _normalised(hidden: jax.Array) -> jax.Array:
    return jax.nn.standardize(hidden, axis=-1)
