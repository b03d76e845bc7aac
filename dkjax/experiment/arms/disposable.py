"""A key for every image, deleted when its round ends."""

from collections.abc import Generator

from dkjax.experiment.arms.kind import ArmInputs, ArmKind, Round


def _rounds(arm: ArmInputs) -> Generator[Round, None, None]:
    views = {"plain": arm.plain_view(), "fresh_key": arm.fresh_key_view()}
    for number in range(1, arm.rounds + 1):
        with arm.ratchet.next_round() as round_keys:
            uploads = arm.upload_all(
                number,
                (round_keys.for_client(client.name, len(client.records["label"])) for client in arm.clients),
            )
        yield Round(uploads, views if number == 1 else {})


KIND = ArmKind("disposable", key_sharing="per_image", test_views=("plain", "fresh_key"), rounds=_rounds)
