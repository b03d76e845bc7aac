"""A client takes its data back: they are removed, stay away, and the models that saw them are named."""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dkjax.errors import DataError
from dkjax.transport.pace import with_retries
from dkjax.transport.register import Accepted, Register
from dkjax.transport.server_keys import ServerKeys, revoke_ticket
from dkjax.transport.store import Store
from dkjax.transport.ticket import now, stamp


@dataclasses.dataclass(frozen=True)
class Withdrawn:
    """What a withdrawal did.

    Attributes:
        client: the pseudonym.
        data_sets: what was removed.
        tickets: how many tickets were revoked.
        objects: how many objects were removed from the store.
        models: the folders of models and checkpoints that were trained on the data.
        unreadable: files that describe a model and cannot be read: whether theirs was trained on the data is not known.
    """

    client: str
    data_sets: tuple[Accepted, ...]
    tickets: int
    objects: int
    models: tuple[Path, ...]
    unreadable: tuple[Path, ...]


def withdraw(
    client: str, register: Register, keys: ServerKeys | None, store: Store | None, runs: Sequence[Path]
) -> Withdrawn:
    """Remove a client's data, and find what was trained on them.

    Args:
        client: the pseudonym.
        register: of the folder of data sets.
        keys: the server's; the client's tickets are revoked.
        store: where the client's objects are removed, too; None to leave it.
        runs: folders to look for models in.

    Returns:
        What was done.

    Raises:
        DataError: nothing is known of the client.

    Guarantees:
        - what was withdrawn does not return, under its ticket or another
          (`test_withdraw.py::test_what_was_withdrawn_does_not_return`).
        - every model that names one of the data sets is listed, and every description of a model that cannot be read
          (`test_withdraw.py::test_models_are_listed`).
    """
    tickets = [one for one in (keys.tickets().values() if keys else ()) if one.client == client]
    with register.held():
        earlier = register.withdrawn().get(client)
        known = [one for one in register.accepted(gone=True) if one.client == client]
        if not known and not tickets and not earlier:
            names = sorted({one.client for one in register.accepted()})
            raise DataError(f"nothing of {client} is in {register.into}; there is {', '.join(names) or 'nobody'}")
        gone = register.withdraw(client, [one.slot for one in tickets], stamp(now()))
        tombstone = register.withdrawn()[client]
    objects = sum(_empty(store, slot) for slot in tombstone["slots"]) if store is not None else 0
    if keys is not None:
        for one in tickets:
            revoke_ticket(keys, one.id)
    models, unreadable = trained_on(tombstone["data_sets"], runs)
    return Withdrawn(client, tuple(gone), len(tickets), objects, models, unreadable)


def _empty(store: Store, slot: str) -> int:
    """Remove the objects of a slot, and say how many there were."""
    names = [name for name, _ in with_retries(lambda: list(store.list(slot)))]
    for name in names:
        with_retries(functools.partial(store.delete, name))
    return len(names)


def trained_on(data_sets: Sequence[str], runs: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the folders below `runs` with a model of one of the data sets, and descriptions that cannot be read."""
    wanted = set(data_sets)
    found, unreadable = set(), set()
    for run in runs:
        for name in ("config.json", "model.json"):
            for path in run.rglob(name):
                # Whatever its checksum says: a model that names the data is to be found.
                try:
                    described = json.loads(path.read_text(encoding="utf-8"))
                except (OSError, ValueError, RecursionError):
                    unreadable.add(path)
                    continue
                if wanted & _data_sets_in(described):
                    found.add(path.parent)
    return tuple(sorted(found)), tuple(sorted(unreadable))


def _data_sets_in(described: Any) -> set[str]:
    """The ids of data sets in the description of a run, `config.json`, or of a model, `model.json`."""
    if not isinstance(described, dict):
        return set()
    provenance = described.get("provenance")
    listed = [described.get("data_sets"), provenance.get("data_sets") if isinstance(provenance, dict) else None]
    return {
        one["id"] for some in listed if isinstance(some, list) for one in some if isinstance(one, dict) and "id" in one
    }
