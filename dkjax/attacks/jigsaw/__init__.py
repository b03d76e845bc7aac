"""The puzzle attack: one encrypted image put together again without any key."""

from dkjax.attacks.jigsaw.puzzle import Solution, solve

__all__ = ["Solution", "solve"]
