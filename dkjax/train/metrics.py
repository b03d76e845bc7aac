"""What a training run tells about itself while it goes on."""

import dataclasses
import json
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where training stands.

    Attributes:
        step: steps taken so far.
        total_steps: steps there will be.
        loss: mean loss over the steps since the last report.
        accuracy: mean accuracy on the training batches since the last report, 0 to 1.
        learning_rate: at this step.
        images_per_second: since the last report.
    """

    step: int
    total_steps: int
    loss: float
    accuracy: float
    learning_rate: float
    images_per_second: float


class MetricsLog:
    """Metrics as JSON lines, one object a line, in a file that is readable while it grows."""

    def __init__(self, path: Path) -> None:
        """Begin an empty log at `path`, over whatever an earlier, unfinished run left there."""
        self._file = open(path, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 (close() closes it)

    def write(self, **values: Any) -> None:
        """Append one line."""
        self._file.write(json.dumps(values) + "\n")

    def close(self) -> None:
        """Close the file; nothing can be written any more."""
        self._file.close()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
