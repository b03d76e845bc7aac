"""The calculator against what is counted elsewhere."""

import dataclasses

import jax
import pytest

from dkjax.errors import ConfigError
from dkjax.federated.cost import Case, Native, estimate, verdict
from dkjax.federated.lora import adapters
from dkjax.federated.update import encoded_bytes
from dkjax.models.vit import vit
from dkjax.train.flops import flops_per_image

CASE = Case(
    model=vit("mu", patch_size=8, num_classes=10, width=16, heads=2, mlp_dim=16),
    image_shape=(16, 16, 1),
    images=48,
    clients=3,
    rounds=6,
    clients_per_round=2,
    local_epochs=1,
    epochs=4,
    batch_size=8,
    lora_rank=4,
    compressed_share=0.5,
    packed_share=0.25,
)
LINES = {line.name: line for line in estimate(CASE)}


def test_bytes_are_those_of_the_arrays() -> None:
    params = CASE.model.init(jax.random.key(0), CASE.image_shape)
    trained = adapters(params, 4, jax.random.key(1))
    taken = 6 * 2 / 3
    for encoding in ("float32", "bfloat16", "int8"):
        line = LINES[f"fedavg {encoding}"]
        assert line.up_bytes == pytest.approx(encoded_bytes(params, encoding) * taken, rel=0.01)  # type: ignore[arg-type]
        assert line.down_bytes == pytest.approx(encoded_bytes(params, "float32") * taken, rel=0.01)
    assert LINES["fedavg_lora"].up_bytes == pytest.approx(encoded_bytes(trained, "float32") * taken, rel=0.01)
    assert LINES["one upload, raw"].up_bytes == 16 * 260
    assert LINES["one upload, compressed"].up_bytes == 8 * 260
    assert LINES["one upload, sorted, packed"].up_bytes == 4 * 260


def test_arithmetic_is_the_same_on_either_side() -> None:
    assert LINES["fedavg float32"].client_flops * 3 == pytest.approx(LINES["one upload, raw"].server_flops)
    assert LINES["one upload, raw"].client_flops == 0
    assert LINES["fedavg_lora"].client_bytes < LINES["fedavg float32"].client_bytes


def test_break_even() -> None:
    for line in LINES.values():
        if line.break_even_round is None:
            continue
        there = dataclasses.replace(CASE, rounds=1)
        (one,) = [found for found in estimate(there) if found.name == line.name]
        assert one.moved_bytes * line.break_even_round == pytest.approx(LINES["one upload, raw"].moved_bytes)
    assert LINES["fedavg int8"].break_even_round > LINES["fedavg float32"].break_even_round


def test_the_verdict_may_be_federated_learning() -> None:
    assert "one upload moves" in verdict(list(LINES.values()))
    many = estimate(dataclasses.replace(CASE, images=480_000))
    assert "fedavg_lora moves" in verdict(many)
    assert "times fewer bytes than one upload" in verdict(many)


def test_native_size() -> None:
    lines = estimate(dataclasses.replace(CASE, native=Native((48, 64, 1), packed_share=0.1)))
    named = {line.name: line for line in lines}
    assert [line.name for line in lines if line.name not in LINES] == [
        "native size, raw",
        "native size, sorted, packed",
    ]
    raw, packed = named["native size, raw"], named["native size, sorted, packed"]
    assert raw.up_bytes == 16 * (48 * 64 + 4) and packed.up_bytes == pytest.approx(raw.up_bytes / 10)
    assert raw.client_bytes == 2 * 16 * 48 * 64 and raw.client_flops == 0
    assert raw.server_flops == packed.server_flops == 4 * 48 * flops_per_image(CASE.model, (48, 64, 1))
    assert raw.server_flops > 9 * named["one upload, raw"].server_flops  # 49 tokens, where there were 5
    assert [line for line in lines if line.name in LINES] == list(LINES.values())
    assert "; images of native size take 11.8 times the bytes and " in verdict(lines)
    assert "native" not in verdict(list(LINES.values()))


def test_a_rank_above_the_width() -> None:
    with pytest.raises(ConfigError, match="lora_rank=17 is not between 1 and"):
        estimate(dataclasses.replace(CASE, lora_rank=17))
