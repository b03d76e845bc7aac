"""What the server says of a data set, signed by it and sealed to the client's key."""

import dataclasses
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dkjax.errors import DataError
from dkjax.formats import strict_json
from dkjax.transport.packages import needed
from dkjax.transport.signature import canonical, is_signed, open_ssh, signed
from dkjax.transport.ticket import Ticket, now, stamp

if TYPE_CHECKING:
    from dkjax.transport.ingest import Verdict

PURPOSE = "report"
MAX_REPORT_BYTES = 1 << 20


def write_report(verdict: "Verdict", client_key: str, key: Ed25519PrivateKey) -> bytes:
    """Return the bytes of `report.age`.

    Args:
        verdict: what became of the data set.
        client_key: the client's public key, which alone opens it.
        key: the server's; it signs.
    """
    pyrage = needed("pyrage")
    fields = dataclasses.asdict(verdict)
    tree = {name: fields[name] for name in ("client", "slot", "status", "reason", "data_set", "records")}
    said = {"format": "dkjax-report", "date": stamp(now()), "images": list(verdict.images), **tree}
    data = canonical(signed(said, PURPOSE, key))
    return pyrage.encrypt(data, [pyrage.ssh.Recipient.from_str(open_ssh(client_key))])


def read_report(sealed: bytes, ticket: Ticket, key: Ed25519PrivateKey) -> dict[str, Any]:
    """Open a report.

    Args:
        sealed: the bytes of `report.age`.
        ticket: for which ticket.
        key: the client's.

    Returns:
        `status`, `reason`, `data_set`, `records`, `images`, `date` among its fields.

    Raises:
        DataError: it is for another key, not signed by the ticket's server, or about another ticket.
    """
    pyrage = needed("pyrage")
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    try:
        tree = strict_json.parse(pyrage.decrypt(sealed, [pyrage.ssh.Identity.from_buffer(pem)]))
    except pyrage.DecryptError:
        raise DataError("the report is sealed for another key, or damaged: name the key with --key") from None
    except ValueError:
        tree = None
    if not isinstance(tree, dict) or not is_signed(tree, PURPOSE, ticket.server_key):
        raise DataError("the report is not signed by the server of the ticket")
    if tree.get("slot") != ticket.slot:
        raise DataError("the report is about another ticket")
    return tree
