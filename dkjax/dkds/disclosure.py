"""What an encrypted data set tells its reader, in words: by its construction, and by the strongest attack known."""

from dkjax.cipher import Scheme
from dkjax.cipher.blocks import block_shape
from dkjax.cipher.transforms import (
    BlockScrambling,
    ColourShuffling,
    NegativePositive,
    NibbleShuffling,
    PixelPermutation,
    RotationFlip,
)
from dkjax.dkds.manifest import Description


def not_hidden(description: Description) -> str:
    """Say in one sentence what the server learns.

    Args:
        description: of an encrypted data set; a `Manifest` is one.

    Returns:
        The sentence. It tells what the scheme leaves by its construction, and, where it was measured, that the picture
        can be rebuilt without a key.

    Guarantees:
        - every scheme for uint8 images has its sentence (`test_disclosure.py::test_every_scheme_says_what_stays`).
        - it says so of every scheme that moves values in the same way in all blocks
          (`test_disclosure.py::test_says_where_the_picture_can_be_rebuilt`).
    """
    scheme = description.scheme.scheme()
    height, width, _ = description.image_shape
    shown = [
        "labels and class names",
        f"how many images there are of each class, and their size ({height} x {width} pixels)",
        *_shown_values(scheme),
        *_shown_places(scheme, description.image_shape),
        *_shown_picture(scheme),
    ]
    return f"Not hidden: {'; '.join(shown)}."


def warnings_of(description: Description) -> list[str]:
    """Say what weakens a data set beside its scheme, a sentence each: keys from a seed, shared keys, several views."""
    warnings = []
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


def _shown_values(scheme: Scheme) -> list[str]:
    steps = {type(step) for step in scheme.transforms}
    if NibbleShuffling in steps:
        return ["the half-bytes of every block, which move, or become 15 minus themselves, and do not change otherwise"]
    if NegativePositive in steps:
        return ["how far the values of every block lie from mid-grey"]
    return ["the histogram of every image, and which values are in each block, since values move and do not change"]


def _shown_places(scheme: Scheme, image_shape: tuple[int, int, int]) -> list[str]:
    steps = {type(step): step for step in scheme.transforms}
    blocks = block_shape(image_shape, scheme.block_size)
    shown = []
    scrambling, permutation = steps.get(BlockScrambling), steps.get(PixelPermutation)
    if not isinstance(scrambling, BlockScrambling):
        shown.append("the place of every block")
    elif scrambling.fixed:
        shown.append(f"{scrambling.fixed} of {blocks.num_blocks} blocks, which stay at their place")
    if isinstance(permutation, PixelPermutation):
        if permutation.fixed:
            shown.append(f"{permutation.fixed} of {blocks.values} values of each block, which stay at their place")
    elif NibbleShuffling not in steps and scheme.block_size > 1:
        words = {RotationFlip: "turned", NegativePositive: "negated", ColourShuffling: "recoloured"}
        changes = [word for step, word in words.items() if step in steps]
        shown.append("the picture inside every block" + (f" ({', '.join(changes)})" if changes else ""))
    return shown


def _shown_picture(scheme: Scheme) -> list[str]:
    # All blocks share one order of values, which neighbouring pixels betray; then borders put the blocks together.
    if not {type(step) for step in scheme.transforms} <= {BlockScrambling, PixelPermutation}:
        return []
    return [
        "and nearly the whole picture: without a key it can be rebuilt from one encrypted photograph (a prototype on "
        "twelve of 224 px, blocks of 16: SSIM .95 and more)"
    ]
