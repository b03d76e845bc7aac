"""A server's work from beginning to end: encrypted data sets in, a trained model and its accuracy out."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dkjax.client.upload import Upload
from dkjax.config import ServerConfig, config_hash
from dkjax.dkds import EncryptedDataSet, open_data_set
from dkjax.errors import ConfigError
from dkjax.models.reading import unsuited
from dkjax.models.vit import Model, vit
from dkjax.runtime.files import read_results, write_json
from dkjax.runtime.ledger import LEDGER, Ledger, recorded
from dkjax.runtime.processes import broadcast_from_leader, is_leader, leader_does, synced_stop, translate_lost_peer
from dkjax.runtime.signals import signals_polled
from dkjax.server.merge import Merged, merge, require_all_whole
from dkjax.server.received import receive, weights_of
from dkjax.server.test_sets import TestSet, open_test_sets
from dkjax.server.workdir import open_workdir
from dkjax.sources.source import Indexed
from dkjax.train.checkpoints import Checkpoints
from dkjax.train.loop import make_trainer
from dkjax.train.observer import Observer
from dkjax.train.pretrained_start import load_start
from dkjax.train.profiling import Profiling
from dkjax.train.provenance import provenance
from dkjax.train.run import Finished, Run, train_run

RESULTS = ("config", "test_sets", "test_all", "test_accuracy", "train", "seconds", "data", "clients")
"""What the results of a training have at least."""

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
    profiling: Profiling = Profiling(),  # noqa: B008 (it is frozen)
) -> dict[str, Any]:
    """Train a ViT on encrypted data sets, which are mapped and not copied.

    Every byte of the data sets is checked before the folder is touched and before the first step. Stopped before the
    end, the same call resumes from the newest checkpoint; finished, it returns the results as they are.

    Several processes (`dkjax.runtime.join`) call it alike. They divide the devices' work and the check among them, one
    of them writes, and all return the same.

    Args:
        config: the model and its training.
        data: encrypted data sets, in any order; a client may have several.
        workdir: the folder for the model and the results.
        tests: what to test on, as `open_test_sets` takes it.
        test_all: take all images of tests that have no test images of their own.
        observer: told what happens; only the leader's is.
        profiling: what is recorded beside the metrics.

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
        - no damaged data set is trained on (`test_run.py::test_damaged_data_sets_are_not_trained_on`), and what was
          computed from one that changes meanwhile is not kept (`test_run.py::test_a_shard_rewritten_meanwhile`).
    """
    observer = observer if observer is not None and is_leader() else Observer()
    merged = merge([open_data_set(path) for path in data])
    test_sets = open_test_sets(tests, merged.image_shape, merged.class_names, config.data, test_all)
    inputs = {
        "data_sets": [{"client": one.manifest.client, "id": one.manifest.id} for one in merged.data_sets],
        "test_sets": [one.identity for one in test_sets],
    }
    results_file = workdir / "results.json"
    finished = read_results(results_file, *RESULTS)
    if broadcast_from_leader(finished is not None):
        with open_workdir(workdir, config, inputs):
            observer.run_kept(RUN, 1)
            return finished or read_results(results_file, *RESULTS) or {}
    model = _model(config, merged)
    weights_of(config.train.client_weights, [upload.client for upload in merged.uploads])
    jax.eval_shape(lambda key: model.init(key, merged.image_shape), jax.random.key(0))  # do patches fit?
    start = load_start(config.model, model, merged.image_shape)
    settings = start.settings(config.train)
    trainer = make_trainer(settings, model, sum(map(len, merged.data_sets)), image_shape=merged.image_shape)
    require_all_whole([*merged.data_sets, *(one.source for one in test_sets)], observer)
    records = {one.name: one.records(observer) for one in test_sets}
    notes = start.notes + _notes(merged, test_sets, config)
    for note in notes:
        observer.note(note)
    run = Run(
        trainer=trainer,
        seed=config.train.seed,
        image_shape=merged.image_shape,
        class_names=merged.class_names,
        made_from=merged.made_from,
        pretrained=start.params,
        observer=observer,
        profiling=profiling,
    )

    def about() -> dict[str, Any]:
        return {
            "test_sets": [{"name": name, "images": len(images)} for name, images in records.items()],
            "test_all": test_all,
            "data": _data_summary(merged),
            "clients": _clients(merged),
            "notes": notes,
        }

    return train_in_workdir(workdir, config, inputs, run, merged.uploads, records, about)[1]


def train_in_workdir(
    workdir: Path,
    config: ServerConfig,
    inputs: dict[str, Any],
    run: Run,
    uploads: Sequence[Upload],
    test_sets: Mapping[str, Indexed],
    about: Callable[[], dict[str, Any]],
) -> tuple[Finished, dict[str, Any]]:
    """Train in a folder, from the newest checkpoint there if there is one; errors as for `train_on_data_sets`.

    Args:
        workdir: the folder.
        config: what is asked for.
        inputs: what tells this run from others of the same configuration, as for `open_workdir`.
        run: what to train.
        uploads: encrypted images and labels, of one image shape.
        test_sets: what to evaluate on, by name.
        about: returns what `results.json` says beside what the training ended with.

    Returns:
        What the training ended with, and what is written to `results.json`.

    Guarantees:
        - each call enters what it has written into `ledger.jsonl` (`test_run.py::test_the_ledger`).
    """
    with (
        open_workdir(workdir, config, inputs),
        signals_polled() as stop_asked,
        translate_lost_peer(),
        recorded(workdir, Ledger(workdir / LEDGER if is_leader() else None), "server"),
    ):
        started = time.perf_counter()
        run.observer.run_started(RUN, 1, 1, run.trainer.total_steps)
        checkpoints = Checkpoints(
            workdir / "checkpoints",
            {"config_hash": config_hash(config), **inputs},
            every=config.train.checkpoint_every,
            keep=config.train.keep_checkpoints,
            stop_asked=synced_stop(stop_asked),
            warn=run.observer.warning,
        )
        run = dataclasses.replace(run, folder=workdir, checkpoints=checkpoints)
        found = train_run(run, [receive(uploads, run.trainer).stage(run, test_sets)])
        run.observer.run_finished(RUN, 1, found.accuracy)
        last = found.history.last
        assert last is not None  # the last step is always reported
        results = {
            "test_accuracy": found.accuracy,
            "train": {"steps": last.total_steps, "loss": last.loss, "accuracy": last.accuracy},
            "curve": list(found.history.curve),
            "seconds": round(time.perf_counter() - started, 3),
            **about(),
            **provenance(config),
        }
        leader_does(lambda: write_json(workdir / "results.json", results))
    return found, results


def _model(config: ServerConfig, merged: Merged) -> Model:
    patch_size = config.model.patch_size or merged.block_size
    if patch_size == 1:
        raise ConfigError("the images were encrypted pixel by pixel: set model.patch_size, such as 16, for the ViT")
    reading = config.model.reading
    if reading != "values" and patch_size % merged.block_size:
        raise ConfigError(
            f"model.reading={reading}: model.patch_size={patch_size} must be a multiple of the data sets' block size, "
            f"{merged.block_size}, as patches that cut a block see different values of it"
        )
    for one in merged.data_sets:
        scheme = one.manifest.scheme
        if scheme.missing is None and (why := unsuited(reading, scheme.scheme())):
            raise ConfigError(f"model.reading={reading}: {one.path}: {why}")
    settings = config.model.settings() | {"patch_size": patch_size}
    return vit(num_classes=len(merged.class_names), **settings)


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


def _notes(merged: Merged, test_sets: Sequence[TestSet], config: ServerConfig) -> list[str]:
    notes = []
    manifests = [data_set.manifest for data_set in merged.data_sets]
    if seeded := sorted({manifest.client for manifest in manifests if manifest.keys == "reproducible"}):
        notes.append(
            f"keys of {', '.join(seeded)} are reproducible: anybody who knows the seed can decrypt, so this is for "
            "experiments, never for images that must not be seen"
        )
    notes += dict.fromkeys(manifest.scheme.missing for manifest in manifests if manifest.scheme.missing)
    ids = {manifest.id for manifest in manifests}
    for one in test_sets:
        if isinstance(one.source, EncryptedDataSet) and one.source.manifest.id in ids:
            notes.append(f"{one.name} is tested on and trained on: its accuracy says nothing about new images")
    if config.train.runs > 1:
        notes.append("train.runs is for simulations: the training is done once")
    return notes
