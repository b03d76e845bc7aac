"""The server's keys: one to sign tickets, two to open what clients seal, of which one is kept elsewhere."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dkjax.errors import DataError
from dkjax.transport.packages import needed
from dkjax.transport.signature import load_key, load_or_make_key, write_secret
from dkjax.transport.ticket import Ticket, parse_ticket

SIGNING, SERVER, OFFLINE, RECIPIENTS, TICKETS = (
    "signing.key",
    "server.agekey",
    "offline.agekey",
    "recipients.txt",
    "tickets",
)


@dataclasses.dataclass(frozen=True)
class ServerKeys:
    """A folder of keys.

    Attributes:
        path: the folder.
        signing: signs tickets and reports.
        recipients: the public keys that clients seal to: this machine's, and the one kept offline.
    """

    path: Path
    signing: Ed25519PrivateKey = dataclasses.field(repr=False)
    recipients: tuple[str, ...]

    def identities(self, files: Sequence[Path] = ()) -> list[object]:
        """Load what opens sealed files.

        Args:
            files: of age, such as the offline key brought back; by default this machine's key.

        Returns:
            Identities of `pyrage`.

        Raises:
            DataError: there is no key, or a file holds none.
        """
        pyrage = needed("pyrage")
        found = []
        for path in files or [self.path / SERVER]:
            try:
                lines = path.read_text(encoding="utf-8").split()
            except FileNotFoundError:
                raise DataError(
                    f"the server's key {path} is lost: bring {OFFLINE} back from where it is kept, and name it with "
                    "--identity; without it nothing that was sealed can be opened"
                ) from None
            except (OSError, UnicodeDecodeError):
                raise DataError(f"the key {path} cannot be read") from None
            for line in lines:
                if line.startswith("AGE-SECRET-KEY-"):
                    with contextlib.suppress(pyrage.IdentityError):
                        found.append(pyrage.x25519.Identity.from_str(line))
        if not found:
            raise DataError(f"{files[0] if files else self.path / SERVER} holds no key of age, AGE-SECRET-KEY-1...")
        return found

    def tickets(self) -> dict[str, Ticket]:
        """Return the tickets that were issued, by their folder in the store."""
        found = {}
        for path in sorted((self.path / TICKETS).glob("*.ticket")):
            ticket = parse_ticket(path.read_bytes(), str(path))
            found[ticket.slot] = ticket
        return found

    def warnings(self) -> list[str]:
        """Say what of the keys may be lost, or is where it should not be."""
        warnings = []
        if (self.path / OFFLINE).exists():
            warnings.append(
                f"move {self.path / OFFLINE} to a place that is not this machine: it opens everything if this "
                "machine's key is lost, and for whoever finds it"
            )
        if not (self.path / SERVER).exists():
            warnings.append(
                f"{self.path / SERVER} is gone: only the offline key opens what clients send (dkjax ingest --identity)"
            )
        return warnings


def make_server_keys(path: Path) -> ServerKeys:
    """Make the server's keys where there are none, or load them.

    Args:
        path: the folder.

    Raises:
        DataError: the folder holds a part of them.
    """
    pyrage = needed("pyrage")
    if not (path / RECIPIENTS).exists():
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = [(name, pyrage.x25519.Identity.generate()) for name in (SERVER, OFFLINE)]
        load_or_make_key(path / SIGNING)
        for name, identity in made:
            write_secret(path / name, f"# public key: {identity.to_public()}\n{identity}\n".encode())
        # Last: with this file the keys are complete.
        write_secret(path / RECIPIENTS, "".join(f"{identity.to_public()}\n" for _, identity in made).encode())
    return load_server_keys(path)


def load_server_keys(path: Path) -> ServerKeys:
    """Load the server's keys.

    Raises:
        DataError: there are none, or a part of them alone.
    """
    if not (path / RECIPIENTS).is_file():
        raise DataError(f"there are no keys of a server in {path}: expected the --keys folder that dkjax invite made")
    recipients = tuple((path / RECIPIENTS).read_text(encoding="utf-8").split())
    if not (path / SIGNING).exists():
        raise DataError(f"{path / SIGNING} is missing, with which tickets and reports are signed: bring it back")
    return ServerKeys(path, load_key(path / SIGNING), recipients)


def keep_ticket(keys: ServerKeys, ticket_id: str, data: bytes) -> None:
    """Keep a copy of a ticket: what is sent is accepted for tickets that are kept here alone."""
    write_secret(keys.path / TICKETS / f"{ticket_id}.ticket", data)


def revoke_ticket(keys: ServerKeys, ticket_id: str) -> None:
    """Forget a ticket: nothing is accepted for it any more."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(keys.path / TICKETS / f"{ticket_id}.ticket")
