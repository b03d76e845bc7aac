"""The configuration that several sites and their server begin with, as a text with comments."""

import json
import tomllib
from collections.abc import Sequence
from typing import Literal, get_args

from dkjax.config.load import parse_as
from dkjax.config.schema import PlanConfig
from dkjax.errors import ConfigError

First = Literal["accuracy", "protection"]
"""What comes first where one costs the other."""

_BLOCK_SIZES = (16, 14, 8, 7, 4)
_FEWEST_BLOCKS = 4
_SMALL = 64

_SCHEMES: dict[First, str] = {
    "accuracy": """\
name = "disposable"
block_size = {block_size}
# Block scrambling alone, the most accurate setting that was measured: 87.4 % on Fashion-MNIST, of 88.7 % with plain
# images and 73.0 % with fixed_pixels = 0. It hides the picture from the eye (SSIM .06; with three quarters of blocks
# and pixels fixed it is .55, and the accuracy lower). A program rebuilds nearly the whole picture from one photograph,
# whatever these two numbers are: SSIM .95 to 1.00. See docs/protection.md; `--first protection` is for that.
fixed_blocks = 0
fixed_pixels = "100%"
""",
    "protection": """\
# Each block's values in ascending order, so that no order of values is left by which a program rebuilds the
# picture: SSIM .31 came back of photographs, less than the mean image's .36, and .93 where all blocks have the same
# order. What stays is a thumbnail of one pixel a block, and enough to recognise a known image: see
# docs/protection.md. fixed_blocks above 0 leaves blocks in place.
name = "sorted_blocks"
block_size = {block_size}
fixed_blocks = 0
""",
}
_NETWORKS = {
    True: """\
variant = "mu"            # a small network of its own for small images, trained from scratch
width = 96
depth = 3
heads = 4
mlp_dim = 192
""",
    False: """\
variant = "Ti"            # Ti, S, B or L; photographs need pretrained weights for a good accuracy:
# pretrained = "weights.npz"   # see docs/pretrained.md, where to get them and which variant they are of
""",
}


def starter_config(
    image_size: int | tuple[int, int],
    *,
    channels: int = 3,
    classes: Sequence[str] | None = None,
    block_size: int | None = None,
    first: First = "accuracy",
) -> str:
    """Write the configuration that all sites and the server share, ready for `encrypt` and `train`.

    Args:
        image_size: height and width to which all images are resized, or one number for both.
        channels: 3 for colour, 1 for grey.
        classes: the names of all classes, in the order of their labels; if None, each site's folders are, and all have
            to have the same.
        block_size: side of a block, and of a patch of the ViT; if None, the largest of 16, 14, 8, 7 and 4 that makes at
            least 4 x 4 blocks.
        first: "accuracy" scrambles blocks alone, "protection" sends their values sorted; the text says what was
            measured of each.

    Returns:
        A TOML text with comments.

    Raises:
        ConfigError: an argument makes no sense, or `block_size` does not divide the image.

    Guarantees:
        - The sites and the server can read it (`test_starter.py::test_both_sides_read_it`).
    """
    if first not in get_args(First):
        raise ConfigError(f"first={first!r} is not one of {', '.join(get_args(First))}")
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(height, width) < 1:
        raise ConfigError(f"image_size={image_size} must be positive")
    if classes is not None and (not classes or not all(classes) or len(set(classes)) < len(classes)):
        raise ConfigError(f"classes={list(classes)} must be names, each of them once")
    fitting = [side for side in _BLOCK_SIZES if not height % side and not width % side]
    if block_size is None:
        block_size = next((side for side in fitting if min(height, width) >= _FEWEST_BLOCKS * side), None)
    if block_size is None or block_size < 1 or height % block_size or width % block_size:
        raise ConfigError(
            f"block_size={block_size} does not divide {height}x{width}; "
            + (f"one of {', '.join(map(str, fitting))} does" if fitting else "choose an image size of a multiple of 16")
        )
    named = (
        f"classes = {json.dumps(list(classes), ensure_ascii=False)}"
        if classes
        else '# classes = ["good", "defect"]   # all classes by name, if not every site has images of each'
    )
    small = max(height, width) <= _SMALL
    text = f"""\
# The settings that all sites and the server share: dkjax init wrote them, and they may be changed.
#
#   dkjax encrypt ./photos --config THIS.toml --client NAME --out NAME.dkds     # at each site
#   dkjax train THIS.toml --data *.dkds --workdir runs/first                    # at the server

[data]                    # the same at all sites
image_size = {height if height == width else [height, width]}
channels = {channels}              # 3 for colour, 1 for grey
{named}

[scheme]                  # what each site does to its images before they leave it
{_SCHEMES[first].format(block_size=block_size)}
# There is no [keys] here: every image gets a key of 256 bits from the operating system, which is erased.

[model]                   # from here on for the server alone; its patches are the blocks
{_NETWORKS[small]}{'reading = "sorted"        # as the images are' + chr(10) if first == "protection" else ""}
[train]
epochs = {10 if small else 30}
batch_size = {64 if small else 128}
learning_rate = {"2e-3" if small else "1e-3  # from pretrained weights 5e-5, with head_learning_rate = 2e-3"}
"""
    try:
        parse_as(PlanConfig, tomllib.loads(text), "dkjax init")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"a name in classes={list(classes or ())} cannot stand in TOML: {error}") from None
    return text
