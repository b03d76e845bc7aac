"""Clients and server in one process: every arm of the comparison, run by run, and what came of it."""

import contextlib
import functools
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dkjax.attacks.ssim import mean_ssim
from dkjax.cipher import Scheme
from dkjax.client.from_config import make_ratchet
from dkjax.client.upload import Client, EncryptView, Upload, Uploader, encrypted_now, upload
from dkjax.config import ArmConfig, SimulationConfig, config_hash
from dkjax.errors import ConfigError, StoppedError
from dkjax.experiment.arms import rounds_of_arm
from dkjax.experiment.augmenting import augmented, augmenting
from dkjax.experiment.on_disk import upload_to
from dkjax.experiment.results import arm_summary, data_summary
from dkjax.experiment.shared_setup import SharedSetup, encrypts_on_devices, prepare
from dkjax.input.device_resident import DeviceResident, LazyEncrypted, put_on_devices
from dkjax.input.record_pool import RecordPool
from dkjax.models.from_config import load_start
from dkjax.models.vit import Params, vit
from dkjax.runtime.files import read_json, write_json
from dkjax.runtime.processes import broadcast_from_leader, is_leader, leader_does, synced_stop, translate_lost_peer
from dkjax.runtime.signals import signals_polled
from dkjax.server import state as server
from dkjax.server.fit import fit, open_log
from dkjax.server.workdir import open_workdir
from dkjax.sources import Records
from dkjax.sources.source import Indexed
from dkjax.train.checkpoints import EMPTY_HISTORY, Checkpoints, NoCheckpoints
from dkjax.train.loop import Trainer, make_trainer
from dkjax.train.mesh import replicated
from dkjax.train.observer import Observer
from dkjax.train.profiling import Profiler, Profiling
from dkjax.train.provenance import provenance
from dkjax.train.trained_model import Trained, save_trained

_CHECKPOINTS = "checkpoints"

SAMPLE_IMAGES = 64
"""Images of the first client kept, as it encrypts them and as the server sees them, for the figure and for SSIM."""


def simulate(
    config: SimulationConfig,
    workdir: Path,
    observer: Observer | None = None,
    watch: Profiling = Profiling(),  # noqa: B008 (it is frozen)
) -> dict[str, Any]:
    """Run every arm of a configuration and gather the results.

    Everything is checked and read before the folder is touched. Each run's result is written as soon as it is there;
    the same call in the same folder keeps the finished runs and does the rest. A run whose keys are reproducible, or
    that has none, goes on from its newest checkpoint; another begins anew, for its images cannot be encrypted again as
    they were.

    Several processes (`dkjax.runtime.join`) call it alike: they divide the training, all encrypt the same, and one
    writes.

    Args:
        config: what to run.
        workdir: the folder for the results; created, or gone on with if it holds the same configuration.
        observer: told what happens; only the leader's is.
        watch: what is recorded of each run beside its metrics.

    Returns:
        What is written to `results.json`: the arms with their accuracies, the resolved configuration, versions,
        device, and the clients' share of the data.

    Raises:
        ConfigError: the configuration does not fit the images, the devices or the processes, or the folder holds
            something else.
        DataError: images are missing or damaged, or a client would have none.
        NonFiniteLossError: training diverged.
        StoppedError: SIGINT or SIGTERM came; what was finished is on the disk.
        TransportError: another process is gone.

    Guarantees:
        - stopped or killed at any step, the same call ends with the same results, to the bit, where keys are
          reproducible (`test_simulation_resumes.py`).
        - the results are the same whether clients write data sets or not, to the bit
          (`test_simulation.py::test_on_disk_is_the_same_bit_for_bit`), and whether images are encrypted beforehand or
          on the devices, batch by batch (`test_simulation_on_devices.py`).
    """
    observer = observer if observer is not None and is_leader() else Observer()
    _check_processes(config)
    setting = prepare(config, observer)
    num_records = sum(len(client.records["label"]) for client in setting.clients)
    model = vit(num_classes=len(setting.class_names), patch_size=config.patch_size, **config.model.settings())
    pretrained, notes = load_start(config.model, model, setting.image_shape)
    trainer = make_trainer(config.train, model, num_records, image_shape=setting.image_shape)
    notes += _notes(config)
    for note in notes:
        observer.note(note)
    with open_workdir(workdir, config), signals_polled() as stop_asked, translate_lost_peer():
        stopping = synced_stop(stop_asked)
        arms = []
        for arm in config.arms:
            runs = []
            for run in range(config.train.runs):
                folder = workdir / "arms" / arm.name / f"run-{run}"
                if not broadcast_from_leader((folder / "result.json").exists()):
                    observer.run_started(arm.name, run + 1, config.train.runs, trainer.total_steps)
                    folder.mkdir(parents=True, exist_ok=True)
                    result = _run_arm(config, arm, run, setting, trainer, pretrained, folder, observer, stopping, watch)
                    leader_does(functools.partial(_keep_result, folder, result))
                    observer.run_finished(arm.name, run + 1, result["test_accuracy"])
                else:
                    result = read_json(folder / "result.json") or {}
                    observer.run_kept(arm.name, run + 1)
                runs.append(result)
            arms.append(arm_summary(config, arm, setting, runs))
        results = {"arms": arms, "data": data_summary(setting), "notes": notes, **provenance(config)}
        leader_does(lambda: write_json(workdir / "results.json", results))
    return results


def _run_arm(
    config: SimulationConfig,
    arm: ArmConfig,
    run: int,
    setting: SharedSetup,
    trainer: Trainer,
    pretrained: Params | None,
    folder: Path,
    observer: Observer,
    stopping: Callable[[], bool],
    watch: Profiling,
) -> dict[str, Any]:
    """Let the clients of one arm upload, train the server, and say what came of it."""
    started = time.perf_counter()
    rounds = config.clients.rounds
    seed = config.train.seed + run
    training_server: server.ServerState | None = None
    upload_bytes, encrypt_seconds, ssim = 0, 0.0, None
    test_views: dict[str, Indexed | DeviceResident] = {}
    with contextlib.ExitStack() as stack:
        see = _seeing(config, setting, stack)
        hand_over: Uploader = functools.partial(upload, see=see)
        if config.store.on_disk:
            # What a stopped run left is of no use: this one encrypts again.
            leader_does(lambda: shutil.rmtree(folder / "uploads", ignore_errors=True))
            hand_over = upload_to(folder / "uploads", config, arm, run, setting.class_names)
        hand_over = augmenting(_unless_stopped(hand_over, stopping), config.augment, seed)
        ratchet = make_ratchet(config.keys, run)
        stack.callback(ratchet.discard)
        scheme = setting.schemes[arm.name]
        arriving = rounds_of_arm(arm, scheme, setting.clients, setting.test, ratchet, rounds, hand_over, see)
        stack.callback(arriving.close)
        checkpoints = stack.enter_context(_checkpoints(config, arm, run, folder, observer, stopping))
        init_key, dropout_key = jax.random.split(jax.random.key(seed))
        like = jax.eval_shape(lambda: trainer.model.init(init_key, setting.image_shape))
        state, history = checkpoints.newest(trainer.state_like(like)) or (None, EMPTY_HISTORY)
        if state is not None:
            observer.note(f"{arm.name} run {run + 1}: going on after step {int(state.step)} of {trainer.total_steps}")
        log = stack.enter_context(open_log(folder, history, watch))
        profiler = stack.enter_context(Profiler(folder / "profile", watch.profile))
        for number in range(1, rounds + 1):
            before = time.perf_counter()
            this_round = next(arriving)
            encrypt_seconds += time.perf_counter() - before
            upload_bytes += sum(sent.num_bytes for sent in this_round.uploads)
            observer.encrypted(arm.name, number, sum(len(sent.pool) for sent in this_round.uploads))
            if training_server is None:
                views = this_round.test_views.items()
                test_views = {view: _to_test_on(records, trainer, stack) for view, records in views}
                first_client = augmented(setting.clients[0], 1, config.augment, seed, limit=SAMPLE_IMAGES)
                plain = see(first_client.records, None, None)[:SAMPLE_IMAGES]["image"]
                seen = this_round.uploads[0].pool[: len(plain)]["image"]
                leader_does(functools.partial(np.savez, folder / "seen.npz", plain=plain, seen=seen))
                ssim = mean_ssim(plain, seen)
                if state is None:
                    start = trainer.model.init(init_key, setting.image_shape) if pretrained is None else pretrained
                    state = trainer.start(this_round.adapt(start))
                training_server = server.start(trainer, state, order_seed=seed, prng_key=dropout_key)
            training_server = server.receive(training_server, this_round.uploads, config.clients.train_on)
            stack.callback(server.give_back, training_server)
            steps = range(*(trainer.total_steps * edge // rounds for edge in (number - 1, number)))
            training_server, history = fit(
                training_server, steps, test_views, log, observer, history, checkpoints, profiler.before_step
            )
    assert training_server is not None  # there is at least one round
    params = training_server.state.params
    save_trained(folder, Trained(trainer.model, params, setting.image_shape, setting.class_names))
    return {
        "test_accuracy": history.curve[-1]["test_accuracy"],
        "curve": list(history.curve),
        "upload_bytes": upload_bytes,
        "ssim": ssim,
        "encrypt_seconds": round(encrypt_seconds, 3),
        "seconds": round(time.perf_counter() - started, 3),
    }


def _seeing(config: SimulationConfig, setting: SharedSetup, stack: contextlib.ExitStack) -> EncryptView:
    """Return how the server sees images; keys that this copies are erased when the stack is unwound."""
    if not encrypts_on_devices(config):
        return encrypted_now

    def see(records: Records, scheme: Scheme | None, image_keys: jax.Array | None) -> LazyEncrypted:
        deferred = LazyEncrypted(records, scheme, image_keys, image_size=setting.image_shape[:2])
        stack.callback(deferred.discard)
        return deferred

    return see


def _to_test_on(
    records: RecordPool | LazyEncrypted, trainer: Trainer, stack: contextlib.ExitStack
) -> Indexed | DeviceResident:
    """Bring test images to where they are taken from, from where they go when the stack is unwound."""
    if trainer.config.input == "device":
        resident = put_on_devices([records], replicated(trainer.mesh))
        stack.callback(resident.discard)
        return resident
    assert isinstance(records, RecordPool)
    return records


def _unless_stopped(hand_over: Uploader, stopping: Callable[[], bool]) -> Uploader:
    """Look for a stop before a client encrypts, which may take long."""

    def unless_stopped(client: Client, round_number: int, scheme: Scheme | None, keys: jax.Array | None) -> Upload:
        if stopping():
            raise StoppedError(
                "stopped while clients encrypted; what was finished is kept, and the same command goes on"
            )
        return hand_over(client, round_number, scheme, keys)

    return unless_stopped


def _checkpoints(
    config: SimulationConfig, arm: ArmConfig, run: int, folder: Path, observer: Observer, stopping: Callable[[], bool]
) -> Checkpoints:
    if config.keys.mode == "disposable" and arm.kind != "plain":
        return NoCheckpoints(stopping)
    return Checkpoints(
        folder / _CHECKPOINTS,
        {"config_hash": config_hash(config), "arm": arm.name, "run": run},
        every=config.train.checkpoint_every,
        keep=1,
        best=False,
        stop_asked=stopping,
        warn=observer.warning,
    )


def _keep_result(folder: Path, result: dict[str, Any]) -> None:
    """Write what came of a run; what it would have gone on from is not needed any more."""
    write_json(folder / "result.json", result)
    shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)


def _check_processes(config: SimulationConfig) -> None:
    if jax.process_count() > 1 and config.keys.mode == "disposable":
        raise ConfigError(
            f"{jax.process_count()} processes would encrypt each image under keys of their own, as nobody can know "
            "disposable keys: set keys.mode=reproducible and keys.seed, or run the simulation in one process"
        )


def _notes(config: SimulationConfig) -> list[str]:
    notes = []
    if config.keys.mode == "reproducible":
        notes.append(
            "keys are reproducible: anybody who knows the seed can decrypt, so this is for experiments, never for "
            "images that must not be seen"
        )
    if config.clients.rounds > 1 and any(arm.kind == "disposable" for arm in config.arms):
        notes.append(
            f"{config.clients.rounds} rounds show the server {config.clients.rounds} encryptions of every image under "
            "different keys, which together reveal more than one"
        )
    return notes
