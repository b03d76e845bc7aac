"""What is attacked: images under one setting of an encryption, and what is known of the truth to judge by."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from dkjax.cipher import Scheme, encrypt
from dkjax.cipher.transforms import BlockScrambling, PixelPermutation
from dkjax.client.from_config import make_ratchet, make_scheme
from dkjax.config import KeysConfig, SimulationConfig
from dkjax.dkds import EncryptedDataSet
from dkjax.errors import ConfigError
from dkjax.sources import read_all
from dkjax.sources.open import open_configured, open_source
from dkjax.sources.source import Source, Subset

_CANDIDATE_BYTES = 64 << 20
_CANDIDATES = 1000


@dataclasses.dataclass(frozen=True)
class Sent:
    """Encrypted images, and what their keys decided.

    Attributes:
        images: uint8[n, H, W, C].
        block_orders: int[n, N], which plain block each encrypted block is; None where that is not known.
        value_orders: int[n, P], which plain value each value of an encrypted block is; None likewise.
    """

    images: np.ndarray
    block_orders: np.ndarray | None = None
    value_orders: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """Images under one setting.

    Attributes:
        name: the setting's name.
        scheme: the scheme, which is public.
        sent: what the server has.
        plain: uint8[n, H, W, C], the same images in plain; None where there are none to judge by.
        candidates: uint8[m, H, W, C], plain images among which `plain` come first; None likewise.
        send: encrypts other images as this setting would, under fresh keys or its shared one; None likewise.
        public: uint8[k, H, W, C], other plain images that the adversary has; None where it has none.
    """

    name: str
    scheme: Scheme
    sent: Sent
    plain: np.ndarray | None = None
    candidates: np.ndarray | None = None
    send: Callable[[np.ndarray], Sent] | None = None
    public: np.ndarray | None = None


def cases_of_config(config: SimulationConfig, num_images: int, public: str | None = None) -> Iterator[Case]:
    """Encrypt images of a configuration's source as each of its arms would.

    Args:
        config: source, scheme, keys and arms.
        num_images: how many images to attack; fewer if the source has fewer.
        public: a source of other images, which the adversary has.

    Yields:
        A case for every arm that encrypts. Its keys are erased when the next one is asked for.

    Raises:
        ConfigError: no arm encrypts; or as `dkjax.sources.open.open_configured`.
        DataError: the images are missing or damaged.
    """
    arms = [arm for arm in config.arms if arm.encrypted]
    if not arms:
        raise ConfigError('no arm encrypts: add one that does, such as [[arms]] name = "disposable"')
    source = open_configured(config.data, "train")
    candidates = _candidates(source, num_images)
    plain = candidates[:num_images]
    others = None if public is None else public_images(public, plain)
    for arm in arms:
        scheme = make_scheme(config.scheme_of(arm), source.image_shape)
        with sending(scheme, config.keys, shared=arm.kind != "disposable") as send:
            yield Case(arm.name, scheme, send(plain), plain, candidates, send, others)


def case_of_source(source: Source, scheme: Scheme, keys: KeysConfig, num_images: int) -> Iterator[Case]:
    """Encrypt some images of a source, each under a fresh key, as an upload of all of them would.

    Args:
        source: the images.
        scheme: the scheme.
        keys: where keys are from.
        num_images: how many images to attack; fewer if the source has fewer.

    Yields:
        The case. Its keys are erased when the next one is asked for.

    Raises:
        DataError: an image is damaged.
    """
    candidates = _candidates(source, num_images)
    with sending(scheme, keys, shared=False) as send:
        yield Case("these images", scheme, send(candidates[:num_images]), candidates[:num_images], candidates, send)


def _candidates(source: Source, num_images: int) -> np.ndarray:
    image_bytes = int(np.prod(source.image_shape))
    wanted = min(len(source), max(num_images, min(_CANDIDATES, _CANDIDATE_BYTES // image_bytes)))
    # Spread over the source, whose images may be sorted by class; the attacked ones too.
    spread = np.linspace(0, len(source) - 1, wanted).astype(int)
    return read_all(Subset(source, np.random.default_rng(0).permutation(spread)))["image"]


def public_images(spec: str, attacked: np.ndarray) -> np.ndarray:
    """Read images of a source that are not those attacked, and have their shape.

    Args:
        spec: as `dkjax.sources.open.open_source` takes it.
        attacked: uint8[n, H, W, C].

    Returns:
        uint8[k, H, W, C], at most as many as there are candidates.

    Raises:
        ConfigError: there is no such source, or no other image in it.
        DataError: an image is damaged.
    """
    height, width, channels = attacked.shape[1:]
    images = _candidates(open_source(spec, None, image_size=(height, width), channels=channels), 1)
    known = {image.tobytes() for image in attacked}
    others = images[[image.tobytes() not in known for image in images]]
    if not len(others):
        raise ConfigError(f"--public {spec}: all of its images are attacked; name others")
    return others


def case_of_data_set(data_set: EncryptedDataSet, num_images: int, public: str | None = None) -> Case:
    """Take images of an encrypted data set, of which nothing else is known; public ones as `public_images`."""
    chosen = np.linspace(0, len(data_set) - 1, min(num_images, len(data_set))).astype(int)
    sent = Sent(np.asarray(data_set[chosen]["image"]))
    others = None if public is None else public_images(public, sent.images)
    return Case(data_set.path.name, data_set.manifest.scheme.scheme(), sent, public=others)


@contextlib.contextmanager
def sending(scheme: Scheme, config: KeysConfig, shared: bool) -> Iterator[Callable[[np.ndarray], Sent]]:
    """Encrypt as clients do, and remember what the keys decided.

    Args:
        scheme: the scheme.
        config: where keys are from.
        shared: whether all images have one key for as long as the block lasts, or each a fresh one at every call.

    Yields:
        A function from plain images, uint8[n, H, W, C], to encrypted ones.
    """
    ratchet = make_ratchet(config)
    try:
        if shared:
            with ratchet.next_round() as round_keys:
                yield functools.partial(_send, scheme, round_keys.for_client("all images"))
        else:

            def send(images: np.ndarray) -> Sent:
                with ratchet.next_round() as round_keys:
                    return _send(scheme, round_keys.for_client("attacked", len(images)), images)

            yield send
    finally:
        ratchet.discard()


def _send(scheme: Scheme, image_keys: jax.Array, images: np.ndarray) -> Sent:
    encrypted = np.asarray(encrypt(scheme, image_keys, images))
    drawn = _sample(scheme, image_keys, images.shape[1:])
    orders: dict[type, Any] = {type(step): each for step, each in zip(scheme.transforms, drawn, strict=True)}
    count = len(images)
    return Sent(encrypted, _batched(orders.get(BlockScrambling), count), _batched(orders.get(PixelPermutation), count))


@functools.partial(jax.jit, static_argnums=(0, 2))
def _sample(scheme: Scheme, image_keys: jax.Array, image_shape: tuple[int, ...]) -> Any:
    draw = functools.partial(scheme.sample, image_shape=image_shape)
    return jax.vmap(draw)(image_keys) if image_keys.shape else draw(image_keys)


def _batched(orders: jax.Array | None, count: int) -> np.ndarray | None:
    return None if orders is None else np.broadcast_to(np.asarray(orders), (count, orders.shape[-1]))
