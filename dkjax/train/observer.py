"""What a simulation or a training reports while it runs; the command line shows it as progress bars."""

from dkjax.train.metrics import Progress


class Observer:
    """Is told what happens; does nothing with it. Override what is of interest."""

    def reading(self, source: str) -> None:
        """The images of a source are about to be read."""

    def skipped(self, name: str, reason: str) -> None:
        """A record could not be read and is left out."""

    def verifying(self, done: int, total: int) -> None:
        """So many bytes of the data sets have been found whole."""

    def note(self, text: str) -> None:
        """There is something a person should know."""

    def warning(self, text: str) -> None:
        """Something is wrong that does not keep the work from being done."""

    def run_started(self, arm: str, run: int, runs: int, total_steps: int) -> None:
        """Run `run` of `runs` (from 1) of an arm begins."""

    def run_kept(self, arm: str, run: int) -> None:
        """A run was found finished in the work directory and is not done again."""

    def encrypted(self, arm: str, round_number: int, images: int) -> None:
        """All clients have uploaded their images of a round."""

    def training(self, progress: Progress) -> None:
        """Some training steps were taken."""

    def evaluated(self, epoch: float, accuracy: dict[str, float]) -> None:
        """The model was evaluated on every test view."""

    def run_finished(self, arm: str, run: int, accuracy: dict[str, float]) -> None:
        """A run is done and kept."""
