"""What a server found, as tables for people, on stdout."""

from typing import Any

from dkjax.report.console import print_line, print_table, results_console

_TEXT = ("client", "encryption")


def print_training(results: dict[str, Any]) -> None:
    """Print what `dkjax.server.run.train_on_data_sets` returned."""
    console = results_console()
    data, train = results["data"], results["train"]
    height, width, channels = data["image_shape"]
    print_line(
        console,
        f"{data['train_images']:,} images of {_clients(results)}, {height} x {width} x {channels}; "
        f"{train['steps']:,} steps in {results['seconds']:,.0f} s; "
        f"accuracy on training batches {train['accuracy']:.1%}",
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
    print_table(console, ("client", "images", "upload (MB)", "encryption"), clients, text_columns=_TEXT)
    tests = [
        (one["name"], f"{one['images']:,}", f"{results['test_accuracy'][one['name']]:.1%}")
        for one in results["test_sets"]
    ]
    if tests:
        print_table(console, ("test set", "images", "accuracy"), tests)


def print_accuracy(measured: dict[str, Any]) -> None:
    """Print what `dkjax.server.run.evaluate_workdir` returned."""
    console = results_console()
    for one in measured["test_sets"]:
        print_line(console, f"{one['name']}: {one['accuracy']:.1%} of {one['images']:,} images")
        rows = [
            (line["name"], f"{line['images']:,}", "-" if line["accuracy"] is None else f"{line['accuracy']:.1%}")
            for line in one["classes"]
        ]
        print_table(console, ("class", "images", "accuracy"), rows)


def _clients(results: dict[str, Any]) -> str:
    count = len(results["clients"])
    return "1 client" if count == 1 else f"{count} clients"


def _encryption(data_set: dict[str, Any]) -> str:
    numbers = " ".join(f"{name}={value}" for name, value in data_set["parameters"].items())
    return f"{data_set['scheme']} {numbers}, {data_set['keys']} keys"
