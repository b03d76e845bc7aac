"""What an encrypted data set tells its reader, in words: by its construction, and by the strongest attack known."""

from typing import Protocol, runtime_checkable

from dkjax.cipher import Scheme, schemes
from dkjax.cipher.blocks import BlockShape, block_shape
from dkjax.cipher.transforms import (
    BlockScrambling,
    BlockwisePixelPermutation,
    Leaves,
    NoisyCounts,
    PixelPermutation,
    SortedValues,
)
from dkjax.dkds.manifest import Description


@runtime_checkable
class _Telling(Protocol):
    def leaves(self, shape: BlockShape) -> Leaves: ...


def not_hidden(description: Description) -> str:
    """Say in one sentence what the server learns.

    Args:
        description: of an encrypted data set; a `Manifest` is one.

    Returns:
        The sentence. It tells what the scheme leaves by its construction, and, where it was measured, that the picture
        can be rebuilt without a key.

    Guarantees:
        - every scheme for uint8 images has its sentence (`test_disclosure.py::test_every_scheme_says_what_stays`), a
          user's own too (`test_own_scheme.py::test_what_it_does_not_hide`).
        - it says so of every scheme that moves values in the same way in all blocks
          (`test_disclosure.py::test_says_where_the_picture_can_be_rebuilt`), and not where every block has an own order
          (`test_disclosure.py::test_an_own_order_in_every_block`).
    """
    height, width, _ = description.image_shape
    shown = [
        "labels and class names",
        f"how many images there are of each class, and their size ({height} x {width} pixels)",
        *_left_by_the_scheme(description),
    ]
    return f"Not hidden: {'; '.join(shown)}."


def warnings_of(description: Description) -> list[str]:
    """Say what weakens a data set beside its scheme, a sentence each: keys from a seed, shared keys, several views.

    A scheme that is not known here has a sentence, too.
    """
    warnings = []
    if (missing := description.scheme.missing) is not None:
        warnings.append(f"{missing[0].upper()}{missing[1:]}.")
    if description.keys == "reproducible":
        warnings.append(
            "The keys come from a seed: whoever knows or guesses it can decrypt every image. For experiments only."
        )
    if description.key_sharing != "per_image":
        warnings.append("Images share a key: what is learnt about one of them holds for the others.")
    if description.views > 1:
        warnings.append(
            f"There are {description.views} encryptions of every image under different keys; together they reveal "
            "more than one."
        )
    return warnings


def _left_by_the_scheme(description: Description) -> list[str]:
    name = description.scheme.name
    registration = schemes.registered(name)
    if registration is None:
        return [f"what the scheme {name} leaves, which is not known here"]
    if registration.not_hidden:
        return [registration.not_hidden]
    return _left(description.scheme.scheme(), description.image_shape)


def _left(scheme: Scheme, image_shape: tuple[int, int, int]) -> list[str]:
    """What the transforms leave, put together."""
    shape = block_shape(image_shape, scheme.block_size)
    left = [step.leaves(shape) for step in scheme.transforms if isinstance(step, _Telling)]
    values = [one.values for one in left if one.values is not None]
    kept = "the histogram of every image, and which values are in each block, since values move and do not change"
    shown = values[-1:] or [kept]
    shown += [one.blocks for one in left if one.blocks is not None] or ["the place of every block"]
    if inside := [one.inside for one in left if one.inside is not None]:
        shown += inside
    elif scheme.block_size > 1:
        altered = ", ".join(one.altered for one in left if one.altered)
        shown.append("the picture inside every block" + (f" ({altered})" if altered else ""))
    return [one for one in shown if one] + _rebuilt(scheme, shape)


def _rebuilt(scheme: Scheme, shape: BlockShape) -> list[str]:
    if any(
        isinstance(step, SortedValues | NoisyCounts)
        or (isinstance(step, BlockwisePixelPermutation) and step.count(shape) > 1)
        for step in scheme.transforms
    ):
        colours = [] if scheme.mixes == "channels" else ["thumbnails have the colours of the blocks, too"]
        return [
            "without an order of values that all blocks share, dkjax attack without a key came to SSIM .31 (values "
            "sorted, as anybody can; the mean image has .36) on twenty photographs of 224 px, blocks of 16, nothing at "
            "its place; small blocks still give thumbnails away, and values that stay at their place were not tried",
            *colours,
        ]
    # All blocks share one order of values, which neighbouring pixels betray; then borders put the blocks together.
    if not {type(step) for step in scheme.transforms} <= {
        BlockScrambling,
        PixelPermutation,
        BlockwisePixelPermutation,
    }:
        return []
    return [
        "and nearly the whole picture: without a key it can be rebuilt from one encrypted photograph (dkjax attack on "
        "twenty of 224 px, blocks of 16: SSIM .93 and more)"
    ]
