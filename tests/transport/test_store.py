"""Stores as they are: a folder, an S3 server, one without conditional writes, one that does not answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flaky import Flaky, often
from sites import KEYS, moto

from dkjax.errors import ConfigError
from dkjax.transport import pace
from dkjax.transport.pace import with_retries
from dkjax.transport.store import Store, open_store, place_of
from dkjax.transport.store_errors import StoreError, explain


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch, moto("inbox") as options:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        yield options


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "file":
        return Store(*place_of(str(tmp_path / "store"), {}))
    return Store(f"s3://inbox/{tmp_path.name}", request.getfixturevalue("s3"))


def test_objects(store: Store) -> None:
    assert store.get("a/x.age", 10) is None
    assert store.head("a/x.age") is None
    assert list(store.list("a")) == []
    assert store.folders() == []
    assert store.put_new("a/x.age", b"one")
    assert not store.put_new("a/x.age", b"another")
    assert store.get("a/x.age", 10) == b"one"
    found = store.head("a/x.age")
    assert found is not None
    assert found.bytes == 3
    assert store.clock("a/x.age") == found.modified
    assert list(store.list("a")) == [("a/x.age", 3)]
    store.put("a/x.age", b"longer than that")
    with pytest.raises(StoreError, match="has 16 bytes, more than 10"):
        store.get("a/x.age", 10)
    store.put_new("b/y.age", b"")
    assert store.get("b/y.age", 10) == b""
    assert store.folders() == ["a", "b"]
    for _ in range(2):
        store.delete("a/x.age")
    assert store.get("a/x.age", 100) is None


def test_a_store_without_conditional_writes(s3: dict[str, str]) -> None:
    def fault(method: str, path: str, headers: Any) -> str | None:
        return "501" if headers.get("If-None-Match") else None

    with Flaky(s3["endpoint"], fault) as proxy:
        store = Store("s3://inbox/old", {**s3, "endpoint": proxy.endpoint})
        assert store.put_new("a/x.age", b"one")
        before = proxy.requests
        assert not store.put_new("a/x.age", b"two")
        assert proxy.requests == before + 1  # a look, and no second try of what it cannot do
        assert store.get("a/x.age", 10) == b"one"


@pytest.mark.parametrize(
    ("status", "words", "again"),
    [
        ("403", r"refuses access \(403\): check the account of this machine", False),
        ("507", "is full: make room there, and the same command goes on", False),
        ("500", "does not answer as it should", True),
        ("503", "does not answer as it should", True),
        ("429", "does not answer as it should", True),
        ("400", r"does not accept this \(400\)", False),
    ],
)
def test_what_a_store_answers(status: str, words: str, again: bool, s3: dict[str, str]) -> None:
    with Flaky(s3["endpoint"], lambda *_: status) as proxy:
        store = Store("s3://inbox/faults", {**s3, "endpoint": proxy.endpoint})
        with pytest.raises(StoreError, match=words) as caught:
            store.put_new("a/x.age", b"one")
    assert caught.value.again is again
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words", "again"),
    [
        ("Generic LocalFileSystem error: No space left on device (os error 28)", "is full", False),
        ("Generic LocalFileSystem error: Read-only file system (os error 30)", "is read-only", False),
        ("Generic LocalFileSystem error: Permission denied (os error 13)", "refuses access", False),
        ("status code: 403 Forbidden: <Code>RequestTimeTooSkewed</Code>", "refuses this machine's clock", False),
        ("HTTP error: error sending request", "does not answer as it should", True),
    ],
)
def test_what_the_disk_answers(text: str, words: str, again: bool) -> None:
    error = explain(OSError(text), "file:///inbox")
    assert words in str(error)
    assert error.again is again


def test_nobody_answers() -> None:
    store = Store("s3://inbox/a", {"endpoint": "http://127.0.0.1:9", "region": "us-east-1"})
    with pytest.raises(StoreError, match=r"does not answer as it should: .*error sending request"):
        store.put_new("x", b"")


def test_a_bucket_that_is_missing(s3: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="does not exist: its bucket is missing"):
        Store("s3://nobody/a", s3).put_new("x", b"")


def test_stores_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder .*nowhere: expected the store"):
        open_store(str(tmp_path / "nowhere"), {})
    with pytest.raises(ConfigError, match="cannot be opened"):
        Store("s3://inbox/a", {"nonsense": "1"})


def test_through_a_bad_network(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace.random, "uniform", lambda low, high: high / 100)
    with Flaky(s3["endpoint"], often(seed=1)) as proxy:
        store = Store("s3://inbox/bad", {**s3, "endpoint": proxy.endpoint})
        for number in range(12):
            data = bytes([number]) * 5000
            with_retries(lambda number=number, data=data: store.put_new(f"a/{number}", data))  # type: ignore[misc]
            read = with_retries(lambda number=number: store.get(f"a/{number}", 5000))  # type: ignore[misc]
            assert read == data
        assert len(with_retries(lambda: list(store.list("a")))) == 12
    assert proxy.requests > 24 + 5
