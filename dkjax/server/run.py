"""A server's work from beginning to end: encrypted data sets in, a trained model and its accuracy out."""

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dkjax.config import ServerConfig, TrainConfig, config_hash, parse_as
from dkjax.dkds import EncryptedDataSet, open_data_set
from dkjax.dkds.verify import require_whole
from dkjax.errors import ConfigError, DataError
from dkjax.models.from_config import load_start
from dkjax.models.vit import Model, Params, vit
from dkjax.runtime.files import read_json, write_json
from dkjax.runtime.processes import (
    broadcast_from_leader,
    is_leader,
    leader_does,
    run_on_all,
    synced_stop,
    translate_lost_peer,
)
from dkjax.runtime.signals import signals_polled
from dkjax.server import state as server
from dkjax.server.fit import fit, open_log
from dkjax.server.merge import Merged, merge
from dkjax.server.test_sets import TestSet, open_test_sets
from dkjax.server.workdir import open_workdir
from dkjax.train.checkpoints import EMPTY_HISTORY, Checkpoints
from dkjax.train.loop import Trainer, count_correct, make_trainer
from dkjax.train.observer import Observer
from dkjax.train.profiling import Profiler, Profiling
from dkjax.train.provenance import provenance
from dkjax.train.trained_model import Trained, load_trained, save_trained

RUN = "training"
"""What the observer calls the one run there is."""


def train_on_data_sets(
    config: ServerConfig,
    data: Sequence[Path],
    workdir: Path,
    *,
    tests: Sequence[str] = (),
    test_all: bool = False,
    observer: Observer | None = None,
    watch: Profiling = Profiling(),  # noqa: B008 (it is frozen)
) -> dict[str, Any]:
    """Train a ViT on encrypted data sets, where they lie.

    Every byte of the data sets is checked before the folder is touched and before the first step. Stopped before the
    end, the same call goes on from the newest checkpoint; finished, it returns the results as they are.

    Several processes (`dkjax.runtime.join`) call it alike. They divide the devices' work and the check among them, one
    of them writes, and all return the same.

    Args:
        config: the model and its training.
        data: encrypted data sets, in any order; a client may have several.
        workdir: the folder for the model and the results.
        tests: what to test on, as `open_test_sets` takes it.
        test_all: take all images of tests that have no test images of their own.
        observer: told what happens; only the leader's is.
        watch: what is recorded beside the metrics.

    Returns:
        What is written to `results.json`: accuracy on each test set, the last loss and accuracy on training batches,
        what each client sent, the resolved configuration, versions and device.

    Raises:
        ConfigError: the configuration does not fit the images, the clients or the devices, or the folder holds
            something else.
        DataError: a data set is missing or damaged, or two of them do not agree.
        NonFiniteLossError: training diverged.
        StoppedError: SIGINT or SIGTERM came while it trained; a checkpoint is on the disk.
        TransportError: another process is gone.

    Guarantees:
        - stopped or killed at any step, the same call ends with the same parameters, to the bit, and the same results
          (`test_checkpoints.py`); that holds for one process after another number of them, too, but for the order of
          float32 sums (`test_processes.py`).
        - trained on the data sets of a simulation's arm, the parameters are that arm's, to the bit
          (`test_run.py::test_equals_the_simulation`).
        - the order in which data sets are named does not matter (`test_run.py::test_any_order_of_names`).
        - no damaged data set is trained on (`test_run.py::test_damaged_data_sets_are_not_trained_on`).
    """
    observer = observer if observer is not None and is_leader() else Observer()
    merged = merge([open_data_set(path) for path in data])
    held_out = open_test_sets(tests, merged.image_shape, merged.class_names, config.data, test_all)
    inputs = {
        "data_sets": [{"client": one.manifest.client, "id": one.manifest.id} for one in merged.data_sets],
        "test_sets": [one.identity for one in held_out],
    }
    finished = read_json(workdir / "results.json")
    if broadcast_from_leader(finished is not None):
        with open_workdir(workdir, config, inputs):
            observer.run_kept(RUN, 1)
            return finished or read_json(workdir / "results.json") or {}
    num_records = sum(len(data_set) for data_set in merged.data_sets)
    trainer = make_trainer(config.train, _model(config, merged), num_records, image_shape=merged.image_shape)
    server.weights_of(config.train.client_weights, [upload.client for upload in merged.uploads])
    jax.eval_shape(lambda key: trainer.model.init(key, merged.image_shape), jax.random.key(0))  # do patches fit?
    _require_whole(merged.data_sets, held_out, observer)
    test_sets = {one.name: one.records(observer) for one in held_out}
    start, notes = load_start(config.model, trainer.model, merged.image_shape)
    notes += _notes(merged, held_out, config)
    for note in notes:
        observer.note(note)
    with open_workdir(workdir, config, inputs), signals_polled() as stop_asked, translate_lost_peer():
        run = {"config_hash": config_hash(config), **inputs}
        results = _train(trainer, start, merged, test_sets, workdir, observer, run, synced_stop(stop_asked), watch)
        results |= {
            "test_sets": [{"name": name, "images": len(records)} for name, records in test_sets.items()],
            "test_all": test_all,
            "data": _data_summary(merged),
            "clients": _clients(merged),
            "notes": notes,
            **provenance(config),
        }
        leader_does(lambda: write_json(workdir / "results.json", results))
    return results


def evaluate_workdir(
    workdir: Path,
    *,
    data: Sequence[str] = (),
    test_all: bool | None = None,
    batch_size: int | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Test a trained model.

    Args:
        workdir: a folder that `train_on_data_sets` has finished.
        data: what to test on, as `open_test_sets` takes it; by default what it was tested on when it was trained.
        test_all: as for `train_on_data_sets`; by default as it was then.
        batch_size: images at a time; by default that of the training, as far as today's devices divide it.
        observer: told what happens.

    Returns:
        `test_sets`: for each its `name`, number of `images`, `accuracy`, and the same for each of its `classes`, where
        the accuracy of a class without images is None.

    Raises:
        ConfigError: there is nothing to test on, or the devices do not divide the batch.
        DataError: there is no trained model, or a test set is missing, damaged or not for this model.
    """
    observer = observer or Observer()
    results = read_json(workdir / "results.json")
    trained = load_trained(workdir)
    if results is None:
        raise DataError(f"there is no finished dkjax train in {workdir}: give the command that began there again")
    names = list(data) or [one["name"] for one in results["test_sets"]]
    if not names:
        raise ConfigError(f"{workdir} was trained without a test set: say with --data what to test on")
    config = parse_as(ServerConfig, results["config"])
    whole = results["test_all"] if test_all is None else test_all
    held_out = open_test_sets(names, trained.image_shape, trained.class_names, config.data, whole)
    _require_whole((), held_out, observer)
    if batch_size is None:
        devices = jax.device_count()
        batch_size = -(-config.train.batch_size // devices) * devices
    trainer = make_trainer(TrainConfig(batch_size=batch_size), trained.model, 1)
    measured = [_accuracy(trainer, trained, one, observer) for one in held_out]
    return {"workdir": str(workdir), "test_sets": measured}


def _model(config: ServerConfig, merged: Merged) -> Model:
    patch_size = config.model.patch_size or merged.block_size
    if patch_size == 1:
        raise ConfigError("the images were encrypted pixel by pixel: set model.patch_size, such as 16, for the ViT")
    settings = config.model.settings() | {"patch_size": patch_size}
    return vit(num_classes=len(merged.class_names), **settings)


def _require_whole(data_sets: Sequence[EncryptedDataSet], held_out: Sequence[TestSet], observer: Observer) -> None:
    """Check every byte of all encrypted data sets, each once."""
    encrypted = [*data_sets, *(one.source for one in held_out if isinstance(one.source, EncryptedDataSet))]
    by_id = {data_set.manifest.id: data_set.path for data_set in encrypted}
    # Each process looks at some of them, and all wait for all.
    own = list(by_id.values())[jax.process_index() :: jax.process_count()]
    run_on_all(lambda: require_whole(own, observer.verifying) if own else None)


def _train(
    trainer: Trainer,
    start: Params | None,
    merged: Merged,
    test_sets: dict[str, Any],
    workdir: Path,
    observer: Observer,
    run: dict[str, Any],
    stop_asked: Callable[[], bool],
    watch: Profiling,
) -> dict[str, Any]:
    """Train from the newest checkpoint or from the beginning, keep the model, and say what came of it."""
    started = time.perf_counter()
    observer.run_started(RUN, 1, 1, trainer.total_steps)
    config = trainer.config
    init_key, dropout_key = jax.random.split(jax.random.key(config.seed))
    checkpoints = Checkpoints(
        workdir / "checkpoints",
        run,
        every=config.checkpoint_every,
        keep=config.keep_checkpoints,
        stop_asked=stop_asked,
        warn=observer.warning,
    )
    with checkpoints:
        like = trainer.state_like(jax.eval_shape(lambda: trainer.model.init(init_key, merged.image_shape)))
        found = checkpoints.newest(like)
        if found is None:
            params = trainer.model.init(init_key, merged.image_shape) if start is None else start
            state, history = trainer.start(params), EMPTY_HISTORY
        else:
            state, history = found
            observer.note(f"going on after step {int(state.step)} of {trainer.total_steps}")
        stand = server.receive(
            server.start(trainer, state, order_seed=config.seed, prng_key=dropout_key), merged.uploads
        )
        with (
            open_log(workdir, history, watch) as log,
            Profiler(workdir / "profile", watch.profile) as profiler,
        ):
            steps = range(trainer.total_steps)
            stand, history = fit(stand, steps, test_sets, log, observer, history, checkpoints, profiler.before_step)
    save_trained(workdir, Trained(trainer.model, stand.state.params, merged.image_shape, merged.class_names))
    assert history.last is not None  # the last step is always reported
    accuracy = history.curve[-1]["test_accuracy"]
    observer.run_finished(RUN, 1, accuracy)
    return {
        "test_accuracy": accuracy,
        "train": {"steps": trainer.total_steps, "loss": history.last.loss, "accuracy": history.last.accuracy},
        "curve": list(history.curve),
        "seconds": round(time.perf_counter() - started, 3),
    }


def _accuracy(trainer: Trainer, trained: Trained, held_out: TestSet, observer: Observer) -> dict[str, Any]:
    records = held_out.records(observer)
    num_classes = len(trained.class_names)
    counts = np.bincount(records.labels, minlength=num_classes).tolist()
    right = count_correct(trainer, trained.params, records).tolist()
    return {
        "name": held_out.name,
        "images": len(records),
        "accuracy": sum(right) / len(records),
        "classes": [
            {"name": name, "images": count, "accuracy": hits / count if count else None}
            for name, count, hits in zip(trained.class_names, counts, right, strict=True)
        ],
    }


def _data_summary(merged: Merged) -> dict[str, Any]:
    return {
        "image_shape": list(merged.image_shape),
        "class_names": list(merged.class_names),
        "block_size": merged.block_size,
        "train_images": sum(len(data_set) for data_set in merged.data_sets),
    }


def _clients(merged: Merged) -> list[dict[str, Any]]:
    """Say what each client sent; its data sets are neighbours in `merged`."""
    clients = []
    for name, data_sets in itertools.groupby(merged.data_sets, lambda data_set: data_set.manifest.client):
        own = list(data_sets)
        labels = np.concatenate([data_set.labels for data_set in own])
        clients.append(
            {
                "name": name,
                "images": len(labels),
                "images_per_class": np.bincount(labels, minlength=len(merged.class_names)).tolist(),
                "upload_bytes": sum(data_set.pool.nbytes for data_set in own),
                "data_sets": [
                    {"id": data_set.manifest.id, "keys": data_set.manifest.keys, **_scheme(data_set)}
                    for data_set in own
                ],
            }
        )
    return clients


def _scheme(data_set: EncryptedDataSet) -> dict[str, Any]:
    scheme = data_set.manifest.scheme
    return {"scheme": scheme.name, "parameters": scheme.parameters, "key_sharing": data_set.manifest.key_sharing}


def _notes(merged: Merged, held_out: Sequence[TestSet], config: ServerConfig) -> list[str]:
    notes = []
    manifests = [data_set.manifest for data_set in merged.data_sets]
    if seeded := sorted({manifest.client for manifest in manifests if manifest.keys == "reproducible"}):
        notes.append(
            f"keys of {', '.join(seeded)} are reproducible: anybody who knows the seed can decrypt, so this is for "
            "experiments, never for images that must not be seen"
        )
    notes += dict.fromkeys(manifest.scheme.missing for manifest in manifests if manifest.scheme.missing)
    ids = {manifest.id for manifest in manifests}
    for one in held_out:
        if isinstance(one.source, EncryptedDataSet) and one.source.manifest.id in ids:
            notes.append(f"{one.name} is tested on and trained on: its accuracy says nothing about new images")
    if config.train.runs > 1:
        notes.append("train.runs is for simulations: the training is done once")
    return notes
