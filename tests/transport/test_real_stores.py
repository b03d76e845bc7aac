"""The same way over stores and tools as they are installed: OpenStack Swift, rsync, OpenSSH's sftp server.

They are Debian's packages: swift-proxy, swift-account, swift-container, swift-object, rsync, openssh-sftp-server.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flaky import Flaky
from sites import Server, file_server

from dkjax.transport.store import Store
from dkjax.transport.store_errors import StoreError

SWIFT = [f"swift-{name}-server" for name in ("proxy", "account", "container", "object")]
SFTP_SERVER = Path("/usr/lib/openssh/sftp-server")
BUCKET = "inbox"
pytestmark = pytest.mark.slow


def free_ports() -> int:
    """A port whose next three are free, too."""
    for port in range(21000, 30000, 10):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 3))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if not all(map(shutil.which, SWIFT)):
        pytest.skip("OpenStack Swift is not installed")
    folder, port = tmp_path_factory.mktemp("swift"), free_ports()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test:tester")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        subprocess.run([Path(__file__).parent / "swift.sh", folder, str(port)], check=True, timeout=60)
        try:
            options = {"endpoint": f"http://127.0.0.1:{port}", "region": "us-east-1"}
            make_bucket(options)
            yield options
        finally:
            for line in (folder / "pids").read_text().split():
                os.kill(int(line), signal.SIGTERM)


def make_bucket(options: dict[str, str]) -> None:
    """Make the bucket by a signed request, as soon as the server answers."""
    import datetime
    import urllib.request

    import obstore
    from obstore.store import S3Store

    # Signing a request for the bucket itself: an object without a name.
    store = S3Store(
        BUCKET, config={**options, "virtual_hosted_style_request": "false"}, client_options={"allow_http": True}
    )
    for _ in range(60):
        url = obstore.sign(store, "PUT", "", datetime.timedelta(minutes=5))
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("Swift does not answer")


def test_the_whole_way_over_swift(swift: dict[str, str], tmp_path: Path) -> None:
    server = Server(tmp_path, f"s3://{BUCKET}/{tmp_path.name}", swift)
    for client in ("plant-a", "plant-b"):
        ticket, sent = server.send(client)
        assert sent.objects == 7
        _, again = server.send(client, ticket)
        assert (again.already, again.sent_bytes) == (True, 0)
    assert {one.status for one in server.take().values()} == {"accepted"}
    assert {one.status for one in server.take().values()} == {"kept"}


def test_swift_knows_no_conditional_writes(swift: dict[str, str], tmp_path: Path) -> None:
    seen: list[str | None] = []

    def fault(method: str, path: str, headers: Any) -> None:
        if method == "PUT":
            seen.append(headers.get("If-None-Match"))

    with Flaky(swift["endpoint"], fault) as proxy:
        store = Store(f"s3://{BUCKET}/old", {**swift, "endpoint": proxy.endpoint})
        assert store.put_new("a/x.age", b"one")
        assert not store.put_new("a/x.age", b"two")
        assert store.get("a/x.age", 10) == b"one"
    assert seen == ["*", None]  # asked once, then never again


def test_presigned_urls_of_swift(swift: dict[str, str], tmp_path: Path) -> None:
    server = Server(tmp_path, f"s3://{BUCKET}/{tmp_path.name}", swift)
    ticket = server.ticket("plant-a", presign=True, max_bytes=10**4)
    server.send("plant-a", ticket)
    assert server.take()["plant-a"].status == "accepted"


def test_a_wrong_secret(swift: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreError, match=r"refuses access \(403\)"):
        Store(f"s3://{BUCKET}/a", swift).put_new("x", b"")


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Server, Path]:
    server = file_server(tmp_path / "server")
    server.send("plant-a", to=str(tmp_path / "sealed"))
    return server, tmp_path / "sealed"


def test_by_rsync(sealed: tuple[Server, Path]) -> None:
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    server, folder = sealed
    subprocess.run(["rsync", "-a", f"{folder}/", f"{server.folder / 'store'}/"], check=True)
    assert server.take()["plant-a"].status == "accepted"


def test_by_sftp(sealed: tuple[Server, Path]) -> None:
    if not SFTP_SERVER.exists() or shutil.which("sftp") is None:
        pytest.skip("OpenSSH's sftp server is not installed")
    server, folder = sealed
    (server.folder / "store").mkdir()
    batch = f"put -r {folder}/* {server.folder / 'store'}/\n"
    subprocess.run(["sftp", "-b", "-", "-D", SFTP_SERVER], input=batch, text=True, check=True, timeout=60)
    assert server.take()["plant-a"].status == "accepted"
