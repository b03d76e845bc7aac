"""One key for all images of all clients, kept over all rounds."""

from collections.abc import Callable, Generator

import jax

from dkjax.cipher import sample
from dkjax.experiment.arms.kind import ArmInputs, ArmKind, Round
from dkjax.models.adaptation import adapt_embedding
from dkjax.models.vit import Params


def _rounds(arm: ArmInputs) -> Generator[Round, None, None]:
    views = {"plain": arm.plain_view(), "fresh_key": arm.fresh_key_view()}
    with arm.ratchet.next_round() as kept_keys:
        shared_key = kept_keys.for_client("all clients together")
        views["same_key"] = arm.encrypt_view(arm.test, arm.scheme, shared_key)
        adapt = _adaptation(arm, shared_key, views["plain"].image_shape) if arm.adapt_embedding else _unchanged
        for number in range(1, arm.rounds + 1):
            uploads = arm.upload_all(number, [shared_key] * len(arm.clients))
            yield Round(uploads, views if number == 1 else {}, adapt)


def _adaptation(arm: ArmInputs, shared_key: jax.Array, image_shape: tuple[int, int, int]) -> Callable[[Params], Params]:
    assert arm.scheme is not None  # the kind encrypts
    block_permutation, pixel_permutation = sample(arm.scheme, shared_key, image_shape)
    return lambda params: adapt_embedding(params, block_permutation, pixel_permutation)


def _unchanged(params: Params) -> Params:
    return params


KIND = ArmKind(
    "shared_key",
    key_sharing="shared",
    test_views=("plain", "fresh_key", "same_key"),
    adaptable=True,
    rounds=_rounds,
)
