"""`dkjax inspect MODEL`: what a trained model was made from, without loading it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from dkjax.cli.plural import plural
from dkjax.errors import DataError
from dkjax.report.console import show
from dkjax.runtime.files import read_json, read_results


def inspect_model(folder: Path, as_json: bool) -> None:
    """Show the data sets, schemes and code a model was made from, and what it was found to do.

    Args:
        folder: of a finished training.
        as_json: print one JSON object.

    Raises:
        DataError: the folder's `model.json` describes no model.
    """
    path = folder / "model.json"
    try:
        described: Any = read_json(path)
    except DataError as error:
        raise DataError(f"{error}, or of another version of dkjax: copy it again, or train again") from None
    try:
        provenance = described.get("provenance") or {}
        summary = {
            "path": str(folder),
            "model": dict(described["model"]),
            "image": {"shape": list(described["image_shape"])},
            "class_names": list(described["class_names"]),
            "data_sets": [dict(one) for one in provenance.get("data_sets", ())],
            "code": dict(provenance.get("code", {})),
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DataError(f"{path} describes no model: it was not written by this version of dkjax train") from None
    results = read_results(folder / "results.json") or read_results(folder / "result.json") or {}
    summary["test_accuracy"] = results.get("test_accuracy", {})
    if as_json:
        typer.echo(json.dumps(summary, allow_nan=False))
    else:
        _print(summary)


def _print(summary: Mapping[str, Any]) -> None:
    model, code = summary["model"], summary["code"]
    height, width, channels = summary["image"]["shape"]
    show(f"{summary['path']}: a trained model")
    show()
    names = summary["class_names"]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    sizes = ", ".join(f"{name} {model[name]}" for name in ("patch_size", "width", "depth", "heads") if name in model)
    rows = {
        "model": f"ViT, {sizes}",
        "images": f"{height} x {width} pixels, {channels} channel{'s' if channels > 1 else ''}",
        "classes": ", ".join(names[:20]) + more,
        "accuracy": ", ".join(f"{name} {value:.1%}" for name, value in summary["test_accuracy"].items())
        or "not tested",
        "code": f"dkjax {code['dkjax']}, source {code['sha256'][:16]}" if code else "not known: an earlier version",
    }
    for name, value in rows.items():
        show(f"  {name:<10} {value}")
    show()
    show("made from" if summary["data_sets"] else "made from: not known, as of a simulation or an earlier version")
    for one in summary["data_sets"]:
        scheme = ""
        if "scheme" in one:
            scheme = f", {one['scheme']} ({', '.join(f'{name} {value}' for name, value in one['parameters'].items())})"
        keys = f", {one['keys']} keys" if "keys" in one else ""
        show(f"  {one['client']}: {plural(one['records'], 'image')}{scheme}{keys}, sha256 {one['sha256']}")
