"""What an attack is: something that makes a picture, or a name, of encrypted images and of what an adversary knows."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np

from dkjax.cipher import Scheme


@dataclasses.dataclass(frozen=True)
class SeenUpdate:
    """What the server of federated learning has after one step of a client, on images that stayed there.

    Attributes:
        sent: the negated difference of the parameters, a pytree: of SGD, the gradient times the learning rate.
        gradient_of: what such images would have sent by plain SGD, of float32[n, H, W, C] from -1 to 1: the server has
            the parameters, and the labels, too. A pytree, such as `jax.tree_util.Partial`.
    """

    sent: Any
    gradient_of: Callable[[jax.Array], Any]


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """What an adversary has besides the encrypted images. The scheme and the block size are public.

    Attributes:
        block_size: the side `M` of a block.
        candidates: uint8[m, H, W, C], plain or encrypted images among which an encrypted one may be found again.
        again: uint8[R, n, H, W, C], the same images under other keys.
        scene: uint8[H, W, C], what a fixed camera sees when nothing is there.
        pair: a plain image and its encryption, uint8[H, W, C] each, under the key of the images attacked.
        update: what federated learning shows of the images instead of encrypting them.
        public: uint8[k, H, W, C], other plain images.
        scheme: the scheme, to encrypt them with under keys of one's own, or to know what it leaves together.
    """

    block_size: int
    candidates: np.ndarray | None = None
    again: np.ndarray | None = None
    scene: np.ndarray | None = None
    pair: tuple[np.ndarray, np.ndarray] | None = None
    update: SeenUpdate | None = None
    public: np.ndarray | None = None
    scheme: Scheme | None = None

    def has(self, needs: frozenset[str]) -> bool:
        """Say whether everything that an attack needs is there."""
        return all(getattr(self, name) is not None for name in needs)


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """Pictures that an attack got back.

    Attributes:
        images: uint8[n, H, W, C].
        layouts: int[n, rows, columns], which encrypted block the attack put where; None if it does not say.
        positions: int[n, M, M, C], which position of an encrypted block it took each value from; None likewise.
        odd_blocks: int[n], the place of the block that differs from what was known; None likewise.
        symmetric: whether nothing told the attack which way is up, so that the best of the symmetries is judged.
    """

    images: np.ndarray
    layouts: np.ndarray | None = None
    positions: np.ndarray | None = None
    odd_blocks: np.ndarray | None = None
    symmetric: bool = False


@dataclasses.dataclass(frozen=True)
class Links:
    """Which candidate an attack found behind each encrypted image.

    Attributes:
        best: int[n], positions among the candidates.
    """

    best: np.ndarray


class Attack(Protocol):
    """An attack on images that were encrypted under keys that it does not know.

    Attributes:
        name: its name in tables and on the command line.
        needs: the fields of `Knowledge` that must be there.
    """

    name: str
    needs: frozenset[str]

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction | Links:
        """Attack encrypted images, uint8[n, H, W, C]."""
        ...
