"""`dkjax encrypt`: a client turns its images into an encrypted data set, which is all that leaves it."""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dkjax.cli.attack import one_thread, print_attacks
from dkjax.cli.errors import for_people
from dkjax.cli.options import AsJson, Overrides
from dkjax.cli.picture import draw_contact_sheet
from dkjax.cli.plural import plural
from dkjax.cli.stop import tidying_up
from dkjax.report.console import say, show

_Attack = Callable[[], dict[str, Any]]
_ATTACKED_IMAGES, _ATTACK_SECONDS = 16, 60.0

if TYPE_CHECKING:
    from dkjax.client.data_set import Order
    from dkjax.config import EncryptConfig, KeysConfig
    from dkjax.sources import Source
    from dkjax.sources.survey import Survey


@for_people
def encrypt(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="digits, fashion-mnist, elpv, textiles, tfds:NAME, a folder with a sub-folder of images a class, "
            "a .npz file, a data set of Hugging Face on disk, or a .tar of WebDataset.",
            metavar="SOURCE",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The encrypted data set to write.", metavar="NAME.dkds")],
    config: Annotated[
        Path | None, typer.Option(help="A TOML file; its sections data, scheme, keys, store and augment count here.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="A table, .csv or .parquet, of file names and labels, for a SOURCE without class folders.",
            metavar="LABELS.csv",
        ),
    ] = None,
    overrides: Overrides = None,
    client: Annotated[
        str | None, typer.Option(help="A pseudonym that the server may know you by; made up by default.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="train or test; by default all images, or those that the source has for training."),
    ] = None,
    views: Annotated[
        int, typer.Option(min=1, help="Encryptions of each image, under different keys. More show the server more.")
    ] = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Encrypt share i of n, counted from 0, into a data set of its own; auto or auto/n in a job array.",
            metavar="I/N",
        ),
    ] = None,
    packed: Annotated[
        bool,
        typer.Option(
            "--packed",
            help="Write a small data set to hand over, which the server unpacks; for the scheme sorted_blocks.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Go on where a folder, or the name of a class, may well be a mistake.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how much it would be, and how long.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Attack a few of the images, too, and say what the server can get back.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Encrypt images into a data set for the server.

    Every image gets a key of its own, which is thrown away. Stopped at any point, the same command goes on: finished
    shards stay. Files that cannot be read are listed and left out. Writes NAME.dkds, and beside it NAME.png, what the
    server will see, and NAME.ledger.jsonl, bytes and seconds. With --report, NAME.attacks.json is what attacks got back
    of some of these images within a minute.
    """
    if report:
        one_thread()
    from dkjax.config import EncryptConfig, load_as

    given = {"source": source} | ({} if labels is None else {"labels": str(labels)})
    settings = load_as(EncryptConfig, config, overrides or [], data=given)
    index, count = _share(shard)
    if count > 1:
        out = out.with_name(f"{out.stem}-{index:05d}-of-{count:05d}{out.suffix}")

    from dkjax.cli.classes_table import go_on, show_classes
    from dkjax.sources.open import open_configured
    from dkjax.sources.survey import survey

    images = open_configured(settings.data, _checked_split(split))
    order = _order(settings, images, client, split, views, index, count, packed)
    found = survey(images, agreed=settings.data.classes is not None)
    show_classes(found)
    attack = functools.partial(_attacked, images, order, settings.keys, out) if report else None
    if dry_run:
        _show_estimate(images, order, out, found, as_json, attack)
    else:
        go_on(found, yes)
        _encrypt(images, order, out, found, as_json, attack)


def _encrypt(
    images: "Source", order: "Order", out: Path, found: "Survey", as_json: bool, attack: "_Attack | None"
) -> None:
    from dkjax.cli.classes_table import as_json as classes_as_json
    from dkjax.cli.progress import EncryptionProgress
    from dkjax.client.data_set import encrypt_data_set
    from dkjax.dkds.disclosure import not_hidden, warnings_of
    from dkjax.dkds.packed import open_for_a_look, records_of_file
    from dkjax.runtime.ledger import files_in, ledger_beside, timed
    from dkjax.sources.survey import lost_classes

    before = files_in(out)
    with tidying_up(), EncryptionProgress(images) as progress:
        client = order.client or ""
        try:
            with timed() as took:
                manifest = encrypt_data_set(images, out, order, progress.update)
            client = manifest.client
        finally:  # what a stopped call has written, too
            if new := files_in(out) - before:
                written = sum(size for _, _, size in new)
                shards = sorted(name for name, _, _ in new if name.startswith("shard-"))
                records = sum(
                    records_of_file(out / name, images.image_shape, order.scheme.block_size) for name in shards
                )
                more: dict[str, int | str] = {"data_set": out.name, "records": records}
                ledger_beside(out).write("written", client, written, took.seconds, took.cpu_seconds, **more)
        data_set = open_for_a_look(out)
        picture = draw_contact_sheet(data_set)
    size = data_set.bytes
    shown = not_hidden(manifest)
    # A part of a source may lack a class by chance.
    lost = lost_classes(found, data_set.labels) if order.part.of == 1 else []
    warnings = [*lost, *warnings_of(manifest)]
    summary = {
        "path": str(out),
        "client": manifest.client,
        "records": manifest.records,
        "shards": len(manifest.shards),
        "bytes": size,
        "packed": order.packed,
        **classes_as_json(found),
        "kept": progress.kept,
        "skipped": [skipped._asdict() for skipped in images.skipped],
        "seconds": round(progress.seconds, 3),
        "images_per_second": round(progress.images_per_second, 1),
        "picture": picture,
        "not_hidden": shown,
        "warnings": warnings,
    }
    attacks = None
    if attack is not None:
        from dkjax.runtime.files import write_json

        attacks = summary["attacks"] = attack()
        write_json(out.with_suffix(".attacks.json"), attacks)
    if as_json:
        typer.echo(json.dumps(summary))
        return
    show(
        f"{out}: {manifest.records:,} images in {plural(len(manifest.shards), 'shard')}, {size / 1e6:,.1f} MB, from "
        f"{manifest.client}; {len(images.skipped)} skipped; {progress.seconds:.1f} s"
    )
    if order.packed:
        raw = sum(entry.bytes for entry in manifest.shards)
        show(f"packed: {size / raw:.1%} of the {raw / 1e6:,.1f} MB that the server unpacks it to")
    if picture is not None:
        show(f"what the server will see: {picture}")
    for sentence in (shown, *warnings):
        show(sentence)
    if attacks is not None:
        print_attacks(attacks)
        say(f"written: {out.with_suffix('.attacks.json')}")


def _attacked(images: "Source", order: "Order", keys: "KeysConfig", out: Path) -> dict[str, Any]:
    """Attack some of a client's images, each under a fresh key that the upload does not use."""
    from dkjax.attacks.cases import case_of_source
    from dkjax.attacks.trials import TRIALS
    from dkjax.cli.attack import tried

    case = case_of_source(images, order.scheme, keys, _ATTACKED_IMAGES)
    request = {"data_set": out.name, "images": _ATTACKED_IMAGES}
    return tried(case, None, request, list(TRIALS), _ATTACK_SECONDS)


def _show_estimate(
    images: "Source", order: "Order", out: Path, found: "Survey", as_json: bool, attack: "_Attack | None"
) -> None:
    from dkjax.cli.classes_table import as_json as classes_as_json
    from dkjax.client.data_set import estimate

    expected = estimate(images, order)
    attacks = None if attack is None else attack()
    if as_json:
        summary = {"path": str(out), **expected, **classes_as_json(found)}
        typer.echo(json.dumps(summary if attacks is None else {**summary, "attacks": attacks}))
    else:
        show(
            f"{out}: would hold {expected['records']:,} images in {plural(expected['shards'], 'shard')}, "
            f"{expected['bytes'] / 1e6:,.1f} MB; about {expected['seconds']:,.0f} s. Nothing was written."
        )
        if attacks is not None:
            print_attacks(attacks)


def _order(
    settings: "EncryptConfig",
    images: "Source",
    client: str | None,
    split: str | None,
    views: int,
    index: int,
    count: int,
    packed: bool,
) -> "Order":
    from dkjax.client.data_set import Order
    from dkjax.client.from_config import make_scheme
    from dkjax.config import resolved
    from dkjax.dkds import Part

    data = resolved(settings.data)
    request: dict[str, Any] = {"data": {**data, "source": _as_one_path(data["source"])}, "split": split}
    return Order(
        scheme=make_scheme(settings.scheme, images.image_shape),
        keys=settings.keys,
        client=client,
        views=views,
        augment=settings.augment,
        part=Part(index=index, of=count),
        shard_images=settings.store.shard_images,
        packed=packed,
        request=request,
    )


def _as_one_path(source: str) -> list[Any]:
    """The same for every way to write a path; other when a file of that path is replaced."""
    path = Path(source).expanduser()
    if not path.exists() or source in ("digits", "fashion-mnist", "elpv", "textiles"):
        return [source]
    status = path.stat()
    return [os.path.realpath(path), *([status.st_size, status.st_mtime_ns] if path.is_file() else [])]


def _share(shard: str | None) -> tuple[int, int]:
    from dkjax.cli.jobs import ARRAY_VARIABLES, parse_share

    if shard is not None:
        return parse_share(shard, os.environ)
    if any(name in os.environ for name in ARRAY_VARIABLES):
        say("note: this is a task of a job array, and encrypts everything: --shard auto splits the work")
    return 0, 1


def _checked_split(split: str | None) -> Any:
    from dkjax.errors import ConfigError

    if split not in (None, "train", "test"):
        raise ConfigError(f"--split must be train or test, got {split!r}")
    return split
