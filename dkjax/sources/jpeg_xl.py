"""Size and depth of a JPEG XL file from its header: the plug-in for Pillow decodes a file before it tells either.

Source: ISO/IEC 18181-1, the size header and the image metadata.
"""

from dkjax.sources.depth import Depth

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\0\0\0\x0cJXL "
BEGINNINGS = (_CODESTREAM, _CONTAINER)
"""What a file may begin with: the codestream by itself, or in a container."""

_SIDE = ((1, 9), (1, 13), (1, 18), (1, 30))
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


class _Bits:
    """Numbers of a codestream, the least bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("its header is cut short")
        found = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return found

    def choose(self, *choices: tuple[int, int]) -> int:
        """Two bits choose an offset and how many bits are added to it."""
        offset, count = choices[self.take(2)]
        return offset + self.take(count)

    def size(self) -> tuple[int, int]:
        small = self.take(1)
        height = 8 * (1 + self.take(5)) if small else self.choose(*_SIDE)
        if ratio := self.take(3):
            wide, high = _RATIOS[ratio - 1]
            return height * wide // high, height
        return (8 * (1 + self.take(5)) if small else self.choose(*_SIDE)), height


def jpeg_xl_header(head: bytes) -> tuple[tuple[int, int], Depth]:
    """Read the width and height of a JPEG XL image before any turning, and how many bits a channel it has.

    Args:
        head: the beginning of the file.

    Returns:
        Width and height, and the depth.

    Raises:
        ValueError: the header is damaged, or the file has a preview.

    Guarantees:
        - both are those of the file (`tests/sources/test_jpeg_xl.py::test_size_and_depth`).
    """
    bits = _Bits(_codestream(head)[len(_CODESTREAM) :][:64])
    size = bits.size()
    if bits.take(1):  # all of the metadata by default
        return size, Depth(8)
    if bits.take(1):  # extra fields
        bits.take(3)  # orientation, which the decoder applies
        if bits.take(1):
            bits.size()  # for display
        if bits.take(1):
            raise ValueError("it has a preview; convert it to PNG")
        if bits.take(1):  # an animation
            bits.choose((100, 0), (1000, 0), (1, 10), (1, 30))
            bits.choose((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.choose((0, 0), (0, 3), (0, 16), (0, 32))
            bits.take(1)
    if bits.take(1):
        return size, Depth(bits.choose((32, 0), (16, 0), (24, 0), (1, 6)), floating=True)
    return size, Depth(bits.choose((8, 0), (10, 0), (12, 0), (1, 6)))


def _codestream(head: bytes) -> bytes:
    """The codestream, or the part of it that the first box of a container has."""
    if head.startswith(_CODESTREAM):
        return head
    place = 0
    while place + 8 <= len(head):
        length, kind = int.from_bytes(head[place : place + 4], "big"), head[place + 4 : place + 8]
        start = place + (16 if length == 1 else 8)
        if kind in (b"jxlc", b"jxlp"):
            found = head[start + (4 if kind == b"jxlp" else 0) :]
            if found.startswith(_CODESTREAM):
                return found
            break
        if length == 1:
            length = int.from_bytes(head[place + 8 : place + 16], "big")
        if length < 8:
            break
        place += length
    raise ValueError("it has no codestream")
