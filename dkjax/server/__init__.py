"""What the server does: it receives uploads, trains on them and tests the result. It never sees a key."""

from typing import TYPE_CHECKING

from dkjax.runtime.lazy import lazily

if TYPE_CHECKING:
    from dkjax.server.trained_run import TrainedRun, load_trained
    from dkjax.server.training import train

__all__ = ["TrainedRun", "load_trained", "train"]

__getattr__ = lazily(
    __name__,
    {
        "TrainedRun": "dkjax.server.trained_run",
        "load_trained": "dkjax.server.trained_run",
        "train": "dkjax.server.training",
    },
)
