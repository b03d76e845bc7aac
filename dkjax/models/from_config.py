"""What a configuration asks of a model: where its training starts from."""

from dkjax.config import ModelConfig
from dkjax.models.pretrained import load_pretrained
from dkjax.models.vit import Model, Params


def load_start(config: ModelConfig, model: Model, image_shape: tuple[int, int, int]) -> tuple[Params | None, list[str]]:
    """Load the weights that training starts from, if a checkpoint is named, and say what became of them.

    Args:
        config: the checkpoint and what it was trained on.
        model: the network they are for.
        image_shape: `(H, W, C)` of the images.

    Returns:
        The parameters, None without a checkpoint, and notes for a person.

    Raises:
        ConfigError: the checkpoint is of another network.
        DataError: it is missing or damaged.
    """
    if config.pretrained is None:
        return None, []
    params, report = load_pretrained(
        config.pretrained,
        model,
        image_shape,
        mean=config.pretrained_mean,
        std=config.pretrained_std,
        architecture=config.pretrained_architecture,
    )
    return params, ["start from " + "; ".join(report.lines())]
