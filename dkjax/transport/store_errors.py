"""What a store answers, as one line and a decision: try again, or not."""

import re

from dkjax.errors import TransportError
from dkjax.formats.strict_json import one_line


class StoreError(TransportError):
    """A store did not do what was asked.

    Attributes:
        again: whether it may help to ask again.
        unconditional: whether the store does not know conditional writes.
    """

    def __init__(self, text: str, *, again: bool, unconditional: bool = False) -> None:
        super().__init__(text)
        self.again = again
        self.unconditional = unconditional


_STATUS = re.compile(r"(?:status code:?|HTTP Error) (\d{3})")
_REFUSED = "check the account of this machine, its permissions for the store, and that the ticket has not expired"


def explain(error: BaseException, store: str) -> StoreError:
    """Turn an error of obstore or of a connection into one that people can act on.

    Args:
        error: what was raised.
        store: the store, for the message.

    Guarantees:
        - a store that is full, read-only, refuses, or does not answer is named as that
          (`test_store.py::test_what_a_store_answers`).
    """
    text = str(error)
    first = one_line(text.partition("\n")[0].partition("Debug source")[0], 200)
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    kind = type(error).__name__
    if "os error 28" in text or "os error 122" in text or status == 507 or "QuotaExceeded" in text:
        return StoreError(f"the store {store} is full: make room there, and the same command goes on", again=False)
    if "os error 30" in text:
        return StoreError(f"the store {store} is read-only: it has to be mounted for writing", again=False)
    if "RequestTimeTooSkewed" in text or "RequestExpired" in text:
        return StoreError(f"the store {store} refuses this machine's clock: set it to the right time", again=False)
    denied = kind in ("PermissionDeniedError", "UnauthenticatedError", "PermissionError")
    if denied or status in (401, 403) or "os error 13" in text:
        code = f" ({status})" if status else ""
        return StoreError(f"the store {store} refuses access{code}: {_REFUSED}", again=False)
    if status == 501 or kind in ("NotSupportedError", "NotImplementedError"):
        return StoreError(f"the store {store} cannot do this: {first}", again=False, unconditional=True)
    if "NoSuchBucket" in text:
        return StoreError(f"the store {store} does not exist: its bucket is missing", again=False)
    # What is left of the client's errors does not change by asking again; time-outs and too many requests do.
    if 400 <= status < 500 and status not in (408, 409, 425, 429):
        return StoreError(f"the store {store} does not accept this ({status}): {first}", again=False)
    return StoreError(f"the store {store} does not answer as it should: {first}", again=True)
