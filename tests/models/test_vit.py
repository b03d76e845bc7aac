"""The ViT: the published names and shapes, its pieces, and how it behaves under jit, grad and sharding."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dkjax.cipher import encrypt, schemes
from dkjax.errors import ArgumentError, ConfigError
from dkjax.models.reading import SORTED, kernel_of_sorted, unsuited
from dkjax.models.vit import VARIANTS, Model, vit

SHAPE = (8, 12, 3)

# One compilation for all tests that use equal models on images of one shape.
apply = jax.jit(Model.apply, static_argnums=0)

# vision_transformer's ViT-B_16.npz, fine-tuned on ImageNet at 224 px. Those of one block follow once for each of 12.
PUBLISHED_B16 = {
    "cls": (1, 1, 768),
    "embedding/kernel": (16, 16, 3, 768),
    "embedding/bias": (768,),
    "Transformer/posembed_input/pos_embedding": (1, 197, 768),
    "Transformer/encoder_norm/scale": (768,),
    "Transformer/encoder_norm/bias": (768,),
    "head/kernel": (768, 1000),
    "head/bias": (1000,),
}
PUBLISHED_B16_BLOCK = {
    "LayerNorm_0/scale": (768,),
    "LayerNorm_0/bias": (768,),
    "MultiHeadDotProductAttention_1/query/kernel": (768, 12, 64),
    "MultiHeadDotProductAttention_1/query/bias": (12, 64),
    "MultiHeadDotProductAttention_1/key/kernel": (768, 12, 64),
    "MultiHeadDotProductAttention_1/key/bias": (12, 64),
    "MultiHeadDotProductAttention_1/value/kernel": (768, 12, 64),
    "MultiHeadDotProductAttention_1/value/bias": (12, 64),
    "MultiHeadDotProductAttention_1/out/kernel": (12, 64, 768),
    "MultiHeadDotProductAttention_1/out/bias": (768,),
    "LayerNorm_2/scale": (768,),
    "LayerNorm_2/bias": (768,),
    "MlpBlock_3/Dense_0/kernel": (768, 3072),
    "MlpBlock_3/Dense_0/bias": (3072,),
    "MlpBlock_3/Dense_1/kernel": (3072, 768),
    "MlpBlock_3/Dense_1/bias": (768,),
}


def small(**settings):
    return vit("mu", **{"patch_size": 4, "num_classes": 5, "depth": 2, **settings})


def make(n=6, shape=SHAPE, depth=2, pool="token", **settings):
    """A small model, its parameters with a head that is not zero, and images."""
    rng = np.random.default_rng(0)
    # No parameter depends on the other settings: one compilation of `init` for all of them.
    params = small(depth=depth, pool=pool).init(jax.random.key(0), shape)
    params["head"]["kernel"] = rng.normal(size=params["head"]["kernel"].shape).astype(np.float32)
    images = rng.normal(size=(n, *shape)).astype(np.float32)
    return small(depth=depth, pool=pool, **settings), params, images


def named_shapes(params):
    leaves = jax.tree.leaves_with_path(params)
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}


def abstract_params(model, shape):
    return jax.eval_shape(lambda key: model.init(key, shape), jax.random.key(0))


# Parameters


def test_names_and_shapes_are_the_published_ones():
    expected = dict(PUBLISHED_B16)
    for layer in range(12):
        for name, shape in PUBLISHED_B16_BLOCK.items():
            expected[f"Transformer/encoderblock_{layer}/{name}"] = shape
    assert named_shapes(abstract_params(vit("B", num_classes=1000), (224, 224, 3))) == expected


@pytest.mark.parametrize(
    ("variant", "millions"),
    [("Ti", 5.717), ("S", 22.051), ("B", 86.568), ("L", 304.327)],
)
def test_variants_have_the_published_number_of_parameters(variant, millions):
    params = abstract_params(vit(variant, num_classes=1000), (224, 224, 3))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6 == pytest.approx(millions, abs=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_parameters_are_plain_dictionaries_of_float32(dtype):
    params = small(dtype=dtype, depth=1).init(jax.random.key(0), SHAPE)
    nodes = [params]
    for node in nodes:
        assert type(node) in (dict, type(params["cls"]))
        nodes += node.values() if isinstance(node, dict) else []
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


def test_init_depends_on_its_key_alone():
    model = small()
    first, again = model.init(jax.random.key(0), SHAPE), small().init(jax.random.key(0), SHAPE)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    other = model.init(jax.random.key(1), SHAPE)
    assert np.abs(first["embedding"]["kernel"] - other["embedding"]["kernel"]).max() > 0


def test_init_has_the_scale_of_the_original():
    params = small(width=128, heads=2, mlp_dim=512).init(jax.random.key(0), (64, 64, 3))
    block = params["Transformer"]["encoderblock_0"]
    attention, mlp = block["MultiHeadDotProductAttention_1"], block["MlpBlock_3"]
    for kernel, std in (
        (params["embedding"]["kernel"], (1 / 48) ** 0.5),
        (params["Transformer"]["posembed_input"]["pos_embedding"], 0.02),
        (attention["query"]["kernel"], (2 / 256) ** 0.5),
        (attention["out"]["kernel"], (2 / 256) ** 0.5),
        (mlp["Dense_0"]["kernel"], (2 / 640) ** 0.5),
        (mlp["Dense_1"]["bias"], 1e-6),
    ):
        assert np.std(kernel) == pytest.approx(std, rel=0.2)
    assert not np.any(params["cls"])


def test_logits_are_zero_at_init():
    model = small()
    logits = apply(model, model.init(jax.random.key(0), SHAPE), np.ones((6, *SHAPE), np.float32))
    np.testing.assert_array_equal(logits, np.zeros((6, 5), np.float32))


# What it computes


def test_patch_embedding_is_the_convolution_of_stride_m():
    """A block that adds nothing lets the logits through as a function of the patch embedding alone."""
    model, params, images = make(depth=1, pool="mean")
    block = params["Transformer"]["encoderblock_0"]
    for branch in (block["MultiHeadDotProductAttention_1"]["out"], block["MlpBlock_3"]["Dense_1"]):
        branch.update(jax.tree.map(np.zeros_like, branch))
    params["embedding"]["bias"] = np.linspace(-1, 1, 32, dtype=np.float32)

    grid = jax.lax.conv_general_dilated(
        images, params["embedding"]["kernel"], (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    tokens = np.asarray(grid).reshape(len(images), 6, 32) + params["embedding"]["bias"]
    tokens = tokens + np.asarray(params["Transformer"]["posembed_input"]["pos_embedding"])
    normed = (tokens - tokens.mean(-1, keepdims=True)) / np.sqrt(tokens.var(-1, keepdims=True) + 1e-6)
    expected = normed.mean(axis=1) @ params["head"]["kernel"]
    np.testing.assert_allclose(apply(model, params, images), expected, atol=1e-4)


def test_class_token_alone_gives_what_all_tokens_give():
    """The last block computes one query only; a further block that changes nothing makes it compute them all."""
    model, params, images = make(depth=2)
    transformer = dict(params["Transformer"])
    idle = jax.tree.map(np.zeros_like, transformer["encoderblock_1"])
    deeper = dataclasses.replace(model, depth=3)
    deeper_params = {**params, "Transformer": {**transformer, "encoderblock_2": idle}}
    np.testing.assert_allclose(apply(deeper, deeper_params, images), apply(model, params, images), atol=1e-5, rtol=1e-5)


def test_mean_pooling_has_no_class_token_and_sees_every_patch():
    model, params, images = make(pool="mean")
    assert "cls" not in params
    assert params["Transformer"]["posembed_input"]["pos_embedding"].shape == (1, 6, 32)
    gradient = jax.grad(lambda images: apply(model, params, images).sum())(images)
    assert (np.abs(gradient).reshape(6, 2, 4, 3, 4, 3).max(axis=(2, 4, 5)) > 0).all()


def test_without_positions_the_order_of_blocks_is_invisible():
    model, params, images = make()
    positions = params["Transformer"]["posembed_input"]
    positions["pos_embedding"] = np.zeros_like(positions["pos_embedding"])
    blocks_turned = np.roll(images, 4, axis=2)
    np.testing.assert_allclose(apply(model, params, blocks_turned), apply(model, params, images), atol=1e-5)


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_without_position_embedding_the_order_of_patches_is_invisible(pool):
    model, params, images = make(pool=pool)
    without = dataclasses.replace(model, position_embedding=False)
    transformer = {name: leaf for name, leaf in params["Transformer"].items() if name != "posembed_input"}
    bare = {**params, "Transformer": transformer}
    assert jax.tree.structure(jax.eval_shape(lambda key: without.init(key, SHAPE), jax.random.key(0))) == (
        jax.tree.structure(bare)
    )
    logits = apply(without, bare, images)
    image_keys = jax.random.split(jax.random.key(3, impl="threefry2x32"), len(images))
    scrambled = encrypt(schemes.disposable(4, fixed_pixels=48), image_keys, images)
    assert (np.asarray(scrambled) != images).mean() > 0.5
    np.testing.assert_allclose(apply(without, bare, scrambled), logits, atol=1e-5)
    # With positions it is seen, and zeros in their place compute the same as none.
    assert np.abs(apply(model, params, scrambled) - apply(model, params, images)).max() > 1e-2
    positions = params["Transformer"]["posembed_input"]["pos_embedding"]
    zeros = {**bare, "Transformer": {**transformer, "posembed_input": {"pos_embedding": np.zeros_like(positions)}}}
    np.testing.assert_allclose(apply(model, zeros, images), logits, atol=1e-5)


def shuffled_inside_patches(images):
    n, height, width, channels = images.shape
    patches = images.reshape(n, height // 4, 4, width // 4, 4, channels).transpose(0, 1, 3, 2, 4, 5)
    values = np.random.default_rng(1).permuted(patches.reshape(-1, 16 * channels), axis=1)
    return values.reshape(patches.shape).transpose(0, 1, 3, 2, 4, 5).reshape(images.shape)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sorted_reading_does_not_see_the_order_inside_patches(dtype):
    model, params, images = make(reading="sorted", dtype=dtype)
    shuffled = shuffled_inside_patches(images)
    assert (shuffled != images).mean() > 0.9
    logits = apply(model, params, images)
    np.testing.assert_array_equal(apply(model, params, shuffled), logits)
    # The patches stay where they are, and one value changes them.
    raw = dataclasses.replace(model, reading="values")
    assert np.abs(apply(raw, params, shuffled) - apply(raw, params, images)).max() > 1e-2
    changed = images.copy()
    changed[:, 0, 0, 0] += 1
    assert np.abs(apply(model, params, changed) - logits).max() > 1e-3
    assert np.abs(apply(model, params, images[:, ::-1]) - logits).max() > 1e-3


def test_sorted_reading_is_of_sorted_values():
    model, _, images = make(reading="sorted")
    read = np.asarray(model.read(images))
    for row, column in itertools.product((0, 4), (0, 4, 8)):
        block = np.s_[:, row : row + 4, column : column + 4]
        np.testing.assert_array_equal(read[block].reshape(6, -1), np.sort(images[block].reshape(6, -1), axis=1))
    assert dataclasses.replace(model, reading="values").read(images) is images


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_readings_that_keep_channels_apart(channel):
    """Sorted apart, each channel of a patch is in order; pixels sorted as a whole are so by their luminance."""
    model, _, images = make(reading="sorted_channels")
    by_channel = model.read(images)
    by_luminance = dataclasses.replace(model, reading="sorted_pixels").read(images)
    for row, column in itertools.product((0, 4), (0, 4, 8)):
        block = np.s_[:, row : row + 4, column : column + 4]
        pixels = images[block].reshape(6, 16, 3)
        found = np.asarray(by_channel[block]).reshape(6, 16, 3)[..., channel]
        np.testing.assert_array_equal(found, np.sort(pixels[..., channel], axis=1))
        order = np.argsort(pixels.astype(np.float64) @ [299, 587, 114], axis=1)
        expected = np.take_along_axis(pixels, order[:, :, None], axis=1)[..., channel]
        np.testing.assert_array_equal(np.asarray(by_luminance[block]).reshape(6, 16, 3)[..., channel], expected)


def test_pixels_of_one_luminance_are_read_in_one_order():
    """Red before green before blue, so that no order of the pixels is left."""
    model, _, _ = make(reading="sorted_pixels")
    pixels = np.zeros((2, *SHAPE), np.float32)
    # 587 of red weigh as much as 299 of green.
    pixels[0, 0, 0], pixels[0, 1, 1] = (587, 0, 0), (0, 299, 0)
    pixels[1, 0, 0], pixels[1, 1, 1] = (0, 299, 0), (587, 0, 0)
    read = np.asarray(model.read(pixels))
    np.testing.assert_array_equal(read[0], read[1])
    assert read[0, 3, 2:4].tolist() == [[0, 299, 0], [587, 0, 0]]


@pytest.mark.parametrize("channels", [3, 5])
def test_pixels_that_a_client_sorted_are_in_order(channels):
    """Pixels of one luminance as bytes are so as floats, which would differ by their rounding."""
    model, _, _ = make(reading="sorted_pixels")
    images = np.random.default_rng(2).integers(0, 12, (6, 8, 12, channels), dtype=np.uint8)
    if channels == 3:
        # In half of the rows their luminance is that of the middle of all bytes: as floats, 0 or -0.
        red, green = np.mgrid[:256, :256].reshape(2, -1)
        blue = (127_500 - 299 * red - 587 * green) / 114
        middle = np.stack([red, green, blue], axis=1)[(blue == np.rint(blue)) & (blue >= 0) & (blue < 256)]
        images[:, ::2] = np.resize(middle, (6, 4, 12, 3))
    image_keys = jax.random.split(jax.random.key(3, impl="threefry2x32"), 6)
    encrypted = encrypt(schemes.sorted_blocks(4, order_by="luminance"), image_keys, images)
    values = np.asarray(encrypted, np.float32) / 127.5 - 1
    np.testing.assert_array_equal(model.read(values), values)


def test_bfloat16_reads_pixels_in_the_same_order():
    """Their luminance is that before rounding to bfloat16, which would change the order."""
    model, params, _ = make(reading="sorted_pixels", dtype="bfloat16")
    images = np.random.default_rng(2).integers(120, 136, (6, *SHAPE)).astype(np.float32) / 127.5 - 1
    kernel = params["embedding"]["kernel"]
    of_values = kernel_of_sorted(jnp.asarray(kernel).reshape(48, -1), 3, "sorted_pixels").reshape(kernel.shape)
    as_values = params | {"embedding": params["embedding"] | {"kernel": of_values}}
    raw = dataclasses.replace(model, reading="values")
    np.testing.assert_array_equal(apply(model, params, images), apply(raw, as_values, model.read(images)))


@pytest.mark.parametrize("reading", SORTED)
def test_sorted_reading_embeds_the_cosine_transform(reading):
    """The transform by SciPy, coefficient k times the square root of 1 + k, embedded as values are."""
    model, params, images = make(reading=reading)
    raw = dataclasses.replace(model, reading="values")
    n, height, width, channels = images.shape
    patches = model.read(images).reshape(n, height // 4, 4, width // 4, 4, channels).transpose(0, 1, 3, 2, 4, 5)
    values = patches.reshape(len(patches) * 6, *((16 * channels, 1) if reading == "sorted" else (16, channels)))
    enlarged = np.sqrt(1 + np.arange(values.shape[1]))[:, None]
    coefficients = scipy.fft.dct(values, axis=1, norm="ortho") * enlarged
    as_image = coefficients.reshape(patches.shape).transpose(0, 1, 3, 2, 4, 5).reshape(images.shape)
    expected = apply(raw, params, as_image.astype(np.float32))
    np.testing.assert_allclose(apply(model, params, images), expected, rtol=1e-4, atol=1e-4)


def test_sorted_reading_of_encrypted_images_is_that_of_plain_ones():
    model, params, _ = make(reading="sorted")
    images = np.random.default_rng(2).integers(0, 256, (6, *SHAPE), dtype=np.uint8)
    image_keys = jax.random.split(jax.random.key(3, impl="threefry2x32"), 6)

    def logits(images):
        return apply(model, params, np.asarray(images, np.float32) / 127.5 - 1)

    for scheme in (
        schemes.disposable(4, fixed_blocks=6),
        schemes.disposable(4, fixed_blocks=6, pixel_order="block"),
        schemes.sorted_blocks(4, fixed_blocks=6),
    ):
        encrypted = encrypt(scheme, image_keys, images)
        assert not np.array_equal(encrypted, images)
        np.testing.assert_array_equal(logits(encrypted), logits(images))


@pytest.mark.parametrize(("reading", "order_by"), [("sorted_channels", "channel"), ("sorted_pixels", "luminance")])
def test_readings_that_keep_channels_apart_do_not_see_the_encryption(reading, order_by):
    """Images under `sorted_blocks` are read as plain ones; under what mixes their channels they would not be."""
    model, params, _ = make(reading=reading)
    images = np.random.default_rng(2).integers(0, 256, (6, *SHAPE), dtype=np.uint8)
    image_keys = jax.random.split(jax.random.key(3, impl="threefry2x32"), 6)

    def values(images):
        return np.asarray(images, np.float32) / 127.5 - 1

    def logits(images):
        return apply(model, params, values(images))

    scheme = schemes.sorted_blocks(4, fixed_blocks=6, order_by=order_by)
    encrypted = encrypt(scheme, image_keys, images)
    np.testing.assert_array_equal(model.read(values(encrypted)), values(encrypted))
    assert not np.array_equal(encrypted, images)
    np.testing.assert_array_equal(logits(encrypted), logits(images))
    assert unsuited(reading, scheme) is None
    for mixing in (schemes.disposable(4, fixed_blocks=6), schemes.sorted_blocks(4, fixed_blocks=6)):
        assert np.abs(logits(encrypt(mixing, image_keys, images)) - logits(images)).max() > 1e-3
        assert f'order_by = "{order_by}"' in str(unsuited(reading, mixing))


def test_who_sorts_pixels_needs_them_whole():
    by_channel = schemes.sorted_blocks(4, order_by="channel")
    assert "takes apart the values of a pixel" in str(unsuited("sorted_pixels", by_channel))
    assert unsuited("sorted_channels", schemes.sorted_blocks(4, order_by="luminance")) is None
    for reading in ("values", "sorted", "equivariant"):
        assert unsuited(reading, schemes.disposable(4)) is None


def equivariant(**settings):
    """As `make`, with the parameters of an equivariant reading."""
    model, params, images = make(reading="equivariant", depth=1, **settings)
    drawn = small(depth=1, reading="equivariant").init(jax.random.key(0), SHAPE)
    return model, {**params, "embedding": drawn["embedding"]}, images


def test_equivariant_reading_does_not_see_a_common_order():
    model, params, images = equivariant()
    image_keys = jax.random.split(jax.random.key(3, impl="threefry2x32"), len(images))
    logits = apply(model, params, images)
    found = {}
    for order in ("image", "block"):
        permuted = encrypt(schemes.disposable(4, fixed_blocks=6, pixel_order=order), image_keys, images)
        assert (np.asarray(permuted) != images).mean() > 0.9
        found[order] = np.abs(apply(model, params, permuted) - logits).max(axis=1)
    assert found["image"].max() < 1e-4
    # An own order in every block is seen in every image, though the sorted values beside are the same.
    assert found["block"].min() > 1e-3


def test_equivariant_reading_does_not_see_the_order_of_blocks_without_positions():
    model, params, images = equivariant(position_embedding=False, pool="mean")
    bare = {**params, "Transformer": {k: v for k, v in params["Transformer"].items() if k != "posembed_input"}}
    image_keys = jax.random.split(jax.random.key(3, impl="threefry2x32"), len(images))
    scrambled = encrypt(schemes.disposable(4), image_keys, images)
    assert (np.asarray(scrambled) != images).mean() > 0.9
    np.testing.assert_allclose(apply(model, bare, scrambled), apply(model, bare, images), atol=1e-4)


def test_equivariant_reading_rematerialised_is_the_same():
    model, params, images = equivariant()

    def gradient(model):
        of_logits = jax.jit(jax.grad(lambda params: model.apply(params, images).sum()))
        return of_logits(params)["embedding"]["exchangeable"]

    expected = gradient(model)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(expected))
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5),
        gradient(dataclasses.replace(model, remat=True)),
        expected,
    )


def with_relations(n=6, **settings):
    """As `make`, with a relation bias that is not zero any more."""
    model, params, images = make(n, relation_bias=True, **settings)
    drawn = small(relation_bias=True, **settings).init(jax.random.key(0), SHAPE)["Transformer"]
    transformer = {**params["Transformer"], "relations": drawn["relations"]}
    rng = np.random.default_rng(4)
    for name in [name for name, block in drawn.items() if "relation_bias" in block]:
        kernel = rng.normal(0, 3, drawn[name]["relation_bias"]["kernel"].shape).astype(np.float32)
        transformer[name] = {**transformer[name], "relation_bias": {"kernel": kernel}}
    return model, {**params, "Transformer": transformer}, images


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_relation_bias_starts_as_none(pool):
    model, params, images = make(pool=pool)
    related = dataclasses.replace(model, relation_bias=True)
    drawn = small(pool=pool, relation_bias=True).init(jax.random.key(0), SHAPE)["Transformer"]
    kernels = [name for name, block in drawn.items() if "relation_bias" in block]
    # The last block reads its class token alone, which has no relations.
    assert kernels == [f"encoderblock_{layer}" for layer in range(1 if pool == "token" else 2)]
    for name in kernels:
        assert drawn[name]["relation_bias"]["kernel"].shape == (8, 2)
        assert not drawn[name]["relation_bias"]["kernel"].any()
    zeros = {name: {**params["Transformer"][name], "relation_bias": drawn[name]["relation_bias"]} for name in kernels}
    transformer = {**params["Transformer"], **zeros, "relations": drawn["relations"]}
    np.testing.assert_allclose(
        apply(related, {**params, "Transformer": transformer}, images), apply(model, params, images), atol=1e-6
    )
    trained = with_relations(pool=pool)
    assert np.abs(apply(*trained) - apply(model, params, images)).max() > 1e-2


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_relation_bias_sees_neither_order(pool):
    """Values in any order inside patches, to the bit; patches in any order where they have no position."""
    model, params, images = with_relations(reading="sorted", pool=pool, position_embedding=False)
    del params["Transformer"]["posembed_input"]
    logits = apply(model, params, images)
    np.testing.assert_array_equal(apply(model, params, shuffled_inside_patches(images)), logits)
    image_keys = jax.random.split(jax.random.key(3, impl="threefry2x32"), len(images))
    scrambled = encrypt(schemes.sorted_blocks(4), image_keys, images)
    assert (np.asarray(scrambled) != images).mean() > 0.5
    np.testing.assert_allclose(apply(model, params, scrambled), logits, atol=1e-5)


def test_relation_bias_of_any_reading_does_not_see_the_order_of_values():
    """What the embedding sees of an order is all that there is to see: the bias is the same."""
    model, params, images = with_relations()
    params = {**params, "embedding": jax.tree.map(np.zeros_like, params["embedding"])}
    logits = apply(model, params, images)
    np.testing.assert_array_equal(apply(model, params, shuffled_inside_patches(images)), logits)
    assert np.abs(apply(model, params, 2 * images) - logits).max() > 1e-5


def test_relation_bias_in_training():
    """Rematerialised, with patches dropped, and on a batch cut over four devices."""
    model, params, images = with_relations(n=8, patch_dropout=0.4)
    of_logits = jax.jit(
        lambda params, images, model: jax.grad(
            lambda params: (model.apply(params, images, dropout_key=jax.random.key(1)) ** 2).sum()
        )(params),
        static_argnums=2,
    )
    expected = of_logits(params, images, model)
    for part in ("relations", "encoderblock_0"):
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(expected["Transformer"][part]))
    found = of_logits(params, images, dataclasses.replace(model, remat=True))
    relations = expected["Transformer"]["relations"], found["Transformer"]["relations"]
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3), *relations)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    exact = dataclasses.replace(model, patch_dropout=0.0)
    cut = jax.device_put(images, NamedSharding(mesh, PartitionSpec("data")))
    np.testing.assert_allclose(apply(exact, params, cut), apply(exact, params, images), atol=1e-5)


def test_exact_and_tanh_gelu_differ_slightly():
    model, params, images = make()
    exact = apply(dataclasses.replace(model, gelu="exact"), params, images)
    difference = np.abs(exact - apply(model, params, images)).max()
    assert 0 < difference < 0.05


def test_epsilon_of_the_layer_norms_counts():
    model, params, images = make()
    other = apply(dataclasses.replace(model, layer_norm_epsilon=1e-4), params, images)
    assert 0 < np.abs(other - apply(model, params, images)).max() < 0.5


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_bfloat16_is_close_to_float32(pool):
    model, params, images = make(pool=pool)
    exact = apply(model, params, images)
    rounded = apply(dataclasses.replace(model, dtype="bfloat16"), params, images)
    assert rounded.dtype == jnp.float32
    assert 0 < np.abs(rounded - exact).max() < 0.03 * np.abs(exact).max()


# Randomness


@pytest.mark.parametrize("settings", [{"dropout": 0.3}, {"stochastic_depth": 0.5}], ids=["dropout", "depth"])
def test_randomness_follows_its_key_and_vanishes_without(settings):
    model, params, images = make(**settings)
    first, again, other = (apply(model, params, images, dropout_key=jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    np.testing.assert_array_equal(apply(model, params, images), apply(small(), params, images))


def test_a_key_without_rates_changes_nothing():
    model, params, images = make()
    np.testing.assert_array_equal(
        apply(model, params, images, dropout_key=jax.random.key(0)), apply(model, params, images)
    )


def test_stochastic_depth_drops_or_doubles_whole_branches_of_a_sample():
    """Of two blocks only the last has a rate, here a half: four outcomes, told by what scales its two branches."""
    model, params, images = make(n=1, stochastic_depth=0.5)
    rows = apply(model, params, np.broadcast_to(images, (64, *SHAPE)), dropout_key=jax.random.key(0))

    block = params["Transformer"]["encoderblock_1"]
    attention, mlp = block["MultiHeadDotProductAttention_1"], block["MlpBlock_3"]
    originals = attention["out"], mlp["Dense_1"]
    counts = []
    for scales in itertools.product((0.0, 2.0), repeat=2):
        attention["out"], mlp["Dense_1"] = (
            {name: scale * np.asarray(leaf) for name, leaf in branch.items()}
            for scale, branch in zip(scales, originals, strict=True)
        )
        expected = apply(small(), params, images)
        counts.append(np.isclose(rows, expected, atol=1e-4).all(axis=1).sum())
    assert sum(counts) == 64
    assert min(counts) >= 5


# Under jit, grad and sharding


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_patch_dropout_leaves_other_patches_out_for_each_image(pool):
    model, params, images = make(pool=pool, depth=1, patch_dropout=0.5)
    images[:] = images[0]
    dropped = apply(model, params, images, dropout_key=jax.random.key(3))
    # The same image six times, and three of its six patches each time: some of the choices differ.
    assert 1 < len(np.unique(np.asarray(dropped), axis=0)) <= 6
    whole, _, _ = make(pool=pool, depth=1)
    np.testing.assert_array_equal(apply(model, params, images), apply(whole, params, images))


def test_patch_dropout_makes_the_sequence_shorter():
    model, params, images = make(depth=2, patch_dropout=0.5)
    program = str(jax.make_jaxpr(lambda *args: model.apply(*args, dropout_key=jax.random.key(1)))(params, images))
    # The class token and three of six patches go through the first block's MLP of 128; without a key all do.
    assert "f32[24,128]" in program and "f32[42,128]" not in program
    assert "f32[42,128]" in str(jax.make_jaxpr(model.apply)(params, images))


def test_recomputing_changes_no_bit_of_the_logits():
    settings = {"dropout": 0.2, "stochastic_depth": 0.2}
    kept, params, images = make(**settings)
    again, same, _ = make(remat=True, **settings)
    assert jax.tree.structure(params) == jax.tree.structure(same)
    np.testing.assert_array_equal(
        *(apply(model, params, images, dropout_key=jax.random.key(3)) for model in (kept, again))
    )


def test_recomputing_keeps_less_for_the_gradient():
    def kept(remat):
        model, params, images = make(n=64, depth=4, remat=remat)
        _, pull_back = jax.vjp(lambda params: model.apply(params, images), params)
        return sum(leaf.nbytes for leaf in jax.tree.leaves(pull_back))

    assert kept(True) < 0.5 * kept(False)


def test_new_batches_do_not_recompile():
    model, params, _ = make(dropout=0.1)
    step = jax.jit(lambda params, images, key: model.apply(params, images, dropout_key=key))
    for seed in range(3):
        key = jax.random.key(seed)
        step(params, np.full((6, *SHAPE), seed, np.float32), key)
    assert step._cache_size() == 1


def test_equal_models_share_a_compilation():
    assert small() == small()
    assert small() != small(num_classes=6)
    shared = jax.jit(lambda model, params, images: model.apply(params, images), static_argnums=0)
    _, params, images = make()
    shared(small(), params, images)
    shared(small(), params, images)
    assert shared._cache_size() == 1


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_sharded_batch_gives_the_same_logits(pool):
    model, params, images = make(n=8, pool=pool, dropout=0.1, stochastic_depth=0.2)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    sharded = apply(
        model,
        jax.device_put(params, NamedSharding(mesh, PartitionSpec())),
        jax.device_put(images, NamedSharding(mesh, PartitionSpec("data"))),
        dropout_key=jax.random.key(0),
    )
    assert sharded.sharding.spec == PartitionSpec("data")
    unsharded = apply(model, params, images, dropout_key=jax.random.key(0))
    np.testing.assert_allclose(sharded, unsharded, atol=1e-5)


@pytest.mark.parametrize(("dtype", "pool"), [("float32", "mean"), ("bfloat16", "token")])
def test_gradients_are_finite_float32_and_reach_every_leaf(dtype, pool):
    model, params, images = make(dtype=dtype, pool=pool, stochastic_depth=0.1)

    def loss(params):
        return (apply(model, params, images, dropout_key=jax.random.key(0)) ** 2).mean()

    gradients = jax.grad(loss)(params)
    for path, leaf in jax.tree.leaves_with_path(gradients):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        assert leaf.dtype == jnp.float32
        assert np.isfinite(leaf).all(), name
        # The key's bias adds the same to all logits of one query, and softmax takes it out again.
        assert name.endswith("key/bias") or np.any(leaf), name


# Settings


def test_overrides_replace_the_variants_numbers():
    model = vit("Ti", width=96, depth=3, mlp_dim=200, heads=4)
    assert (model.width, model.depth, model.mlp_dim, model.heads) == (96, 3, 200, 4)
    assert (vit("Ti", depth=3).width, vit("Ti", depth=3).depth) == (VARIANTS["Ti"].width, 3)
    shapes = named_shapes(abstract_params(model, (32, 32, 1)))
    assert shapes["Transformer/encoderblock_2/MultiHeadDotProductAttention_1/query/kernel"] == (96, 4, 24)
    assert shapes["Transformer/encoderblock_2/MlpBlock_3/Dense_0/kernel"] == (96, 200)
    assert not any("encoderblock_3" in name for name in shapes)


@pytest.mark.parametrize(
    ("variant", "settings", "text"),
    [
        ("ti", {}, r"variant='ti' is not one of mu, Ti, S, B, L; did you mean 'Ti'\?"),
        ("tiny", {}, r"did you mean 'Ti'\?"),
        ("giant", {}, r"is not one of mu, Ti, S, B, L$"),
        ("Ti", {"heads": 5}, r"heads=5 does not divide the model's width=192"),
        ("Ti", {"depth": 0}, r"depth=0 is not a positive number"),
        ("Ti", {"patch_size": -1}, r"patch_size=-1 is not a positive number"),
        ("Ti", {"dropout": 1.0}, r"dropout=1.0 is not in \[0, 1\)"),
        ("Ti", {"layer_norm_epsilon": -1e-6}, r"layer_norm_epsilon=-1e-06 is not in \[0, 1\)"),
        ("Ti", {"stochastic_depth": -0.1}, r"stochastic_depth=-0.1 is not in \[0, 1\)"),
        ("Ti", {"pool": "max"}, r"pool='max' is not one of token, mean"),
        ("Ti", {"gelu": "erf"}, r"gelu='erf' is not one of tanh, exact"),
        ("Ti", {"dtype": "float16"}, r"dtype='float16' is not one of float32, bfloat16"),
    ],
)
def test_settings_that_do_not_fit_are_refused(variant, settings, text):
    with pytest.raises(ConfigError, match=text):
        vit(variant, **settings)


def test_images_that_patches_do_not_tile_are_refused():
    with pytest.raises(ConfigError, match="patch_size=16 does not divide width=100"):
        vit("mu").init(jax.random.key(0), (96, 100, 3))
    model, params, _ = make()
    with pytest.raises(ConfigError, match="patch_size=4 does not divide height=10"):
        model.apply(params, np.zeros((1, 10, 12, 3), np.float32))


def test_image_shape_must_be_three_sizes():
    with pytest.raises(ArgumentError, match=r"image_shape must be \(height, width, channels\)"):
        small().init(jax.random.key(0), (8, 8))


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (jnp.zeros((2, *SHAPE), jnp.uint8), r"images must be normalised floating .*got uint8"),
        (jnp.zeros(SHAPE), r"images must be .*\[n, H, W, C\]; got float32 of shape \(8, 12, 3\)"),
        (jnp.zeros((2, 8, 12, 1)), r"embedding/kernel of shape \(4, 4, 1, 32\); got \(4, 4, 3, 32\)"),
        (jnp.zeros((2, 12, 12, 3)), r"pos_embedding of shape \(1, 10, 32\); got \(1, 7, 32\)"),
    ],
)
def test_images_that_the_parameters_are_not_for_are_refused(images, text):
    model, params, _ = make()
    with pytest.raises(ArgumentError, match=text):
        apply(model, params, images)


def test_parameters_of_the_other_pooling_are_refused():
    model, params, images = make()
    with pytest.raises(ArgumentError, match=r"pool='mean' .*\(1, 6, 32\); got \(1, 7, 32\)"):
        apply(dataclasses.replace(model, pool="mean"), params, images)


@pytest.mark.parametrize("key", [0, np.zeros(2, np.uint32), jax.random.split(jax.random.key(0))])
def test_what_is_no_typed_key_is_refused(key):
    model, params, images = make()
    with pytest.raises(ArgumentError, match="prng_key must be one typed PRNG key"):
        model.init(key, SHAPE)
    with pytest.raises(ArgumentError, match="dropout_key must be one typed PRNG key"):
        model.apply(params, images, dropout_key=key)
