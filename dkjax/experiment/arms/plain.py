"""Plain images: what accuracy costs nothing in protection, because there is none."""

from collections.abc import Generator

from dkjax.experiment.arms.kind import ArmInputs, ArmKind, Round


def _rounds(arm: ArmInputs) -> Generator[Round, None, None]:
    for number in range(1, arm.rounds + 1):
        uploads = arm.upload_all(number, [None] * len(arm.clients))
        yield Round(uploads, {"plain": arm.plain_view()} if number == 1 else {})


KIND = ArmKind("plain", key_sharing="none", rounds=_rounds)
