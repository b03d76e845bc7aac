"""Rounds of federated averaging: by dkjax, by a plain loop of jitted clients, and in Flower's simulation with PyTorch.

python benchmarks/federated.py --flower PYTHON

PYTHON is that of an environment with flwr[simulation] and torch. Linux alone, as CPU time and memory are those of all
processes of a contender.
"""

import contextlib
import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
import typer
from process_tree import ProcessTree, peak_bytes
from script import AsJson, app, say, show

from dkjax.bench.table import Tables
from dkjax.errors import ArgumentError, DkjaxError
from dkjax.runtime import machine

IN_TURN, SIDE_BY_SIDE, LOOP, FLOWER = "in_turn", "side_by_side", "loop", "flower"
NAMES = {
    IN_TURN: "dkjax, in turn",
    SIDE_BY_SIDE: "dkjax, side by side",
    LOOP: "loop of jitted clients",
    FLOWER: "Flower, torch",
}
NETWORKS = {
    "mlp": "MLP, one hidden layer of 64",
    "strided": "two convolutions of stride 2",
    "full": "two convolutions with pooling",
    "vit": "ViT-mu, patches of 4",
    "idle": "clients that send back the parameters of the MLP untrained",
}
_SETTLED = 2
"""Rounds before the timed ones: the first compiles, or starts processes."""
_WATCHED = 3
"""Rounds after the timed ones, in which memory is read."""

_LONGEST = 1800.0
"""Seconds after which a contender is ended: Flower may wait for a process of Ray's that has died."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What a contender is asked to do.

    Attributes:
        contender: one of `NAMES`.
        network: one of `NETWORKS`.
        rounds: how many.
        clients: how many there are.
        chosen: how many take part in a round.
        images: of each client.
        batch: of a step; a client makes one epoch in a round.
        idle: whether clients send back what they received, untrained.
        rate: the learning rate of plain SGD.
        data: folder with `image.npy`, uint8[clients * images, 28, 28], and `label.npy`.
    """

    contender: str
    network: str
    rounds: int
    clients: int = 100
    chosen: int = 10
    images: int = 600
    batch: int = 32
    idle: bool = False
    rate: float = 0.05
    data: str = ""


def measure_federated(
    networks: Sequence[str] = tuple(NETWORKS),
    *,
    flower: Path | None = None,
    rounds: int = 10,
    repeats: int = 3,
    clients: int = 100,
    chosen: int = 10,
    images: int = 600,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure rounds of every contender, each in processes of its own, which take turns.

    Images are random and shaped like Fashion-MNIST. A contender is started anew for every measurement, and reports
    each round: its first round is timed from the start of its process, and after two more come the timed ones, whose
    CPU time is that of all its processes.

    Args:
        networks: of `NETWORKS`.
        flower: the Python of an environment with flwr[simulation] and torch; without Flower if None.
        rounds: timed rounds of each measurement.
        repeats: measurements of each contender.
        clients: how many there are.
        chosen: how many take part in a round.
        images: of each client.
        say: is told what is measured.

    Returns:
        A JSON object: the machine, versions, a case for each network, and the memory of a tenth of the clients beside
        that of all. Times are the medians of the measurements.

    Raises:
        ArgumentError: Flower's Python is no file, a network is unknown, or more clients are chosen than there are.
        DkjaxError: a contender failed, became not finite, or trains a network of another size.
    """
    if flower is not None and not flower.is_file():
        raise ArgumentError(f"--flower {flower} is no file: name the Python of an environment with flwr[simulation]")
    for name in networks:
        if name not in NETWORKS:
            raise ArgumentError(f"--network {name} is not one of {', '.join(NETWORKS)}")
    if chosen > clients:
        raise ArgumentError(f"--chosen {chosen} of {clients} clients: choose at most that many")
    contenders = [IN_TURN, SIDE_BY_SIDE, LOOP, *([FLOWER] if flower else [])]
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="dkjax-federated-") as folder:
        rng = np.random.default_rng(0)
        np.save(f"{folder}/image.npy", rng.integers(0, 256, (clients * images, 28, 28), np.uint8))
        np.save(f"{folder}/label.npy", rng.integers(0, 10, clients * images, np.int32))
        task = Task(IN_TURN, "mlp", 1 + _SETTLED + rounds + _WATCHED, clients, chosen, images, data=folder)

        def case(task: Task) -> dict[str, Any]:
            measured: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
            for number in range(repeats):
                for name in contenders if number % 2 == 0 else reversed(contenders):
                    say(f"{task.network}: {NAMES[name]}, {number + 1} of {repeats}")
                    measured[name].append(_once(dataclasses.replace(task, contender=name), rounds, flower))
            sizes = {name: runs[0]["parameters"] for name, runs in measured.items()}
            if len({*sizes.values()}) > 1:
                raise DkjaxError(f"the contenders' networks differ: {sizes} parameters")
            for runs in measured.values():
                versions.update(runs[0].pop("versions", {}))
            rows = [{"name": name, **_middle(runs)} for name, runs in measured.items()]
            return {"network": task.network, "parameters": sizes[IN_TURN], "contenders": rows}

        cases = [case(dataclasses.replace(task, network=name, idle=name == "idle")) for name in networks]
        say("memory of fewer clients")
        fewer = dataclasses.replace(task, network=networks[0], clients=max(chosen, clients // 10))
        few = _once(fewer, rounds, None)
    here = machine.describe()
    return {
        "bench": "federated",
        **here,
        "versions": {**here["versions"], **versions},
        "rounds": rounds,
        "repeats": repeats,
        "clients": clients,
        "chosen": chosen,
        "images": images,
        "batch": task.batch,
        "cases": cases,
        "memory": {
            str(clients): cases[0]["contenders"][0]["peak_bytes"],
            str(fewer.clients): few["peak_bytes"],
        },
    }


def _middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = ("seconds_a_round", "cpu_seconds_a_round", "first_round_seconds", "peak_bytes", "processes")
    return {name: statistics.median(run[name] for run in runs) for name in numbers} | {"runs": runs}


def _once(task: Task, rounds: int, flower: Path | None) -> dict[str, Any]:
    """Run a contender once."""
    program = "flower_rounds.py" if task.contender == FLOWER else "federated_rounds.py"
    python = flower if task.contender == FLOWER else sys.executable
    command = [str(python), str(Path(__file__).with_name(program)), json.dumps(dataclasses.asdict(task))]
    marks: list[tuple[float, float]] = []
    memory, about = 0, {}
    with tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        with _started(command, errors) as process:
            tree = ProcessTree(process.pid)
            assert process.stdout is not None
            for line in process.stdout:
                kind, _, rest = line.partition(" ")
                if kind == "about":
                    about = json.loads(rest)
                elif kind == "round":
                    marks.append((time.perf_counter() - began, tree.cpu_seconds()))
                    if len(marks) > 1 + _SETTLED + rounds:
                        memory = max(memory, tree.memory_bytes(), peak_bytes(process.pid))
                elif kind == "not":
                    break
        if process.returncode or len(marks) != task.rounds:
            errors.seek(0)
            raise DkjaxError(f"{NAMES[task.contender]} failed: {''.join(errors.readlines()[-1:]).strip()}")
    first, last = marks[_SETTLED], marks[_SETTLED + rounds]
    return {
        **about,
        "seconds_a_round": (last[0] - first[0]) / rounds,
        "cpu_seconds_a_round": (last[1] - first[1]) / rounds,
        "first_round_seconds": marks[0][0],
        "peak_bytes": memory,
        "processes": tree.processes,
    }


@contextlib.contextmanager
def _started(command: list[str], errors: IO[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a contender as the leader of a group, whose processes end with the block, or when it takes too long."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True) as process:

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        watch = threading.Timer(_LONGEST, end)
        watch.start()
        try:
            yield process
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        finally:
            watch.cancel()
            end()


def tables(result: dict[str, Any]) -> Tables:
    """Lay out what `measure_federated` returned."""
    for case in result["cases"]:
        ours = case["contenders"][0]
        rows = [
            (
                NAMES[row["name"]],
                f"{1 / row['seconds_a_round']:,.2f}",
                f"{row['seconds_a_round'] / ours['seconds_a_round']:.2f}",
                f"{row['cpu_seconds_a_round']:.3f}",
                f"{row['first_round_seconds']:.1f}",
                f"{row['peak_bytes'] / 2**20:,.0f}",
                f"{row['processes']:.0f}",
            )
            for row in case["contenders"]
        ]
        title = f"{NETWORKS[case['network']]}: {case['parameters']:,} parameters"
        yield title, ("rounds/s", "times\nthe first", "CPU s\na round", "first\nround s", "MiB", "proc."), rows
    memory = result["memory"]
    sizes = [(f"{clients} clients", f"{size / 2**20:,.0f}") for clients, size in memory.items()]
    yield f"dkjax, in turn, {result['chosen']} clients a round", ("MiB",), sizes


def main(
    context: typer.Context,
    flower: Annotated[
        Path | None, typer.Option(help="The Python of an environment with flwr[simulation] and torch.")
    ] = None,
    network: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(NETWORKS)}; all by default.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds of each measurement.")] = 10,
    repeats: Annotated[int, typer.Option(min=1, help="Measurements of each contender.")] = 3,
    clients: Annotated[int, typer.Option(min=1, help="How many clients there are.")] = 100,
    chosen: Annotated[int, typer.Option(min=1, help="How many take part in a round.")] = 10,
    images: Annotated[int, typer.Option(min=1, help="Images of each client.")] = 600,
    as_json: AsJson = False,
) -> None:
    """Measure rounds of federated averaging by dkjax, by a plain loop, and by Flower if its Python is named."""
    result = measure_federated(
        network or tuple(NETWORKS),
        flower=flower,
        rounds=rounds,
        repeats=repeats,
        clients=clients,
        chosen=chosen,
        images=images,
        say=say,
    )
    show(result, tables, as_json)


if __name__ == "__main__":
    app(main)()
