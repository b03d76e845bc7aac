"""A proxy on the loopback interface that does to requests what networks and stores do."""

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

Fault = str | None
"""`drop` before the store sees it, `lost` after, `delay`, `truncate` the answer, a status such as `500`, or None."""


class Flaky:
    """A proxy in front of a store.

    Args:
        endpoint: of the store.
        fault: says what happens to a request, from its method, path and headers.

    Attributes:
        endpoint: of the proxy.
        puts: the object names that the store acknowledged to the client, in order, with their sizes.
    """

    def __init__(self, endpoint: str, fault: Callable[[str, str, Any], Fault]) -> None:
        there = urlsplit(endpoint)
        assert there.hostname is not None
        self.puts: list[tuple[str, int]] = []
        self.requests = 0
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def any_method(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with lock:
                    outer.requests += 1
                    what = fault(self.command, self.path, self.headers)
                if what == "drop":
                    self.close()
                    return
                if what == "delay":
                    time.sleep(0.05)
                if what is not None and what.isdigit():
                    self.answer(int(what), [], b"<Error><Code>Made up</Code></Error>")
                    return
                if what == "corrupt" and self.command == "PUT":
                    body = body[:-1] + bytes([body[-1] ^ 1])
                connection = http.client.HTTPConnection(there.hostname or "", there.port, timeout=10)
                connection.request(self.command, self.path, body, dict(self.headers))
                response = connection.getresponse()
                data = response.read()
                connection.close()
                if what == "lost":
                    self.close()
                    return
                if self.command == "PUT" and response.status == 200:
                    outer.puts.append((self.path.partition("?")[0], len(body)))
                self.answer(response.status, response.getheaders(), data, cut=what == "truncate")

            def answer(self, status: int, headers: list[tuple[str, str]], data: bytes, cut: bool = False) -> None:
                self.send_response_only(status)
                length = next((value for name, value in headers if name.lower() == "content-length"), str(len(data)))
                for name, value in headers:
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", length if self.command == "HEAD" else str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data[: len(data) // 2] if cut else data)
                if cut:
                    self.close()

            def close(self) -> None:
                self.close_connection = True
                self.connection.close()

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = any_method

            def log_message(self, *_: Any) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, ValueError):
                    self.close_connection = True

            def finish(self) -> None:
                with contextlib.suppress(OSError, ValueError):
                    super().finish()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "Flaky":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def often(seed: int, share: float = 0.4) -> Callable[[str, str, Any], Fault]:
    """Every kind of passing fault, for a share of the requests; never more than three in a row for one object."""
    chance = random.Random(seed)
    row: dict[str, int] = {}

    def fault(method: str, path: str, headers: Any) -> Fault:
        place = path.partition("?")[0]
        if row.get(place, 0) >= 3 or chance.random() > share:
            row[place] = 0
            return None
        row[place] = row.get(place, 0) + 1
        return chance.choice(["drop", "lost", "delay", "truncate", "500", "503", "429"])

    return fault
