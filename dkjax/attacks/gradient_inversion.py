"""Gradient inversion: images from the update that a client of federated learning sends, for want of encrypted ones.

Two ways. Solving: the gradients of a ViT's position embedding and of its patch embedding make a linear system, of which
the patches of a single image are the solution (Lu et al., "APRIL", arXiv 2112.14087). Matching: images are changed
until the gradient that they would send points where the sent one does (Geiping et al., arXiv 2003.14053).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dkjax.attacks.protocol import Knowledge, Reconstruction, SeenUpdate
from dkjax.cipher.array_blocks import from_blocks
from dkjax.federated.update import Encoding, decode, encode
from dkjax.models.vit import Model, Params
from dkjax.train.step import normalise


def update_of_step(
    model: Model,
    params: Params,
    images: np.ndarray,
    labels: np.ndarray,
    optimizer: Literal["sgd", "adamw"] = "sgd",
    encoding: Encoding = "float32",
) -> SeenUpdate:
    """Take a client's first step of a round on one batch, and return what the server sees of it.

    Args:
        model: the network.
        params: what the server sent.
        images: uint8[n, H, W, C], the batch, plain.
        labels: int[n].
        optimizer: of the client; `adamw` sends little more than the signs of the gradient. Its decay, which the server
            knows, is left out.
        encoding: of the update.

    Returns:
        The update, for a learning rate of 1.
    """
    gradient_of = jax.tree_util.Partial(_gradient(model), params, jnp.asarray(labels))
    gradient = gradient_of(normalise(jnp.asarray(images)))
    if optimizer == "adamw":
        adam = optax.scale_by_adam()
        gradient, _ = adam.update(gradient, adam.init(gradient))
    return SeenUpdate(decode(encode(gradient, encoding), encoding), gradient_of)


@functools.cache
def _gradient(model: Model) -> Callable[[Params, jax.Array, jax.Array], Params]:
    """The gradient of the mean loss over a batch: one function for each model, so that it is compiled once."""

    def loss(params: Params, labels: jax.Array, images: jax.Array) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(model.apply(params, images), labels).mean()

    return jax.jit(jax.grad(loss))


class PatchInversion:
    """Solves for the patches of one image, where a ViT has no fewer dimensions than patches.

    Several images, or an update that is not a multiple of the gradient, have no such solution.

    Guarantees:
        - one image comes back exactly from a step of SGD
          (`test_gradient_inversion.py::test_one_image_is_solved_for`); four, or one after a step of AdamW, do not
          (`test_gradient_inversion.py::test_what_cannot_be_solved`).
    """

    name = "patch-inversion"
    needs = frozenset({"update"})

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction:
        """Solve; see `GradientInversion.run`."""
        assert knowledge.update is not None
        sent = knowledge.update.sent
        kernel = np.asarray(sent["embedding"]["kernel"], np.float64)
        position = np.asarray(sent["Transformer"]["posembed_input"]["pos_embedding"][0], np.float64)
        side = kernel.shape[0]
        patches = encrypted.shape[1] * encrypted.shape[2] // side**2
        # The class token, where there is one, is the first: it has a position and no patch.
        of_patches = position[-patches:]
        solved, *_ = np.linalg.lstsq(of_patches.T, kernel.reshape(-1, kernel.shape[-1]).T)
        picture = from_blocks(_as_bytes(solved)[None], encrypted.shape[1:], side)
        return Reconstruction(np.broadcast_to(picture, encrypted.shape))


@dataclasses.dataclass(frozen=True)
class GradientInversion:
    """Looks for images whose gradient points where the sent update does, and whose pixels vary little.

    Attributes:
        steps: of Adam on the signs of the objective's gradient, at a rate that falls to a thousandth.
        rate: the first one.
        variation: weight of the total variation beside the mean cosine of the layers.
        seed: of the noise that it begins with.

    Guarantees:
        - one image comes back from a step of a small net (`test_gradient_inversion.py::test_one_image_is_matched`),
          eight do not (`test_gradient_inversion.py::test_eight_images_are_not_matched`).
    """

    steps: int = 2000
    rate: float = 0.02
    variation: float = 1e-2
    seed: int = 0
    name: str = "gradient-inversion"
    needs: frozenset[str] = frozenset({"update"})

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction:
        """Look for the images of one update.

        Args:
            encrypted: uint8[n, H, W, C], of which only the shape counts: nothing encrypted is sent.
            knowledge: with `update`.

        Returns:
            Pictures in the order of the labels.
        """
        assert knowledge.update is not None
        start = jax.random.normal(jax.random.key(self.seed), encrypted.shape)
        found = _match(self, knowledge.update.gradient_of, start, knowledge.update.sent)
        return Reconstruction(_as_bytes(found))


@functools.partial(jax.jit, static_argnums=0)
def _match(
    attack: GradientInversion, gradient_of: Callable[[jax.Array], Any], images: jax.Array, sent: Any
) -> jax.Array:
    rate = optax.cosine_decay_schedule(attack.rate, attack.steps, alpha=1e-3)
    tx = optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(rate))

    def objective(images: jax.Array) -> jax.Array:
        # Layer by layer: the head's gradient is the largest, and says least of where something is in an image.
        cosines = jax.tree.map(_cosine, gradient_of(images), sent)
        down, across = (jnp.abs(jnp.diff(images, axis=axis)).mean() for axis in (1, 2))
        return -jnp.stack(jax.tree.leaves(cosines)).mean() + attack.variation * (down + across)

    def step(_: int, carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        images, opt_state = carry
        updates, opt_state = tx.update(jnp.sign(jax.grad(objective)(images)), opt_state)
        return jnp.clip(images + updates, -1.0, 1.0), opt_state

    return jax.lax.fori_loop(0, attack.steps, step, (images, tx.init(images)))[0]


def _cosine(one: jax.Array, other: jax.Array) -> jax.Array:
    return jnp.vdot(one, other) / jnp.sqrt(jnp.vdot(one, one) * jnp.vdot(other, other) + 1e-30)


def _as_bytes(values: Any) -> np.ndarray:
    """Map -1..1 to uint8, as `dkjax.train.step.normalise` maps back."""
    return np.clip(np.rint((np.nan_to_num(np.asarray(values)) + 1) * 127.5), 0, 255).astype(np.uint8)
