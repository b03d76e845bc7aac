"""A client's whole work in one call: fresh keys, encryption, no key left."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np

from dkjax.cipher import Scheme, schemes
from dkjax.client.data_set import Order, encrypt_data_set
from dkjax.client.from_config import make_ratchet
from dkjax.client.upload import Client, Upload, upload
from dkjax.config import KeysConfig
from dkjax.dkds import EncryptedDataSet, PackedDataSet
from dkjax.dkds.packed import open_for_a_look
from dkjax.errors import ArgumentError
from dkjax.sources import ArraySource, Source, read_all


@overload
def encrypt(
    images: np.ndarray | Source,
    labels: Sequence[int] | np.ndarray | None = None,
    scheme: Scheme | None = None,
    *,
    client: str | None = None,
    class_names: Sequence[str] | None = None,
    out: None = None,
    views: Literal[1] = 1,
    seed: int | None = None,
    prng: str = "chacha20",
) -> Upload: ...


@overload
def encrypt(
    images: np.ndarray | Source,
    labels: Sequence[int] | np.ndarray | None = None,
    scheme: Scheme | None = None,
    *,
    client: str | None = None,
    class_names: Sequence[str] | None = None,
    out: str | os.PathLike[str],
    views: int = 1,
    packed: Literal[False] = False,
    seed: int | None = None,
    prng: str = "chacha20",
) -> EncryptedDataSet: ...


@overload
def encrypt(
    images: np.ndarray | Source,
    labels: Sequence[int] | np.ndarray | None = None,
    scheme: Scheme | None = None,
    *,
    client: str | None = None,
    class_names: Sequence[str] | None = None,
    out: str | os.PathLike[str],
    views: int = 1,
    packed: Literal[True],
    seed: int | None = None,
    prng: str = "chacha20",
) -> PackedDataSet: ...


def encrypt(
    images: np.ndarray | Source,
    labels: Sequence[int] | np.ndarray | None = None,
    scheme: Scheme | None = None,
    *,
    client: str | None = None,
    class_names: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    views: int = 1,
    packed: bool = False,
    seed: int | None = None,
    prng: str = "chacha20",
) -> Upload | EncryptedDataSet | PackedDataSet:
    """Encrypt images under keys that are made for this call and erased before it returns.

    Every image has a key of its own. In memory the order stays; in a data set on disk it is drawn at random.

    Args:
        images: uint8[n, H, W, C] or uint8[n, H, W]; or a source, such as `dkjax.sources.open_source` opens, which has
            its labels and class names itself.
        labels: integers [n].
        scheme: the encryption, one for images of `uint8`.
        client: a pseudonym, the only thing that is said of where the images come from; made up if None.
        class_names: by label; by default the labels 0, 1, ... as text. A site that lacks a class names it all the same.
        out: a folder `NAME.dkds` to write; the call goes on with one that was begun. None to stay in memory.
        views: encryptions of each image, under different keys; for data sets on disk.
        packed: write the data set packed, to be handed over: for `sorted_blocks`, a tenth of the bytes of photographs.
            The server unpacks it (`dkjax.dkds.convert.convert_data_set`; `dkjax ingest` does so itself).
        seed: for experiments: keys that anybody can make again who knows it. None for keys from the operating system.
        prng: `"chacha20"` or `"threefry2x32"`.

    Returns:
        An `Upload` in memory, or the `EncryptedDataSet` that was written: what `dkjax.server.train` takes. Or the
        `PackedDataSet` that was written, which it takes once it is unpacked.

    Raises:
        ArgumentError: the scheme does not fit the images, there is none, or labels or names are wrong.
        DataError: there are no images, or labels that do not fit them.
        ConfigError: `out` holds something else, or the PRNG may not hold cipher keys.

    Guarantees:
        - no key is left in memory (`tests/test_keys_in_memory.py`).
        - the same image twice gives two encryptions (`test_client_encrypt.py::test_every_image_has_its_own_key`).

    Example:
        >>> import numpy as np, dkjax
        >>> scheme = dkjax.schemes.disposable(block_size=4)
        >>> sent = dkjax.client.encrypt(np.zeros((5, 8, 8), np.uint8), [0, 1, 2, 0, 1], scheme, client="plant-a")
        >>> sent.client, sent.class_names, sent.pool[:]["image"].shape
        ('plant-a', ('0', '1', '2'), (5, 8, 8, 1))
    """
    if scheme is None:
        raise ArgumentError("encrypt needs a scheme, such as dkjax.schemes.disposable(block_size=16)")
    source = _source(images, labels, class_names)
    keys = KeysConfig(mode="disposable" if seed is None else "reproducible", seed=seed, prng=prng)
    if out is not None:
        path = Path(out)
        encrypt_data_set(source, path, Order(scheme, keys, client=client, views=views, packed=packed))
        return open_for_a_look(path)
    if packed:
        raise ArgumentError("packed is for data sets on disk: give out")
    if views != 1:
        raise ArgumentError(f"views={views} is for data sets on disk: give out, or call encrypt as often")
    scheme.check(source.image_shape, np.uint8)
    schemes.require_round_trip(scheme, source.image_shape)
    site = Client(client or "client", read_all(source))
    ratchet = make_ratchet(keys)
    try:
        with ratchet.next_round() as round_keys:
            image_keys = round_keys.for_client(site.name, len(site.records["label"]))
            return upload(site, 1, scheme, image_keys, class_names=source.class_names)
    finally:
        ratchet.discard()


def _source(
    images: np.ndarray | Source, labels: Sequence[int] | np.ndarray | None, class_names: Sequence[str] | None
) -> Source:
    if isinstance(images, Source):
        if labels is not None or class_names is not None:
            raise ArgumentError("a source has labels and class names of its own: leave them out")
        return images
    if labels is None:
        raise ArgumentError("images as an array need labels, one for each")
    numbers = np.asarray(labels)
    if class_names is None:
        class_names = [str(label) for label in range(int(numbers.max(initial=-1)) + 1)]
    return ArraySource(np.asarray(images), numbers, class_names)
