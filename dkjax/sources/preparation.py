"""What is done to every image before it is encrypted: its proportions and its range of values become the model's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Resize = Literal["stretch", "crop", "pad"]
"""What becomes of an image of other proportions: all of it, its middle, or all of it with black borders."""

Decode = Literal["exact", "scaled"]
"""How a JPEG that is much larger than wanted is decoded: every pixel, or at a smaller scale."""

ValueRange = tuple[float, float] | Literal["bits", "percentile"]
"""Which values become 0 and 255, where a file has more than 8 bits a channel."""


@dataclass(frozen=True)
class Preparation:
    """How images are brought to bytes of one shape.

    Attributes:
        resize: `stretch` scales height and width by themselves; `crop` keeps the proportions and cuts off what is too
            much at both sides; `pad` keeps them and adds black borders.
        value_range: for images of more than 8 bits a channel the values that become 0 and 255: two numbers; `bits` for
            the least and the greatest of the depth that the file declares; `percentile` for the 1st and the 99th
            percentile of each image. None refuses such images. Images of 8 bits stay as they are.
        decode: `scaled` decodes a JPEG at the smallest scale of its DCT, 1/8, 1/4 or 1/2, that is at least twice the
            size wanted, and resizes that; `exact` decodes every pixel.
    """

    resize: Resize = "stretch"
    value_range: ValueRange | None = None
    decode: Decode = "exact"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Preparation":
        """Take what `[data]` of a resolved configuration says; the default, where it does not say.

        A configuration that says nothing of `decode` is of a version that decoded exactly.
        """
        found = settings.get("range")
        return cls(
            settings.get("resize", "stretch"),
            tuple(found) if isinstance(found, list) else found,
            settings.get("decode", "exact"),
        )


AS_IS = Preparation()
