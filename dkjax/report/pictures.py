"""The tiles of a report: plain images, what the server sees of them, and what each attack got back."""

import io

import numpy as np
from PIL import Image

from dkjax.report import scores
from dkjax.report.document import Tiles
from dkjax.report.run_files import RunFiles

_SHOWN = 4
_LARGEST = 112


def tiles(run: RunFiles) -> tuple[Tiles, ...]:
    """Cut the pictures of a run.

    Args:
        run: what its work directory holds.

    Returns:
        Tiles for each setting that was attacked, and for each further arm that encrypts.

    Raises:
        DataError: a file of pictures is damaged.
    """
    found = []
    attacked = {} if run.attacks is None else run.attacks["settings"]
    for name, setting in attacked.items():
        rows = [("plain", run.pictures(name, "plain")), ("what the server sees", run.pictures(name, "sent"))]
        for attack, tried in setting["attacks"].items():
            metric = scores.principal(attack, tried["scores"])
            label = f"{attack}\n{scores.measure(metric)}: {scores.number(tried['scores'][metric]['mean'])}"
            rows.append((label, run.pictures(name, attack)))
        found.append(_tiles(name, rows))
    if run.simulation is not None and not run.same_images:
        for arm in run.simulation["arms"]:
            samples = run.samples(arm["name"]) if arm["scheme"] is not None else None
            if samples is not None:
                found.append(_tiles(arm["name"], [("plain", samples[0]), ("what the server sees", samples[1])]))
    return tuple(one for one in found if one.rows)


def _tiles(heading: str, rows: list[tuple[str, np.ndarray | None]]) -> Tiles:
    shown = ((label, tuple(map(_png, images[:_SHOWN]))) for label, images in rows if images is not None)
    return Tiles(heading, tuple(shown))


def _png(image: np.ndarray) -> bytes:
    picture = Image.fromarray(np.ascontiguousarray(image if image.shape[-1] == 3 else image[..., 0]))
    picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
