"""A key for every image, deleted when its round ends."""

from collections.abc import Generator

from dkjax.experiment.arms.kind import ArmKind, ArmTask, Round


def _rounds(task: ArmTask) -> Generator[Round, None, None]:
    views = {"plain": task.view(None), "fresh_key": task.fresh_key_view()}
    for number in range(1, task.rounds + 1):
        with task.ratchet.next_round() as round_keys:
            uploads = task.upload_all(
                number,
                (round_keys.for_client(client.name, len(client.records["label"])) for client in task.clients),
            )
        yield Round(uploads, views if number == 1 else {})


KIND = ArmKind("disposable", key_sharing="per_image", test_views=("plain", "fresh_key"), rounds=_rounds)
