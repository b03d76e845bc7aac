"""How well a trained model does, over all images and for each class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dkjax.config import ServerConfig, TrainConfig, parse_as
from dkjax.errors import ConfigError, DataError
from dkjax.input.record_pool import RecordPool
from dkjax.runtime.files import read_results
from dkjax.runtime.mapped_file import require_unchanged
from dkjax.server.merge import require_all_whole
from dkjax.server.test_sets import TestSet, open_test_sets
from dkjax.train.loop import Trainer, count_correct, make_trainer
from dkjax.train.observer import Observer
from dkjax.train.trained_model import Trained, load_trained


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
        workdir: a folder in which `train_on_data_sets` has finished.
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
    results = read_results(workdir / "results.json", "config", "test_sets", "test_all")
    trained = load_trained(workdir)
    if results is None:
        raise DataError(f"there is no finished dkjax train in {workdir}: give the command that began there again")
    names = list(data) or [one["name"] for one in results["test_sets"]]
    if not names:
        raise ConfigError(f"{workdir} was trained without a test set: say with --data what to test on")
    config = parse_as(ServerConfig, results["config"])
    whole = results["test_all"] if test_all is None else test_all
    test_sets = open_test_sets(names, trained.image_shape, trained.class_names, config.data, whole)
    require_all_whole([one.source for one in test_sets], observer)
    if batch_size is None:
        devices = jax.device_count()
        batch_size = -(-config.train.batch_size // devices) * devices
    trainer = make_trainer(TrainConfig(batch_size=batch_size), trained.model, 1)
    measured = [_accuracy(trainer, trained, one, observer) for one in test_sets]
    return {"workdir": str(workdir), "test_sets": measured}


def _accuracy(trainer: Trainer, trained: Trained, test_set: TestSet, observer: Observer) -> dict[str, Any]:
    records = test_set.records(observer)
    num_classes = len(trained.class_names)
    counts = np.bincount(records.labels, minlength=num_classes).tolist()
    right = count_correct(trainer, trained.params, records).tolist()
    if isinstance(records, RecordPool):
        require_unchanged(records.files)
    return {
        "name": test_set.name,
        "images": len(records),
        "accuracy": sum(right) / len(records),
        "classes": [
            {"name": name, "images": count, "accuracy": hits / count if count else None}
            for name, count, hits in zip(trained.class_names, counts, right, strict=True)
        ],
    }
