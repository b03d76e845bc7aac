"""Words for what commands print."""


def plural(number: int, noun: str) -> str:
    """Put a number before a noun, in the plural unless there is one.

    Example:
        >>> plural(1, "shard"), plural(1200, "shard")
        ('1 shard', '1,200 shards')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
