"""Encryption compiled ahead of time for TPUs, with the compiler's own estimates; needs `jax[tpu]`, not a TPU."""

import functools
import os

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dkjax import schemes
from dkjax.cipher import encryption
from dkjax.cipher.blocks import from_blocks, to_blocks

pytestmark = pytest.mark.tpu

IMAGES, SHAPE, BLOCK_SIZE = 64, (224, 224, 3), 16


@pytest.fixture(scope="module", params=["v5e:2x2", "v6e:2x2"])
def devices(request):
    pytest.importorskip("libtpu")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    return topologies.get_topology_desc(request.param, "tpu").devices


def estimated_seconds(compiled):
    return compiled.cost_analysis()["optimal_seconds"]


def abstract(shape, dtype, sharding):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def test_permuting_is_cheaper_than_two_gathers(devices):
    one = jax.sharding.SingleDeviceSharding(devices[0])
    images = abstract((IMAGES, *SHAPE), jnp.uint8, one)
    orders = [abstract((IMAGES, n), jnp.int32, one) for n in (196, 768)]
    scheme = schemes.disposable(BLOCK_SIZE)

    def gathers(image, blocks, pixels):
        return from_blocks(to_blocks(image, BLOCK_SIZE)[blocks][:, pixels], SHAPE, BLOCK_SIZE)

    def ours(image, blocks, pixels):
        return scheme.apply((blocks, pixels), image)

    seconds = {f: estimated_seconds(jax.jit(jax.vmap(f)).lower(images, *orders).compile()) for f in (gathers, ours)}
    print({f.__name__: f"{second * 1e6:.0f} us" for f, second in seconds.items()})
    assert seconds[ours] <= seconds[gathers] / 1.5


def test_no_collective(devices):
    shard = NamedSharding(Mesh(devices, "data"), PartitionSpec("data"))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0, impl="chacha20"), IMAGES))
    program = functools.partial(encryption._run, schemes.disposable(BLOCK_SIZE), inverse=False, natively=True)
    lowered = jax.jit(program).lower(
        abstract(keys.shape, keys.dtype, shard), abstract((IMAGES, *SHAPE), jnp.uint8, shard)
    )
    text = lowered.compile().as_text()
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter"):
        assert collective not in text
