"""A key for every client, kept over all rounds."""

from collections.abc import Generator, Sequence

import jax

from dkjax import keys
from dkjax.experiment.arms.kind import ArmKind, ArmTask, Round
from dkjax.input.device_resident import LazyEncrypted
from dkjax.input.record_pool import RecordPool


def _rounds(task: ArmTask) -> Generator[Round, None, None]:
    views = {"plain": task.view(None), "fresh_key": task.fresh_key_view()}
    with task.ratchet.next_round() as kept_keys:
        client_keys = [kept_keys.for_client(client.name) for client in task.clients]
        views["same_key"] = _under_keys_in_turn(task, client_keys)
        for number in range(1, task.rounds + 1):
            yield Round(task.upload_all(number, client_keys), views if number == 1 else {})


def _under_keys_in_turn(task: ArmTask, client_keys: Sequence[jax.Array]) -> RecordPool | LazyEncrypted:
    """Encrypt test image `i` under the key of client `i mod n`, so that every client's key is tested equally often."""
    image_keys = keys.in_turn(client_keys, len(task.test["label"]))
    try:
        return task.view(image_keys)
    finally:
        keys.erase(image_keys)


KIND = ArmKind("client_key", key_sharing="per_client", test_views=("plain", "fresh_key", "same_key"), rounds=_rounds)
