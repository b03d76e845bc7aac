"""Object stores behind obstore: a folder, S3, Google Cloud Storage, Azure, and presigned URLs."""

import contextlib
import datetime
import email.utils
import os
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from dkjax.errors import ConfigError
from dkjax.transport.packages import needed
from dkjax.transport.store_errors import StoreError, explain
from dkjax.transport.ticket import OPTIONS, Place

MANIFEST, REPORT = "manifest.age", "report.age"
"""The signed and sealed list of what belongs together, written last; and what the server says of it."""

SCHEMES = ("file", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "http", "https")

_TIMEOUT = 120.0


class Found(NamedTuple):
    """An object that is there: its size, and when the store took it."""

    bytes: int
    modified: datetime.datetime


class Writer(Protocol):
    """What a client needs of a store."""

    name: str

    def put_new(self, name: str, data: bytes | memoryview) -> bool:
        """Write an object unless there is one of that name; say whether it was written."""

    def get(self, name: str, limit: int) -> bytes | None:
        """Read an object of at most so many bytes, or None where there is none."""

    def clock(self, name: str) -> datetime.datetime | None:
        """Say when the store took an object, by its own clock; None where it does not tell."""


class Store:
    """An object store.

    Args:
        url: such as `s3://bucket/inbox`, or `file:///srv/inbox`.
        options: what obstore has to know beside it; credentials are the environment's.
        make: whether a folder is made where there is none.

    Attributes:
        name: for messages.
    """

    def __init__(self, url: str, options: Mapping[str, str], *, make: bool = True) -> None:
        self._obs = needed("obstore")
        stores = needed("obstore.store")
        self.name = url
        self._conditional = True
        self._lock = threading.Lock()
        try:
            if url.startswith("file://"):
                root = Path(urllib.request.url2pathname(urllib.parse.urlparse(url).path))
                self._store = stores.LocalStore(root, mkdir=make)
                return
            endpoint = options.get("endpoint", os.environ.get("AWS_ENDPOINT_URL", url))
            self._store = stores.from_url(
                url,
                config=dict(options),
                client_options={
                    "timeout": f"{_TIMEOUT:.0f}s",
                    "connect_timeout": "10s",
                    "allow_http": endpoint.startswith("http://"),
                },
                # Retries are ours: obstore repeats what cannot succeed, too.
                retry_config={"max_retries": 0},
            )
        except Exception as error:
            raise _unusable(url, error) from None

    def put_new(self, name: str, data: bytes | memoryview) -> bool:
        """Write an object unless there is one of that name.

        Where the store knows no conditional writes, a look comes before the write; names from the content make what
        could come between harmless.

        Returns:
            Whether it was written.

        Raises:
            StoreError: the store did not do it.
        """
        if self._conditional:
            try:
                with self._explained(name):
                    self._obs.put(self._store, name, data, mode="create", use_multipart=False)
                return True
            except FileExistsError:
                return False
            except StoreError as error:
                if not error.unconditional:
                    raise
                self._conditional = False
        if self.head(name) is not None:
            return False
        self.put(name, data)
        return True

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Write an object, in place of one that is there."""
        with self._explained(name):
            self._obs.put(self._store, name, data, use_multipart=False)

    def get(self, name: str, limit: int) -> bytes | None:
        """Read an object of at most so many bytes, or None where there is none.

        Raises:
            StoreError: the store did not do it, or the object is longer.
        """
        with self._explained(name), contextlib.suppress(FileNotFoundError):
            found = self._obs.get(self._store, name)
            if found.meta["size"] > limit:
                raise StoreError(
                    f"{name} in the store {self.name} has {found.meta['size']:,} bytes, more than {limit:,}",
                    again=False,
                )
            data = bytearray()
            for chunk in found.stream(min_chunk_size=1 << 20):
                data += chunk
                if len(data) > limit:
                    raise StoreError(f"{name} in the store {self.name} is longer than it says", again=False)
            return bytes(data)
        return None

    def head(self, name: str) -> Found | None:
        """Look for an object."""
        with self._explained(name), contextlib.suppress(FileNotFoundError):
            meta = self._obs.head(self._store, name)
            return Found(meta["size"], meta["last_modified"])
        return None

    def clock(self, name: str) -> datetime.datetime | None:
        """Say when the store took an object, by its own clock."""
        found = self.head(name)
        return found and found.modified

    def folders(self) -> list[str]:
        """List the folders of the first level, sorted."""
        with self._explained(""):
            listed = self._obs.list_with_delimiter(self._store)
            return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in listed["common_prefixes"])

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """List the objects of a folder with their sizes, in no order."""
        with self._explained(folder):
            for some in self._obs.list(self._store, folder + "/"):
                for meta in some:
                    yield meta["path"], meta["size"]

    def delete(self, name: str) -> None:
        """Remove an object; it is no error if there is none."""
        with self._explained(name), contextlib.suppress(FileNotFoundError):
            self._obs.delete(self._store, name)

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        exceptions = needed("obstore.exceptions")
        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise FileExistsError(name) from None
        except (FileNotFoundError, exceptions.NotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise explain(error, self.name) from None
            raise FileNotFoundError(name) from None
        except (exceptions.BaseError, OSError) as error:
            raise explain(error, self.name) from None


class PresignedStore:
    """The objects that a ticket without an account may write, each by a URL of its own; a `Writer`."""

    def __init__(self, place: Place, slot: str) -> None:
        self.name = urllib.parse.urlsplit(place.manifest[0]).netloc
        self._put = {f"{slot}/{number:05d}.age": url for number, url in enumerate(place.presigned)}
        self._put[f"{slot}/{MANIFEST}"] = place.manifest[0]
        self._get = {f"{slot}/{MANIFEST}": place.manifest[1], f"{slot}/{REPORT}": place.report or ""}
        self._conditional = True
        self._clock: datetime.datetime | None = None

    def put_new(self, name: str, data: bytes | memoryview) -> bool:
        """Write an object unless there is one of that name; errors as `Store.put_new`."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(data))}
        if self._conditional:
            headers["If-None-Match"] = "*"
        request = urllib.request.Request(self._put[name], data=bytes(data), method="PUT", headers=headers)
        try:
            self._answer(request)
        except urllib.error.HTTPError as error:
            if error.code in (409, 412):
                return False
            # A store that does not know the header, or takes it for a part of the signature that is missing.
            if self._conditional and error.code in (400, 403, 501) and not self._retry_plain(request):
                raise explain(error, self.name) from None
            if not self._conditional:
                return True
            raise explain(error, self.name) from None
        except OSError as error:
            raise explain(error, self.name) from None
        return True

    def _retry_plain(self, request: urllib.request.Request) -> bool:
        request.remove_header("If-none-match")
        try:
            self._answer(request)
        except OSError:
            return False
        self._conditional = False
        return True

    def get(self, name: str, limit: int) -> bytes | None:
        """Read the manifest or the report; errors as `Store.get`."""
        try:
            return self._answer(urllib.request.Request(self._get[name]), limit)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise explain(error, self.name) from None
        except OSError as error:
            raise explain(error, self.name) from None

    def clock(self, name: str) -> datetime.datetime | None:
        """Say what the store's clock was when it answered last."""
        return self._clock

    @property
    def names(self) -> Sequence[str]:
        """The objects that can be written, but for the manifest, in order."""
        return [name for name in self._put if not name.endswith(MANIFEST)]

    def _answer(self, request: urllib.request.Request, limit: int = 1 << 16) -> bytes:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            with contextlib.suppress(TypeError, ValueError):
                self._clock = email.utils.parsedate_to_datetime(answer.headers["Date"])
            return answer.read(limit + 1)[:limit]


def place_of(store: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the URL of a store as a ticket has it, and its options.

    Args:
        store: a URL, or the path of a folder.
        options: beside it.

    Raises:
        ConfigError: the kind of store is not known, or an option is a credential.
    """
    for name in options:
        if name not in OPTIONS:
            raise ConfigError(
                f"--store-option {name}: expected {', '.join(OPTIONS)}; a ticket holds no credentials: they are the "
                "environment's, or use --presign"
            )
    scheme = store.partition("://")[0] if "://" in store else ""
    if scheme and scheme not in SCHEMES:
        raise ConfigError(f"the store {store} is of no kind that is known: a folder, {', '.join(SCHEMES[1:])}")
    if scheme:
        return store.rstrip("/"), dict(options)
    return Path(store).absolute().as_uri(), dict(options)


def open_store(store: str, options: Mapping[str, str]) -> Store:
    """Open a store that is there, by its URL or the path of a folder.

    Raises:
        ConfigError: as `place_of`, or there is no such folder.
    """
    if "://" not in store and not Path(store).is_dir():
        raise ConfigError(f"there is no folder {store}: expected the store that the tickets name, or a copy of it")
    return Store(*place_of(store, options), make=False)


def sign_urls(
    url: str, options: Mapping[str, str], method: str, names: Sequence[str], expires: datetime.timedelta
) -> list[str]:
    """Let whoever has these URLs write or read an object each.

    Raises:
        ConfigError: the store signs no URLs.
    """
    obs = needed("obstore")
    store = Store(url, options)
    try:
        return list(obs.sign(store._store, method, list(names), expires))
    except Exception as error:
        text = str(error).partition("\n")[0]
        raise ConfigError(f"the store {url} signs no URLs here ({text}): leave --presign out") from None


def _unusable(url: str, error: Exception) -> ConfigError:
    text = str(error).partition("\n")[0].partition("Debug source")[0].strip()
    return ConfigError(f"the store {url} cannot be opened: {text}")
