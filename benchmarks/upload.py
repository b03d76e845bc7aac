"""An upload, sealing and hashing included, against obstore alone with the same parts, to a folder and to an S3 server.

python benchmarks/upload.py
"""

import contextlib
import datetime
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from random_data_set import write_random
from script import AsJson, app, say, show

from dkjax.bench.table import Tables
from dkjax.errors import DkjaxError
from dkjax.runtime import machine
from dkjax.transport.invite import issue
from dkjax.transport.sealed_set import open_local
from dkjax.transport.server_keys import make_server_keys

STORES = ("folder", "s3")
ALONE, UPLOAD = "obstore alone", "dkjax upload"
SHAPE = (64, 64, 3)
THREADS = 4

_SERVER = """
import sys, warnings
warnings.simplefilter("ignore")
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""

# Both in a process of its own, so that its memory is its own; timed without the imports.
_CHILD = """
import json, os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from dkjax.transport import ticket as tickets
from dkjax.transport.sealed_set import open_local
from dkjax.transport.signature import load_or_make_key
from dkjax.transport.store import Store
from dkjax.transport.upload import upload
what, data_set, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[4])
ticket = tickets.read_ticket(Path(sys.argv[3]))
before = sum(os.times()[:2])
key = load_or_make_key(data_set.parent / "key")
size = open_local(data_set).bytes
if what == "alone":
    store = Store(ticket.place.url, ticket.place.options)
    def put(place):
        file, number = place
        with open(data_set / file, "rb") as opened:
            opened.seek(number * ticket.piece_bytes)
            store.put_new(f"alone/{file}-{number}", opened.read(ticket.piece_bytes))
    places = [(name, number) for name, length, _ in open_local(data_set).files
        for number in range(-(-length // ticket.piece_bytes))]
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(put, places))
else:
    began = time.perf_counter()
    upload(data_set, ticket, key, threads=threads)
seconds = time.perf_counter() - began
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
cpu = sum(os.times()[:2]) - before
print(json.dumps({"seconds": seconds, "bytes": size, "peak_bytes": peak, "cpu_seconds": cpu}))
"""


def measure_upload(megabytes: int, *, rounds: int = 3, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure how fast a data set gets into a store on this machine.

    The data set is written to a temporary folder (see `TMPDIR`) and is in the page cache. The two take turns, each time
    with an empty store, and a new server where the store is one.

    Args:
        megabytes: the size of the data set.
        rounds: how often each is timed.
        say: is told what is measured next.

    Returns:
        A JSON object: the machine, and for each store what both reached at best: bytes per second, CPU seconds of the
        client, peak memory, and the share of the rate that the upload reaches.
    """
    image = SHAPE[0] * SHAPE[1] * SHAPE[2]
    cases = []
    with tempfile.TemporaryDirectory(prefix="dkjax-upload-") as name:
        folder = Path(name)
        say(f"writing {megabytes:,} MB")
        data_set = folder / "plant-a.dkds"
        write_random(data_set, SHAPE, max(1, megabytes * 10**6 // image), block_size=16)
        for store in STORES:
            found: dict[str, list[dict[str, Any]]] = {ALONE: [], UPLOAD: []}
            for number in range(rounds):
                for contender in (ALONE, UPLOAD):
                    say(f"{store}: {contender}, {number + 1} of {rounds}")
                    found[contender].append(_once(folder, data_set, store, contender))
            cases.append({"store": store, "megabytes": megabytes, **_compared(found)})
    return {"bench": "upload", **machine.describe(), "rounds": rounds, "threads": THREADS, "cases": cases}


def _compared(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    rates = {name: max(one["bytes"] / one["seconds"] for one in measured) for name, measured in found.items()}
    return {
        "contenders": [
            {
                "name": name,
                "bytes_per_second": rates[name],
                "peak_bytes": max(one["peak_bytes"] for one in measured),
                "cpu_seconds": min(one["cpu_seconds"] for one in measured),
                "seconds": [one["seconds"] for one in measured],
            }
            for name, measured in found.items()
        ],
        "share": rates[UPLOAD] / rates[ALONE],
    }


def _once(folder: Path, data_set: Path, store: str, contender: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=folder) as name, _store(store, Path(name) / "store") as (url, options):
        ticket = Path(name) / "a.ticket"
        ticket.write_bytes(_ticket(Path(name), data_set, url, options))
        what = "alone" if contender == ALONE else "upload"
        environment = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        command = [sys.executable, "-c", _CHILD, what, str(data_set), str(ticket), str(THREADS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
        for left in data_set.parent.glob("*.upload-*"):
            for path in left.iterdir():
                path.unlink()
            left.rmdir()
    if done.returncode:
        raise DkjaxError(f"{contender} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


def _ticket(folder: Path, data_set: Path, url: str, options: dict[str, str]) -> bytes:
    opened = open_local(data_set)
    made = issue(
        make_server_keys(folder / "keys"),
        [opened.client],
        opened.recipe,
        url,
        options,
        expires=datetime.timedelta(days=1),
        max_bytes=10**12,
        max_images=10**9,
    )
    return made[opened.client]


@contextlib.contextmanager
def _store(kind: str, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A store that is empty: its URL and options."""
    if kind == "folder":
        yield str(folder), {}
        return
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        host, port = server.stdout.readline().split()
        try:
            urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/inbox", method="PUT")).close()
            yield "s3://inbox/a", {"endpoint": f"http://{host}:{port}", "region": "us-east-1"}
        finally:
            server.stdin.close()
            server.wait(60)


def tables(result: dict[str, Any]) -> Tables:
    """Lay out what `measure_upload` returned."""
    for case in result["cases"]:
        title = f"{case['megabytes']:,} MB to {'a folder' if case['store'] == 'folder' else 'an S3 server'}"
        rows = [
            (
                row["name"],
                f"{row['bytes_per_second'] / 1e6:,.0f}",
                f"{row['bytes_per_second'] / case['contenders'][0]['bytes_per_second']:.0%}",
                f"{1e9 * row['cpu_seconds'] / (1e6 * case['megabytes']):.2f}",
                f"{row['peak_bytes'] / 2**20:,.0f}",
            )
            for row in case["contenders"]
        ]
        yield title, ("MB/s", "of obstore\nalone", "CPU s\na GB", "peak\nMiB"), rows


def main(
    context: typer.Context,
    megabytes: Annotated[int, typer.Option(min=1, help="The size of the data set.")] = 512,
    repeats: Annotated[int, typer.Option(min=1, help="How often each is timed.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Measure uploads to a folder and to an S3 server on this machine, against obstore alone with the same parts."""
    show(measure_upload(megabytes, rounds=repeats, say=say), tables, as_json)


if __name__ == "__main__":
    app(main)()
