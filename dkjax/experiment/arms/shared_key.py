"""One key for all images of all clients, kept over all rounds."""

from collections.abc import Callable, Generator

import jax

from dkjax.cipher import sample
from dkjax.experiment.arms.kind import ArmKind, ArmTask, Round
from dkjax.models.adaptation import adapt_embedding
from dkjax.models.vit import Params


def _rounds(task: ArmTask) -> Generator[Round, None, None]:
    views = {"plain": task.view(None), "fresh_key": task.fresh_key_view()}
    with task.ratchet.next_round() as kept_keys:
        shared_key = kept_keys.for_client("all clients together")
        views["same_key"] = task.view(shared_key)
        adapt = _adaptation(task, shared_key, views["plain"].image_shape) if task.arm.adapt_embedding else _unchanged
        for number in range(1, task.rounds + 1):
            uploads = task.upload_all(number, [shared_key] * len(task.clients))
            yield Round(uploads, views if number == 1 else {}, adapt)


def _adaptation(task: ArmTask, shared_key: jax.Array, image_shape: tuple[int, int, int]) -> Callable[[Params], Params]:
    assert task.arm.scheme is not None  # the kind encrypts
    block_permutation, pixel_permutation = sample(task.arm.scheme, shared_key, image_shape)
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
