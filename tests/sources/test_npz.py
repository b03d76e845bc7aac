"""NumPy archives, whole, wrong and hostile."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dkjax.errors import DataError
from dkjax.sources.npz import open_npz

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (12, 6, 4, 3), np.uint8)
LABELS = np.arange(12) % 3


def _save(path: Path, *, compress: bool = False, **arrays: object) -> Path:
    (np.savez_compressed if compress else np.savez)(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("label_type", [np.uint8, np.int32, np.int64])
def test_round_trip(tmp_path: Path, compress: bool, order: str, label_type: type) -> None:
    images = np.asarray(IMAGES, order=order)  # type: ignore[call-overload]
    path = _save(tmp_path / "a.npz", compress=compress, image=images, label=LABELS.astype(label_type))
    splits = open_npz(path)
    source = splits["train"]()
    assert set(splits) == {"train"}
    assert source.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(source[:]["image"], IMAGES)
    assert type(source[:]["image"]) is np.ndarray
    np.testing.assert_array_equal(source[np.array([5, 1])]["label"], LABELS[[5, 1]])


def test_all_members(tmp_path: Path) -> None:
    path = _save(
        tmp_path / "a.npz",
        image=IMAGES[..., 0],
        label=LABELS,
        test_image=IMAGES[:4, ..., 1],
        test_label=LABELS[:4],
        class_names=np.array(["cat", "dog", "bird", "fish"]),
    )
    splits = open_npz(path, (8, 8), 3)
    train, test = splits["train"](), splits["test"]()
    assert train.class_names == test.class_names == ("cat", "dog", "bird", "fish")
    assert train.image_shape == test.image_shape == (8, 8, 3)
    assert (len(train), len(test)) == (12, 4)


def test_classes_are_those_of_both_splits(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npz", image=IMAGES, label=LABELS, test_image=IMAGES[:1], test_label=np.array([5]))
    assert open_npz(path)["train"]().class_names == tuple("012345")


def test_stored_images_are_mapped(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npz", image=np.ones((2048, 128, 128, 1), np.uint8), label=np.zeros(2048, int))
    tracemalloc.start()
    try:
        source = open_npz(path)["train"]()
        assert source[-10:]["image"].all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20 < path.stat().st_size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": None}, "no array 'image', only label"),
        ({"label": None}, "no array 'label', only image"),
        ({"test_image": IMAGES}, "no array 'test_label'"),
        ({"test_label": LABELS}, "no array 'test_image'"),
        ({"image": IMAGES.astype(np.float32)}, r"uint8 of shape .* got float32\[12, 6, 4, 3\]"),
        ({"image": IMAGES.astype(np.int8)}, "got int8"),
        ({"image": IMAGES[0, 0]}, r"got uint8\[4, 3\]"),
        ({"image": IMAGES[:0], "label": LABELS[:0]}, "label must be integers"),
        ({"image": IMAGES[:0]}, "at least one image"),
        ({"image": IMAGES[:5]}, "5 images but 12 labels"),
        ({"label": LABELS.astype(float)}, "label must be integers"),
        (
            {"label": np.stack([LABELS, LABELS], 1)},
            r"label must be .* of shape \[n\], got int64\[12, 2\]",
        ),
        ({"label": np.array(["a", "z"] * 6), "class_names": np.array(["a", "b"])}, "label 'z' that is none of .* a, b"),
        ({"image": np.zeros((12, 8, 8, 8), np.uint8)}, "seem to be volumes"),
        ({"label": LABELS - 1}, "record 0 has label -1"),
        ({"label": LABELS + 2**40}, "has label 1099511627778, and no class_names"),
        ({"label": LABELS * 0 - 5}, "record 0 has label -5"),
        ({"class_names": np.array(["a", "b"])}, r"record 2 has label 2, outside 0\.\.1"),
        ({"class_names": np.array([1, 2, 3])}, "class_names must be strings"),
        ({"class_names": np.array(["a", "b", "c"], object)}, "Python objects"),
        ({"image": np.zeros(12, [("a", "u1")])}, "Python objects or records"),
    ],
)
def test_wrong_arrays(tmp_path: Path, changes: dict[str, np.ndarray | None], message: str) -> None:
    arrays = {"image": IMAGES, "label": LABELS} | changes
    path = _save(tmp_path / "a.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=message):
        open_npz(path)["train"]()


@pytest.mark.parametrize(
    "names",
    [
        ("image", "label", "test_image", "test_label"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("images", "labels", "test_images", "test_labels"),
    ],
)
@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], LABELS.astype(np.uint8), LABELS > 0, LABELS[:, None] > 0])
def test_layouts_of_others(tmp_path: Path, names: tuple[str, ...], labels: np.ndarray) -> None:
    arrays = dict(zip(names, (IMAGES, labels, IMAGES[:3], labels[:3]), strict=True))
    splits = open_npz(_save(tmp_path / "a.npz", **arrays))
    for split, count in (("train", 12), ("test", 3)):
        records = splits[split]()[:]
        np.testing.assert_array_equal(records["image"], IMAGES[:count])
        np.testing.assert_array_equal(records["label"], labels.ravel()[:count].astype(int))


def test_labels_that_are_strings(tmp_path: Path) -> None:
    words = np.array(["whole", "crack", "d\u00e9faut"])[LABELS][:, None]
    train = open_npz(_save(tmp_path / "a.npz", x_train=IMAGES, y_train=words))["train"]()
    assert train.class_names == ("crack", "d\u00e9faut", "whole")
    assert [train.class_names[label] for label in train[:]["label"]] == words[:, 0].tolist()
    agreed = open_npz(tmp_path / "a.npz", classes=("whole", "x", "d\u00e9faut", "crack"))["train"]()
    assert [agreed.class_names[label] for label in agreed[:]["label"]] == words[:, 0].tolist()


class _Trap:
    """An object that tells when it is unpickled."""

    sprung = False

    def __reduce__(self) -> tuple[object, ...]:
        return setattr, (_Trap, "sprung", True)


@pytest.mark.parametrize("name", ["image", "label", "class_names"])
def test_pickle_is_refused(tmp_path: Path, name: str) -> None:
    arrays: dict[str, object] = {"image": IMAGES, "label": LABELS, name: np.array([_Trap()], object)}
    path = _save(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match="Python objects"):
        open_npz(path)["train"]()
    assert not _Trap.sprung


@pytest.mark.parametrize("compress", [False, True])
def test_flipped_bit_is_noticed(tmp_path: Path, compress: bool) -> None:
    path = _save(tmp_path / "a.npz", compress=compress, image=IMAGES, label=LABELS)
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("image.npy")
    content = bytearray(path.read_bytes())
    content[member.header_offset + member.compress_size // 2 + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="the array 'image' cannot be read"):
        open_npz(path)["train"]()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_false_shape(tmp_path: Path, compression: int) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 8, 8, 3)})
    label = io.BytesIO()
    np.save(label, LABELS)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", compression) as archive:
        archive.writestr("image.npy", header.getvalue() + bytes(100))
        archive.writestr("label.npy", label.getvalue())
    with pytest.raises(DataError, match="does not agree with its length"):
        open_npz(tmp_path / "a.npz")["train"]()


def _npy(header: bytes, values: bytes = b"", version: int = 1) -> bytes:
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + values


def _literal(descr: str, shape: object) -> bytes:
    return repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"


BOMBS = {
    "strings of no length": ("class_names", zipfile.ZIP_STORED, _npy(_literal("<U0", (10**9,)))),
    "a header that Python cannot read": ("image", zipfile.ZIP_STORED, _npy(b"-" * 9000 + b"1")),
    "a header of nested lists": ("image", zipfile.ZIP_STORED, _npy(b"[" * 9000)),
    "a header of 64 MiB": ("image", zipfile.ZIP_DEFLATED, _npy(b" " * (64 << 20), version=2)),
    "10**15 images": ("image", zipfile.ZIP_DEFLATED, _npy(_literal("|u1", (10**15, 4, 4, 3)), bytes(48))),
    "negative sides": ("image", zipfile.ZIP_STORED, _npy(_literal("|u1", (-2, -2, 4, 3)), bytes(48))),
    "too many classes": (
        "class_names",
        zipfile.ZIP_DEFLATED,
        _npy(_literal("<U1", (1 << 20,)), b"a\0\0\0" * (1 << 20)),
    ),
    "an unusual compression": ("image", zipfile.ZIP_LZMA, _npy(_literal("|u1", (1, 4, 4, 3)), bytes(48))),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused(tmp_path: Path, bomb: str) -> None:
    name, compression, content = BOMBS[bomb]
    members = {"image": _saved(IMAGES), "label": _saved(LABELS), name: content}
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for member, data in members.items():
            archive.writestr(f"{member}.npy", data, compression if member == name else zipfile.ZIP_STORED)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            open_npz(tmp_path / "a.npz")["train"]()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert peak < 16 << 20


def test_a_true_bomb_is_refused(tmp_path: Path) -> None:
    """300 MiB of zeros, whose header tells the truth."""
    size = 300 << 20
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("image.npy", "w") as stream:
            stream.write(_npy(_literal("|u1", (size >> 20, 1024, 1024, 1))))
            for _ in range(size >> 20):
                stream.write(bytes(1 << 20))
        archive.writestr("label.npy", _saved(LABELS))
    with pytest.raises(DataError, match="a decompression bomb; if it is none, store it without compression"):
        open_npz(tmp_path / "a.npz")["train"]()


def _saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_no_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        open_npz(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("I am a text")
    with pytest.raises(DataError, match="is no NumPy archive"):
        open_npz(tmp_path / "text.npz")
    np.save(tmp_path / "array.npy", IMAGES)
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with pytest.raises(DataError, match="is no NumPy archive"):
        open_npz(tmp_path / "array.npz")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.booleans(), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6))
@pytest.mark.filterwarnings("default")  # `zipfile` warns of some damaged archives before it refuses them
def test_any_bytes(tmp_path: Path, compress: bool, changes: list[tuple[int, int]]) -> None:
    path = _save(tmp_path / "a.npz", compress=compress, image=IMAGES[:2], label=LABELS[:2])
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content)
    try:
        open_npz(path)["train"]()[:]
    except DataError as error:
        assert "\n" not in str(error)
