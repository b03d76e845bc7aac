"""Compressed files that are small on the disk and huge in memory."""

MAX_EXPANSION = 1032
"""Deflate turns one byte into 1032 at the very most; a header that announces more is lying."""

_SMALL = 256 << 20
_USUAL_EXPANSION = 100


def check_expansion(size: int, compressed: int) -> None:
    """Refuse what would fill the memory.

    Real images become a few times smaller by compression, black ones somewhat more; labels much more, but they are
    small. So what is large and shrank a hundredfold is taken for a decompression bomb, even if its header tells the
    truth.

    Args:
        size: bytes after decompression, as announced.
        compressed: bytes before.

    Raises:
        ValueError: it is impossible, or a bomb.
    """
    if size > MAX_EXPANSION * (compressed + 1):
        raise ValueError(f"{compressed} compressed bytes cannot hold {size}")
    if size > _SMALL and size > _USUAL_EXPANSION * compressed:
        raise ValueError(
            f"{compressed} compressed bytes would become {size}, a decompression bomb; "
            "if it is none, store it without compression"
        )
