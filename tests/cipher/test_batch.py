"""A batch of a pipeline: same columns out, images under keys that nobody has, whatever form they come in."""

import gc
import io
import pickle
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import dkjax
from dkjax import keys, schemes
from dkjax.cipher import chunks, encryption
from dkjax.errors import ArgumentError, ConfigError

SCHEME = schemes.disposable(4)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), np.uint8)
GREY = IMAGES[..., 0]


def encrypt(column, **options):
    # The PRNG that compiles faster; nothing here depends on which it is.
    options = {"scheme": SCHEME, "prng": "threefry2x32"} | options
    return dkjax.encrypt_batch({"image": column, "label": [0] * len(column)}, **options)["image"]


def object_array(images):
    column = np.empty(len(images), object)
    column[:] = list(images)
    return column


def pictures(images):
    return [Image.fromarray(image) for image in images]


def assert_encrypted(encrypted, images):
    """Every image has its own values, in another order."""
    encrypted = np.stack([np.asarray(image) for image in encrypted])
    assert (encrypted.shape, encrypted.dtype) == (images.shape, images.dtype)
    flat = [np.sort(some.reshape(len(some), -1), axis=1) for some in (encrypted, images)]
    np.testing.assert_array_equal(*flat)
    assert not any(np.array_equal(one, other) for one, other in zip(encrypted, images, strict=True))


# What comes in and out


@pytest.mark.parametrize("images", [IMAGES, GREY], ids=["RGB", "grey"])
@pytest.mark.parametrize(
    "form",
    [
        np.array,
        np.asfortranarray,
        jnp.asarray,
        list,
        tuple,
        object_array,
        lambda images: images.tolist(),
        lambda images: images.astype(np.int64),
        lambda images: list(images.astype(np.uint64)),
    ],
    ids=["array", "fortran", "jax", "arrays", "tuple", "objects", "lists", "int64", "uint64"],
)
def test_arrays_and_lists_become_an_array(form, images):
    column = form(images)
    encrypted = encrypt(column)
    assert type(encrypted) is np.ndarray
    assert_encrypted(encrypted, images)
    # What came in is as it was, and shares no memory with what comes out.
    encrypted[:] = 0
    np.testing.assert_array_equal(np.stack([np.asarray(one) for one in column]), images)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int16"])
def test_other_dtypes_are_kept(dtype):
    images = IMAGES.astype(dtype)
    assert_encrypted(encrypt(images), images)


@pytest.mark.parametrize("images", [IMAGES, GREY], ids=["RGB", "grey"])
def test_pictures_stay_pictures(images):
    encrypted = encrypt(pictures(images))
    assert [picture.mode for picture in encrypted] == ["L" if images is GREY else "RGB"] * 3
    assert_encrypted(encrypted, images)


def test_pictures_lose_all_but_their_pixels(tmp_path):
    path = tmp_path / "patient-7.jpg"
    exif = Image.Exif()
    exif[0x010E] = "patient 7"
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(IMAGES[0]).save(path, exif=exif, comment=b"patient 7", dpi=(300, 300))
    with Image.open(path) as picture:
        assert picture.getexif()[0x010E] == "patient 7"
        (encrypted,) = encrypt([picture])
        assert encrypted.size == (picture.height, picture.width)
    assert type(encrypted) is Image.Image
    assert (encrypted.format, encrypted.info, dict(encrypted.getexif())) == (None, {}, {})
    assert not hasattr(encrypted, "filename")
    file = io.BytesIO()
    encrypted.save(file, "PNG")
    assert b"patient" not in file.getvalue()


def test_columns_go_through():
    names = ["a.png", "b.png", "c.png"]
    batch = {"name": names, "photo": IMAGES, "label": np.arange(3)}
    encrypted = dkjax.encrypt_batch(batch, scheme=SCHEME, image="photo", prng="threefry2x32")
    assert list(encrypted) == ["name", "photo", "label"]
    assert encrypted["name"] is names
    assert encrypted["label"] is batch["label"]
    assert encrypted is not batch
    assert batch["photo"] is IMAGES


@pytest.mark.parametrize("column", [IMAGES[:0], GREY[:0], [], object_array(IMAGES[:0])])
def test_nothing_in_nothing_out(column):
    encrypted = encrypt(column)
    assert type(encrypted) is type(column)
    assert len(encrypted) == 0
    assert np.shape(encrypted) == np.shape(column)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (IMAGES[0, 0], r"shape \[n, H, W, C\] or \[n, H, W\], got \[12, 3\]"),
        (IMAGES[:, :7], "block_size=4 does not divide height=7"),
        ([*IMAGES[:2], IMAGES[2, :4]], r"must be alike, got uint8\[4, 12, 3\] and uint8\[8, 12, 3\]: resize"),
        (pictures(IMAGES[:2]) + pictures(GREY[2:]), r"must be alike, got uint8\[8, 12, 3\] and uint8\[8, 12\]"),
        ([*pictures(IMAGES), None], "has a NoneType in it"),
        ([Image.new("RGBA", (8, 8))], r'got RGBA: picture.convert\("RGB"\) first'),
        ([Image.new("P", (8, 8))], "got P"),
        ([Image.new("I;16", (8, 8))], "got I;16"),
        ([None], "got NoneType: decode them first"),
        ([b"png"], "got bytes: decode them first"),
        ([{"bytes": b"", "path": None}], "got dict: decode them first"),
        (["a.png"], "got str: decode them first"),
        ([[[1, 2], [3]]], "got ragged lists: decode them first"),
        (IMAGES.astype(np.int64) + 1, r"images of int64 must hold 0\.\.255, got 1\.\.256"),
        ((IMAGES.astype(np.int64) - 1).tolist(), r"images of int64 must hold 0\.\.255, got -1\.\.254"),
        (IMAGES.astype(np.float64), "float64 need jax_enable_x64"),
        (IMAGES > 3, "got bool"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
def test_what_cannot_be_encrypted_is_refused(column, text):
    with pytest.raises(ArgumentError, match=text) as caught:
        encrypt(column)
    assert "\n" not in str(caught.value)


def test_an_absent_column_is_named():
    with pytest.raises(ArgumentError, match=r"no column 'image', only img, label: name it, image=\.\.\."):
        dkjax.encrypt_batch({"img": IMAGES, "label": [0, 1, 2]}, scheme=SCHEME)
    with pytest.raises(ConfigError, match="rbg"):
        encrypt(IMAGES, prng="rbg")


# Keys


def test_keys_are_fresh():
    same = np.repeat(IMAGES[:1], 6, axis=0)
    seen = [one.tobytes() for _ in range(2) for one in encrypt(same)]
    assert len(set(seen)) == 12


@pytest.mark.parametrize("count", [1, 3, 4, 5, 11, 16])
def test_every_chunk_has_its_own_keys(count, monkeypatch):
    monkeypatch.setattr(chunks, "_IMAGES", 4)
    ratchet = keys.reproducible(0, prng="threefry2x32")
    monkeypatch.setattr(keys, "disposable", lambda prng: keys.reproducible(0, prng=prng))
    images = np.random.default_rng(1).integers(0, 256, (count, 8, 12, 3), np.uint8)
    expected = np.empty_like(images)
    with ratchet.next_round() as round_keys:
        for first in range(0, count, 4):
            chunk = images[first : first + 4]
            image_keys = round_keys.for_client(f"chunk {first}", 4)[: len(chunk)]
            expected[first : first + 4] = dkjax.encrypt(SCHEME, image_keys, chunk)
    np.testing.assert_array_equal(encrypt(images), expected)


def live_keys():
    gc.collect()
    return [array for array in jax.live_arrays() if jnp.issubdtype(array.dtype, jax.dtypes.prng_key)]


@pytest.mark.parametrize("fails", [False, True])
def test_no_key_outlives_the_call(fails, monkeypatch):
    before = len(live_keys())
    seen = []

    def spy(scheme, pairs):
        for image_keys, images in pairs:
            seen.append(image_keys)
            assert not image_keys.is_deleted()
            if fails:
                raise ValueError("stop")
            yield np.asarray(dkjax.encrypt(scheme, image_keys, images))

    monkeypatch.setattr(chunks, "encrypt_stream", spy)
    if fails:
        # The error is held, and with it the frames in which the keys were.
        with pytest.raises(ValueError, match="stop") as caught:
            encrypt(IMAGES)
        assert caught.value is not None
    else:
        encrypt(IMAGES)
    assert seen
    assert all(image_keys.is_deleted() for image_keys in seen)
    assert len(live_keys()) == before


def test_short_batches_do_not_recompile():
    for count in (1, 2, 4, 8):
        encrypt(np.zeros((count, 8, 8, 1), np.uint8))
    jitted = (encryption._run, keys._zeros_in_place)
    before = [function._cache_size() for function in jitted]
    for count in (3, 5, 6, 7, 8):
        encrypt(np.zeros((count, 8, 8, 1), np.uint8))
    assert [function._cache_size() for function in jitted] == before


# Threads and processes


def test_threads():
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(encrypt, [IMAGES] * 16))
    for encrypted in results:
        assert_encrypted(encrypted, IMAGES)
    assert len({encrypted.tobytes() for encrypted in results}) == 16


def test_it_travels_by_name():
    assert pickle.loads(pickle.dumps(dkjax.encrypt_batch)) is dkjax.encrypt_batch
    assert pickle.loads(pickle.dumps(SCHEME)) == SCHEME
