"""Tickets for clients, made by the server."""

import datetime
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dkjax.config import PlanConfig, load_as
from dkjax.errors import ConfigError
from dkjax.transport.age import sealed_length
from dkjax.transport.server_keys import ServerKeys, keep_ticket
from dkjax.transport.signature import public_key_of, signed
from dkjax.transport.store import MANIFEST, REPORT, place_of, sign_urls
from dkjax.transport.ticket import PIECE_BYTES, PURPOSE, Recipe, now, parse_ticket, slot_of, stamp, to_file

_SPARE = 16
"""Presigned objects beside those that are needed: for files whose last piece is short, and for names taken already."""

_MOST_URLS = 4096
_LONGEST_PRESIGNED = datetime.timedelta(days=7)


def recipe_from_config(path: Path, overrides: Sequence[str]) -> Recipe:
    """Read from a configuration what data sets have to be.

    Args:
        path: a TOML file; `data.image_size`, `data.channels`, `data.classes` and `[scheme]` count.
        overrides: as for `dkjax.config.load_as`.

    Raises:
        ConfigError: one of them is missing or wrong.
    """
    from dkjax.client.from_config import make_scheme
    from dkjax.dkds.manifest import SchemeEntry

    config = load_as(PlanConfig, path, overrides)
    size, channels, classes = config.data.height_width, config.data.channels, config.data.classes
    for name, value in (("image_size", size), ("channels", channels), ("classes", classes)):
        if value is None:
            raise ConfigError(f"{path}: set data.{name}: all clients have to agree on it before they encrypt")
    assert size is not None and channels is not None and classes is not None
    scheme = SchemeEntry.of(make_scheme(config.scheme, (*size, channels)))
    return Recipe(
        scheme=scheme.name,
        parameters=dict(scheme.parameters),
        image_shape=[*size, channels],
        class_names=list(classes),
    )


def issue(
    keys: ServerKeys,
    clients: Sequence[str],
    recipe: Recipe,
    store: str,
    options: Mapping[str, str],
    *,
    expires: datetime.timedelta,
    max_bytes: int,
    max_images: int,
    client_keys: Mapping[str, str] | None = None,
    presign: bool = False,
) -> dict[str, bytes]:
    """Write a ticket for each client, and keep a copy with the server's keys.

    Args:
        keys: the server's.
        clients: their pseudonyms.
        recipe: what their data sets have to be.
        store: where they are to be put, such as `s3://bucket/inbox`, or a folder.
        options: what obstore has to know beside it, such as `endpoint`; no credential.
        expires: for how long the tickets are valid.
        max_bytes: the most that each may send, sealed.
        max_images: the most images of each.
        client_keys: public keys of clients that are known already, by pseudonym.
        presign: give each client URLs with which it can write without an account.

    Returns:
        The bytes of each ticket's file, by client.

    Raises:
        ConfigError: a pseudonym twice, an option that is a credential, or URLs that the store cannot sign.
    """
    for client in clients:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", client):
            raise ConfigError(
                f"the client's name {client!r} is no pseudonym: expected up to 64 letters, digits and . _ -, "
                "of which the first is a letter or digit"
            )
    if len(set(clients)) != len(clients):
        raise ConfigError("a client is named twice: each gets one ticket at a time")
    if unknown := sorted(set(client_keys or {}) - set(clients)):
        raise ConfigError(f"there is a key for {unknown[0]}, who is not among the clients")
    if presign and expires > _LONGEST_PRESIGNED:
        raise ConfigError("presigned URLs are valid for 7 days at most: --expires 7d")
    url, options = place_of(store, options)
    issued = now()
    made = {}
    for client in clients:
        ticket_id = secrets.token_hex(16)
        tree: dict[str, Any] = {
            "format": "dkjax-ticket",
            "version": 1,
            "id": ticket_id,
            "client": client,
            "issued": stamp(issued),
            "expires": stamp(issued + expires),
            "recipe": recipe.model_dump(mode="json"),
            "place": {"url": url, "options": options, "presigned": [], "manifest": [], "report": None},
            "piece_bytes": PIECE_BYTES,
            "recipients": list(keys.recipients),
            "max_bytes": max_bytes,
            "max_images": max_images,
            "server_key": public_key_of(keys.signing),
            "client_key": (client_keys or {}).get(client),
        }
        if presign:
            tree |= _presigned(tree, url, options, expires)
        data = to_file(signed(tree, PURPOSE, keys.signing))
        parse_ticket(data, f"the ticket of {client}")
        keep_ticket(keys, ticket_id, data)
        made[client] = data
    return made


def _presigned(
    tree: dict[str, Any], url: str, options: Mapping[str, str], expires: datetime.timedelta
) -> dict[str, Any]:
    piece = PIECE_BYTES
    while piece < 64 << 20 and tree["max_bytes"] > piece * _MOST_URLS:
        piece *= 2
    # Every file but its last piece is cut evenly; a shard is rarely shorter than a piece.
    count = math.ceil(tree["max_bytes"] / sealed_length(piece, len(tree["recipients"]))) + _SPARE
    if count > 4 * _MOST_URLS:
        raise ConfigError(f"{tree['max_bytes']:,} bytes would need {count:,} presigned URLs: set a lower --max-bytes")
    slot = slot_of(tree["id"])
    names = [f"{slot}/{number:05d}.age" for number in range(count)]
    manifest = f"{slot}/{MANIFEST}"
    return {
        "piece_bytes": piece,
        "place": {
            "url": url,
            "options": options,
            "presigned": sign_urls(url, options, "PUT", names, expires),
            "manifest": [sign_urls(url, options, method, [manifest], expires)[0] for method in ("PUT", "GET")],
            "report": sign_urls(url, options, "GET", [f"{slot}/{REPORT}"], expires)[0],
        },
    }
