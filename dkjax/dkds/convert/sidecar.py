"""`dkds.json`: what an export carries so that it can become the encrypted data set again that it was."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from dkjax.dkds import Manifest
from dkjax.dkds.manifest import parse_manifest
from dkjax.errors import DataError
from dkjax.runtime.files import read_json, write_json

FILE = "dkds.json"


class Sidecar(NamedTuple):
    """What `dkds.json` says.

    Attributes:
        container: the name of the format beside it.
        records_sha256: of all records, as `RecordStream.sha256` computes it.
        manifest: of the encrypted data set that was exported, word by word.
    """

    container: str
    records_sha256: str
    manifest: Manifest


def write_sidecar(folder: Path, sidecar: Sidecar) -> None:
    """Write `dkds.json` into an export."""
    manifest = json.loads(sidecar.manifest.to_bytes())
    tree = {"format": "dkds-export", "version": 1, **sidecar._asdict(), "manifest": manifest}
    write_json(folder / FILE, tree)


def read_sidecar(folder: Path) -> Sidecar | None:
    """Read `dkds.json`, with suspicion.

    Args:
        folder: what may be an export.

    Returns:
        What it says; None where there is none.

    Raises:
        DataError: it is not what `write_sidecar` writes.
    """
    path = folder / FILE
    try:
        tree = read_json(path)
        if tree is None:
            return None
        if tree["format"] != "dkds-export" or tree["version"] != 1:
            raise ValueError(f"format {tree['format']!r} in version {tree['version']!r}")
        container, digest = tree["container"], tree["records_sha256"]
        if not isinstance(container, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError("container or records_sha256 is wrong")
        manifest = json.dumps(tree["manifest"]).encode()
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path} does not describe an export ({' '.join(reason.split())}): copy it again") from None
    return Sidecar(container, digest, parse_manifest(manifest, str(path)))
