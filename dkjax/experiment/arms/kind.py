"""What a kind of arm is, what it is given, and what it returns."""

import dataclasses
from collections.abc import Callable, Generator, Iterable
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import NDArray

from dkjax.cipher import Scheme
from dkjax.client.upload import Client, EncryptView, Upload, Uploader
from dkjax.config import FederatedConfig
from dkjax.errors import ArgumentError
from dkjax.input.device_resident import LazyEncrypted
from dkjax.input.record_pool import RecordPool
from dkjax.keys import Ratchet
from dkjax.models.reading import Reading, unsuited
from dkjax.models.vit import Params
from dkjax.sources import Records
from dkjax.train.run import Finished, Run

Views = dict[str, RecordPool | LazyEncrypted]
"""The test set in every way in which an arm is tested, by name."""


@dataclasses.dataclass(frozen=True)
class Round:
    """What one round brings.

    Attributes:
        uploads: one for each client.
        test_views: those of the arm's kind; empty after the first round.
        adapt: turns the parameters that training starts from into those for this arm's key.
    """

    uploads: tuple[Upload, ...]
    test_views: Views
    adapt: Callable[[Params], Params] = lambda params: params


@dataclasses.dataclass(frozen=True)
class ArmTask:
    """One run of an arm: its clients, how they upload, and the training.

    Attributes:
        arm: which arm.
        clients: who holds which plain images.
        test: the plain test images and labels.
        ratchet: where keys come from.
        rounds: how often clients upload.
        upload: how the images of a client reach the server, plain ones too.
        encrypt_view: how test images are encrypted.
        run: the training, with `rounds` stages.
        train_on: whether training in a round is on all uploads so far or on those of the round.
        sample: the first plain images of the first client as it encrypts them, uint8[n, H, W, C].
        federated: how clients train, where they do.
    """

    arm: "Arm"
    clients: tuple[Client, ...]
    test: Records
    ratchet: Ratchet
    rounds: int
    upload: Uploader
    encrypt_view: EncryptView
    run: Run
    train_on: Literal["all", "newest"]
    sample: NDArray[np.uint8]
    federated: FederatedConfig = dataclasses.field(default_factory=FederatedConfig)

    def upload_all(self, number: int, image_keys: Iterable[jax.Array | None]) -> tuple[Upload, ...]:
        """Let every client upload in round `number`, with one array of keys for each client."""
        pairs = zip(self.clients, image_keys, strict=True)
        return tuple(self.upload(client, number, self.arm.scheme, own_keys) for client, own_keys in pairs)

    def view(self, image_keys: jax.Array | None) -> RecordPool | LazyEncrypted:
        """The test set under keys, or plain without any."""
        return self.encrypt_view(self.test, self.arm.scheme if image_keys is not None else None, image_keys)

    def fresh_key_view(self) -> RecordPool | LazyEncrypted:
        """The test set under keys of a round of its own, which are deleted when it ends."""
        with self.ratchet.next_round() as round_keys:
            return self.view(round_keys.for_client("test", len(self.test["label"])))


@dataclasses.dataclass(frozen=True)
class ArmResult:
    """What came of one run of an arm.

    Attributes:
        finished: the trained model and its history.
        upload_bytes: of all clients and rounds, as arrays.
        encrypt_seconds: what the clients' side took, on the wall clock.
        ssim: how much the uploads look like the plain images; None where no image is uploaded.
        client_bytes: what each client sent (`up`) and received (`down`), by its name.
        client_seconds: what the clients' training took, on the wall clock; 0 where they do not train.
        federation: what else there is to say of federated learning, as JSON values; None for other kinds.
    """

    finished: Finished
    upload_bytes: int
    encrypt_seconds: float
    ssim: float | None = None
    client_bytes: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    client_seconds: float = 0.0
    federation: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class ArmKind:
    """A kind of arm, as a value.

    Attributes:
        name: what an arm's name begins with, or its `kind` in a configuration.
        key_sharing: which images share a key: `none` where none is encrypted, `per_image`, `per_client` or `shared`.
        test_views: the names of its test views.
        adaptable: whether one key encrypts everything, so that an embedding can take it in.
        rounds: for a kind whose clients upload: yields what each round brings. Keys live inside this generator: they
            are deleted when it ends or is closed, disposable ones before a round is yielded.
        train: for a kind that trains in a way of its own, such as a federated one: does the whole run.

    Raises:
        ArgumentError: not exactly one of `rounds` and `train` is given.
    """

    name: str
    key_sharing: Literal["none", "per_image", "per_client", "shared"]
    test_views: tuple[str, ...] = ("plain",)
    adaptable: bool = False
    rounds: Callable[[ArmTask], Generator[Round, None, None]] | None = None
    train: Callable[[ArmTask], ArmResult] | None = None

    def __post_init__(self) -> None:
        if (self.rounds is None) == (self.train is None):
            raise ArgumentError(f"the kind of arm {self.name!r} needs either rounds or train, and not both")

    @property
    def encrypted(self) -> bool:
        """Whether clients encrypt."""
        return self.key_sharing != "none"


@dataclasses.dataclass(frozen=True)
class Arm:
    """One line of a comparison.

    Attributes:
        name: of the line; it names a folder.
        kind: what is done.
        scheme: the encryption; None where the kind does not encrypt.
        adapt_embedding: whether the key is folded into the parameters that training starts from.
        reading: how the model reads patches (`dkjax.models.vit.Model.reading`); None for the comparison's own.

    Raises:
        ArgumentError: a kind that encrypts has no scheme, or another has one; an embedding is to adapt to an order that
            the reading does not have; or the reading looks for what the scheme does not leave.
    """

    name: str
    kind: ArmKind
    scheme: Scheme | None = None
    adapt_embedding: bool = False
    reading: Reading | None = None

    def __post_init__(self) -> None:
        if self.adapt_embedding and self.reading not in (None, "values"):
            raise ArgumentError(
                f"the arm {self.name!r}: reading={self.reading} has no order that an embedding could adapt to"
            )
        self.check_reading(self.reading)
        if self.kind.encrypted != (self.scheme is not None):
            needs = "needs a scheme" if self.kind.encrypted else "does not encrypt: leave its scheme out"
            raise ArgumentError(f"the arm {self.name!r} of kind {self.kind.name} {needs}")

    def check_reading(self, reading: Reading | None) -> None:
        """Raise `ArgumentError` if a reading looks for what the scheme does not leave."""
        if reading and self.scheme and (why := unsuited(reading, self.scheme)):
            raise ArgumentError(f"the arm {self.name!r}: reading={reading}: {why}")
