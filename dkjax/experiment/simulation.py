"""Clients and server in one process: every arm of the comparison, run by run, and what came of it."""

import contextlib
import dataclasses
import functools
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import optax

from dkjax.cipher import Scheme
from dkjax.client.from_config import make_ratchet
from dkjax.client.upload import Client, EncryptView, Upload, Uploader, encrypted_now, upload
from dkjax.config import ExperimentConfig, SimulationConfig, config_hash
from dkjax.errors import ConfigError, StoppedError
from dkjax.experiment.arms.kind import Arm, ArmTask
from dkjax.experiment.augmenting import augmented, augmenting
from dkjax.experiment.federated_training import check_federated
from dkjax.experiment.on_disk import upload_to
from dkjax.experiment.results import arm_summary, data_summary
from dkjax.experiment.shared_setup import SharedSetup, encrypts_on_devices, prepare
from dkjax.experiment.upload_training import train_on_rounds
from dkjax.input.device_resident import LazyEncrypted
from dkjax.models.reading import Reading
from dkjax.models.vit import Model, Params, vit
from dkjax.runtime.files import read_results, write_json
from dkjax.runtime.processes import broadcast_from_leader, is_leader, leader_does, synced_stop, translate_lost_peer
from dkjax.runtime.signals import signals_polled
from dkjax.server.workdir import open_workdir
from dkjax.sources import Records
from dkjax.train.checkpoints import Checkpoints, NoCheckpoints
from dkjax.train.loop import Trainer, make_trainer
from dkjax.train.observer import Observer
from dkjax.train.pretrained_start import Start, load_start
from dkjax.train.profiling import Profiling
from dkjax.train.provenance import provenance
from dkjax.train.run import Run

_CHECKPOINTS = "checkpoints"
_RESULT = (
    "test_accuracy",
    "curve",
    "upload_bytes",
    "client_bytes",
    "ssim",
    "seconds",
    "encrypt_seconds",
    "client_seconds",
    "federation",
)

SAMPLE_IMAGES = 64
"""Images of the first client kept, as it encrypts them and as the server sees them, for the figure and for SSIM."""


def simulate(
    config: SimulationConfig,
    workdir: Path,
    observer: Observer | None = None,
    profiling: Profiling = Profiling(),  # noqa: B008 (it is frozen)
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
        profiling: what is recorded of each run beside its metrics.

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
    check_processes(config)
    setup = prepare(config, observer)
    model = vit(num_classes=len(setup.class_names), patch_size=config.patch_size, **config.model.settings())
    check_federated(config.federated, config.train, model.width, [arm.kind for arm in config.arms])
    readings = _readings(setup, model)
    loaded = {
        reading: load_start(config.model, dataclasses.replace(model, reading=reading), setup.image_shape)
        for reading in dict.fromkeys(readings.values())
    }
    trainers = make_trainers(config, setup, model, starts=loaded)
    starts = {asked: loaded[reading].params for asked, reading in readings.items()}
    notes = [note for start in loaded.values() for note in start.notes]
    notes += notes_on_keys(config, [arm.kind for arm in config.arms])
    for note in notes:
        observer.note(note)
    experiment = Experiment(config, setup, trainers, starts, observer, profiling)
    with open_workdir(workdir, config):
        arms = experiment.run_arms(workdir)
        results = {"arms": arms, "data": data_summary(setup), "notes": notes, **provenance(config)}
        leader_does(lambda: write_json(workdir / "results.json", results))
    return results


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Arms that are compared, and what all their runs have in common.

    Attributes:
        config: rounds, keys, training and where uploads are kept.
        setup: the clients, the test images and the arms.
        trainers: the compiled steps for the reading of every arm.
        starts: parameters that runs start from, by the reading of their arm; those of another are drawn.
        observer: told what happens.
        profiling: what is recorded of each run beside its metrics.
    """

    config: ExperimentConfig
    setup: SharedSetup
    trainers: Mapping[Reading | None, Trainer]
    starts: Mapping[Reading | None, Params | None] = dataclasses.field(default_factory=dict)
    observer: Observer = dataclasses.field(default_factory=Observer)
    profiling: Profiling = dataclasses.field(default_factory=Profiling)

    def run_arms(self, workdir: Path) -> list[dict[str, Any]]:
        """Run every arm `train.runs` times, except what is finished in the folder.

        Args:
            workdir: a folder that no other process works in.

        Returns:
            The arms' entries in `results.json`.

        Raises:
            NonFiniteLossError: training diverged.
            StoppedError: SIGINT or SIGTERM came; what was finished is on the disk.
            TransportError: another process is gone.
        """
        with signals_polled() as asked, translate_lost_peer():
            stop_asked, arms = synced_stop(asked), []
            for arm in self.setup.arms:
                runs = [self._run_or_keep(arm, run, workdir, stop_asked) for run in range(self.config.train.runs)]
                reading = self.trainers[arm.reading].model.reading
                arms.append(arm_summary(arm, self.setup.image_shape, self.config.keys.prng, reading, runs))
        return arms

    def _run_or_keep(self, arm: Arm, run: int, workdir: Path, stop_asked: Callable[[], bool]) -> dict[str, Any]:
        folder = workdir / "arms" / arm.name / f"run-{run}"
        if broadcast_from_leader((folder / "result.json").exists()):
            result = read_results(folder / "result.json", *_RESULT) or {}
            self.observer.run_kept(arm.name, run + 1)
            return result
        self.observer.run_started(arm.name, run + 1, self.config.train.runs, self.trainers[arm.reading].total_steps)
        folder.mkdir(parents=True, exist_ok=True)
        result = self._run(arm, run, folder, stop_asked)
        leader_does(functools.partial(_keep_result, folder, result))
        self.observer.run_finished(arm.name, run + 1, result["test_accuracy"])
        return result

    def _run(self, arm: Arm, run: int, folder: Path, stop_asked: Callable[[], bool]) -> dict[str, Any]:
        """Let the clients of one arm upload, train the server, and say what came of it."""
        started = time.perf_counter()
        with contextlib.ExitStack() as stack:
            ratchet = make_ratchet(self.config.keys, run)
            stack.callback(ratchet.discard)
            encrypt_view = self._encrypt_view(stack)
            seed = self.config.train.seed + run
            first_client = augmented(self.setup.clients[0], 1, self.config.augment, seed, limit=SAMPLE_IMAGES)
            task = ArmTask(
                arm=arm,
                clients=self.setup.clients,
                test=self.setup.test,
                ratchet=ratchet,
                rounds=self.config.clients.rounds,
                upload=self._uploader(arm, run, folder, stop_asked, encrypt_view),
                encrypt_view=encrypt_view,
                run=Run(
                    trainer=self.trainers[arm.reading],
                    seed=seed,
                    image_shape=self.setup.image_shape,
                    class_names=self.setup.class_names,
                    folder=folder,
                    checkpoints=self._checkpoints(arm, run, folder, stop_asked),
                    stages=self.config.clients.rounds,
                    pretrained=self.starts.get(arm.reading),
                    name=f"{arm.name} run {run + 1}",
                    observer=self.observer,
                    profiling=self.profiling,
                ),
                train_on=self.config.clients.train_on,
                sample=encrypt_view(first_client.records, None, None)[:SAMPLE_IMAGES]["image"],
                federated=self.config.federated,
            )
            result = (arm.kind.train or train_on_rounds)(task)
        return {
            "test_accuracy": result.finished.accuracy,
            "curve": list(result.finished.history.curve),
            "upload_bytes": result.upload_bytes,
            "client_bytes": result.client_bytes,
            "ssim": result.ssim,
            "encrypt_seconds": round(result.encrypt_seconds, 3),
            "client_seconds": round(result.client_seconds, 3),
            "federation": result.federation,
            "seconds": round(time.perf_counter() - started, 3),
        }

    def _encrypt_view(self, stack: contextlib.ExitStack) -> EncryptView:
        """Return how images are encrypted; keys that this copies are erased when the stack is unwound."""
        if not encrypts_on_devices(self.config):
            return encrypted_now

        def encrypt_view(records: Records, scheme: Scheme | None, image_keys: jax.Array | None) -> LazyEncrypted:
            lazy = LazyEncrypted(records, scheme, image_keys, image_size=self.setup.image_shape[:2])
            stack.callback(lazy.discard)
            return lazy

        return encrypt_view

    def _uploader(
        self, arm: Arm, run: int, folder: Path, stop_asked: Callable[[], bool], encrypt_view: EncryptView
    ) -> Uploader:
        """Return how clients upload: augmented, to memory or to data sets, unless the run is asked to stop."""
        to_disk = upload_to(folder / "uploads", self.config, arm, run, self.setup.class_names)
        if self.config.store.on_disk:
            # What a stopped run left is of no use: this one encrypts again.
            leader_does(lambda: shutil.rmtree(folder / "uploads", ignore_errors=True))

        def unless_stopped(client: Client, number: int, scheme: Scheme | None, keys: jax.Array | None) -> Upload:
            if stop_asked():
                raise StoppedError(
                    "stopped while clients encrypted; what was finished is kept, and the same command goes on"
                )
            if self.config.store.on_disk:
                return to_disk(client, number, scheme, keys)
            return upload(client, number, scheme, keys, encrypt_view)

        return augmenting(unless_stopped, self.config.augment, self.config.train.seed + run)

    def _checkpoints(self, arm: Arm, run: int, folder: Path, stop_asked: Callable[[], bool]) -> Checkpoints:
        if self.config.keys.mode == "disposable" and arm.kind.encrypted:
            return NoCheckpoints(stop_asked)
        return Checkpoints(
            folder / _CHECKPOINTS,
            {"config_hash": config_hash(self.config), "arm": arm.name, "run": run},
            every=self.config.train.checkpoint_every,
            keep=1,
            best=False,
            stop_asked=stop_asked,
            warn=self.observer.warning,
        )


def _keep_result(folder: Path, result: dict[str, Any]) -> None:
    """Write what came of a run; what it would have gone on from is not needed any more."""
    write_json(folder / "result.json", result)
    shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)


def make_trainers(
    config: ExperimentConfig,
    setup: SharedSetup,
    model: Model,
    tx: optax.GradientTransformation | None = None,
    starts: Mapping[Reading, Start] | None = None,
) -> dict[Reading | None, Trainer]:
    """Make the compiled steps for every reading that an arm has; those of the model's own reading are one.

    Args:
        config: epochs, batch size, optimizer.
        setup: the arms and their images.
        model: the network, but for how arms read.
        tx: the optimizer; by default the one that the settings describe.
        starts: what training starts from, by reading; by default everything is drawn.

    Raises:
        ArgumentError: the model's own reading does not suit an arm's scheme.
    """
    readings = _readings(setup, model)
    made = {
        reading: make_trainer(
            starts[reading].settings(config.train) if starts else config.train,
            dataclasses.replace(model, reading=reading),
            setup.num_records,
            image_shape=setup.image_shape,
            tx=tx,
        )
        for reading in dict.fromkeys(readings.values())
    }
    return {asked: made[reading] for asked, reading in readings.items()}


def _readings(setup: SharedSetup, model: Model) -> dict[Reading | None, Reading]:
    """Say how the model reads for every reading that an arm asks for, None among them."""
    for arm in setup.arms:
        arm.check_reading(arm.reading or model.reading)
    return {arm.reading: arm.reading or model.reading for arm in setup.arms}


def check_processes(config: ExperimentConfig) -> None:
    """Raise `ConfigError` if several processes could not encrypt alike."""
    if jax.process_count() > 1 and config.keys.mode == "disposable":
        raise ConfigError(
            f"{jax.process_count()} processes would encrypt each image under keys of their own, as nobody can know "
            "disposable keys: set keys.mode=reproducible and keys.seed, or run the simulation in one process"
        )


def notes_on_keys(config: ExperimentConfig, kinds: Collection[str]) -> list[str]:
    """Say what a person should know of the keys of an experiment, whose arms are of these kinds."""
    notes = []
    if config.keys.mode == "reproducible":
        notes.append(
            "keys are reproducible: anybody who knows the seed can decrypt, so this is for experiments, never for "
            "images that must not be seen"
        )
    if config.clients.rounds > 1 and "disposable" in kinds:
        notes.append(
            f"{config.clients.rounds} rounds show the server {config.clients.rounds} encryptions of every image under "
            "different keys, which together reveal more than one"
        )
    return notes
