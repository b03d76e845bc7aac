"""Known and chosen plaintext: what one image gives away of a key that is used again.

Under a disposable key there is no other image to read with it: `KnownPlaintext` then gets noise.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from dkjax.attacks.protocol import Knowledge, Reconstruction
from dkjax.attacks.template import match_columns
from dkjax.cipher.array_blocks import from_blocks, to_blocks
from dkjax.errors import ArgumentError

_DIGIT = 256


class KnownPlaintext:
    """Reads images under a key of which one pair of plain and encrypted image is known.

    Guarantees:
        - a reused key is broken (`test_plaintext.py::test_a_reused_key_is_read`).
        - a disposable key is not (`test_plaintext.py::test_another_key_is_not_read`).
    """

    name = "known-plaintext"
    needs = frozenset({"pair"})

    def run(self, encrypted: np.ndarray, knowledge: Knowledge) -> Reconstruction:
        """Recover the permutations from the pair, and undo them in all images."""
        assert knowledge.pair is not None
        side = knowledge.block_size
        plain, sent = (to_blocks(image[None], side)[0].astype(float) for image in knowledge.pair)
        shuffle = np.random.default_rng(0).permutation(len(sent))
        cost = cdist(np.sort(plain, axis=1), np.sort(sent[shuffle], axis=1), "cityblock")
        layout = shuffle[linear_sum_assignment(cost)[1]]
        order = match_columns(plain, sent[layout])
        blocks = to_blocks(encrypted, side)[:, layout][:, :, order]
        return Reconstruction(from_blocks(blocks, encrypted.shape[1:], side))


def chosen_images(image_shape: tuple[int, int, int]) -> np.ndarray:
    """Images whose encryptions spell out where every value moves: the digits of its number, to the base 256.

    Args:
        image_shape: `(H, W, C)`.

    Returns:
        uint8[digits, H, W, C]; three images are enough for 224 x 224 pixels.
    """
    numbers = np.arange(np.prod(image_shape))
    digits = [numbers]
    while digits[-1].max() >= _DIGIT:
        digits.append(digits[-1] // _DIGIT)
    return np.stack([digit % _DIGIT for digit in digits]).astype(np.uint8).reshape(-1, *image_shape)


def read_with_chosen(encrypted: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Decrypt images under the key that encrypted the chosen ones.

    Args:
        encrypted: uint8[n, H, W, C].
        chosen: uint8[digits, H, W, C], the encryptions of `chosen_images`.

    Returns:
        uint8[n, H, W, C].

    Raises:
        ArgumentError: the scheme does not only move values, or the images had different keys.

    Guarantees:
        - exact under every scheme that moves values (`test_plaintext.py::test_chosen_images_read_everything`).
    """
    weights = _DIGIT ** np.arange(len(chosen))
    source = np.tensordot(weights, chosen.astype(np.int64), axes=1).ravel()
    if not np.array_equal(np.sort(source), np.arange(source.size)):
        raise ArgumentError("the chosen images came back with other values: the scheme changes them, or keys differ")
    plain = np.empty_like(encrypted.reshape(len(encrypted), -1))
    plain[:, source] = encrypted.reshape(len(encrypted), -1)
    return plain.reshape(encrypted.shape)
