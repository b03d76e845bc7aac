"""A run of an arm whose clients upload: each round is a stage of the training."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator

import jax
import numpy as np

from dkjax.attacks.ssim import mean_ssim
from dkjax.cipher import Scheme
from dkjax.client.upload import Client, Upload
from dkjax.errors import ArgumentError
from dkjax.experiment.arms.kind import ArmResult, ArmTask
from dkjax.input.device_resident import DeviceResident, LazyEncrypted, put_on_devices
from dkjax.input.record_pool import RecordPool
from dkjax.runtime.ledger import LEDGER, Ledger, timed
from dkjax.runtime.processes import is_leader, leader_does
from dkjax.server.received import Received, receive
from dkjax.sources.source import Indexed
from dkjax.train.loop import Trainer
from dkjax.train.mesh import replicated
from dkjax.train.run import Stage, train_run


@dataclasses.dataclass
class _Measured:
    upload_bytes: int = 0
    encrypt_seconds: float = 0.0
    ssim: float | None = None
    client_bytes: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)


def train_on_rounds(task: ArmTask) -> ArmResult:
    """Let the clients of an arm upload round by round, and train on what is received.

    Every upload is an event in `ledger.jsonl`.

    Raises:
        ArgumentError: the first round has other test views than the arm's kind.
        NonFiniteLossError: training diverged.
        StoppedError: the run was asked to stop.

    Guarantees:
        - the ledger's bytes are those of the result (`test_federated_training.py::test_the_ledger_has_every_byte`).
    """
    measured, folder, hand_over = _Measured(), task.run.folder, task.upload
    # Begun anew, as every upload is, also where the training goes on.
    ledger = Ledger(folder / LEDGER if folder is not None and is_leader() else None, keep=lambda event: False)

    def upload(client: Client, number: int, scheme: Scheme | None, image_keys: jax.Array | None) -> Upload:
        with timed() as took:
            sent = hand_over(client, number, scheme, image_keys)
        ledger.write("sent", client.name, sent.num_bytes, took.seconds, took.cpu_seconds, round=number)
        return sent

    task = dataclasses.replace(task, upload=upload)
    with contextlib.ExitStack() as stack:
        finished = train_run(task.run, _stages(task, measured, stack))
    return ArmResult(finished, measured.upload_bytes, measured.encrypt_seconds, measured.ssim, measured.client_bytes)


def _stages(task: ArmTask, measured: _Measured, stack: contextlib.ExitStack) -> Iterator[Stage]:
    """Yield a stage for each round; keys, and what is put on the devices, are deleted when the stack is unwound."""
    kind, trainer, folder = task.arm.kind, task.run.trainer, task.run.folder
    assert kind.rounds is not None and folder is not None
    arriving = kind.rounds(task)
    stack.callback(arriving.close)
    received: Received | None = None
    test_sets: dict[str, Indexed | DeviceResident] = {}
    for number in range(1, task.rounds + 1):
        before = time.perf_counter()
        this_round = next(arriving)
        measured.encrypt_seconds += time.perf_counter() - before
        for sent in this_round.uploads:
            measured.upload_bytes += sent.num_bytes
            measured.client_bytes.setdefault(sent.client, {"up": 0, "down": 0})["up"] += sent.num_bytes
        task.run.observer.encrypted(task.arm.name, number, sum(len(sent.pool) for sent in this_round.uploads))
        if number == 1:
            if {*this_round.test_views} != {*kind.test_views}:
                found = ", ".join(this_round.test_views)
                raise ArgumentError(f"the kind of arm {kind.name!r} has test views {found}, not its test_views")
            test_sets = {view: to_test_on(images, trainer, stack) for view, images in this_round.test_views.items()}
            plain = task.sample
            seen = this_round.uploads[0].pool[: len(plain)]["image"]
            leader_does(functools.partial(np.savez, folder / "seen.npz", plain=plain, seen=seen))
            measured.ssim = mean_ssim(plain, seen)
        received = receive(this_round.uploads, trainer, received, task.train_on)
        stack.callback(received.discard)
        yield received.stage(task.run, test_sets, this_round.adapt)


def to_test_on(
    records: RecordPool | LazyEncrypted, trainer: Trainer, stack: contextlib.ExitStack
) -> Indexed | DeviceResident:
    """Put test images on the devices if training is fed from there; they are deleted when the stack is unwound."""
    if trainer.config.input == "device":
        on_devices = put_on_devices([records], replicated(trainer.mesh))
        stack.callback(on_devices.discard)
        return on_devices
    assert isinstance(records, RecordPool)
    return records
