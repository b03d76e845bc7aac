"""Plain images: what accuracy costs nothing in protection, because there is none."""

from collections.abc import Generator

from dkjax.experiment.arms.kind import ArmKind, ArmTask, Round


def _rounds(task: ArmTask) -> Generator[Round, None, None]:
    for number in range(1, task.rounds + 1):
        uploads = task.upload_all(number, [None] * len(task.clients))
        yield Round(uploads, {"plain": task.view(None)} if number == 1 else {})


KIND = ArmKind("plain", key_sharing="none", rounds=_rounds)
