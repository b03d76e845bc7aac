"""What a server found, as tables for people, on stdout."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def print_training(results: dict[str, Any]) -> None:
    """Print what `dkjax.server.run.train_on_data_sets` returned."""
    console = _console()
    data, train = results["data"], results["train"]
    height, width, channels = data["image_shape"]
    console.print(
        f"{data['train_images']:,} images of {_clients(results)}, {height} x {width} x {channels}; "
        f"{train['steps']:,} steps in {results['seconds']:,.0f} s; accuracy on training batches {train['accuracy']:.1%}"
    )
    clients = [
        (
            client["name"],
            f"{client['images']:,}",
            f"{client['upload_bytes'] / 1e6:,.1f}",
            ", ".join(dict.fromkeys(_encryption(data_set) for data_set in client["data_sets"])),
        )
        for client in results["clients"]
    ]
    console.print(_table(("client", "images", "upload (MB)", "encryption"), clients))
    tests = [
        (one["name"], f"{one['images']:,}", f"{results['test_accuracy'][one['name']]:.1%}")
        for one in results["test_sets"]
    ]
    if tests:
        console.print(_table(("test set", "images", "accuracy"), tests))


def print_accuracy(measured: dict[str, Any]) -> None:
    """Print what `dkjax.server.evaluate.evaluate_workdir` returned."""
    console = _console()
    for one in measured["test_sets"]:
        console.print(f"{one['name']}: {one['accuracy']:.1%} of {one['images']:,} images")
        rows = [
            (line["name"], f"{line['images']:,}", "-" if line["accuracy"] is None else f"{line['accuracy']:.1%}")
            for line in one["classes"]
        ]
        console.print(_table(("class", "images", "accuracy"), rows))


def _clients(results: dict[str, Any]) -> str:
    count = len(results["clients"])
    return "1 client" if count == 1 else f"{count} clients"


def _encryption(data_set: dict[str, Any]) -> str:
    numbers = " ".join(f"{name}={value}" for name, value in data_set["parameters"].items())
    return f"{data_set['scheme']} {numbers}, {data_set['keys']} keys"


def _console() -> Console:
    # Names of classes and files are shown as they are, whatever brackets they have.
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 160  # a pipe or a file has no edge to fit
    return console


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        numeric = heading in ("images", "accuracy", "upload (MB)")
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        table.add_row(*row)
    return table
