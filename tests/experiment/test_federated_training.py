"""Federated arms in a simulation: the same table, equal budgets, bytes, resuming, and what is refused."""

import json
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_simulation import compiled_once, config, files_alike, results_alike
from typer.testing import CliRunner

from dkjax.cli.main import app
from dkjax.config import FederatedConfig, SimulationConfig, TrainConfig
from dkjax.errors import NonFiniteLossError, StoppedError
from dkjax.experiment import federated_training, simulation
from dkjax.experiment.federated_training import check_federated, number_of_rounds
from dkjax.experiment.simulation import simulate
from dkjax.federated.cost import Case, estimate
from dkjax.federated.local import Loss
from dkjax.models.vit import vit
from dkjax.report.figures import draw
from dkjax.report.table import rows
from dkjax.runtime.ledger import read_ledger
from dkjax.sources.open import open_configured
from dkjax.sources.partition import partition
from dkjax.train import metrics
from dkjax.train.observer import Observer
from dkjax.train.trained_model import load_trained

quick = pytest.fixture(scope="module", autouse=True)(compiled_once)

KINDS = ("fedavg", "fedprox", "fedopt", "fedavg_lora", "local_only")
FEDERATED = {"clients_per_round": 2, "learning_rate": 1e-2, "batch_size": 8}
SECTIONS: dict[str, Any] = {"clients": {"count": 3}, "federated": FEDERATED, "train": {"checkpoint_every": 4}}
ROUNDS = 3


class Recorder(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    workdir = tmp_path_factory.mktemp("whole")
    return simulate(config(("plain", *KINDS), **SECTIONS), workdir), workdir


def test_results(whole: tuple[dict[str, Any], Path]) -> None:
    results, workdir = whole
    assert [arm["name"] for arm in results["arms"]] == ["plain", *KINDS]
    parameters = sum(leaf.size for leaf in jax.tree.leaves(load_trained(workdir / "arms/fedavg/run-0").params))
    for arm in results["arms"][1:]:
        of_run = arm["federation"][0]
        rounds = 2 if arm["name"] == "local_only" else ROUNDS
        assert of_run["rounds"] == rounds
        assert of_run["client_epochs"] == 2.0  # as the plain arm's
        assert (of_run["left_out"], arm["ssim"], arm["scheme"]) == ({}, None, None)
        assert [point["round"] for point in arm["curves"][0]][-1] == rounds
        assert arm["curves"][0][-1]["step"] == 12
        up = {"local_only": 0, "fedavg_lora": None}.get(arm["name"], 4 * parameters * 2 * ROUNDS)
        if up is not None:
            assert arm["upload_bytes"] == arm["download_bytes"] == up
        assert arm["upload_bytes"] == sum(both["up"] for both in arm["client_bytes"].values())
        assert arm["curves"][0][-1]["up_bytes"] == arm["upload_bytes"]
    accuracies = results["arms"][5]["curves"][0][-1]["of_clients"]
    assert np.mean(list(accuracies.values())) == results["arms"][5]["test_accuracy"]["plain"]["mean"]
    assert results["arms"][4]["upload_bytes"] < results["arms"][1]["upload_bytes"] / 4
    for client in accuracies:
        assert load_trained(workdir / "arms/local_only/run-0/clients" / client).class_names
    plain = results["arms"][0]
    assert plain["federation"] is None
    assert plain["client_bytes"] == {f"client-{i}": {"up": 16 * 260, "down": 0} for i in (1, 2, 3)}


def test_bytes_are_those_of_the_calculator(whole: tuple[dict[str, Any], Path]) -> None:
    model = vit("mu", patch_size=8, num_classes=10, width=16, heads=2, mlp_dim=16)
    case = Case(
        model=model,
        image_shape=(16, 16, 1),
        images=48,
        clients=3,
        rounds=ROUNDS,
        clients_per_round=2,
        local_epochs=1,
        epochs=2,
        batch_size=8,
        lora_rank=4,
    )
    computed = {line.name: line for line in estimate(case)}
    measured = {arm["name"]: arm for arm in whole[0]["arms"]}
    pairs = {"one upload, raw": "plain", "fedavg float32": "fedavg", "fedavg_lora": "fedavg_lora"}
    for way, arm in pairs.items():
        assert 3 * computed[way].up_bytes == pytest.approx(measured[arm]["upload_bytes"], rel=0.01)
        assert 3 * computed[way].down_bytes == pytest.approx(measured[arm]["download_bytes"], rel=0.01)


def summed(ledger: Path) -> dict[str, dict[str, int]]:
    """Bytes by client and direction."""
    found: dict[str, dict[str, int]] = {}
    for event in read_ledger(ledger):
        both = found.setdefault(event["client"], {"up": 0, "down": 0})
        both[{"sent": "up", "received": "down"}[event["event"]]] += event["bytes"]
    return found


def test_the_ledger_has_every_byte(whole: tuple[dict[str, Any], Path]) -> None:
    results, workdir = whole
    for arm in results["arms"]:
        path = workdir / "arms" / arm["name"] / "run-0" / "ledger.jsonl"
        if arm["name"] == "local_only":
            assert not path.exists()
            continue
        assert summed(path) == {client: both for client, both in arm["client_bytes"].items() if any(both.values())}
        sent = [event for event in read_ledger(path) if event["event"] == "sent"]
        assert {event["round"] for event in sent} == ({1} if arm["name"] == "plain" else {*range(1, ROUNDS + 1)})
        took = sum(event["seconds"] for event in sent)
        assert 0 <= took <= arm["seconds"] and (arm["name"] == "plain" or took > 0)


def test_the_table_has_downloads(whole: tuple[dict[str, Any], Path]) -> None:
    headings, *body = rows(whole[0])
    assert headings[-3:] == ("upload (MB)", "download (MB)", "time (s)")
    assert {len(row) for row in body} == {len(headings)}


def test_figures(whole: tuple[dict[str, Any], Path]) -> None:
    drawn = draw(*whole)
    assert [path.name for path in drawn] == [
        "what_the_server_sees.png",
        "accuracy.png",
        "accuracy_for_bytes.png",
        "clients.png",
    ]
    assert all(path.stat().st_size > 5000 for path in drawn)


def interrupted(wanted: SimulationConfig, workdir: Path, after: int) -> None:
    """Run until so many rounds are reported; then it is asked to stop."""
    asked = False
    write = metrics.MetricsLog.write

    def written(self: metrics.MetricsLog, step: int, values: dict[str, Any]) -> None:
        nonlocal asked
        write(self, step, values)
        asked = asked or ("loss" in values and values["round"] == after)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics.MetricsLog, "write", written)
        patch.setattr(simulation, "synced_stop", lambda stop_asked: lambda: asked)
        with pytest.raises(StoppedError):
            simulate(wanted, workdir)


@pytest.mark.parametrize(
    ("kind", "after"),
    [("fedopt", 2), *(pytest.param(kind, after, marks=pytest.mark.slow) for kind in KINDS for after in (1, 2))],
)
def test_goes_on_to_the_same_bits(kind: str, after: int, whole: tuple[dict, Path], tmp_path: Path) -> None:
    wanted = config((kind,), **SECTIONS)
    interrupted(wanted, tmp_path, after)
    observer = Recorder()
    results = simulate(wanted, tmp_path, observer)
    assert results_alike(results) == [arm for arm in results_alike(whole[0]) if arm["name"] == kind]
    assert files_alike(tmp_path) == {
        name: found for name, found in files_alike(whole[1]).items() if name.startswith(f"arms/{kind}/")
    }
    ledgers = [workdir / f"arms/{kind}/run-0/ledger.jsonl" for workdir in (tmp_path, whole[1])]
    if kind != "local_only":
        assert summed(ledgers[0]) == summed(ledgers[1])
    rounds = 2 if kind == "local_only" else ROUNDS
    assert observer.notes[-1] == f"{kind} run 1: going on after round {after} of {rounds}"
    folder = f"arms/{kind}/run-0" + ("/clients/client-1" if kind == "local_only" else "")
    params = (load_trained(workdir / folder).params for workdir in (tmp_path, whole[1]))
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_a_client_whose_updates_are_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = {"count": 3, "partition": "pathological", "num_classes_per_partition": 4}
    wanted = config(("fedavg",), clients=clients, federated={"learning_rate": 1e-2, "batch_size": 8})
    labels = open_configured(wanted.data, "train").labels
    parts = partition("pathological", labels, 3, num_classes_per_partition=4)
    label, owner = next(
        (label, owners[0])
        for label in range(10)
        if len(owners := [client for client, part in enumerate(parts, 1) if label in labels[part]]) == 1
    )
    loss_of = federated_training._loss

    def poisoned(*args: Any) -> Loss:
        loss = loss_of(*args)
        return lambda params, frozen, batch, prng_key: (
            loss(params, frozen, batch, prng_key)
            * jnp.where(((batch["label"] == label) & batch["mask"]).any(), jnp.inf, 1.0)
        )

    monkeypatch.setattr(federated_training, "_loss", poisoned)
    observer = Recorder()
    (arm,) = simulate(wanted, tmp_path, observer)["arms"]
    assert arm["federation"][0]["left_out"] == {f"client-{owner}": 2}  # counted, once a round
    assert [text for text in observer.warnings if "finite" in text] == [
        f"fedavg run 1: the update of client-{owner} in round {number} is not finite and is left out"
        for number in (1, 2)
    ]
    params = load_trained(tmp_path / "arms/fedavg/run-0").params
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    assert json.loads((tmp_path / "results.json").read_text())["arms"][0]["federation"] == arm["federation"]
    # It was sent all the same.
    assert summed(tmp_path / "arms/fedavg/run-0/ledger.jsonl") == arm["client_bytes"]


@pytest.mark.slow
def test_an_update_that_is_not_finite(tmp_path: Path) -> None:
    diverging = config(("fedavg",), **{**SECTIONS, "federated": {"optimizer": "sgd", "learning_rate": 1e38}})
    with pytest.raises(NonFiniteLossError, match="not one of 3 clients sent a finite update in round"):
        simulate(diverging, tmp_path)


def test_rounds_of_a_budget() -> None:
    assert number_of_rounds(FederatedConfig(), 8, 10) == 8
    assert number_of_rounds(FederatedConfig(local_epochs=2, clients_per_round=5), 8, 10) == 8
    assert number_of_rounds(FederatedConfig(local_epochs=4), 2, 10) == 1
    assert number_of_rounds(FederatedConfig(rounds=7), 8, 10) == 7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("federated.clients_per_round=9", "federated.clients_per_round=9 is more than clients.count=4"),
        ("federated.mu=-1", "federated.mu: expected greater than or equal to 0, got -1"),
        ("federated.lora_rank=99", "federated.lora_rank=99 is not between 1 and the model's width="),
        ("federated.lora_rank=0", "federated.lora_rank: expected greater than 0, got 0"),
        ("federated.round=3", "unknown key federated.round"),
        ("train.mixup=0.5", "the clients of federated arms do not mix images"),
        ("train.patch_mix=0.5", "train.patch_mix=0.5: the clients of federated arms do not mix images"),
    ],
)
def test_one_line_and_two(override: str, message: str, tmp_path: Path) -> None:
    arms = 'arms=[{name = "fedavg_lora"}]'
    found = CliRunner().invoke(
        app, ["simulate", "quickstart", "--set", arms, "--set", override, "--workdir", str(tmp_path / "run")]
    )
    assert found.exit_code == 2
    (line,) = [line for line in found.stderr.splitlines() if "dkjax" in line or "error" in line.lower()]
    assert message in found.stderr
    assert "Traceback" not in found.stderr + line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (['clients.partition="iid"', "clients.count=9"], "clients 6, 7, 8, 9 (of 1 to 9) would be without a single"),
        (['clients.partition="shards"', "clients.count=9"], "(of 1 to 9) would be without a single image of the 5"),
        (['clients.partition="pathological"'], "would be without a single image of the 5"),
        (['clients.partition="iid"', "clients.min_partition_size=4"], "min_partition_size=4; use"),
    ],
)
def test_a_client_without_images_is_one_line_and_four(overrides: list[str], message: str, tmp_path: Path) -> None:
    sets = ['arms=[{name = "fedavg"}]', "data.train_images=5", *overrides]
    given = [part for one in sets for part in ("--set", one)]
    found = CliRunner().invoke(app, ["simulate", "quickstart", *given, "--workdir", str(tmp_path / "run")])
    line = found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
    assert found.exit_code == 4 and line.startswith("dkjax: ") and message in line


def test_only_federated_arms_are_checked() -> None:
    check_federated(FederatedConfig(lora_rank=99), TrainConfig(mixup=0.1), 8, ["plain", "disposable"])
    check_federated(FederatedConfig(lora_rank=99), TrainConfig(), 8, ["fedavg"])


def test_the_configuration_is_recorded(whole: tuple[dict[str, Any], Path]) -> None:
    recorded = json.loads((whole[1] / "config.json").read_text())
    assert recorded["config"]["federated"]["clients_per_round"] == 2


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_parts_have_the_rates_of_the_other_arms(optimizer: Literal["adamw", "sgd"]) -> None:
    params = {"head": {"kernel": np.ones((2, 3), np.float32)}, "embedding": {"kernel": np.ones((2, 2), np.float32)}}
    gradients = jax.tree.map(lambda leaf: np.full_like(leaf, 0.01), params)

    def updates(train: TrainConfig) -> dict[str, Any]:
        tx = federated_training._optimizer(FederatedConfig(optimizer=optimizer), train)
        return tx.update(gradients, tx.init(params), params)[0]

    same = updates(TrainConfig(learning_rate=1e-3))
    own = updates(TrainConfig(learning_rate=1e-3, head_learning_rate=4e-3))
    np.testing.assert_allclose(own["head"]["kernel"], 4 * same["head"]["kernel"], rtol=1e-6)
    np.testing.assert_allclose(own["embedding"]["kernel"], same["embedding"]["kernel"], rtol=1e-6)
