"""RandAugment: each operation against Pillow and against torchvision, and what is drawn for which image."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from with_torchvision import import_torchvision

from dkjax.client import rand_augment as module
from dkjax.client.rand_augment import LARGEST_MAGNITUDE, OPERATIONS, rand_augment
from dkjax.errors import ArgumentError

GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
ENHANCING = ("colour", "contrast", "brightness", "sharpness")
SIGNED = (*GEOMETRIC, *ENHANCING)
MODES = pytest.mark.parametrize("mode", ["RGB", "L"])


def picture(mode: str = "RGB", height: int = 30, width: int = 40, seed: int = 0) -> Image.Image:
    """Noise over a slope, of all grey levels but the darkest and the brightest ones, larger than any shift."""
    slope = np.linspace(40, 180, width)[None, :, None] + np.linspace(0, 40, height)[:, None, None]
    noise = np.random.default_rng(seed).integers(-10, 10, (height, width, 3))
    return Image.fromarray((slope + noise).astype(np.uint8)).convert(mode)


def images(n: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 12, 16, channels), np.uint8)


def done(name: str, image: Image.Image, magnitude: int, sign: int = 1) -> np.ndarray:
    return np.asarray(OPERATIONS[name](image, magnitude, sign))


# Each operation


@MODES
def test_each_operation_does_what_pillow_does(mode: str) -> None:
    image = picture(mode)
    expected = {
        "identity": image,
        "auto_contrast": ImageOps.autocontrast(image),
        "equalise": ImageOps.equalize(image),
        "rotate": image.rotate(-10),
        "shear_x": image.transform(image.size, Image.Transform.AFFINE, (1, -0.1, 0, 0, 1, 0)),
        "shear_y": image.transform(image.size, Image.Transform.AFFINE, (1, 0, 0, -0.1, 1, 0)),
        # 150 of 331 parts of 40 and of 30 pixels, a third of the way.
        "translate_x": image.transform(image.size, Image.Transform.AFFINE, (1, 0, 6, 0, 1, 0)),
        "translate_y": image.transform(image.size, Image.Transform.AFFINE, (1, 0, 0, 0, 1, 4)),
        "posterise": ImageOps.posterize(image, 7),
        "solarise": ImageOps.solarize(image, 170),
        "colour": ImageEnhance.Color(image).enhance(0.7),
        "contrast": ImageEnhance.Contrast(image).enhance(0.7),
        "brightness": ImageEnhance.Brightness(image).enhance(0.7),
        "sharpness": ImageEnhance.Sharpness(image).enhance(0.7),
    }
    assert expected.keys() == OPERATIONS.keys()
    for name, wanted in expected.items():
        np.testing.assert_array_equal(done(name, image, 10, -1), np.asarray(wanted), err_msg=name)
    unchanged = {name for name in OPERATIONS if np.array_equal(done(name, image, 10, -1), np.asarray(image))}
    assert unchanged == ({"identity", "colour"} if mode == "L" else {"identity"})


def test_translation_shifts_and_what_comes_in_is_black() -> None:
    image = picture()
    plain, right, down = np.asarray(image), done("translate_x", image, 10), done("translate_y", image, 10)
    np.testing.assert_array_equal(right[:, 6:], plain[:, :-6])
    np.testing.assert_array_equal(down[4:], plain[:-4])
    assert not right[:, :6].any() and not down[:4].any()


@MODES
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", [*GEOMETRIC, *ENHANCING, "posterise", "solarise"])
def test_magnitude_0_changes_nothing(name: str, sign: int, mode: str) -> None:
    np.testing.assert_array_equal(done(name, picture(mode), 0, sign), np.asarray(picture(mode)))


@pytest.mark.parametrize("name", ["auto_contrast", "equalise", "identity"])
def test_operations_without_a_strength(name: str) -> None:
    assert len({done(name, picture(), magnitude).tobytes() for magnitude in range(LARGEST_MAGNITUDE + 1)}) == 1


@pytest.mark.parametrize("name", [*SIGNED, "posterise", "solarise"])
def test_more_magnitude_changes_more(name: str) -> None:
    plain = np.asarray(picture()).astype(int)
    changes = [np.abs(done(name, picture(), magnitude) - plain).mean() for magnitude in (0, 10, 20, 30)]
    assert changes == sorted(changes)
    assert changes[0] < changes[1] < changes[3]


@pytest.mark.parametrize("name", OPERATIONS)
def test_signs(name: str) -> None:
    same = np.array_equal(done(name, picture(), 10, 1), done(name, picture(), 10, -1))
    assert same == (name not in SIGNED)


TORCHVISION = {
    "identity": "Identity",
    "auto_contrast": "AutoContrast",
    "equalise": "Equalize",
    "rotate": "Rotate",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "posterise": "Posterize",
    "solarise": "Solarize",
    "colour": "Color",
    "contrast": "Contrast",
    "brightness": "Brightness",
    "sharpness": "Sharpness",
}


@pytest.mark.torch
@MODES
@pytest.mark.parametrize("size", [(32, 32), (30, 40), (224, 224)])
def test_operations_are_those_of_torchvision(mode: str, size: tuple[int, int]) -> None:
    import_torchvision()
    from torchvision.transforms import InterpolationMode, RandAugment, autoaugment

    strengths = RandAugment()._augmentation_space(LARGEST_MAGNITUDE + 1, size)
    assert strengths.keys() == set(TORCHVISION.values())
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).convert(mode)
    for name, theirs in TORCHVISION.items():
        magnitudes, signed = strengths[theirs]
        assert signed == (name in SIGNED)
        for magnitude in range(LARGEST_MAGNITUDE + 1):
            strength = float(magnitudes[magnitude]) if magnitudes.ndim else 0.0
            for sign in (-1, 1) if signed else (1,):
                expected = autoaugment._apply_op(image, theirs, sign * strength, InterpolationMode.NEAREST, None)
                found = done(name, image, magnitude, sign)
                difference = np.abs(found.astype(int) - np.asarray(expected))
                # Strengths are float32 there and float64 here.
                assert difference.max() <= (name in ENHANCING), (name, magnitude, sign)


# What is drawn


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_types(channels: int) -> None:
    plain = images(20, channels)
    before = plain.copy()
    changed = rand_augment(plain, np.random.default_rng(1), 2, 9)
    assert (changed.shape, changed.dtype) == (plain.shape, np.uint8)
    np.testing.assert_array_equal(plain, before)
    assert sum(np.array_equal(one, other) for one, other in zip(changed, plain, strict=True)) < 5
    assert rand_augment(plain[:0], np.random.default_rng(1), 2, 9).shape == (0, 12, 16, channels)


def test_images_that_are_a_view_of_others() -> None:
    plain = images(6, 3)
    changed = [
        rand_augment(given, np.random.default_rng(1), 2, 9)
        for given in (plain[::-1, :, ::-1], plain[::-1, :, ::-1].copy())
    ]
    np.testing.assert_array_equal(*changed)


def test_the_same_generator_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = images(200, 3)
    found = []
    for threads in (1, 2, 8):
        monkeypatch.setattr("dkjax.runtime.threads.cpu_cores", lambda threads=threads: threads)
        random = np.random.default_rng(7)
        found.append((rand_augment(plain, random, 3, 12).tobytes(), random.integers(2**60)))
    assert len(set(found)) == 1
    assert rand_augment(plain, np.random.default_rng(8), 3, 12).tobytes() != found[0][0]


def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Let every operation note its name, magnitude and sign."""
    seen: list[tuple[str, int, int]] = []

    def noting(name: str) -> module.Operation:
        return lambda image, magnitude, sign: (
            seen.append((name, magnitude, sign)) or OPERATIONS[name](image, magnitude, sign)
        )

    monkeypatch.setattr(module, "OPERATIONS", {name: noting(name) for name in OPERATIONS})
    return seen


def test_operations_and_signs_are_drawn_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spied(monkeypatch)
    rand_augment(images(1400, 1), np.random.default_rng(0), 2, 5)
    assert len(seen) == 2800
    assert {magnitude for _, magnitude, _ in seen} == {5}
    counts = Counter(name for name, _, _ in seen)
    assert counts.keys() == OPERATIONS.keys()
    # Five standard deviations of a binomial count about 200.
    assert all(130 < count < 270 for count in counts.values())
    assert 1260 < sum(sign == 1 for _, _, sign in seen) < 1540
    assert {sign for _, _, sign in seen} == {-1, 1}


def test_operations_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spied(monkeypatch)
    plain = images(1, 3)
    changed = rand_augment(plain, np.random.default_rng(3), 4, 15)
    image = Image.fromarray(plain[0])
    assert len(seen) == 4
    for name, magnitude, sign in list(seen):
        image = OPERATIONS[name](image, magnitude, sign)
    np.testing.assert_array_equal(changed[0], np.asarray(image))


@pytest.mark.parametrize(
    ("given", "num_ops", "magnitude", "message"),
    [
        (images(2, 2), 2, 9, r"1 \(grey\) or 3 \(RGB\) channels, got 2; leave augment\.rand_augment out"),
        (images(2, 4), 2, 9, r"1 \(grey\) or 3 \(RGB\) channels, got 4"),
        (images(2, 3).astype(np.float32), 2, 9, r"got float32\[2, 12, 16, 3\]"),
        (images(2, 3)[0], 2, 9, r"got uint8\[12, 16, 3\]"),
        (images(2, 3), 0, 9, "num_ops must be at least 1, got 0"),
        (images(2, 3), 2, -1, "magnitude must be from 0 to 30, got -1"),
        (images(2, 3), 2, 31, "magnitude must be from 0 to 30, got 31"),
    ],
)
def test_unusable_arguments(given: np.ndarray, num_ops: int, magnitude: int, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        rand_augment(given, np.random.default_rng(0), num_ops, magnitude)
