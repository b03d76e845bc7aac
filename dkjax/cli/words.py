"""Words for what commands print."""


def counted(number: int, noun: str) -> str:
    """Put a number before a noun, in the plural unless there is one.

    Example:
        >>> counted(1, "shard"), counted(1200, "shard")
        ('1 shard', '1,200 shards')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
