"""The arms of a comparison: who holds which key, for how long, and how the test images are seen.

Each arm turns clients into rounds of uploads with the same client function, and differs only in the keys. A test view
is the test set as a user of the trained model might send it: `plain`, under fresh keys of its own for every image
(`fresh_key`), or under the key that encrypted the training images (`same_key`), where such a key exists.
"""

import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import Any

import jax

from dkjax import keys
from dkjax.cipher import Scheme, sample
from dkjax.client.upload import Client, EncryptView, Upload, Uploader, encrypted_now, upload
from dkjax.config import ArmConfig
from dkjax.input.device_resident import LazyEncrypted
from dkjax.input.record_pool import RecordPool
from dkjax.keys import Ratchet
from dkjax.models.adaptation import adapt_embedding
from dkjax.sources import Records

KEY_SHARING: dict[str, Any] = {
    "plain": "none",
    "disposable": "per_image",
    "client_key": "per_client",
    "shared_key": "shared",
}
"""Which images share a key, by the kind of arm."""


@dataclasses.dataclass(frozen=True)
class Round:
    """What one round brings.

    Attributes:
        uploads: one for each client.
        test_views: the test set in every way this arm can be tested, by name; empty after the first round.
        adapt: turns the parameters a training starts from into those for this arm's key.
    """

    uploads: tuple[Upload, ...]
    test_views: dict[str, RecordPool | LazyEncrypted]
    adapt: Callable[[Any], Any] = lambda params: params


def rounds_of_arm(
    arm: ArmConfig,
    scheme: Scheme | None,
    clients: Sequence[Client],
    test: Records,
    ratchet: Ratchet,
    rounds: int,
    hand_over: Uploader = upload,
    see: EncryptView = encrypted_now,
) -> Generator[Round, None, None]:
    """Let every client encrypt and upload, round after round.

    Keys live inside this generator: a round's disposable keys are deleted before the round is yielded; the keys of
    `client_key` and `shared_key` arms, which have to be kept, are deleted when the generator ends or is closed.

    Args:
        arm: which arm.
        scheme: its scheme; None for plain images.
        clients: who uploads.
        test: the plain test images and labels.
        ratchet: where keys come from.
        rounds: how many rounds.
        hand_over: how images reach the server, plain ones too.
        see: how the test images are seen under keys.

    Yields:
        The rounds, in order.
    """
    if scheme is None:
        return _plain_rounds(clients, test, rounds, hand_over, see)
    rounds_of_kind = {
        "disposable": _disposable_rounds,
        "client_key": _client_key_rounds,
        "shared_key": _shared_key_rounds,
    }
    return rounds_of_kind[arm.kind](arm, scheme, clients, test, ratchet, rounds, hand_over, see)


def _plain_rounds(
    clients: Sequence[Client], test: Records, rounds: int, hand_over: Uploader, see: EncryptView
) -> Generator[Round, None, None]:
    for number in range(1, rounds + 1):
        uploads = tuple(hand_over(client, number, None, None) for client in clients)
        yield Round(uploads, {"plain": see(test, None, None)} if number == 1 else {})


def _disposable_rounds(
    arm: ArmConfig,
    scheme: Scheme,
    clients: Sequence[Client],
    test: Records,
    ratchet: Ratchet,
    rounds: int,
    hand_over: Uploader,
    see: EncryptView,
) -> Generator[Round, None, None]:
    test_views = {"plain": see(test, None, None), "fresh_key": _under_fresh_keys(scheme, test, ratchet, see)}
    for number in range(1, rounds + 1):
        with ratchet.next_round() as round_keys:
            uploads = tuple(
                hand_over(client, number, scheme, round_keys.for_client(client.name, len(client.records["label"])))
                for client in clients
            )
        yield Round(uploads, test_views if number == 1 else {})


def _client_key_rounds(
    arm: ArmConfig,
    scheme: Scheme,
    clients: Sequence[Client],
    test: Records,
    ratchet: Ratchet,
    rounds: int,
    hand_over: Uploader,
    see: EncryptView,
) -> Generator[Round, None, None]:
    views = {"plain": see(test, None, None), "fresh_key": _under_fresh_keys(scheme, test, ratchet, see)}
    with ratchet.next_round() as kept_keys:
        client_keys = [kept_keys.for_client(client.name) for client in clients]
        test_views = {**views, "same_key": _under_keys_in_turn(scheme, test, client_keys, see)}
        for number in range(1, rounds + 1):
            uploads = tuple(
                hand_over(client, number, scheme, key) for client, key in zip(clients, client_keys, strict=True)
            )
            yield Round(uploads, test_views if number == 1 else {})


def _shared_key_rounds(
    arm: ArmConfig,
    scheme: Scheme,
    clients: Sequence[Client],
    test: Records,
    ratchet: Ratchet,
    rounds: int,
    hand_over: Uploader,
    see: EncryptView,
) -> Generator[Round, None, None]:
    views = {"plain": see(test, None, None), "fresh_key": _under_fresh_keys(scheme, test, ratchet, see)}
    with ratchet.next_round() as kept_keys:
        shared_key = kept_keys.for_client("all clients together")
        test_views = {**views, "same_key": see(test, scheme, shared_key)}
        adapt = _adaptation(scheme, shared_key, views["plain"]) if arm.adapt_embedding else _unchanged
        for number in range(1, rounds + 1):
            uploads = tuple(hand_over(client, number, scheme, shared_key) for client in clients)
            yield Round(uploads, test_views if number == 1 else {}, adapt)


def _under_fresh_keys(scheme: Scheme, test: Records, ratchet: Ratchet, see: EncryptView) -> RecordPool | LazyEncrypted:
    with ratchet.next_round() as round_keys:
        return see(test, scheme, round_keys.for_client("test", len(test["label"])))


def _under_keys_in_turn(
    scheme: Scheme, test: Records, client_keys: Sequence[jax.Array], see: EncryptView
) -> RecordPool | LazyEncrypted:
    """Encrypt test image `i` under the key of client `i mod n`, so that every client's key is tested equally often."""
    image_keys = keys.in_turn(client_keys, len(test["label"]))
    try:
        return see(test, scheme, image_keys)
    finally:
        keys.erase(image_keys)


def _adaptation(scheme: Scheme, shared_key: jax.Array, test: RecordPool | LazyEncrypted) -> Callable[[Any], Any]:
    block_permutation, pixel_permutation = sample(scheme, shared_key, test.image_shape)
    return lambda params: adapt_embedding(params, block_permutation, pixel_permutation)


def _unchanged(params: Any) -> Any:
    return params
