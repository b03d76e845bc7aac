"""What a training run tells about itself while it goes on."""

import dataclasses
import json
import os
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

    def __init__(self, path: Path, keep_bytes: int = 0) -> None:
        """Go on in the log at `path` after its first `keep_bytes`; the rest, of an unfinished run, is dropped."""
        self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 (close() closes it)
        self._file.truncate(min(keep_bytes, self.num_bytes))

    @property
    def num_bytes(self) -> int:
        """How long the log is."""
        return os.fstat(self._file.fileno()).st_size

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
