"""The ticket: what one client needs to know to send one data set, signed by the server."""

import datetime
import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from dkjax.errors import DataError
from dkjax.formats import strict_json
from dkjax.runtime.files import special_file
from dkjax.transport.age import public_key
from dkjax.transport.signature import canonical, fingerprint, is_signed

PURPOSE = "ticket"
MAX_TICKET_BYTES = 16 << 20
PIECE_BYTES = 8 << 20
CLOCK_SECONDS = 300.0
"""Clocks that differ by less agree."""

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
Count = Annotated[int, Field(ge=1, lt=2**53)]
Time = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]
_Text = Annotated[str, Field(min_length=1, max_length=4096)]


class Entry(BaseModel):
    """A part of what is sent: frozen, every field checked, none beside them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Recipe(Entry):
    """What the data set has to be.

    Attributes:
        scheme: the name of the encryption.
        parameters: all of its parameters, `block_size` among them.
        image_shape: `[H, W, C]`.
        class_names: by label.
    """

    scheme: Word
    parameters: dict[Word, int | bool | float | str]
    image_shape: Annotated[list[Count], Field(min_length=3, max_length=3)]
    class_names: Annotated[list[_Text], Field(min_length=1, max_length=1 << 16)]


OPTIONS = ("endpoint", "region", "virtual_hosted_style_request")
"""What a ticket may say of a store beside its URL."""


class Place(Entry):
    """Where it is to be put.

    Attributes:
        url: of the store, such as `s3://bucket/inbox` or `file:///srv/inbox`.
        options: what obstore has to know beside it; nothing that is or names a credential.
        presigned: for a client without an account, a URL for each object that it may write; empty otherwise.
        manifest: the URLs to write and to read `manifest.age`, where URLs are presigned.
        report: the URL to read the report from, where URLs are presigned.
    """

    url: _Text
    options: dict[Word, _Text]
    presigned: list[_Text] = []
    manifest: Annotated[list[_Text], Field(max_length=2)] = []
    report: _Text | None = None

    @pydantic.field_validator("options")
    @classmethod
    def _are_known(cls, options: dict[str, str]) -> dict[str, str]:
        # A ticket may not make the client's library do anything else with the client's account.
        if unknown := sorted(set(options) - set(OPTIONS)):
            raise ValueError(f"there is no option {unknown[0]}")
        return options


class Ticket(Entry):
    """A ticket; its fields are those of the file.

    Attributes:
        format: always `dkjax-ticket`.
        version: of the format.
        id: 128 random bits in hexadecimal digits; known to client and server alone.
        client: the pseudonym.
        issued: when, in UTC.
        expires: until when the store must have the data set, in UTC.
        recipe: what the data set has to be.
        place: where it is to be put.
        piece_bytes: how much of a file is sealed at a time.
        recipients: who can open it, as age writes them.
        max_bytes: the most that may be sent, sealed.
        max_images: the most images.
        server_key: the server's public key for signatures.
        client_key: the client's public key, where the server knows it already.
        signature: the server's, over all other fields.
    """

    format: Literal["dkjax-ticket"]
    version: Literal[1]
    id: Hex32
    client: Word
    issued: Time
    expires: Time
    recipe: Recipe
    place: Place
    piece_bytes: Annotated[int, Field(ge=1 << 10, le=64 << 20)]
    recipients: Annotated[list[_Text], Field(min_length=1, max_length=8)]
    max_bytes: Count
    max_images: Count
    server_key: Hex64
    client_key: Hex64 | None = None
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]

    @property
    def slot(self) -> str:
        """The folder of the store that is the client's; it tells the store's operator nothing of the ticket."""
        return slot_of(self.id)

    @property
    def sha256(self) -> str:
        """What the client signs of the ticket: the hash of all of it."""
        return hashlib.sha256(canonical(self.model_dump(mode="json"))).hexdigest()

    @property
    def server_fingerprint(self) -> str:
        """What people compare, to know that the ticket is the server's."""
        return fingerprint(self.server_key)


def slot_of(ticket_id: str) -> str:
    """Return the folder in the store that belongs to a ticket."""
    return hashlib.sha256(f"dkjax slot v1 {ticket_id}".encode()).hexdigest()[:32]


def read_ticket(path: Path) -> Ticket:
    """Read a ticket and check that nobody changed it.

    Args:
        path: the file.

    Returns:
        The ticket. That its server is the one meant, only a comparison of fingerprints can say.

    Raises:
        DataError: there is none, it is no ticket, or it was edited.

    Guarantees:
        - any change of a field is noticed (`test_ticket.py::test_an_edited_ticket`).
    """
    if (kind := special_file(path)) is not None:
        raise DataError(f"{path} is {kind}; expected the ticket that the server sent")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"the ticket {path} cannot be read: {error.strerror}") from None
    return parse_ticket(data, str(path))


def parse_ticket(data: bytes, where: str) -> Ticket:
    """Read a ticket from the bytes of its file; as `read_ticket`."""
    try:
        if len(data) > MAX_TICKET_BYTES:
            raise ValueError("it is too long")
        tree = strict_json.parse(data)
        if not isinstance(tree, dict) or tree.get("format") != "dkjax-ticket":
            raise ValueError('it does not say "format": "dkjax-ticket"')
        if type(tree.get("version")) is not int or tree["version"] != 1:
            raise ValueError(f"version {tree.get('version')!r}; this dkjax reads version 1: install a newer one")
        ticket = Ticket.model_validate(tree)
        for recipient in ticket.recipients:
            public_key(recipient)
        moment(ticket.issued), moment(ticket.expires)
    except pydantic.ValidationError as error:
        raise DataError(f"{where} is no ticket of dkjax: {first_problem(error)}") from None
    except ValueError as error:
        raise DataError(f"{where} is no ticket of dkjax: {strict_json.one_line(str(error))}") from None
    # The tree as it was read: a default that is missing would be signed otherwise.
    if not is_signed(tree, PURPOSE, ticket.server_key):
        raise DataError(f"{where} was edited after the server had signed it: ask for it anew")
    return ticket


def first_problem(error: pydantic.ValidationError) -> str:
    """Say on one line which field is wrong first, and why."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    return strict_json.one_line(f"{place}: {first['msg']}" if place else first["msg"])


def require_valid_now(ticket: Ticket, now: datetime.datetime) -> None:
    """Refuse a ticket that is not valid at a time.

    Raises:
        DataError: it has expired, or was issued later than now, which only a wrong clock can explain.
    """
    if now > moment(ticket.expires):
        raise DataError(
            f"the ticket expired at {ticket.expires}, and this machine's clock says {stamp(now)}: "
            "ask the server for a new one, or set the clock if it is wrong"
        )
    if (moment(ticket.issued) - now).total_seconds() > CLOCK_SECONDS:
        raise DataError(
            f"the ticket was issued at {ticket.issued}, but this machine's clock says {stamp(now)}: "
            "one of the two clocks is wrong; set it"
        )


def require_fits(ticket: Ticket, found: Recipe, records: int, where: Path | str) -> None:
    """Refuse a data set that is not what a ticket asks for.

    Args:
        ticket: the ticket.
        found: what the data set is.
        records: how many images it has.
        where: the data set, for messages.

    Raises:
        DataError: another class list, shape or scheme, or too many images.
    """
    wanted = ticket.recipe
    if found.class_names != wanted.class_names:
        raise DataError(
            f"{where} has the classes {_listed(found.class_names)}, but the ticket asks for "
            f"{_listed(wanted.class_names)}, in this order: set data.classes and encrypt again"
        )
    if found.image_shape != wanted.image_shape:
        raise DataError(
            f"{where} has images of shape {found.image_shape}, but the ticket asks for {wanted.image_shape}: set "
            "data.image_size and data.channels, and encrypt again"
        )
    if (found.scheme, found.parameters) != (wanted.scheme, wanted.parameters):
        raise DataError(
            f"{where} is encrypted by {_shown(found)}, but the ticket asks for {_shown(wanted)}: set [scheme], and "
            "encrypt again"
        )
    if records > ticket.max_images:
        raise DataError(f"{where} has {records:,} images, but the ticket allows {ticket.max_images:,}")


def moment(text: str) -> datetime.datetime:
    """Read a time of a ticket."""
    return datetime.datetime.fromisoformat(text)


def stamp(when: datetime.datetime) -> str:
    """Write a time as tickets have it: UTC, whole seconds."""
    return when.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now() -> datetime.datetime:
    """Return the time of this machine's clock."""
    return datetime.datetime.now(datetime.UTC)


_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_span(text: str) -> datetime.timedelta:
    """Read a span of time such as `7d`, `12h` or `90m`.

    Raises:
        ValueError: it is none.
    """
    if not (match := re.fullmatch(r"([0-9]{1,6})([mhdw])", text)) or not int(match[1]):
        raise ValueError(f"expected a number and m, h, d or w, such as 7d, got {text!r}")
    return datetime.timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def to_file(tree: dict[str, Any]) -> bytes:
    """Return the bytes of a ticket's file."""
    return (json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _listed(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _shown(recipe: Recipe) -> str:
    return f"{recipe.scheme} ({', '.join(f'{name} {value}' for name, value in recipe.parameters.items())})"
