"""A run of an arm whose clients train: rounds of federated learning on the images that other arms upload.

The budget is the same: the clients see their images as often as the server of the other arms does, `train.epochs`
times, unless `federated.rounds` says otherwise.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np
import optax

from dkjax.config import FederatedConfig, TrainConfig
from dkjax.errors import ConfigError, NonFiniteLossError
from dkjax.experiment.upload_training import to_test_on
from dkjax.federated import algorithm, lora
from dkjax.federated.algorithm import Algorithm, ServerState
from dkjax.federated.cohort import Cohort, Population, concatenated
from dkjax.federated.executor import executor
from dkjax.federated.local import LocalTraining, Loss, masked_mean
from dkjax.federated.update import encoded_bytes
from dkjax.models.vit import Model, Params
from dkjax.runtime.ledger import LEDGER, Ledger, Took, timed
from dkjax.runtime.processes import is_leader
from dkjax.server.received import weights_of
from dkjax.train.checkpoints import EMPTY_HISTORY, History
from dkjax.train.loop import Trainer, evaluate
from dkjax.train.mesh import replicated
from dkjax.train.metrics import MetricsLog, Progress
from dkjax.train.optimizer import kernels, rates_of_parts
from dkjax.train.run import Finished
from dkjax.train.state import TrainState
from dkjax.train.step import normalise
from dkjax.train.throughput import Throughput
from dkjax.train.trained_model import Trained, save_trained

if TYPE_CHECKING:
    from dkjax.experiment.arms.kind import ArmResult, ArmTask

Kind = Literal["fedavg", "fedprox", "fedopt", "fedavg_lora", "local_only"]


def check_federated(federated: FederatedConfig, train: TrainConfig, width: int, kinds: Sequence[str]) -> None:
    """Raise `ConfigError` if federated arms of these kinds cannot be trained so."""
    if not {*kinds} & {"fedavg", "fedprox", "fedopt", "fedavg_lora", "local_only"}:
        return
    if "fedavg_lora" in kinds:
        lora.check_rank(federated.lora_rank, width)
    for name in ("mixup", "patch_mix"):
        if alpha := getattr(train, name):
            raise ConfigError(f"train.{name}={alpha:g}: the clients of federated arms do not mix images; set it to 0")
    if jax.process_count() > 1:
        raise ConfigError(f"federated arms run in one process, and there are {jax.process_count()}")


def number_of_rounds(federated: FederatedConfig, epochs: int, clients: int) -> int:
    """Return the rounds of a run: as given, or as many as make `epochs` passes over all images."""
    per_round = federated.local_epochs * (federated.clients_per_round or clients) / clients
    return federated.rounds or max(1, round(epochs / per_round))


def train_federated(kind: Kind, task: "ArmTask") -> "ArmResult":
    """Train in rounds, from the newest checkpoint if there is one.

    Args:
        kind: of the arm.
        task: what to train on, and where it is written.

    Returns:
        Accuracy, curve and bytes. Without a federation the accuracy is the mean over the clients' models, whose
        parameters are in `clients/`, and `trained` is that of the first.

    Raises:
        NonFiniteLossError: not one client of a round sent a finite update.
        StoppedError: the run was asked to stop.

    Guarantees:
        - stopped or killed after any round, it ends with the same results, to the bit
          (`test_federated_training.py::test_goes_on_to_the_same_bits`).
        - the bytes of `ledger.jsonl` are those of the result, also then
          (`test_federated_training.py::test_the_ledger_has_every_byte`).
    """
    with contextlib.ExitStack() as stack:
        return _Training(kind, task, stack).result()


class _Training:
    def __init__(self, kind: Kind, task: "ArmTask", stack: contextlib.ExitStack) -> None:
        self._kind, self._task, self._config = kind, task, task.federated
        self._run, self._trainer = task.run, task.run.trainer
        self._names = [client.name for client in task.clients]
        self._whole = replicated(self._trainer.mesh)
        train = self._trainer.config
        # The plain images, augmented like those that the first round of another arm uploads; nothing is sent.
        uploads = task.upload_all(1, [None] * len(task.clients))
        records, parts = concatenated([sent.pool[:] for sent in uploads])
        self._records = jax.device_put(records, self._whole)
        weights = weights_of(train.client_weights, self._names)
        everybody = kind == "local_only"
        self._population = Population(
            parts,
            self._config.batch_size or train.batch_size,
            self._config.local_epochs,
            None if everybody else self._config.clients_per_round,
            None if weights is None else [weights[name] for name in self._names],
            self._run.seed,
        )
        self._rounds = number_of_rounds(
            self._config.model_copy(update={"clients_per_round": self._population.chosen}), train.epochs, len(parts)
        )
        init_key, self._round_key = jax.random.split(jax.random.key(self._run.seed))
        self._params, self._frozen = self._start(init_key)
        self._algorithm = _algorithm(kind, self._config, self._trainer, self._merge)
        self._step = jax.jit(self._algorithm.round, donate_argnums=0, out_shardings=self._whole)
        self._checkpoints = stack.enter_context(self._run.checkpoints)
        self._state, self.history = self._newest()
        last = self.history.last.step if self.history.last else 0
        folder = self._run.folder
        self._log = stack.enter_context(
            MetricsLog(
                folder and folder / "metrics.jsonl",
                self.history.log_bytes,
                events=folder and self._run.profiling.events(folder),
                first_step=last + 1 if last else 0,
            )
        )
        # Events of rounds after the checkpoint that it goes on from are those of rounds that are taken again.
        path = folder / LEDGER if folder is not None and is_leader() else None
        self._ledger = Ledger(path, keep=lambda event: event["round"] <= self._done)
        view = task.view(None)
        self._test = to_test_on(view, self._trainer, stack)

    def result(self) -> "ArmResult":
        from dkjax.experiment.arms.kind import ArmResult

        self._run.checkpoints.stop_if_asked(self._steps(self._done), self._kept(), self._history_now)
        points = {math.ceil(self._rounds * i / self._trainer.config.evaluations) for i in range(1, 1 + self._rounds)}
        began = time.perf_counter()
        while self._done < self._rounds:
            self._take_round()
            if self._done in points or self._done == self._rounds:
                self._evaluate()
            taken = self._steps(self._done) - self._steps(self._done - 1)
            self._checkpoints.after_step(self._steps(self._done), self._kept(), self._history_now, taken)
        seconds = time.perf_counter() - began
        traffic = self._traffic(self._rounds)
        return ArmResult(
            Finished(self._save(), self.history),
            upload_bytes=sum(both["up"] for both in traffic.values()),
            encrypt_seconds=0.0,
            client_bytes=traffic,
            client_seconds=seconds,
            federation={
                "rounds": self._rounds,
                "clients_per_round": self._population.chosen,
                "local_epochs": self._config.local_epochs,
                "client_epochs": self._rounds
                * self._config.local_epochs
                * self._population.chosen
                / len(self._population.parts),
                "left_out": {
                    name: int(count)
                    for name, count in zip(self._names, jax.device_get(self._state.left_out), strict=True)
                    if count
                },
            },
        )

    @property
    def _done(self) -> int:
        return int(self._state.round)

    def _steps(self, rounds: int) -> int:
        """Steps of the other arms for the same part of the budget."""
        return self._trainer.total_steps * rounds // self._rounds

    def _start(self, prng_key: jax.Array) -> tuple[Any, Any]:
        params = self._run.pretrained
        if params is None:
            params = self._trainer.model.init(prng_key, self._run.image_shape)
        params = jax.device_put(params, self._whole)
        if self._kind != "fedavg_lora":
            return params, ()
        drawn = lora.adapters(params, self._config.lora_rank, jax.random.fold_in(prng_key, 1))
        return jax.device_put(drawn, self._whole), params

    def _merge(self, params: Any, frozen: Any) -> Params:
        if self._kind != "fedavg_lora":
            return dict(params)
        return lora.merge(frozen, params, self._config.lora_alpha / self._config.lora_rank)

    def _newest(self) -> tuple[ServerState, History]:
        start = jax.jit(self._algorithm.init, static_argnums=1, out_shardings=self._whole)
        like = jax.eval_shape(lambda params: self._algorithm.init(params, len(self._names)), self._params)
        sharded = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self._whole), like)
        found = self._checkpoints.newest(_as_kept(sharded))
        if found is None:
            return start(self._params, len(self._names)), EMPTY_HISTORY
        kept, history = found
        state = ServerState(kept.step, kept.params, kept.opt_state["of"], kept.opt_state["left_out"])
        self._run.observer.note(f"{self._run.name}: going on after round {int(state.round)} of {self._rounds}")
        return state, history

    def _kept(self) -> TrainState:
        return _as_kept(self._state)

    def _history_now(self) -> History:
        return dataclasses.replace(self.history, log_bytes=self._log.num_bytes)

    def _take_round(self) -> None:
        number = self._done + 1
        cohort = self._population.cohort(number)
        throughput = Throughput(self._population.batch_size, self._trainer.flops_per_image, self._trainer.mesh)
        round_key = jax.random.fold_in(self._round_key, number)
        rate = self._rate(number)
        with timed() as took:
            self._state, report = self._step(self._state, self._frozen, self._records, cohort, round_key, rate)
            losses, finite = jax.device_get((report.loss, report.finite))
        self._enter(number, cohort, took)
        heard = finite & (cohort.weight > 0)
        if not heard.any():
            raise NonFiniteLossError(
                f"not one of {len(finite)} clients sent a finite update in round {number}: lower "
                "federated.learning_rate or federated.server_learning_rate"
            )
        left_out = [self._names[client] for client in cohort.number[~finite]]
        for name in left_out:
            self._run.observer.warning(
                f"{self._run.name}: the update of {name} in round {number} is not finite and is left out"
            )
        for _ in range(int(cohort.steps.sum())):
            throughput.step_taken()
        progress = Progress(
            step=self._steps(number),
            total_steps=self._trainer.total_steps,
            loss=float(np.average(losses[heard], weights=cohort.weight[heard])),
            accuracy=None,
            learning_rate=rate,
            **throughput.read(),
        )
        self._log.write(progress.step, dataclasses.asdict(progress) | {"round": number})
        self._run.observer.training(progress)
        self.history = dataclasses.replace(self.history, last=progress)

    def _enter(self, number: int, cohort: Cohort, took: Took) -> None:
        """Write what each client of a round received and sent; its share of the time is that of its steps."""
        if self._kind == "local_only":
            return
        up, down = self._update_bytes
        for client, steps in zip(cohort.number, cohort.steps, strict=True):
            name, share = self._names[client], float(steps / max(1, cohort.steps.sum()))
            self._ledger.write("received", name, down, 0.0, 0.0, round=number)
            self._ledger.write("sent", name, up, share * took.seconds, share * took.cpu_seconds, round=number)

    def _rate(self, number: int) -> float:
        """The clients' learning rate in a round: that of the other arms in the middle of that part of the budget."""
        peak, schedule = self._trainer.config.learning_rate, self._trainer.learning_rate
        own = self._config.learning_rate or peak
        if schedule is None:
            return own
        return own / peak * float(schedule((self._steps(number - 1) + self._steps(number)) / 2))

    def _evaluate(self) -> None:
        if self._kind == "local_only":
            count = len(self._names)
            found = [self._accuracy(jax.tree.map(lambda leaf, i=i: leaf[i], self._state.params)) for i in range(count)]
        else:
            found = [self._accuracy(self._merge(self._state.params, self._frozen))]
        traffic = self._traffic(self._done).values()
        step, accuracy = self._steps(self._done), {"plain": float(np.mean(found))}
        epoch = round(self._done * self._trainer.config.epochs / self._rounds, 3)
        point = {
            "step": step,
            "epoch": epoch,
            "round": self._done,
            "up_bytes": sum(both["up"] for both in traffic),
            "down_bytes": sum(both["down"] for both in traffic),
            "test_accuracy": accuracy,
        }
        if len(found) > 1:
            point["of_clients"] = dict(zip(self._names, found, strict=True))
        self.history = dataclasses.replace(self.history, curve=(*self.history.curve, point))
        self._log.write(step, point)
        self._run.observer.evaluated(epoch, accuracy)

    def _accuracy(self, params: Any) -> float:
        params = jax.device_put(params, self._whole)
        return evaluate(self._trainer, params, {"plain": self._test})["plain"]

    def _traffic(self, rounds: int) -> dict[str, dict[str, int]]:
        """What each client has sent and received, by the arrays that are sent."""
        if self._kind == "local_only":
            return {name: {"up": 0, "down": 0} for name in self._names}
        times = np.zeros(len(self._names), np.int64)
        for number in range(1, rounds + 1):
            times[self._population.chosen_in(number)] += 1
        up, down = self._update_bytes
        return {
            name: {"up": int(count) * up, "down": int(count) * down}
            for name, count in zip(self._names, times, strict=True)
        }

    @property
    def _update_bytes(self) -> tuple[int, int]:
        """Of one update up and the parameters down."""
        return encoded_bytes(self._params, self._config.update), encoded_bytes(self._params, "float32")

    def _save(self) -> Trained:
        run, folder = self._run, self._run.folder
        if self._kind != "local_only":
            params = jax.device_put(jax.jit(self._merge)(self._state.params, self._frozen), self._whole)
            models = {"": params}
        else:
            models = {
                name: jax.tree.map(lambda leaf, i=i: leaf[i], self._state.params) for i, name in enumerate(self._names)
            }
        trained = {
            name: Trained(self._trainer.model, params, run.image_shape, run.class_names)
            for name, params in models.items()
        }
        if folder is not None:
            for name, model in trained.items():
                place = folder / "clients" / name if name else folder
                place.mkdir(parents=True, exist_ok=True)
                save_trained(place, model)
        return next(iter(trained.values()))


def _as_kept(state: ServerState) -> TrainState:
    return TrainState(state.round, state.params, {"of": state.opt_state, "left_out": state.left_out})


def _algorithm(kind: Kind, config: FederatedConfig, trainer: Trainer, merge: Callable[[Any, Any], Params]) -> Algorithm:
    loss = _loss(trainer.model, trainer.config.label_smoothing, merge)
    local = LocalTraining(loss, _optimizer(config, trainer.config), config.mu if kind == "fedprox" else 0.0)
    execute = executor(config.executor, trainer.mesh)
    if kind == "local_only":
        return algorithm.local_only(local, execute)
    if kind == "fedopt":
        make = algorithm.fedadam if config.server_optimizer == "adam" else algorithm.fedyogi
        return make(local, config.server_learning_rate, execute, config.update)
    return algorithm.fedavg(local, execute, config.update)


def _loss(model: Model, label_smoothing: float, merge: Callable[[Any, Any], Params]) -> Loss:
    def loss(params: Any, frozen: Any, batch: dict[str, jax.Array], prng_key: jax.Array) -> jax.Array:
        logits = model.apply(merge(params, frozen), normalise(batch["image"]), dropout_key=prng_key)
        targets = optax.smooth_labels(jax.nn.one_hot(batch["label"], model.num_classes), label_smoothing)
        return masked_mean(optax.softmax_cross_entropy(logits, targets), batch["mask"])

    return loss


def _optimizer(config: FederatedConfig, train: TrainConfig) -> optax.GradientTransformation:
    """The clients' optimizer, for a learning rate of 1: AdamW as the server of the other arms has it, or plain SGD.

    Parts of the network have rates of their own as there.
    """
    adamw = optax.adamw(1.0, weight_decay=train.weight_decay, mask=kernels)
    tx = optax.sgd(1.0) if config.optimizer == "sgd" else adamw
    steps = [] if train.clip_norm is None else [optax.clip_by_global_norm(train.clip_norm)]
    return optax.chain(*steps, tx, *rates_of_parts(train))
