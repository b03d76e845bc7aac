"""Rounds of federated averaging by dkjax, or by a plain loop of jitted clients, for `federated.py`.

After each round it prints a line; `federated.py` reads the clock then. Convolutions are written as products of patches,
as on a CPU XLA's own run several times slower inside a loop.
"""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dkjax.federated.algorithm import fedavg
from dkjax.federated.cohort import Population
from dkjax.federated.executor import executor
from dkjax.federated.local import LocalTraining, masked_mean
from dkjax.models.vit import vit

Params = Any
Apply = Callable[[Params, jax.Array], jax.Array]


def network(name: str, prng_key: jax.Array) -> tuple[Params, Apply]:
    """Return parameters of a network for images of 28 x 28, and the function to its logits; ten classes."""
    if name == "vit":
        model = vit("mu", patch_size=4, num_classes=10)
        return model.init(prng_key, (28, 28, 1)), model.apply
    keys = iter(jax.random.split(prng_key, 8))

    def dense(inputs: int, outputs: int) -> Params:
        bound = inputs**-0.5  # PyTorch's initial values, so that both learn alike
        shapes = {"kernel": (inputs, outputs), "bias": (outputs,)}
        return {
            name: jax.random.uniform(next(keys), shape, minval=-bound, maxval=bound) for name, shape in shapes.items()
        }

    if name in ("mlp", "idle"):
        return [dense(784, 64), dense(64, 10)], _mlp
    layers = [dense(9, 32), dense(9 * 32, 64), dense(49 * 64, 10)]
    return layers, _strided if name == "strided" else _full


def _mlp(params: Params, images: jax.Array) -> jax.Array:
    return _dense(params[1], jax.nn.relu(_dense(params[0], images.reshape(len(images), -1))))


def _strided(params: Params, images: jax.Array) -> jax.Array:
    for layer in params[:2]:
        images = jax.nn.relu(_dense(layer, _patches(images, 2)))
    return _dense(params[2], images.reshape(len(images), -1))


def _full(params: Params, images: jax.Array) -> jax.Array:
    for layer in params[:2]:
        images = _pooled(jax.nn.relu(_dense(layer, _patches(images, 1))))
    return _dense(params[2], images.reshape(len(images), -1))


def _dense(layer: Params, x: jax.Array) -> jax.Array:
    flat = x.reshape(-1, x.shape[-1]) @ layer["kernel"] + layer["bias"][None]
    return flat.reshape(*x.shape[:-1], -1)


def _patches(images: jax.Array, stride: int) -> jax.Array:
    """The 3 x 3 surroundings of every pixel, or of every second one, as its channels."""
    _, height, width, _ = images.shape
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + height : stride, j : j + width : stride] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, axis=-1)


def _pooled(images: jax.Array) -> jax.Array:
    corners = [images[:, i::2, j::2] for i in range(2) for j in range(2)]
    return jnp.maximum(jnp.maximum(corners[0], corners[1]), jnp.maximum(corners[2], corners[3]))


def _loss(apply: Apply, params: Params, batch: dict[str, jax.Array]) -> jax.Array:
    logits = apply(params, batch["image"].astype(jnp.float32) / 127.5 - 1)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    return masked_mean(losses, batch["mask"])


def by_dkjax(task: dict[str, Any], records: dict[str, np.ndarray]) -> Iterator[Params]:
    """Yield the parameters after each round of `dkjax.federated`."""
    params, apply = network(task["network"], jax.random.key(0))
    parts = list(np.arange(len(records["label"])).reshape(task["clients"], -1))
    population = Population(parts, task["batch"], clients_per_round=task["chosen"])
    local = LocalTraining(lambda params, frozen, batch, key: _loss(apply, params, batch), optax.sgd(1.0))
    algorithm = fedavg(local, executor(task["contender"]))
    step = jax.jit(algorithm.round, donate_argnums=0)
    state, on_device = algorithm.init(params, task["clients"]), jax.device_put(records)
    key = jax.random.key(1)
    for number in range(1, task["rounds"] + 1):
        cohort = population.cohort(number)
        if task["idle"]:
            cohort.steps[:] = 0
        state, _ = step(state, (), on_device, cohort, jax.random.fold_in(key, number), task["rate"])
        yield state.params


def by_loop(task: dict[str, Any], records: dict[str, np.ndarray]) -> Iterator[Params]:
    """Yield the parameters after each round of a loop in Python, in which each client's epoch is one jitted call."""
    params, apply = network(task["network"], jax.random.key(0))
    clients = {
        name: array.reshape(task["clients"], task["images"], *array.shape[1:]) for name, array in records.items()
    }
    on_device = jax.device_put(clients)
    rng = np.random.default_rng(0)
    steps = -(-task["images"] // task["batch"])

    @jax.jit
    def epoch(params: Params, clients: dict[str, jax.Array], number: Any, rows: jax.Array, rate: Any) -> Params:
        own = {name: array[number] for name, array in clients.items()}

        def step(params: Params, rows: jax.Array) -> tuple[Params, None]:
            batch = {name: array[jnp.maximum(rows, 0)] for name, array in own.items()} | {"mask": rows >= 0}
            grads = jax.grad(_loss, argnums=1)(apply, params, batch)
            return jax.tree.map(lambda now, grad: now - rate * grad, params, grads), None

        return jax.lax.scan(step, params, rows)[0]

    @jax.jit
    def average(trained: list[Params]) -> Params:
        return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *trained)

    for _ in range(task["rounds"]):
        trained = []
        for number in rng.choice(task["clients"], task["chosen"], replace=False):
            rows = np.full(steps * task["batch"], -1, np.int32)
            rows[: task["images"]] = rng.permutation(task["images"])
            if task["idle"]:
                trained.append(params)
            else:
                trained.append(epoch(params, on_device, number, rows.reshape(steps, -1), task["rate"]))
        params = average(trained)
        yield params


def main(task: dict[str, Any]) -> None:
    """Run the rounds of a task, which is described by `federated.Task`."""
    count = task["clients"] * task["images"]
    arrays = {name: np.load(f"{task['data']}/{name}.npy", mmap_mode="r")[:count] for name in ("image", "label")}
    records = {"image": np.array(arrays["image"])[..., None], "label": np.array(arrays["label"])}
    params, _ = network(task["network"], jax.random.key(0))
    print("about", json.dumps({"parameters": sum(leaf.size for leaf in jax.tree.leaves(params))}), flush=True)
    run = by_loop if task["contender"] == "loop" else by_dkjax
    for number, params in enumerate(run(task, records), start=1):
        finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(params)))
        print("round" if finite else "not finite", number, flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
