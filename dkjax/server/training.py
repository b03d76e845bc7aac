"""Training in Python: a model, uploads and any optax optimizer in, a trained run out."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from dkjax.client.upload import Upload
from dkjax.config import ServerConfig, TrainConfig, parse_as
from dkjax.dkds import EncryptedDataSet, open_data_set
from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.input.record_pool import RecordPool
from dkjax.models.vit import Model, Params
from dkjax.runtime.files import read_results
from dkjax.server.merge import check_classes, check_shape, merge, require_all_whole
from dkjax.server.received import receive
from dkjax.server.run import train_in_workdir
from dkjax.server.test_sets import open_test_sets
from dkjax.server.trained_run import TrainedRun, load_trained
from dkjax.server.workdir import open_workdir
from dkjax.sources import ArraySource, read_all
from dkjax.sources.source import Indexed, check_labels
from dkjax.train.loop import make_trainer
from dkjax.train.observer import Observer
from dkjax.train.provenance import hash_of_arrays, hash_of_optimizer
from dkjax.train.run import Run, train_run

Images = tuple[np.ndarray, np.ndarray] | Upload | EncryptedDataSet | Path | str
"""Images and labels to test on: arrays, an upload, an encrypted data set, or the path or name of a source."""

_OF_THE_OPTIMIZER = ("learning_rate", "warmup_fraction", "weight_decay", "clip_norm")


def train(
    model: Model,
    uploads: Sequence[Upload | EncryptedDataSet | Path | str],
    *,
    optimizer: optax.GradientTransformation | None = None,
    epochs: int = 10,
    batch_size: int = 128,
    tests: Mapping[str, Images] | None = None,
    params: Params | None = None,
    class_names: Sequence[str] | None = None,
    workdir: Path | str | None = None,
    observer: Observer | None = None,
    **settings: Any,
) -> TrainedRun:
    """Train a ViT on what clients have uploaded; it never sees a key.

    Args:
        model: the network, such as `dkjax.models.vit("Ti", patch_size=8, num_classes=10)`.
        uploads: what `dkjax.client.encrypt` returns, encrypted data sets, or their paths; all of one image shape.
        optimizer: any optax transformation; by default AdamW as `[train]` of a configuration describes it.
        epochs: passes over all records.
        batch_size: images of a step; the devices divide it.
        tests: what the model is evaluated on, by name.
        params: parameters to start from, such as `load_pretrained` gives them; drawn with `seed` if None.
        class_names: by label; by default those of the data sets, or else the labels as text.
        workdir: a folder for the model, its checkpoints and metrics. Stopped there, the same call resumes; finished,
            it returns what is there. None writes nothing.
        observer: told what happens.
        **settings: further keys of `[train]`, such as `seed`, `evaluations`, `label_smoothing`, `client_weights`.

    Returns:
        The trained model with its accuracy.

    Raises:
        ConfigError: a setting is unknown or out of range, the model, the optimizer's settings or the devices do not
            fit, or the folder holds another run.
        DataError: there is no upload, a data set is missing or damaged, or images and labels do not fit the model.
        NonFiniteLossError: training diverged.
        StoppedError: SIGINT or SIGTERM was received while it trained in a folder; a checkpoint is there.

    Guarantees:
        - trained on data sets, the parameters are those of `dkjax train` with the same settings, to the bit
          (`test_python_api.py::test_equals_the_command`).
        - an optimizer of the caller's takes every update (`test_python_api.py::test_any_optax_optimizer`).

    Example:
        >>> import numpy as np, optax
        >>> from dkjax.client.upload import Upload
        >>> from dkjax.input.record_pool import RecordPool
        >>> from dkjax.models import vit
        >>> images, labels = np.zeros((8, 8, 8, 1), np.uint8), np.arange(8, dtype=np.int32) % 2
        >>> images[labels == 1] = 255
        >>> uploads = [Upload("plant-a", 1, RecordPool([{"image": images, "label": labels}]))]
        >>> model = vit("mu", patch_size=4, num_classes=2)
        >>> run = train(model, uploads, optimizer=optax.adam(1e-2), batch_size=8, tests={"own": (images, labels)})
        >>> run.accuracy
        {'own': 1.0}
        >>> run.predict(images[:3]).tolist()
        [0, 1, 0]
    """
    if optimizer is not None and (own := [name for name in _OF_THE_OPTIMIZER if name in settings]):
        raise ConfigError(f"{own[0]} is a setting of the default optimizer: set it in your own")
    config = parse_as(TrainConfig, {"epochs": epochs, "batch_size": batch_size, **settings}, "dkjax.server.train")
    observer = observer or Observer()
    sets = [one if isinstance(one, Upload | EncryptedDataSet) else open_data_set(Path(one)) for one in uploads]
    if not sets:
        raise DataError("there is nothing to train on: give at least one upload or encrypted data set")
    data_sets = [one for one in sets if isinstance(one, EncryptedDataSet)]
    in_memory = [one for one in sets if isinstance(one, Upload)]
    merged = merge(data_sets) if data_sets else None
    image_shape = merged.image_shape if merged else in_memory[0].pool.image_shape
    names = tuple(class_names or (merged.class_names if merged else _class_names(in_memory, model.num_classes)))
    if len(names) != model.num_classes:
        raise ConfigError(f"there are {len(names)} classes, and the model has num_classes={model.num_classes}")
    block_size = merged.block_size if merged else next((one.scheme.block_size for one in in_memory if one.scheme), 0)
    for one in in_memory:
        where = f"the upload of {one.client}"
        check_shape(one.pool.image_shape, where, image_shape, "another upload")
        check_classes(one.class_names, where, names[: len(one.class_names)], "another upload")
        check_labels(one.pool.labels, model.num_classes, where)
        if one.scheme is not None and one.scheme.block_size != block_size:
            raise DataError(
                f"{where} has blocks of {one.scheme.block_size} pixels, but another upload of {block_size}: a ViT "
                "needs one size, so let the clients encrypt alike"
            )
    everything = (*(merged.uploads if merged else ()), *in_memory)
    num_records = sum(len(one.pool) for one in everything)
    trainer = make_trainer(config, model, num_records, image_shape=image_shape, tx=optimizer)
    jax.eval_shape(lambda key: model.init(key, image_shape), jax.random.key(0))  # do patches fit?
    require_all_whole(data_sets, observer)
    test_sets = {name: _to_test_on(name, one, image_shape, names, observer) for name, one in (tests or {}).items()}
    run = Run(
        trainer=trainer,
        seed=config.seed,
        image_shape=image_shape,
        class_names=names,
        made_from=merged.made_from if merged else (),
        pretrained=params,
        observer=observer,
    )
    if workdir is None:
        finished = train_run(run, [receive(everything, trainer).stage(run, test_sets)])
        return TrainedRun(finished.trained, finished.accuracy, finished.history.curve)
    inputs = {
        "model": {**dataclasses.asdict(model), "class_names": list(names)},
        "uploads": [{"client": one.client, "sha256": _hash_of(one.pool)} for one in everything],
        "tests": [{"name": name, "sha256": _hash_of(one)} for name, one in test_sets.items()],
        "optimizer": None if optimizer is None else hash_of_optimizer(trainer, image_shape),
        "params": None if params is None else hash_of_arrays(*map(np.asarray, jax.tree.leaves(params))),
    }
    if data_sets:  # by which a withdrawal finds what was trained on them
        inputs["data_sets"] = [{"client": one["client"], "id": one["id"]} for one in run.made_from]
    workdir, server_config = Path(workdir), ServerConfig(train=config)
    if read_results(workdir / "results.json", "test_accuracy") is not None:
        with open_workdir(workdir, server_config, inputs):
            return load_trained(workdir)
    # What it is tested on is no source that `dkjax evaluate` could open again.
    about: dict[str, Any] = {"test_sets": [], "test_all": False}
    run = dataclasses.replace(run, made_from=(*run.made_from, *map(_made_from, in_memory)))
    finished, _ = train_in_workdir(workdir, server_config, inputs, run, everything, test_sets, lambda: about)
    return TrainedRun(finished.trained, finished.accuracy, finished.history.curve)


def _class_names(uploads: Sequence[Upload], num_classes: int) -> Sequence[str]:
    """Return the classes of uploads, of which some sites may lack the last ones; numbers go on to the model's last."""
    names = max((one.class_names for one in uploads), key=len)
    numbers = [str(label) for label in range(num_classes)]
    return numbers if list(names) == numbers[: len(names)] else names


def _to_test_on(
    name: str, images: Images, shape: tuple[int, int, int], class_names: Sequence[str], observer: Observer
) -> Indexed:
    """Bring what somebody wants to test on into one form, of the model's shape and classes."""
    if isinstance(images, Path | str):
        (test_set,) = open_test_sets([str(images)], shape, class_names, ServerConfig().data)
        require_all_whole([test_set.source], observer)
        return test_set.records(observer)
    where = f"the test set {name!r}"
    if isinstance(images, tuple):
        source = ArraySource(np.asarray(images[0]), np.asarray(images[1]), class_names, name=where)
        records: Indexed = RecordPool([read_all(source)])
    else:
        require_all_whole([images] if isinstance(images, EncryptedDataSet) else [], observer)
        pool = images.pool
        if not isinstance(pool, RecordPool):
            raise ArgumentError(f"{where}: expected encrypted images, got a {type(pool).__name__}")
        records = pool
    check_shape(records[:1]["image"].shape[1:], where, shape, "the model")
    check_labels(records.labels, len(class_names), where)
    return records


def _made_from(upload: Upload) -> dict[str, Any]:
    scheme = upload.scheme
    described = {} if scheme is None else {"scheme": scheme.name, "parameters": dict(scheme.parameters)}
    return {"client": upload.client, "sha256": _hash_of(upload.pool), "records": len(upload.pool), **described}


def _hash_of(records: Any) -> str:
    first = range(0, len(records), 1024)
    return hash_of_arrays(records.labels, *(records[start : start + 1024]["image"] for start in first))
