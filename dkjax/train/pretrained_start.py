"""What a configuration asks training to start from: a file of weights, or a model that dkjax trained."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dkjax.config import ModelConfig, TrainConfig
from dkjax.errors import ConfigError
from dkjax.models.pretrained import load_pretrained
from dkjax.models.pretrained.checkpoint import EMBEDDING, Checkpoint, by_name
from dkjax.models.pretrained.google import flat_arrays
from dkjax.models.pretrained.load import fit_checkpoint
from dkjax.models.vit import Model, Params
from dkjax.train.trained_model import Trained, holds_trained, load_trained


class Start(NamedTuple):
    """What training starts from.

    Attributes:
        params: the parameters; None if they are drawn at random.
        notes: what became of the checkpoint, for a person.
        new_embedding: whether the patch embedding is drawn at random, alone or with everything else.
    """

    params: Params | None
    notes: list[str]
    new_embedding: bool

    def settings(self, config: TrainConfig) -> TrainConfig:
        """Return the settings of a training that starts here: an embedding that is not new has the trunk's rate."""
        return config if self.new_embedding else config.model_copy(update={"embedding_learning_rate": None})


def load_start(config: ModelConfig, model: Model, image_shape: tuple[int, int, int]) -> Start:
    """Load the weights that training starts from, if a checkpoint is named, and say what became of them.

    Args:
        config: the checkpoint and what it was trained on.
        model: the network they are for.
        image_shape: `(H, W, C)` of the images.

    Returns:
        The parameters, if there is a checkpoint, and what became of it.

    Raises:
        ConfigError: the checkpoint is of another network, or says what the configuration says of it.
        DataError: it is missing or damaged.

    Guarantees:
        - a model of `dkjax train` or of an arm is loaded to the bit, but for its head
          (`test_pretrained_start.py::test_a_trained_model_is_a_start`).
    """
    if config.pretrained is None:
        return Start(None, [], new_embedding=True)
    if holds_trained(config.pretrained):
        _check_nothing_said(config)
        checkpoint = as_checkpoint(config.pretrained, load_trained(config.pretrained))
        params, report = fit_checkpoint(checkpoint, model, image_shape, new_embedding=config.new_embedding)
    else:
        params, report = load_pretrained(
            config.pretrained,
            model,
            image_shape,
            mean=config.pretrained_mean,
            std=config.pretrained_std,
            architecture=config.pretrained_architecture,
            new_embedding=config.new_embedding,
        )
    return Start(params, ["start from " + "; ".join(report.lines())], f"{EMBEDDING}/kernel" in report.drawn)


def as_checkpoint(folder: Path, trained: Trained) -> Checkpoint:
    """Say of a trained model what a checkpoint says of a file of weights.

    Args:
        folder: where it was read from.
        trained: the model.

    Returns:
        Its arrays by the ViT's names, and all that fixes how they are used.
    """
    model, (height, width, _) = trained.model, trained.image_shape
    return Checkpoint(
        path=folder,
        format="dkjax",
        arrays=flat_arrays({name: np.asarray(leaf) for name, leaf in by_name(trained.params).items()}),
        gelu=model.gelu,
        heads=model.heads,
        layer_norm_epsilon=model.layer_norm_epsilon,
        grid=(height // model.patch_size, width // model.patch_size),
        reading=model.reading,
    )


def _check_nothing_said(config: ModelConfig) -> None:
    for name in ("pretrained_mean", "pretrained_std", "pretrained_architecture"):
        if getattr(config, name) is not None:
            raise ConfigError(
                f"model.{name}: {config.pretrained} was trained by dkjax and says it itself: leave it away"
            )
