"""What a simulation or a training reports while it runs; the command line shows it as progress bars."""

from dkjax.train.metrics import Progress


class Observer:
    """Receives events and ignores them; override the methods of interest."""

    def reading(self, source: str) -> None:
        """The images of a source are about to be read."""

    def skipped(self, name: str, reason: str) -> None:
        """A record could not be read and is skipped."""

    def verifying(self, done: int, total: int) -> None:
        """This many bytes of the data sets have been verified."""

    def note(self, text: str) -> None:
        """A message for the user."""

    def warning(self, text: str) -> None:
        """A problem that does not prevent the run."""

    def run_started(self, arm: str, run: int, runs: int, total_steps: int) -> None:
        """Run `run` of `runs` (from 1) of an arm begins."""

    def run_kept(self, arm: str, run: int) -> None:
        """A finished run was found in the work directory and is kept."""

    def encrypted(self, arm: str, round_number: int, images: int) -> None:
        """All clients have uploaded their images of a round."""

    def training(self, progress: Progress) -> None:
        """Some training steps were taken."""

    def evaluated(self, epoch: float, accuracy: dict[str, float]) -> None:
        """The model was evaluated on every test view."""

    def run_finished(self, arm: str, run: int, accuracy: dict[str, float]) -> None:
        """A run is done and kept."""
