"""What clients send."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.federated.update import decode, encode, encoded_bytes

UPDATE = {
    "a": jnp.asarray(np.random.default_rng(0).normal(size=(30, 20)), jnp.float32),
    "b": {"c": jnp.zeros(7), "d": jnp.asarray([1e-20, -3.0])},
}


@pytest.mark.parametrize(("encoding", "relative"), [("float32", 0.0), ("bfloat16", 2**-8), ("int8", 0.5 / 127 * 1.001)])
def test_errors_are_bounded(encoding: str, relative: float) -> None:
    received = decode(encode(UPDATE, encoding), encoding)  # type: ignore[arg-type]
    assert jax.tree.structure(received) == jax.tree.structure(UPDATE)
    for one, other in zip(jax.tree.leaves(received), jax.tree.leaves(UPDATE), strict=True):
        assert one.dtype == jnp.float32
        assert np.abs(one - other).max() <= relative * np.abs(other).max()


@pytest.mark.parametrize(("encoding", "size"), [("float32", 4 * 609), ("bfloat16", 2 * 609), ("int8", 609 + 3 * 4)])
def test_bytes_are_those_of_the_arrays(encoding: str, size: int) -> None:
    assert encoded_bytes(UPDATE, encoding) == size  # type: ignore[arg-type]
    sent = jax.tree.leaves(encode(UPDATE, encoding))  # type: ignore[arg-type]
    assert sum(leaf.nbytes for leaf in sent) == size


@pytest.mark.parametrize("encoding", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so(encoding: str, value: float) -> None:
    received = decode(encode({"a": jnp.asarray([1.0, value])}, encoding), encoding)  # type: ignore[arg-type]
    assert not np.isfinite(received["a"]).all()


def test_a_layer_norm_is_no_quantised_array() -> None:
    """Its parameters are called scale and bias."""
    norm = {"scale": jnp.asarray([127.0, -3.0]), "bias": jnp.zeros(2)}
    received = decode(encode({"norm": norm}, "int8"), "int8")
    np.testing.assert_array_equal(received["norm"]["scale"], norm["scale"])
    np.testing.assert_array_equal(received["norm"]["bias"], 0)
