"""PyTorch tensors: the bytes of `dkjax.encrypt`, memory shared where it can be, the two orders of a block's values."""

import doctest
import multiprocessing
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dkjax
from dkjax.errors import ArgumentError, KeyDiscardedError, KeyReuseError

try:
    import torch
except ModuleNotFoundError:
    torch = None

with_torch = pytest.mark.torch
BLOCK_SIZE, SHAPE = 4, (3, 8, 12)
SCHEME = dkjax.schemes.disposable(BLOCK_SIZE, fixed_blocks=2, fixed_pixels=12)


def ratchet():
    # The implementation that compiles faster: nothing here depends on which it is.
    return dkjax.keys.reproducible(0, prng="threefry2x32")


def keys_of(num_images, client="a"):
    return ratchet().next_round().for_client(client, num_images)


def images_of(*leading, shape=SHAPE, dtype="uint8"):
    values = np.random.default_rng(0).integers(0, 256, (*leading, *shape), dtype=np.uint8)
    return torch.from_numpy(values).to(getattr(torch, dtype))


def expected(scheme, image_keys, images):
    """What dkjax makes of the same images, as PyTorch lays them out."""
    encrypted = dkjax.encrypt(scheme, image_keys, np.moveaxis(images.numpy(), -3, -1))
    return np.moveaxis(np.asarray(encrypted), -1, -3)


# Without PyTorch


def run_python(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


def test_torch_is_not_imported():
    look = (
        "import sys, inspect, dkjax\nfrom dkjax import *\ninspect.getmembers(dkjax)\nassert 'torch' not in sys.modules"
    )
    run = run_python(look)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_missing_package_is_named():
    run = run_python("import sys\nsys.modules['torch'] = None\nimport dkjax\ndkjax.torch")
    last = run.stderr.splitlines()[-1]
    assert last == (
        "dkjax.errors.MissingPackageError: dkjax.torch needs PyTorch, which is not installed: pip install torch"
    )
    run = run_python(
        "import sys\nsys.modules['torch'] = None\ntry:\n    import dkjax.torch\nexcept ImportError:\n    print('known')"
    )
    assert (run.stdout, run.stderr) == ("known\n", "")


# With PyTorch


@with_torch
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "bfloat16", "float32"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_same_bytes_as_dkjax(dtype, channels_last):
    images = images_of(5, dtype=dtype)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    encrypted = dkjax.torch.encrypt(SCHEME, keys_of(5), images)
    assert (encrypted.shape, encrypted.dtype, encrypted.device) == (images.shape, images.dtype, images.device)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    assert encrypted.is_contiguous(memory_format=memory_format)
    # Small whole numbers, which every dtype here holds exactly.
    np.testing.assert_array_equal(
        encrypted.to(torch.float32).numpy(), expected(SCHEME, keys_of(5), images.to(torch.float32))
    )
    assert torch.equal(dkjax.torch.decrypt(SCHEME, keys_of(5), encrypted), images)


@with_torch
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels(channels):
    images = images_of(2, shape=(channels, 8, 12))
    scheme = dkjax.schemes.disposable(BLOCK_SIZE)
    encrypted = dkjax.torch.encrypt(scheme, keys_of(2), images)
    np.testing.assert_array_equal(encrypted.numpy(), expected(scheme, keys_of(2), images))


@with_torch
def test_leading_axes_and_shared_keys():
    key = ratchet().next_round().for_client("a")
    images = images_of(2, 3)
    np.testing.assert_array_equal(dkjax.torch.encrypt(SCHEME, key, images).numpy(), expected(SCHEME, key, images))
    one = images[0, 0]
    np.testing.assert_array_equal(dkjax.torch.encrypt(SCHEME, key, one).numpy(), expected(SCHEME, key, one))


@with_torch
@pytest.mark.parametrize("view", [lambda x: x[5:], lambda x: x[::2], lambda x: x[:5].flip(3), lambda x: x[:0]])
def test_views(view):
    images = view(images_of(10))
    encrypted = dkjax.torch.encrypt(SCHEME, keys_of(len(images)), images)
    np.testing.assert_array_equal(encrypted.numpy(), expected(SCHEME, keys_of(len(images)), images))


@with_torch
@pytest.mark.parametrize("scheme", [SCHEME, dkjax.schemes.disposable(BLOCK_SIZE, fixed_blocks=6, fixed_pixels=48)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_result_has_memory_of_its_own(scheme, channels_last):
    images = images_of(5)
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    before = images.clone()
    encrypted = dkjax.torch.encrypt(scheme, keys_of(5), images)
    wanted = encrypted.clone()
    assert torch.equal(images, before)
    images.zero_()
    assert torch.equal(encrypted, wanted)
    encrypted.fill_(7)
    assert torch.equal(images, torch.zeros_like(images))


@with_torch
def test_channels_last_is_not_copied(monkeypatch):
    images = torch.zeros(5, *SHAPE, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    seen = {}

    def spy(scheme, image_keys, array):
        seen["input"] = array.unsafe_buffer_pointer()
        result = array + 1
        seen["output"] = result.unsafe_buffer_pointer()
        return result

    monkeypatch.setattr(dkjax.torch.cipher, "encrypt", spy)
    encrypted = dkjax.torch.encrypt(SCHEME, keys_of(5), images)
    # torch.zeros is aligned to 64 bytes, which JAX asks for to share memory.
    assert images.data_ptr() % 64 == 0
    assert seen == {"input": images.data_ptr(), "output": encrypted.data_ptr()}


@with_torch
@pytest.mark.parametrize(
    ("images", "text"),
    [
        (lambda: np.zeros((2, *SHAPE), np.uint8), r"expected a dense tensor .* got ndarray"),
        (lambda: torch.zeros(8, 12), r"got torch.strided of shape \(8, 12\)"),
        (lambda: torch.zeros(2, *SHAPE).to_sparse(), "got torch.sparse_coo"),
        (lambda: torch.zeros(2, *SHAPE, requires_grad=True), r"images\.detach\(\)"),
        (lambda: torch.zeros(2, *SHAPE, dtype=torch.float64), "torch.float64 need jax_enable_x64"),
        (lambda: torch.zeros(2, *SHAPE, dtype=torch.int64), "torch.int64 need jax_enable_x64"),
        (lambda: torch.zeros(2, *SHAPE, dtype=torch.bool), "got bool"),
        (lambda: torch.zeros(2, 3, 8, 13), "block_size=4 does not divide width=13"),
        (lambda: torch.zeros(3, *SHAPE), r"keys of shape \(2,\) do not fit images with leading axes \(3,\)"),
    ],
    ids=["numpy", "axes", "sparse", "grad", "float64", "int64", "bool", "width", "keys"],
)
def test_what_cannot_be_encrypted_is_refused(images, text):
    with pytest.raises(ArgumentError, match=text):
        dkjax.torch.encrypt(SCHEME, keys_of(2), images())


@with_torch
def test_discarded_keys_are_refused():
    with dkjax.keys.disposable().next_round() as round_keys:
        image_keys = round_keys.for_client("a", 2)
    with pytest.raises(KeyDiscardedError):
        dkjax.torch.encrypt(SCHEME, image_keys, images_of(2))


# In a training loop


@with_torch
def test_every_batch_has_its_own_keys():
    encrypt_batch = dkjax.torch.EncryptBatch(SCHEME, ratchet())
    images = images_of(5)
    first, second = encrypt_batch(images), encrypt_batch(images)
    assert not torch.equal(first, second)
    for encrypted in (first, second):
        assert torch.equal(encrypted.flatten(1).sort().values, images.flatten(1).sort().values)
    again = dkjax.torch.EncryptBatch(SCHEME, ratchet())(images)
    assert torch.equal(again, first)


@with_torch
def test_batch_must_be_a_batch():
    encrypt_batch = dkjax.torch.EncryptBatch(SCHEME, ratchet())
    with pytest.raises(ArgumentError, match=r"\[n, channels, height, width\], got torch.strided of shape \(3, 8, 12\)"):
        encrypt_batch(images_of())


@with_torch
def test_collate_in_a_loader():
    samples = [(image, label) for label, image in enumerate(images_of(5))]
    encrypt_batch = dkjax.torch.EncryptBatch(SCHEME, ratchet(), client="plant-a")
    loader = torch.utils.data.DataLoader(samples, batch_size=4, collate_fn=encrypt_batch.collate)
    (images, labels), (_, last) = loader
    assert (images.shape, labels.tolist(), last.tolist()) == ((4, *SHAPE), [0, 1, 2, 3], [4])
    image_keys = keys_of(4, "plant-a")
    np.testing.assert_array_equal(images.numpy(), expected(SCHEME, image_keys, images_of(5)[:4]))


@with_torch
def test_another_process_is_refused(monkeypatch):
    encrypt_batch = dkjax.torch.EncryptBatch(SCHEME, ratchet())
    with pytest.raises(KeyReuseError, match="neither pickled nor copied"):
        multiprocessing.reduction.ForkingPickler.dumps(encrypt_batch)
    # A forked process has all of its parent but the number; really to fork under JAX would risk a deadlock.
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(KeyReuseError, match="num_workers=0"):
        encrypt_batch(images_of(2))


# The two orders of a block's values


@with_torch
@pytest.mark.parametrize(("block_size", "channels"), [(1, 1), (1, 3), (4, 1), (2, 3), (16, 3)])
def test_channel_first_order_leads_from_order_to_order(block_size, channels):
    order = dkjax.torch.channel_first_order(block_size, channels)
    block = torch.randn(channels, block_size, block_size)
    channel_first, channel_last = block.flatten(), block.movedim(0, -1).flatten()
    assert torch.equal(channel_last[order], channel_first)
    assert torch.equal(channel_first[order.argsort()], channel_last)


@with_torch
def test_channel_first_order_refuses_nothing():
    with pytest.raises(ArgumentError, match="got block_size=4, channels=0"):
        dkjax.torch.channel_first_order(4, 0)


@with_torch
def test_channel_first_order_converts_permutations():
    image_keys = keys_of(1)
    image = images_of(1)
    height_width = SHAPE[1:]
    blocks, pixels = dkjax.cipher.sample(SCHEME, image_keys[0], (*height_width, SHAPE[0]))
    blocks, pixels = (torch.from_numpy(np.array(drawn, np.int64)) for drawn in (blocks, pixels))
    order = dkjax.torch.channel_first_order(BLOCK_SIZE, SHAPE[0])
    pixels = order.argsort()[pixels[order]]

    vectors = torch.nn.functional.unfold(image.float(), BLOCK_SIZE, stride=BLOCK_SIZE)
    vectors = vectors[:, pixels][:, :, blocks]
    by_torch = torch.nn.functional.fold(vectors, height_width, BLOCK_SIZE, stride=BLOCK_SIZE).to(torch.uint8)
    assert torch.equal(by_torch, dkjax.torch.encrypt(SCHEME, image_keys, image))


@with_torch
def test_channel_first_order_converts_weights():
    conv = torch.nn.Conv2d(3, 5, BLOCK_SIZE, stride=BLOCK_SIZE, bias=False)
    order = dkjax.torch.channel_first_order(BLOCK_SIZE, 3)
    kernel = conv.weight.detach().flatten(1)[:, order.argsort()].T.reshape(BLOCK_SIZE, BLOCK_SIZE, 3, 5)
    images = torch.rand(2, 3, BLOCK_SIZE, BLOCK_SIZE)
    embedded = jnp.einsum(
        "nhwc,hwcd->nd", images.movedim(1, -1).numpy(), kernel.numpy(), precision=jax.lax.Precision.HIGHEST
    )
    np.testing.assert_allclose(embedded, conv(images).detach().flatten(1).numpy(), atol=1e-5)


@with_torch
def test_examples_of_the_docstrings():
    result = doctest.testmod(dkjax.torch, extraglobs={"dkjax": dkjax})
    assert (result.failed, result.attempted > 0) == (0, True)
