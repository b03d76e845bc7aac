"""`dkjax inspect`: what is in an encrypted data set; first what it protects and what it leaks."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson
from dkjax.cli.picture import draw_contact_sheet
from dkjax.report.console import show

if TYPE_CHECKING:
    from dkjax.dkds import EncryptedDataSet, PackedDataSet

_CLASSES_SHOWN = 20
_KEYS_FOR = {"per_image": "one for each image", "per_client": "one for all images", "shared": "one for all clients"}


@for_people
def inspect(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(help="An encrypted data set, or the folder of a trained model.", metavar="NAME.dkds|MODEL")
    ],
    picture: Annotated[
        Path | None,
        typer.Option(help="Where to draw what the server will see; NAME.png beside the data set by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what an encrypted data set protects and leaks, what is in it, and what the server will see.

    Reads the manifest and a few images, so it is quick; `dkjax verify` reads every byte. Of a trained model, show which
    data sets it was made from, and by which code.
    """
    if (path / "model.json").is_file():
        from dkjax.cli.inspect_model import inspect_model

        inspect_model(path, as_json)
        return
    from dkjax.dkds import EncryptedDataSet
    from dkjax.dkds.packed import open_for_a_look
    from dkjax.dkds.verify import labels_in_range

    opened = open_for_a_look(path)
    if isinstance(opened, EncryptedDataSet):
        labels_in_range(opened)
    summary = _summary(opened)
    summary["picture"] = draw_contact_sheet(opened, picture)
    if as_json:
        typer.echo(json.dumps(summary, allow_nan=False))
    else:
        _print(summary)


def _summary(data_set: "EncryptedDataSet | PackedDataSet") -> dict[str, Any]:
    import numpy as np

    from dkjax.cipher import key_space_bits, schemes
    from dkjax.dkds import layout
    from dkjax.dkds.disclosure import not_hidden, warnings_of

    manifest = data_set.manifest
    scheme = manifest.scheme
    if scheme.missing:
        schemes.load_installed()
    bits = None if scheme.missing else key_space_bits(scheme.scheme(), manifest.image_shape, prng=manifest.prng)
    counts = np.bincount(data_set.labels, minlength=len(manifest.class_names)).tolist()
    return {
        "path": str(data_set.path),
        "protection": {
            "scheme": {"name": scheme.name, "parameters": scheme.parameters},
            "keys": manifest.keys,
            "key_sharing": manifest.key_sharing,
            "prng": manifest.prng,
            "views": manifest.views,
            # JSON has no infinity, which is the count of real matrices.
            "key_space_bits": bits and {name: value if math.isfinite(value) else None for name, value in bits.items()},
            "not_hidden": not_hidden(manifest),
            "warnings": warnings_of(manifest),
        },
        "client": manifest.client,
        "date": manifest.date,
        "records": manifest.records,
        "records_per_class": dict(zip(manifest.class_names, counts, strict=True)),
        "image": {"shape": list(manifest.image_shape), "dtype": manifest.image.dtype},
        "part": manifest.part.model_dump(),
        "shards": len(manifest.shards),
        "bytes": data_set.bytes,
        "packed": layout.is_packed(data_set.path),
        "id": manifest.id,
        "software": manifest.software,
    }


def _print(summary: dict[str, Any]) -> None:
    protection = summary["protection"]
    parameters = ", ".join(f"{name} {value}" for name, value in protection["scheme"]["parameters"].items())
    if (key_space := protection["key_space_bits"]) is None:
        bounds = "not known here"
    else:
        bits = {name: "unbounded" if value is None else f"{value:,.0f}" for name, value in key_space.items()}
        bounds = (
            f"2^{bits['effective']} (keys 2^{bits['key']}, transformations 2^{bits['transform']}): bounds brute force, "
            "nothing else"
        )
    height, width, channels = summary["image"]["shape"]
    part, counts = summary["part"], list(summary["records_per_class"].items())
    classes = [f"{name}: {count:,}" for name, count in counts[:_CLASSES_SHOWN]]
    if len(counts) > _CLASSES_SHOWN:
        classes.append(f"and {len(counts) - _CLASSES_SHOWN:,} more, which --json lists")
    packed = ", packed to be handed over: dkjax convert --to dkds unpacks it" if summary["packed"] else ""
    for line in (summary["path"], "", "protection"):
        show(line)
    _rows(
        {
            "scheme": f"{protection['scheme']['name']} ({parameters})",
            "keys": f"{protection['keys']}, {_KEYS_FOR[protection['key_sharing']]}, {protection['prng']}",
            "key space": bounds,
            "views": f"{protection['views']} of each image",
        }
    )
    for sentence in (protection["not_hidden"], *protection["warnings"]):
        show(f"  {sentence}")
    show()
    show("contents")
    _rows(
        {
            "client": summary["client"],
            "date": summary["date"],
            "images": f"{summary['records']:,} of {height} x {width} pixels, {channels} "
            f"channel{'s' if channels > 1 else ''}",
            "classes": ", ".join(classes),
            "part": f"{part['index']} of {part['of']}, counted from 0" if part["of"] > 1 else "all of the source",
            "shards": f"{summary['shards']:,}, {summary['bytes'] / 1e6:,.1f} MB{packed}",
            "id": summary["id"],
            "software": ", ".join(f"{name} {version}" for name, version in summary["software"].items()),
        }
    )
    if summary["picture"]:
        show()
        show(f"what the server will see: {summary['picture']}")


def _rows(rows: dict[str, str]) -> None:
    for name, value in rows.items():
        show(f"  {name:<10} {value}")
