"""Checkpoints of a training under way: stopped or killed at any step, it resumes to the same result, bit for bit."""

import contextlib
import dataclasses
import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from dkjax.errors import ConfigError, DataError, DkjaxError, StoppedError
from dkjax.runtime.files import checksums_of, read_json, write_json
from dkjax.runtime.full_disk import full_disk_is_an_os_error, quiet_about_full_disk, require_room
from dkjax.runtime.processes import broadcast_from_leader, is_leader, leader_does, run_on_all
from dkjax.train.metrics import Progress
from dkjax.train.state import TrainState
from dkjax.train.step import Metrics

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

# Orbax's format does not detect a flipped bit in an array.
_CHECKSUMS = "checksums.json"
_WRITTEN_LAST = {_CHECKSUMS, "_CHECKPOINT_METADATA", "commit_success.txt"}
"""Files that Orbax adds to a checkpoint after the checksums: times and a marker, which do not affect training."""


@dataclasses.dataclass(frozen=True)
class History:
    """What a training has reported so far. With the state, it is all that the rest of the training depends on.

    Attributes:
        curve: what each evaluation found: `step`, `epoch` and `test_accuracy` by the name of the test set.
        last: the last report.
        pending: metrics of the steps since the last report.
        log_bytes: the length of `metrics.jsonl`.
    """

    curve: tuple[dict[str, Any], ...] = ()
    last: Progress | None = None
    pending: tuple[Metrics, ...] = ()
    log_bytes: int = 0


EMPTY_HISTORY = History()
"""Before the first step."""


def _damage_is_a_data_error(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let everything that reading a damaged checkpoint may raise be a `DataError` of one line."""

    @functools.wraps(function)
    def reading(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except DkjaxError:
            raise
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DataError(str(error).partition("\n")[0] or type(error).__name__) from error

    return reading


class Checkpoints:
    """The checkpoints of one training, in a folder with one sub-folder for each, named by its step.

    Orbax writes them while training continues; one appears whole or not at all. The newest few are kept and, if it is
    asked for, the one with the best accuracy on the first test set.

    Args:
        folder: their folder; created with the first checkpoint.
        run: JSON values that identify this training; stored in every checkpoint.
        every: steps between two checkpoints; 0 for one only when training is stopped.
        keep: number of newest checkpoints to keep.
        best: whether to write one after each evaluation, too, and to keep the one with the best accuracy.
        stop_asked: returns whether training should stop.
        warn: called with one line for each checkpoint that cannot be used.

    Guarantees:
        - stopped at any step, training ends with the parameters, the curve and the metrics of one that was not
          (`test_checkpoints.py::test_stopped_anywhere_is_the_same_to_the_bit`, `::test_killed_anywhere`).
        - a checkpoint with a changed bit is not used
          (`test_checkpoints.py::test_damaged_checkpoints_are_passed_over`).
        - it may resume on other devices, in the same order (`test_checkpoints.py::test_on_another_number_of_devices`).
    """

    def __init__(
        self,
        folder: Path,
        run: Mapping[str, Any],
        *,
        every: int,
        keep: int,
        best: bool = True,
        stop_asked: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._folder = folder.absolute()
        self._run = dict(run)
        self._every = every
        self._keep = keep
        self._stop_asked = stop_asked
        self._warn = warn
        self._keep_best = best
        self._best: int | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Checkpoints":
        self._stack.enter_context(quiet_about_full_disk())
        return self

    def __exit__(self, *_: object) -> None:
        # Only a manager that was asked for is there to be closed, which waits for what it is writing.
        with self._stack, full_disk_is_an_os_error():
            if "_manager" in self.__dict__:
                self._manager.close()

    def newest(self, like: TrainState) -> tuple[TrainState, History] | None:
        """Read the newest undamaged checkpoint; damaged newer ones are removed.

        Args:
            like: shapes, dtypes and shardings of the state; the devices it was saved from do not matter.

        Returns:
            The state and the history to resume from; None if there is no checkpoint.

        Raises:
            ConfigError: a checkpoint belongs to another training.
        """
        damaged = 0
        steps = self._steps() if is_leader() else []
        while (step := broadcast_from_leader(steps.pop(0) if steps else -1)) >= 0:
            path = self._folder / str(step)
            try:
                # One process verifies all of it; then each reads what its devices need.
                leader_does(functools.partial(_check, path))
                return run_on_all(functools.partial(self._read, path, like))
            except DataError as error:
                self._warn(f"the checkpoint {path} is damaged and is passed over: {error}")
                damaged += 1
                if is_leader():
                    shutil.rmtree(path, ignore_errors=True)
        if damaged:
            self._warn(f"no checkpoint in {self._folder} is whole: the training begins anew")
        return None

    def after_step(self, step: int, state: TrainState, history: Callable[[], History], taken: int = 1) -> None:
        """Write a checkpoint where one is due, and stop if requested.

        Args:
            step: how many steps have been taken.
            state: the state after them.
            history: returns the history; called only if a checkpoint is written.
            taken: how many of them since the last call.

        Raises:
            StoppedError: training should stop here; a checkpoint is on the disk.
        """
        if self._every and step // self._every > (step - taken) // self._every:
            self._save(step, state, history())
        self.stop_if_asked(step, state, history)

    def after_evaluation(self, step: int, state: TrainState, history: Callable[[], History]) -> None:
        """Write a checkpoint, and stop if requested; arguments and errors as for `after_step`."""
        if self._every and self._keep_best:
            self._save(step, state, history())
        self.stop_if_asked(step, state, history)

    def stop_if_asked(self, step: int, state: TrainState, history: Callable[[], History]) -> None:
        """Stop with a checkpoint if requested; arguments and errors as for `after_step`."""
        if self._stop_asked():
            self._save(step, state, history())
            with full_disk_is_an_os_error():
                self._manager.wait_until_finished()
            raise StoppedError(f"stopped after step {step}, which is kept; the same command goes on from there")

    def _save(self, step: int, state: TrainState, history: History) -> None:
        import orbax.checkpoint as ocp

        # The same state may have been kept before it was evaluated; then it is evaluated again when training resumes.
        if step in self._manager.all_steps():
            return
        accuracies = [(next(iter(point["test_accuracy"].values()), 0.0), point["step"]) for point in history.curve]
        self._best = max(accuracies)[1] if accuracies and self._keep_best else None
        with full_disk_is_an_os_error():
            # One is written at a time; `_write_checksums` is called for the one before until it is finished.
            self._manager.wait_until_finished()
        leader_does(lambda: require_room(self._folder, state))
        self._saving = step
        saved = {"run": self._run, "step": step, **dataclasses.asdict(history)}
        saved["pending"] = [{name: float(value) for name, value in one.items()} for one in history.pending]
        args = ocp.args.Composite(state=ocp.args.PyTreeSave(state), history=ocp.args.JsonSave(saved))
        with full_disk_is_an_os_error():
            self._manager.save(step, args=args, force=True)

    @_damage_is_a_data_error
    def _read(self, path: Path, like: TrainState) -> tuple[TrainState, History]:
        import orbax.checkpoint as ocp

        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            saved = checkpointer.restore(path, ocp.args.Composite(history=ocp.args.JsonRestore()))["history"]
            if "pending" not in saved:
                raise DataError("another version of dkjax wrote it")
            if saved["run"] != self._run:
                raise ConfigError(f"the checkpoint {path} is of another training: choose another --workdir")
            restore = ocp.args.PyTreeRestore(like, ocp.checkpoint_utils.construct_restore_args(like))
            state = checkpointer.restore(path, ocp.args.Composite(state=restore))["state"]
        pending = [{name: np.float32(value) for name, value in one.items()} for one in saved["pending"]]
        last = None if saved["last"] is None else Progress(**saved["last"])
        return state, History(tuple(saved["curve"]), last, tuple(pending), saved["log_bytes"])

    def _steps(self) -> list[int]:
        """Steps of all finished checkpoints, the newest first."""
        if not self._folder.is_dir():
            return []
        return sorted((int(path.name) for path in self._folder.iterdir() if path.name.isdecimal()), reverse=True)

    @cached_property
    def _manager(self) -> Any:
        import orbax.checkpoint as ocp

        handlers = {
            # Trained parameters barely compress.
            "state": ocp.PyTreeCheckpointHandler(use_compression=False),
            "history": ocp.JsonCheckpointHandler(),
        }
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self,
            cleanup_tmp_directories=True,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._write_checksums),
        )

        class Manager(ocp.CheckpointManager):
            def reached_preemption(self, step: int) -> bool:
                # Whether to stop is asked for elsewhere, and JAX counts the calls.
                return False

        return Manager(self._folder, options=options, item_handlers=handlers)

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Return which checkpoints to keep; called by Orbax."""
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = {*sorted(steps)[-self._keep :], self._best}
        return [step in kept for step in steps]

    def _write_checksums(self) -> None:
        """Orbax calls this when a checkpoint's files are written, before the folder gets its name."""
        if is_leader():
            for unfinished in self._folder.glob(f"{self._saving}.*"):
                write_json(unfinished / _CHECKSUMS, checksums_of(unfinished, _WRITTEN_LAST))


class NoCheckpoints(Checkpoints):
    """For a training that cannot be resumed, because its images cannot be encrypted again: it only stops."""

    def __init__(self, stop_asked: Callable[[], bool] = lambda: False) -> None:
        super().__init__(Path(), {}, every=0, keep=1, stop_asked=stop_asked)

    def newest(self, like: TrainState) -> None:
        """There is none."""

    def stop_if_asked(self, step: int, state: TrainState, history: Callable[[], History]) -> None:
        """Stop if requested."""
        if self._stop_asked():
            raise StoppedError("stopped; finished runs are kept, and the same command begins this one anew")


@_damage_is_a_data_error
def _check(folder: Path) -> None:
    expected = read_json(folder / _CHECKSUMS)
    if not isinstance(expected, dict):
        raise DataError(f"it has no {_CHECKSUMS}")
    found = checksums_of(folder, _WRITTEN_LAST)
    if missing := sorted(expected.keys() - found.keys()):
        raise DataError(f"{missing[0]} is missing")
    for name, checksum in found.items():
        if expected.get(name) != checksum:
            raise DataError(f"{name} is not what was written")
