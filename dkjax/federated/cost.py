"""What federated learning and one upload cost clients and server: bytes, arithmetic and memory, computed beforehand.

The formulas count parameters and images; that they say what a simulation sends is a test's matter.
"""

import dataclasses
import math
from typing import Any

import jax

from dkjax.cipher.chunks import chunk_size
from dkjax.federated import lora
from dkjax.models.vit import Model
from dkjax.train.flops import flops_per_image

_LABEL_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Native:
    """An upload of images that are not resized, as encrypted ones cannot be resized later.

    Attributes:
        image_shape: `(H, W, C)` of the images that are uploaded and trained on, in whole patches.
        compressed_share: as of a `Case`.
        packed_share: as of a `Case`.
    """

    image_shape: tuple[int, int, int]
    compressed_share: float | None = None
    packed_share: float | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """What is to be trained, and by whom.

    Attributes:
        model: the network.
        image_shape: `(H, W, C)` of the images that are uploaded and trained on, uint8.
        images: of all clients.
        clients: how many.
        rounds: of federated learning.
        clients_per_round: how many take part in one.
        local_epochs: passes of a client over its images in a round.
        epochs: passes of the server over all uploads.
        batch_size: of a client's step.
        lora_rank: of the adapters.
        compressed_share: bytes of a losslessly compressed upload over those of the raw one; None if unknown.
        packed_share: likewise, of sorted blocks as `dkjax encrypt --packed` packs them.
        native: the same images before resizing, if they are to be compared.
    """

    model: Model
    image_shape: tuple[int, int, int]
    images: int
    clients: int
    rounds: int
    clients_per_round: int
    local_epochs: int
    epochs: int
    batch_size: int
    lora_rank: int
    compressed_share: float | None = None
    packed_share: float | None = None
    native: Native | None = None


@dataclasses.dataclass(frozen=True)
class Line:
    """One way to train, for a client of average size.

    Attributes:
        name: of the way.
        up_bytes: that a client sends over the whole training.
        down_bytes: that it receives, the trained network aside.
        client_flops: of its training; encryption is no floating point arithmetic.
        client_bytes: of memory for what it computes: images at hand, or parameters, gradient, two moments and the
            activations of a batch, at least.
        server_flops: of the server's training.
        break_even_round: rounds after which one raw upload has moved fewer bytes; None where there are no rounds.
    """

    name: str
    up_bytes: float
    down_bytes: float
    client_flops: float
    client_bytes: float
    server_flops: float
    break_even_round: float | None = None

    @property
    def moved_bytes(self) -> float:
        """Bytes up and down."""
        return self.up_bytes + self.down_bytes


def estimate(case: Case) -> list[Line]:
    """Compute every way's costs; nothing is trained.

    Args:
        case: what is to be trained.

    Returns:
        A line for one upload, raw, compressed, and of sorted blocks packed; the same of images of native size, if
        asked for; FedAvg with updates of 32, 16 and 8 bits; FedAvg of adapters; and central training on plain images.

    Raises:
        ConfigError: the rank is above the width, or the patches do not tile the image.

    Guarantees:
        - bytes are those that a simulation counts, within 1 %
          (`test_federated_training.py::test_bytes_are_those_of_the_calculator`).
    """
    lora.check_rank(case.lora_rank, case.model.width)
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(lambda key: case.model.init(key, case.image_shape), key)
    adapters = jax.eval_shape(lambda params, key: lora.adapters(params, case.lora_rank, key), params, key)
    numbers, arrays = _count(params), len(jax.tree.leaves(params))
    flops = flops_per_image(case.model, case.image_shape)
    own = case.images / case.clients
    taken = case.rounds * case.clients_per_round / case.clients
    client_flops = flops * own * case.local_epochs * taken
    memory = _training_bytes(case, numbers)

    def uploads(name: str, images: Case | Native, flops: float) -> list[Line]:
        size = math.prod(images.image_shape)
        shares = {"raw": 1.0, "compressed": images.compressed_share, "sorted, packed": images.packed_share}
        return [
            Line(
                f"{name}, {form}",
                own * (size + _LABEL_BYTES) * share,
                0,
                0,
                min(own, chunk_size(size)) * 2 * size,
                flops * case.images * case.epochs,
            )
            for form, share in shares.items()
            if share is not None
        ]

    def federated(name: str, up: float, down: float, memory: float) -> Line:
        per_round = (up + down) * case.clients_per_round / case.clients
        return Line(name, up * taken, down * taken, client_flops, memory, 0, first.up_bytes / per_round)

    small = _count(adapters)
    first, *smaller = uploads("one upload", case, flops)
    native = case.native
    return [
        first,
        *smaller,
        *([] if native is None else uploads("native size", native, flops_per_image(case.model, native.image_shape))),
        federated("fedavg float32", 4 * numbers, 4 * numbers, memory),
        federated("fedavg bfloat16", 2 * numbers, 4 * numbers, memory),
        federated("fedavg int8", numbers + 4 * arrays, 4 * numbers, memory),
        federated("fedavg_lora", 4 * small, 4 * small, memory - 4 * 3 * (numbers - small)),
        dataclasses.replace(first, name="plain images, central"),
    ]


def verdict(lines: list[Line]) -> str:
    """Say in one sentence which way is cheaper for whom."""
    upload = lines[0]
    rounds = [line for line in lines if line.break_even_round is not None]
    cheapest = min(rounds, key=lambda line: line.moved_bytes)
    full = rounds[0]
    times = max(upload.moved_bytes, cheapest.moved_bytes) / min(upload.moved_bytes, cheapest.moved_bytes)
    network = (
        f"one upload moves {times:,.1f} times fewer bytes than {cheapest.name}, the least of federated learning"
        if upload.moved_bytes < cheapest.moved_bytes
        else f"{cheapest.name} moves {times:,.1f} times fewer bytes than one upload"
    )
    native = [line for line in lines if line.name == "native size, raw"]
    larger = "".join(
        f"; images of native size take {line.up_bytes / upload.up_bytes:,.3g} times the bytes and "
        f"{line.server_flops / upload.server_flops:,.3g} times the server's arithmetic"
        for line in native
    )
    return (
        f"For the network {network}; for a client's processor one upload is cheaper, as it trains nothing (federated: "
        f"{full.client_flops / 1e12:,.3g} TFLOP each); for the server federated learning is cheaper, as the clients do "
        f"the {upload.server_flops / 1e12:,.3g} TFLOP{larger}."
    )


def as_json(lines: list[Line]) -> list[dict[str, Any]]:
    """The lines as plain JSON values."""
    return [dataclasses.asdict(line) | {"moved_bytes": line.moved_bytes} for line in lines]


def _training_bytes(case: Case, numbers: int) -> float:
    """Parameters, gradient and two moments, and what a step keeps for the gradient.

    That is, per token and block, about twelve vectors of the width, two of the hidden layer, and the attention weights.
    """
    model = case.model
    tokens = case.image_shape[0] * case.image_shape[1] / model.patch_size**2 + (model.pool == "token")
    kept = tokens * (12 * model.width + 2 * model.mlp_dim + model.heads * tokens)
    width = 2 if model.dtype == "bfloat16" else 4
    return 4 * 4 * numbers + width * case.batch_size * model.depth * kept


def _count(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
