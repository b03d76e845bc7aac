"""Plans: the numbers are those of the program that trains, and come without running anything."""

from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from dkjax.config import TrainConfig
from dkjax.errors import ConfigError
from dkjax.models.vit import vit
from dkjax.train.loop import make_trainer
from dkjax.train.mesh import batch_sharding
from dkjax.train.plan import Plan, plan_training

MODEL = vit("mu", patch_size=4, num_classes=3, width=8, heads=2, mlp_dim=8)
CONFIG, SHAPE = TrainConfig(batch_size=8), (8, 12, 3)


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan_training(CONFIG, MODEL, SHAPE)


def test_is_the_program_that_trains(planned: Plan) -> None:
    trainer = make_trainer(CONFIG, MODEL, CONFIG.batch_size)
    key = jax.random.key(0)
    state = trainer.start(MODEL.init(key, SHAPE))
    batch = {"image": np.zeros((8, *SHAPE), np.uint8), "label": np.zeros(8, np.int32)}
    batch = jax.device_put(batch, batch_sharding(trainer.mesh))
    key = trainer.replicate_key(key)
    compiled = trainer.train_step.lower(state, batch, key).compile()
    costs, memory = compiled.cost_analysis(), compiled.memory_analysis()
    assert (planned.flops, planned.accessed_bytes) == (costs["flops"], costs["bytes accessed"])
    assert planned.argument_bytes == memory.argument_size_in_bytes
    assert planned.temporary_bytes == memory.temp_size_in_bytes


def test_counts(planned: Plan) -> None:
    params = jax.eval_shape(lambda key: MODEL.init(key, SHAPE), jax.random.key(0))
    assert planned.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))
    # Parameters and AdamW's two moments, and a quarter of the batch.
    assert planned.argument_bytes >= 3 * 4 * planned.parameters + 8 * 8 * 12 * 3 // 4
    assert planned.output_bytes < planned.argument_bytes / 10  # the state is written over itself
    assert (planned.devices, planned.batch_size, planned.image_shape) == (4, 8, SHAPE)
    assert planned.collectives.keys() == {"all-reduce"}
    assert planned.needed_bytes >= planned.argument_bytes + planned.temporary_bytes


def test_one_device_needs_no_communication() -> None:
    planned = plan_training(CONFIG, MODEL, SHAPE, jax.devices()[:1])
    assert (planned.devices, planned.collectives) == (1, {})


def test_no_time_for_cpus(planned: Plan) -> None:
    assert (planned.estimated_seconds, planned.least_seconds, planned.images_per_second) == (None, None, None)


def test_nothing_is_computed() -> None:
    """A network whose parameters alone would fill more than a terabyte."""
    model = vit("mu", patch_size=4, num_classes=3, width=1 << 17, heads=2, mlp_dim=1 << 20)
    planned = plan_training(CONFIG, model, SHAPE, jax.devices()[:1])
    assert planned.argument_bytes > 4 * planned.parameters > 1 << 40


def test_leaves_the_compilation_cache_alone(tmp_path: Path) -> None:
    """JAX warns at each program for absent devices that it finds there, and compiles it again."""
    of_the_tests = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    try:
        plan_training(CONFIG, MODEL, SHAPE)
        assert not list(tmp_path.iterdir())
        jax.jit(lambda x: x + 1).lower(0).compile()  # what is compiled afterwards is kept again
        assert list(tmp_path.iterdir())
    finally:
        jax.config.update("jax_compilation_cache_dir", of_the_tests)
        compilation_cache.reset_cache()


def test_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"^train.batch_size=6 cannot be divided among 4 devices$"):
        plan_training(TrainConfig(batch_size=6), MODEL, SHAPE)
    with pytest.raises(ConfigError, match="patch_size=4 does not divide"):
        plan_training(CONFIG, MODEL, (8, 10, 3))


def test_a_batch_in_parts_is_the_same_work_in_less_memory() -> None:
    """The compiler counts what is in a loop once."""
    model = vit("mu", patch_size=4, num_classes=3, width=64, heads=2, mlp_dim=256)
    whole, parts = (plan_training(TrainConfig(batch_size=256, accumulate=k), model, SHAPE) for k in (1, 4))
    assert parts.flops == pytest.approx(whole.flops, rel=0.2)
    assert parts.temporary_bytes < 0.7 * whole.temporary_bytes
    assert whole.collectives == parts.collectives == {"all-reduce": 1}


def test_a_divided_state() -> None:
    model = vit("mu", patch_size=4, num_classes=3, width=64, heads=2, mlp_dim=256)
    whole, divided = (plan_training(TrainConfig(batch_size=8, fsdp=fsdp), model, SHAPE) for fsdp in (1, 4))
    assert divided.argument_bytes < 0.6 * whole.argument_bytes
    assert divided.collectives["all-gather"] >= 1
