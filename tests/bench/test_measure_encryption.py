"""The bench of `dkjax.encrypt`: what is listed, what a result holds, and that no call sees keys of another."""

import json
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

import dkjax
from dkjax.bench import encryption
from dkjax.bench.encryption import Case, cases, measure_encryption
from dkjax.cipher import native
from dkjax.errors import ConfigError

NAMES = [
    "dkjax, chacha20",
    "dkjax, threefry2x32",
    "dkjax, chacha20, 75 % fixed",
    encryption.WITHOUT_NATIVE,
    "jax permutation, 2 gathers",
    "numpy loop",
    "torch argsort, gather",
    "copy, device",
    "copy, host",
]


def test_everything_is_listed() -> None:
    listed = cases()
    assert len(listed) == len(set(listed)) == 3 * 2 * 2
    assert {(case.size, case.block_size, case.batch) for case in listed} == {
        (32, 4, 1024),
        (224, 16, 64),
        (512, 16, 16),
    }
    assert {(case.dtype, case.keys) for case in listed} == {
        (dtype, keys) for dtype in ("uint8", "float32") for keys in ("per_image", "shared")
    }


def test_less_is_listed_where_less_is_asked_for() -> None:
    assert cases(quick=True) == [Case(224, 64)]
    assert cases([32, 512], 8, quick=True) == [Case(32, 8), Case(512, 8)]
    assert {case.size for case in cases([512])} == {512}
    with pytest.raises(ConfigError, match="--size 64 is not one of 32, 224, 512"):
        cases([64])


def test_bytes_are_counted_in_and_out() -> None:
    assert Case(224, 64).bytes_moved == 2 * 64 * 224 * 224 * 3
    assert Case(32, 10, "float32").bytes_moved == 8 * 10 * 32 * 32 * 3


@pytest.fixture(scope="module")
def measured() -> Iterator[dict[str, Any]]:
    """Two small cases and two batches, with every key that `encrypt` got."""
    seen, said = [], []
    encrypt = dkjax.encrypt

    def spy(scheme: Any, image_keys: jax.Array, images: jax.Array) -> jax.Array:
        seen.append((scheme, np.asarray(jax.random.key_data(image_keys))))
        return encrypt(scheme, image_keys, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dkjax, "encrypt", spy)
        listed = [Case(32, 2), Case(32, 2, "float32", "shared")]
        result = measure_encryption(listed, growth=(0.5, 1), rounds=2, say=said.append)
    yield {"result": result, "seen": seen, "said": said}


def test_result_is_json(measured: dict) -> None:
    result = measured["result"]
    assert json.loads(json.dumps(result)) == result
    assert (result["bench"], result["rounds"], result["device"]["platform"]) == ("encrypt", 2, "cpu")
    assert result["cpu_cores"] >= 1
    assert result["kernel"] == ("native" if native.status().runs else "xla")
    assert result["versions"]["dkjax"] == dkjax.__version__


def test_every_contender_is_there(measured: dict) -> None:
    per_image, shared = measured["result"]["cases"]
    assert (per_image["dtype"], per_image["keys"], per_image["block_size"]) == ("uint8", "per_image", 4)
    assert (shared["dtype"], shared["keys"], shared["bytes_moved"]) == ("float32", "shared", 8 * 2 * 32 * 32 * 3)
    for case in (per_image, shared):
        names = [row["name"] for row in case["contenders"]]
        assert names == [name for name in NAMES if name in names]
        assert set(NAMES) - set(names) <= {"torch argsort, gather", encryption.WITHOUT_NATIVE}
        assert (encryption.WITHOUT_NATIVE in names) == native.status().runs


def test_numbers_belong_together(measured: dict) -> None:
    for case in measured["result"]["cases"]:
        rows = {row["name"]: row for row in case["contenders"]}
        for row in rows.values():
            assert len(row["seconds"]) == 2
            assert 0 < row["fastest_seconds"] == min(row["seconds"]) <= row["median_seconds"]
            assert row["cpu_microseconds_an_image"] > 0
            assert row["images_per_second"] == pytest.approx(2 / row["median_seconds"])
            assert row["gigabytes_per_second"] == pytest.approx(case["bytes_moved"] / row["median_seconds"] / 1e9)
            for where in ("device", "host"):
                copied = rows[f"copy, {where}"]["gigabytes_per_second"]
                assert row[f"share_of_{where}_copy"] == pytest.approx(row["gigabytes_per_second"] / copied)


def test_growth_follows_the_batch(measured: dict) -> None:
    growth = measured["result"]["growth"]
    assert (growth["size"], growth["dtype"], [row["batch"] for row in growth["rows"]]) == (32, "uint8", [1, 2])
    first, second = (row["median_seconds"] for row in growth["rows"])
    assert growth["exponent"] == pytest.approx(np.log2(second / first))


def test_no_key_is_used_for_two_calls(measured: dict) -> None:
    calls = [keys.tobytes() for _, keys in measured["seen"]]
    # Contenders on two cases, and two batches, each with a first call and two rounds.
    contenders = 3 + native.status().runs
    assert len(calls) == len(set(calls)) == (2 * contenders + 2) * 3
    fixed = {tuple(step.fixed for step in scheme.transforms) for scheme, _ in measured["seen"]}
    assert fixed == {(0, 0), (48, 36)}


def test_what_is_measured_is_told(measured: dict) -> None:
    assert measured["said"] == [
        "32 px, M=4, uint8, a key for each image, 2 images",
        "32 px, M=4, float32, one key for all, 2 images",
        "32 px, batches of 1, 2",
    ]


def test_growth_prefers_the_middle_size(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = []
    monkeypatch.setattr(encryption, "_measure", lambda case, rounds, schemes: {})
    monkeypatch.setattr(encryption, "_measure_growth", lambda case, batches, rounds: followed.append((case, batches)))
    measure_encryption(cases())
    measure_encryption(cases([512]), growth=(0.5, 1))
    assert measure_encryption(cases([32], 1), growth=(0.25, 0.5, 1))["growth"] is None
    assert followed == [(Case(224, 64), [16, 32, 64, 128]), (Case(512, 16), [8, 16])]


def test_further_schemes_are_measured_with_bytes_alone() -> None:
    listed = [Case(32, 2), Case(32, 2, "float32", "shared")]
    by_bytes, by_floats = measure_encryption(listed, schemes=["patch_shuffle"], growth=(), rounds=1)["cases"]
    assert "dkjax, patch_shuffle" in [row["name"] for row in by_bytes["contenders"]]
    assert "dkjax, patch_shuffle" not in [row["name"] for row in by_floats["contenders"]]
