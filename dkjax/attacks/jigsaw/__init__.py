"""The puzzle attack: one encrypted image put together again without any key."""

from dkjax.attacks.jigsaw.puzzle import FEWEST_BLOCKS, Puzzle, Solution, solve

__all__ = ["FEWEST_BLOCKS", "Puzzle", "Solution", "solve"]
