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

from dkjax.cipher import Scheme
from dkjax.collaborative import server
from dkjax.collaborative.arms import rounds_of_arm
from dkjax.collaborative.augmenting import augmented, augmenting
from dkjax.collaborative.client import Client, HandOver, See, Upload, encrypted_now, upload
from dkjax.collaborative.configured import load_start, make_ratchet
from dkjax.collaborative.curve import open_log, train_evaluated
from dkjax.collaborative.observer import Observer
from dkjax.collaborative.on_disk import upload_to
from dkjax.collaborative.results import arm_summary, data_summary, provenance
from dkjax.collaborative.setting import Setting, is_deferred, prepare
from dkjax.collaborative.visibility import mean_ssim
from dkjax.collaborative.workdir import open_workdir
from dkjax.config import ArmConfig, SimulationConfig, config_hash
from dkjax.data import Records
from dkjax.data.pool import Pool
from dkjax.data.resident import Deferred, Resident, put_on_devices
from dkjax.data.source import Indexed
from dkjax.errors import ConfigError, StoppedError
from dkjax.files import read_json, write_json
from dkjax.models.vit import Params, vit
from dkjax.train.loop import Trainer, make_trainer
from dkjax.train.mesh import replicated
from dkjax.train.processes import agreed, is_leader, leader_does, leaders, others_may_go
from dkjax.train.resume import UNTOLD, Checkpoints, NoCheckpoints
from dkjax.train.stopping import signals_polled
from dkjax.train.trained import Trained, save_trained
from dkjax.train.watching import Profiler, Watch

_CHECKPOINTS = "checkpoints"

SAMPLE_IMAGES = 64
"""Images of the first client kept, as it encrypts them and as the server sees them, for the figure and for SSIM."""


def simulate(
    config: SimulationConfig,
    workdir: Path,
    observer: Observer | None = None,
    watch: Watch = Watch(),  # noqa: B008 (it is frozen)
) -> dict[str, Any]:
    """Run every arm of a configuration and gather the results.

    Everything is checked and read before the folder is touched. Each run's result is written as soon as it is there;
    the same call in the same folder keeps the finished runs and does the rest. A run whose keys are reproducible, or
    that has none, goes on from its newest checkpoint; another begins anew, for its images cannot be encrypted again as
    they were.

    Several processes (`dkjax.train.joining`) call it alike: they divide the training, all encrypt the same, and one
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
    with open_workdir(workdir, config), signals_polled() as stop_asked, others_may_go():
        stopping = agreed(stop_asked)
        arms = []
        for arm in config.arms:
            runs = []
            for run in range(config.train.runs):
                folder = workdir / "arms" / arm.name / f"run-{run}"
                if not leaders((folder / "result.json").exists()):
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
    setting: Setting,
    trainer: Trainer,
    pretrained: Params | None,
    folder: Path,
    observer: Observer,
    stopping: Callable[[], bool],
    watch: Watch,
) -> dict[str, Any]:
    """Let the clients of one arm upload, train the server, and say what came of it."""
    started = time.perf_counter()
    rounds = config.clients.rounds
    seed = config.train.seed + run
    training_server: server.Server | None = None
    upload_bytes, encrypt_seconds, ssim = 0, 0.0, None
    test_views: dict[str, Indexed | Resident] = {}
    with contextlib.ExitStack() as stack:
        see = _seeing(config, setting, stack)
        hand_over: HandOver = functools.partial(upload, see=see)
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
        state, history = checkpoints.newest(trainer.state_like(like)) or (None, UNTOLD)
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
            training_server, history = train_evaluated(
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


def _seeing(config: SimulationConfig, setting: Setting, stack: contextlib.ExitStack) -> See:
    """Return how the server sees images; keys that this copies are erased when the stack is unwound."""
    if not is_deferred(config):
        return encrypted_now

    def see(records: Records, scheme: Scheme | None, image_keys: jax.Array | None) -> Deferred:
        deferred = Deferred(records, scheme, image_keys, image_size=setting.image_shape[:2])
        stack.callback(deferred.discard)
        return deferred

    return see


def _to_test_on(records: Pool | Deferred, trainer: Trainer, stack: contextlib.ExitStack) -> Indexed | Resident:
    """Bring test images to where they are taken from, from where they go when the stack is unwound."""
    if trainer.config.input == "device":
        resident = put_on_devices([records], replicated(trainer.mesh))
        stack.callback(resident.discard)
        return resident
    assert isinstance(records, Pool)
    return records


def _unless_stopped(hand_over: HandOver, stopping: Callable[[], bool]) -> HandOver:
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
