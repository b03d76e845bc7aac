"""A server and its sites in a folder: keys, tickets, data sets of a few kilobytes, and a real S3 store beside them."""

import contextlib
import dataclasses
import datetime
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from small_data_sets import CLASSES, SHAPE, write_small

from dkjax.transport import invite
from dkjax.transport.ingest import Verdict, ingest
from dkjax.transport.register import Register
from dkjax.transport.sanity import Limits
from dkjax.transport.server_keys import ServerKeys, make_server_keys
from dkjax.transport.signature import load_or_make_key
from dkjax.transport.store import Store, place_of
from dkjax.transport.ticket import Recipe, Ticket, parse_ticket
from dkjax.transport.upload import Uploaded, upload

RECIPE = Recipe(
    scheme="disposable",
    parameters={"block_size": 2, "fixed_blocks": 0, "fixed_pixels": 0},
    image_shape=list(SHAPE),
    class_names=CLASSES,
)
PIECE = 1 << 10


@dataclasses.dataclass
class Server:
    """A server in `folder`, with the store that its tickets name."""

    folder: Path
    url: str
    options: dict[str, str]

    def __post_init__(self) -> None:
        self.keys: ServerKeys = make_server_keys(self.folder / "server-keys")
        self.register = Register(self.folder / "data")

    @property
    def store(self) -> Store:
        return Store(*place_of(self.url, self.options))

    def ticket(self, client: str, **changes: Any) -> Ticket:
        """A ticket whose pieces are short, so that a small data set has many."""
        settings: dict[str, Any] = {
            "recipe": RECIPE,
            "expires": datetime.timedelta(days=1),
            "max_bytes": 10**6,
            "max_images": 1000,
            **changes,
        }
        before, invite.PIECE_BYTES = invite.PIECE_BYTES, PIECE
        try:
            recipe = settings.pop("recipe")
            data = invite.issue(self.keys, [client], recipe, self.url, self.options, **settings)[client]
        finally:
            invite.PIECE_BYTES = before
        return parse_ticket(data, "the ticket")

    def data_set(self, client: str, **changes: Any) -> Path:
        path = self.folder / "sites" / f"{client}.dkds"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            write_small(path, client=client, **{"noise": sum(client.encode()), **changes})
        return path

    def send(self, client: str, ticket: Ticket | None = None, **settings: Any) -> tuple[Ticket, Uploaded]:
        """A client's whole part: a data set, and its upload."""
        ticket = ticket or self.ticket(client)
        key = load_or_make_key(self.folder / "sites" / f"{client}.key")
        return ticket, upload(self.data_set(client), ticket, key, **settings)

    def take(self, limits: Limits | None = None, **settings: Any) -> dict[str, Verdict]:
        """The verdicts of an ingest, by client."""
        given = {"limits": limits or Limits(), "attempts": 2, **settings}
        verdicts = ingest(self.store, self.register, self.keys, self.keys.identities(), **given)
        return {one.client: one for one in verdicts}


def file_server(folder: Path) -> Server:
    folder.mkdir(parents=True, exist_ok=True)
    return Server(folder, str(folder / "store"), {})


_MOTO = """
import sys, warnings
warnings.simplefilter("ignore")
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""

KEYS = {"AWS_ACCESS_KEY_ID": "site", "AWS_SECRET_ACCESS_KEY": "secret"}


@contextlib.contextmanager
def moto(bucket: str) -> Iterator[dict[str, str]]:
    """Run an S3 store on the loopback interface, which ends when this process does; yields its options."""
    program = [sys.executable, "-c", _MOTO]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            host, port = server.stdout.readline().split()
            endpoint = f"http://{host}:{port}"
            with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")):
                yield {"endpoint": endpoint, "region": "us-east-1"}
        finally:
            server.stdin.close()
            server.wait(20)
