"""`dkjax.encrypt` against what people write without it, against copying the bytes, and against twice the images."""

import contextlib
import dataclasses
import functools
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import dkjax
from dkjax.bench import baselines, copies
from dkjax.bench.timing import Contender, Timing, take_turns
from dkjax.cipher import Scheme, native
from dkjax.errors import ConfigError
from dkjax.runtime import machine

BLOCK_SIZES = {32: 4, 224: 16, 512: 16}
"""The image sizes that are measured, and the block size of each: the patch sizes of the ViTs that see them."""

BATCHES = {32: 1024, 224: 64, 512: 16}
"""Images of a call, so that a call moves a similar number of bytes at every size."""

GROWTH = (1 / 4, 1 / 2, 1, 2)
"""The batches over which the cost is followed, in batches of the case."""

CHANNELS = 3
WITHOUT_NATIVE = "dkjax, chacha20, XLA's kernel"
HOST_COPY, DEVICE_COPY = "copy, host", "copy, device"


@dataclasses.dataclass(frozen=True)
class Case:
    """What is encrypted: `batch` images of one size and dtype, under a key for each or one for all."""

    size: int
    batch: int
    dtype: str = "uint8"
    keys: str = "per_image"

    @property
    def block_size(self) -> int:
        """The side of a block."""
        return BLOCK_SIZES[self.size]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the images."""
        return self.batch, self.size, self.size, CHANNELS

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written by one pass over the images, which is the least any of them can do."""
        return 2 * self.batch * self.size * self.size * CHANNELS * np.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        """Say it in a line."""
        whose = "a key for each image" if self.keys == "per_image" else "one key for all"
        return f"{self.size} px, M={self.block_size}, {self.dtype}, {whose}, {self.batch} images"


def cases(sizes: Sequence[int] = (), batch: int | None = None, quick: bool = False) -> list[Case]:
    """List what is measured.

    Args:
        sizes: of `BLOCK_SIZES`; all by default, with `quick` the middle one.
        batch: images of a call; by default those of `BATCHES`.
        quick: uint8 under a key for each image alone, instead of both dtypes under both.

    Returns:
        The cases, by size, dtype and keys.

    Raises:
        ConfigError: a size is not one of those.
    """
    for size in sizes:
        if size not in BLOCK_SIZES:
            raise ConfigError(f"--size {size} is not one of {', '.join(map(str, BLOCK_SIZES))}")
    return [
        Case(size, batch or BATCHES[size], dtype, keys)
        for size in sizes or ((224,) if quick else BLOCK_SIZES)
        for dtype in (("uint8",) if quick else ("uint8", "float32"))
        for keys in (("per_image",) if quick else ("per_image", "shared"))
    ]


def measure_encryption(
    listed: Sequence[Case],
    *,
    schemes: Sequence[str] = (),
    growth: Sequence[float] = GROWTH,
    rounds: int = 15,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure encryption from keys to bytes: every call gets fresh keys and draws its permutations from them.

    Args:
        listed: what is encrypted, at least one case.
        schemes: names of further schemes, measured with uint8 images at their own block sizes.
        growth: batches over which the cost is followed, in batches of a case: that of 224 px, or the first.
        rounds: timed calls of each contender, which take turns.
        say: is told what is measured next.

    Returns:
        A JSON object: the machine, `kernel` (`native` or `xla`, which encrypts on its CPU), `cases` with a row for each
        contender (seconds of the first call, median and fastest of the others, images and bytes per second by the
        median, CPU time of an image, shares of the two copies of the same bytes), and `growth` with a row for each
        batch size and `exponent`, the slope of log time over log batch: 1 where the cost is proportional to the images.
    """
    measured = []
    for case in listed:
        say(str(case))
        measured.append(_measure(case, rounds, schemes))
    kernel = "native" if native.status().runs else "xla"
    described = {"bench": "encrypt", **machine.describe(), "kernel": kernel, "rounds": rounds}
    result = {**described, "cases": measured, "growth": None}
    followed = next((case for case in listed if case.size == 224), listed[0])
    batches = sorted({max(round(share * followed.batch), 1) for share in growth})
    if len(batches) > 1:
        say(f"{followed.size} px, batches of {', '.join(map(str, batches))}")
        result["growth"] = _measure_growth(followed, batches, rounds)
    return result


def _measure(case: Case, rounds: int, schemes: Sequence[str]) -> dict[str, Any]:
    host_images = _images(case)
    device_images = jnp.asarray(host_images)
    with contextlib.ExitStack() as stack:

        def encrypting(prng: str, scheme: Scheme) -> Contender:
            keys = stack.enter_context(_fresh_keys(case, prng, rounds))
            return lambda number: dkjax.encrypt(scheme, keys[number], device_images)

        def by_xla(contender: Contender, number: int) -> Any:
            with native.turned_off():
                return contender(number)

        num_blocks, block_values = (case.size // case.block_size) ** 2, case.block_size**2 * CHANNELS
        disposable = functools.partial(dkjax.schemes.disposable, case.block_size)
        restricted = disposable(fixed_blocks=3 * num_blocks // 4, fixed_pixels=3 * block_values // 4)
        contenders: dict[str, Contender] = {
            "dkjax, chacha20": encrypting("chacha20", disposable()),
            "dkjax, threefry2x32": encrypting("threefry2x32", disposable()),
            "dkjax, chacha20, 75 % fixed": encrypting("chacha20", restricted),
        }
        if native.status().runs and jax.default_backend() == "cpu":
            contenders[WITHOUT_NATIVE] = functools.partial(by_xla, encrypting("chacha20", disposable()))
        if case.dtype == "uint8":
            contenders |= {f"dkjax, {name}": encrypting("chacha20", dkjax.schemes.by_name(name)) for name in schemes}
        plain_keys = stack.enter_context(_fresh_keys(case, "threefry2x32", rounds))
        contenders["jax permutation, 2 gathers"] = lambda number: baselines.plain_jax(
            plain_keys[number], device_images, case.block_size
        )
        own = case.batch if case.keys == "per_image" else 1
        words = np.random.default_rng(1).integers(0, 2**32, (rounds + 1, own, 8), dtype=np.uint32)
        contenders["numpy loop"] = lambda number: baselines.numpy_loop(words[number], host_images, case.block_size)
        by_torch = baselines.torch_gather(case.block_size, shared=case.keys == "shared")
        if by_torch is not None:
            tensor = baselines.torch_images(host_images)
            contenders["torch argsort, gather"] = lambda number: by_torch(number, tensor)
        contenders[DEVICE_COPY] = copies.device_copy(device_images)
        contenders[HOST_COPY] = copies.host_copy(host_images)
        timings = take_turns(contenders, rounds)
    return {
        **dataclasses.asdict(case),
        "block_size": case.block_size,
        "bytes_moved": case.bytes_moved,
        "contenders": [_row(name, timing, case, timings) for name, timing in timings.items()],
    }


def _row(name: str, timing: Timing, case: Case, timings: dict[str, Timing]) -> dict[str, Any]:
    return {
        "name": name,
        **timing.as_json(),
        "images_per_second": case.batch / timing.median,
        "cpu_microseconds_an_image": 1e6 * statistics.median(timing.cpu_seconds) / case.batch,
        "gigabytes_per_second": case.bytes_moved / timing.median / 1e9,
        "share_of_device_copy": timings[DEVICE_COPY].median / timing.median,
        "share_of_host_copy": timings[HOST_COPY].median / timing.median,
    }


def _measure_growth(followed: Case, batches: Sequence[int], rounds: int) -> dict[str, Any]:
    scheme = dkjax.schemes.disposable(followed.block_size)
    with contextlib.ExitStack() as stack:

        def encrypting(case: Case) -> Contender:
            keys = stack.enter_context(_fresh_keys(case, "chacha20", rounds))
            images = jnp.asarray(_images(case))
            return lambda number: dkjax.encrypt(scheme, keys[number], images)

        contenders = {str(batch): encrypting(dataclasses.replace(followed, batch=batch)) for batch in batches}
        timings = take_turns(contenders, rounds)
    medians = [timing.median for timing in timings.values()]
    exponent = float(np.polyfit(np.log(batches), np.log(medians), 1)[0])
    rows = [
        {
            "batch": batch,
            "first_call_seconds": timing.first_call,
            "median_seconds": timing.median,
            "fastest_seconds": timing.fastest,
            "images_per_second": batch / timing.median,
        }
        for batch, timing in zip(batches, timings.values(), strict=True)
    ]
    return {"size": followed.size, "dtype": followed.dtype, "keys": followed.keys, "rows": rows, "exponent": exponent}


def _images(case: Case) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, case.shape, dtype=np.uint8).astype(case.dtype)


@contextlib.contextmanager
def _fresh_keys(case: Case, prng: str, rounds: int) -> Iterator[list[jax.Array]]:
    """Keys for every call, derived before anything is timed and erased when all is."""
    count = case.batch if case.keys == "per_image" else None
    with dkjax.keys.disposable(prng=prng).next_round() as round_keys:
        yield [jax.block_until_ready(round_keys.for_client(f"call {number}", count)) for number in range(rounds + 1)]
