"""Arms compared from Python: the simulation on arrays, with schemes, optimizers and arms of the caller's own."""

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optax

from dkjax.cipher import Scheme
from dkjax.config import DataConfig, ExperimentConfig, parse_as
from dkjax.errors import ArgumentError, ConfigError
from dkjax.experiment.arms.kind import Arm
from dkjax.experiment.arms.registry import arm_kind
from dkjax.experiment.shared_setup import SharedSetup, deal_out
from dkjax.experiment.simulation import Experiment, check_processes, make_trainers
from dkjax.models.reading import Reading
from dkjax.models.vit import Model, vit
from dkjax.runtime.processes import is_leader
from dkjax.server.workdir import open_workdir
from dkjax.sources import ArraySource, Source, Subset, stratified_split
from dkjax.sources.open import Split, open_configured
from dkjax.train.observer import Observer
from dkjax.train.provenance import hash_of_arrays, hash_of_optimizer

Arrays = tuple[np.ndarray, np.ndarray]
"""Images uint8[n, H, W, C] and labels int[n]."""

plain = Arm("plain", arm_kind("plain"))
"""The arm of plain images."""


def arm(
    scheme: Scheme,
    kind: Literal["disposable", "client_key", "shared_key"] | str = "disposable",
    *,
    name: str | None = None,
    adapt_embedding: bool = False,
    reading: Reading | None = None,
) -> Arm:
    """Describe one line of a comparison.

    Args:
        scheme: the encryption, of the literature or the caller's own.
        kind: who shares a key, as `[[arms]] kind` of a configuration.
        name: of the line; the kind by default, with the scheme's name where that is another.
        adapt_embedding: start from embeddings permuted by the key; for `shared_key` alone.
        reading: how the model reads patches; that of the model by default.

    Raises:
        ConfigError: there is no such kind, or it cannot be adapted.
        ArgumentError: the kind does not encrypt, or the reading does not suit it.

    Example:
        >>> from dkjax.cipher import schemes
        >>> arm(schemes.disposable(8, fixed_pixels=64)).name
        'disposable'
        >>> arm(schemes.le(4), "shared_key").name
        'shared_key-le'
    """
    found = arm_kind(kind)
    if adapt_embedding and not found.adaptable:
        raise ConfigError(f"an arm of kind {kind} cannot be adapted: no single embedding undoes more than one key")
    label = kind if scheme.name in ("disposable", kind) else f"{kind}-{scheme.name}"
    return Arm(name or label, found, scheme, adapt_embedding, reading)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What arms came to.

    Attributes:
        rows: an entry for each arm, as `arms` of `results.json`: plain JSON values.
    """

    rows: tuple[dict[str, Any], ...]

    def accuracy(self, arm: str, view: str = "plain") -> float:
        """Mean test accuracy of an arm on a test view, 0 to 1."""
        (row,) = [row for row in self.rows if row["name"] == arm]
        return float(row["test_accuracy"][view]["mean"])

    def to_json(self) -> str:
        """The rows as one line of JSON."""
        return json.dumps(self.rows)

    def __str__(self) -> str:
        views = list(dict.fromkeys(view for row in self.rows for view in row["test_accuracy"]))
        lines = [["arm", *views]]
        for row in self.rows:
            found = [row["test_accuracy"].get(view) for view in views]
            lines.append(
                [row["name"], *("-" if one is None else f"{one['mean']:.1%} ± {one['std']:.1%}" for one in found)]
            )
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
        return "\n".join("  ".join(line).rstrip() for line in padded)


def compare(
    data: str | Path | Mapping[str, Any] | Arrays | tuple[Arrays, Arrays],
    arms: Sequence[Arm],
    *,
    seeds: int = 3,
    model: Model | None = None,
    optimizer: optax.GradientTransformation | None = None,
    epochs: int = 10,
    batch_size: int = 128,
    clients: int | Mapping[str, Any] = 4,
    key_seed: int | None = None,
    workdir: Path | str | None = None,
    observer: Observer | None = None,
    **settings: Any,
) -> Comparison:
    """Let clients encrypt and upload, train a ViT on what they uploaded, and compare arms.

    Args:
        data: a source as `[data] source` names it, a whole section `[data]`, images and labels, of which a fifth of
            each class is for testing, or two such pairs, for training and for testing.
        arms: the lines, such as `plain`, `arm(scheme)`, or an `Arm` of a kind of the caller's own.
        seeds: how many runs of each arm.
        model: the network; by default a ViT-Ti with patches as large as the blocks of the first scheme, or 16 px.
        optimizer: any optax transformation; by default AdamW as `[train]` of a configuration describes it.
        epochs: passes over all records.
        batch_size: images of a step; the devices divide it.
        clients: how many, or a section `[clients]`.
        key_seed: makes keys reproducible, for experiments; keys are disposable if None.
        workdir: a folder for the runs, as `dkjax simulate` writes them: stopped there, the same call resumes. None
            writes to a temporary folder.
        observer: told what happens.
        **settings: further keys of `[train]`, such as `seed`, `evaluations`, `learning_rate`.

    Returns:
        The comparison; `print` shows a table.

    Raises:
        ConfigError: a setting is unknown or out of range, two arms have one name, or the folder holds another run.
        ArgumentError: a scheme does not fit the images.
        DataError: images are missing or damaged, or a client would have none.
        NonFiniteLossError: training diverged.

    Guarantees:
        - the results are those of `dkjax simulate` with the same settings (`test_compare.py::test_equals_simulate`).
    """
    train = {"epochs": epochs, "batch_size": batch_size, "runs": seeds, **settings}
    keys = {} if key_seed is None else {"mode": "reproducible", "seed": key_seed}
    sharing = {"count": clients} if isinstance(clients, int) else dict(clients)
    tree = {"train": train, "keys": keys, "clients": sharing}
    config = parse_as(ExperimentConfig, tree, "dkjax.experiment.compare")
    check_processes(config)
    observer = observer if observer is not None and is_leader() else Observer()
    setup = deal_out(_sources(data), config, _checked(arms), observer)
    schemes = [one.scheme for one in arms if one.scheme is not None]
    for scheme in schemes:
        scheme.check(setup.image_shape, np.uint8)
    model = model or vit("Ti", patch_size=schemes[0].block_size if schemes else 16, num_classes=len(setup.class_names))
    if model.num_classes != len(setup.class_names):
        raise ConfigError(f"there are {len(setup.class_names)} classes, and the model has {model.num_classes}")
    trainers = make_trainers(config, setup, model, optimizer)
    experiment = Experiment(config, setup, trainers, observer=observer)
    with contextlib.ExitStack() as stack:
        if workdir is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dkjax-compare-")))
        else:
            held = _inputs(
                setup,
                model,
                None if optimizer is None else hash_of_optimizer(trainers[arms[0].reading], setup.image_shape),
            )
            folder = stack.enter_context(open_workdir(Path(workdir), config, held))
        return Comparison(tuple(experiment.run_arms(folder)))


def _checked(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    if not arms:
        raise ArgumentError("there is nothing to compare: give at least one arm")
    names = [one.name for one in arms]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two arms are named {repeated[0]!r}: give each a name of its own, arm(..., name=...)")
    return tuple(arms)


def _sources(data: Any) -> dict[Split, Source]:
    if isinstance(data, str | Path | Mapping):
        section = {"source": str(data)} if isinstance(data, str | Path) else dict(data)
        config = parse_as(DataConfig, section, "data")
        return {"train": open_configured(config, "train"), "test": open_configured(config, "test")}
    first, second = data
    if isinstance(first, tuple):
        names = _class_names(first[1], second[1])
        return {"train": _source(first, names, "training data"), "test": _source(second, names, "test data")}
    whole = _source((first, second), _class_names(second), "data")
    train, test = stratified_split(whole.labels, 0.2, seed=0)
    return {"train": Subset(whole, train), "test": Subset(whole, test)}


def _source(arrays: Arrays, class_names: Sequence[str], name: str) -> Source:
    return ArraySource(np.asarray(arrays[0]), np.asarray(arrays[1]), class_names, name=name)


def _class_names(*labels: np.ndarray) -> list[str]:
    return [str(number) for number in range(1 + max(int(np.max(one, initial=0)) for one in labels))]


def _inputs(setup: SharedSetup, model: Model, optimizer: str | None) -> dict[str, Any]:
    """What tells this comparison from others of the same settings."""
    everything = [client.records for client in setup.clients] + [setup.test]
    return {
        "arms": [[one.name, one.kind.name, repr(one.scheme), one.adapt_embedding, one.reading] for one in setup.arms],
        "model": dataclasses.asdict(model),
        "optimizer": optimizer,
        "data": hash_of_arrays(*(records[key] for records in everything for key in ("image", "label"))),
    }
