"""The classes of new images, by a trained model."""

import functools

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from numpy.typing import NDArray

from dkjax.errors import ArgumentError
from dkjax.models.vit import Model, Params
from dkjax.sources.preparation import Resize
from dkjax.sources.resize import resize_images, to_channels
from dkjax.train.step import normalise
from dkjax.train.trained_model import Trained

BATCH_SIZE = 128
"""Images at a time, on all devices together."""


def predict_images(
    trained: Trained, images: NDArray[np.uint8], *, batch_size: int = BATCH_SIZE, resize: Resize = "stretch"
) -> NDArray[np.float32]:
    """Compute the probability of each class.

    Images of another size are resized as `dkjax encrypt` and `dkjax simulate` resize (see
    `dkjax.sources.resize.resize_images`), grey ones become colour and colour ones grey where the model was trained on
    such. The last batch is filled up, so that any number of images is one compilation.

    Args:
        trained: the model.
        images: uint8[n, H, W, C], plain, or encrypted like those that the model was trained on and of their shape.
        batch_size: images at a time; rounded up to what the devices divide.
        resize: what becomes of images of other proportions, `[data] resize` of the training.

    Returns:
        float32[n, num_classes], each row with the sum 1, in the order of the images.

    Raises:
        ArgumentError: images of another dtype or rank, of channels that the model's cannot be made from, or a batch
            size below 1.

    Guarantees:
        - equal to `softmax(model.apply(params, images / 127.5 - 1))` (`test_predict.py::test_equals_the_model`).
        - one compilation for any number of images from `batch_size` on (`test_predict.py::test_compiles_once`).
        - an image's probabilities do not depend on the others (`test_predict.py::test_any_number_of_images`).
    """
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ArgumentError(f"images must be uint8[n, H, W, C], got {images.dtype}{list(images.shape)}")
    if batch_size < 1:
        raise ArgumentError(f"batch_size must be at least 1, got {batch_size}")
    height, width, channels = trained.image_shape
    sharding = _sharding(trained.params)
    devices = len(sharding.device_set)
    # A few images need no large batch, and powers of two are few shapes.
    size = -(-min(batch_size, 1 << max(0, len(images) - 1).bit_length()) // devices) * devices
    found = np.empty((len(images), trained.model.num_classes), np.float32)
    for first in range(0, len(images), size):
        batch = resize_images(to_channels(images[first : first + size], channels), (height, width), resize)
        filled = np.zeros((size, *trained.image_shape), np.uint8)
        filled[: len(batch)] = batch
        rows = _probabilities(trained.model, trained.params, jax.device_put(filled, sharding))
        found[first : first + len(batch)] = np.asarray(rows)[: len(batch)]
    return found


@functools.partial(jax.jit, static_argnums=0)
def _probabilities(model: Model, params: Params, images: jax.Array) -> jax.Array:
    return jax.nn.softmax(model.apply(params, normalise(images)))


def _sharding(params: Params) -> jax.sharding.Sharding:
    """How a batch is divided: among the devices that have the parameters."""
    leaf = jax.tree.leaves(params)[0]
    sharding = getattr(leaf, "sharding", jax.sharding.SingleDeviceSharding(jax.devices()[0]))
    if isinstance(sharding, NamedSharding):
        return NamedSharding(sharding.mesh, PartitionSpec(sharding.mesh.axis_names))
    return sharding
