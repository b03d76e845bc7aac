"""Clients of a simulation that change their images at random before they encrypt them, anew in every round."""

import dataclasses

import jax

from dkjax.cipher import Scheme
from dkjax.client.augment import augment
from dkjax.client.upload import Client, RecordBuffer, Upload, Uploader, records_at_a_time
from dkjax.config import AugmentConfig
from dkjax.seeds import generator
from dkjax.sources.source import take


def augmented(client: Client, round_number: int, config: AugmentConfig, seed: int, limit: int | None = None) -> Client:
    """Return a client with the images that it encrypts in a round.

    Args:
        client: whose images.
        round_number: the round, from 1.
        config: what is done to them.
        seed: of a run; no cipher key depends on it.
        limit: how many of its images are needed, from the first on; all if None.

    Returns:
        A client of the same name; the very same one where nothing is asked for and nothing is left out.

    Guarantees:
        - which changes are made depends on the client's name, the round and the seed alone
          (`test_augmenting.py::test_changes_depend_on_client_round_and_seed`).
        - the first images are the same whatever the limit (`test_augmenting.py::test_the_first_images`).
    """
    size = len(client.records["label"])
    wanted = size if limit is None else min(limit, size)
    if config == AugmentConfig():
        return client if wanted == size else dataclasses.replace(client, records=take(client.records, slice(wanted)))
    random = generator(f"dkjax.collaborative.augmenting {client.name} round {round_number}", seed)
    image_shape = client.records["image"].shape[1:]
    room = RecordBuffer(wanted, image_shape)
    for first in range(0, wanted, records_at_a_time(image_shape)):
        # Always a whole chunk: what is drawn for an image depends on how many are drawn for.
        chunk = take(client.records, slice(first, first + records_at_a_time(image_shape)))
        room.append(take(augment(chunk, random, **config.model_dump()), slice(wanted - first)))
    return dataclasses.replace(client, records=room.records)


def augmenting(uploader: Uploader, config: AugmentConfig, seed: int) -> Uploader:
    """Let clients augment their images before they upload them.

    Args:
        uploader: how they upload them.
        config: what is done to them; freshly in every round, and the same in every arm.
        seed: of a run.

    Returns:
        A function like `uploader`.
    """

    def upload(client: Client, round_number: int, scheme: Scheme | None, image_keys: jax.Array | None) -> Upload:
        return uploader(augmented(client, round_number, config, seed), round_number, scheme, image_keys)

    return upload
