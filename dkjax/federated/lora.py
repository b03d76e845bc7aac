"""Low-rank adapters: only they and the head are trained and sent; everything else stays as every client has it.

Source: Hu et al., "LoRA", arXiv 2106.09685; adapters on the query and value projections, as there.
"""

from typing import Any

import jax
import jax.numpy as jnp

from dkjax.errors import ConfigError
from dkjax.models.vit import Params

_ADAPTED = ("query", "value")


def check_rank(rank: int, width: int) -> None:
    """Raise `ConfigError` if adapters of a rank are no smaller than what they adapt."""
    if not 1 <= rank <= width:
        raise ConfigError(
            f"federated.lora_rank={rank} is not between 1 and the model's width={width}: adapters of a higher rank "
            "say nothing more"
        )


def adapters(params: Params, rank: int, prng_key: jax.Array) -> Params:
    """Draw the adapters of a ViT, and take its head along.

    Args:
        params: of the ViT.
        rank: of the adapters.
        prng_key: typed PRNG key, shape [].

    Returns:
        What is trained: `adapters` with, for each adapted kernel `[D, ...]`, `a` [D, rank], drawn, and `b`
        [rank, ...], zero; and `head`.

    Raises:
        ConfigError: the rank is above the width.

    Guarantees:
        - at first the adapted network is the network (`test_lora.py::test_starts_as_the_network`).
    """
    found: Params = {}
    for number, (name, kernel) in enumerate(sorted(_kernels(params).items())):
        check_rank(rank, kernel.shape[0])
        a = jax.random.normal(jax.random.fold_in(prng_key, number), (kernel.shape[0], rank)) * kernel.shape[0] ** -0.5
        found[name] = {"a": a, "b": jnp.zeros((rank, *kernel.shape[1:]))}
    return {"adapters": found, "head": params["head"]}


def merge(params: Params, trained: Params, scale: float = 1.0) -> Params:
    """Add the adapters to a ViT's parameters; the result is a ViT like any other.

    Args:
        params: what the adapters were drawn for.
        trained: from `adapters`, trained since.
        scale: of the adapters: `alpha / rank` in the paper.

    Returns:
        Parameters of the same names and shapes.
    """
    kernels = {
        name: kernel + scale * jnp.tensordot(trained["adapters"][name]["a"], trained["adapters"][name]["b"], axes=1)
        for name, kernel in _kernels(params).items()
    }
    with_kernels = jax.tree.map_with_path(lambda path, leaf: kernels.get(_name(path), leaf), params)
    return {**with_kernels, "head": trained["head"]}


def _kernels(params: Params) -> dict[str, jax.Array]:
    leaves = jax.tree.leaves_with_path(params)
    named = {_name(path): leaf for path, leaf in leaves}
    return {name: leaf for name, leaf in named.items() if name.split("/")[-2:] in [[of, "kernel"] for of in _ADAPTED]}


def _name(path: Any) -> str:
    return "/".join(entry.key for entry in path)
