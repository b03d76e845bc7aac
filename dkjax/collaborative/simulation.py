"""Clients and server in one process: every arm of the comparison, run by run, and what came of it."""

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dkjax.collaborative import server
from dkjax.collaborative.arms import rounds_of_arm
from dkjax.collaborative.augmenting import augmented, augmenting
from dkjax.collaborative.client import Client, HandOver, upload
from dkjax.collaborative.configured import load_start, make_ratchet
from dkjax.collaborative.curve import train_evaluated
from dkjax.collaborative.observer import Observer
from dkjax.collaborative.on_disk import upload_to
from dkjax.collaborative.results import arm_summary, data_summary, provenance
from dkjax.collaborative.setting import Setting, prepare
from dkjax.collaborative.visibility import mean_ssim
from dkjax.collaborative.workdir import open_workdir
from dkjax.config import ArmConfig, SimulationConfig
from dkjax.data.pool import Pool
from dkjax.files import read_json, write_json
from dkjax.models.vit import Params, vit
from dkjax.train.loop import Trainer, make_trainer
from dkjax.train.metrics import MetricsLog
from dkjax.train.trained import Trained, save_trained

SAMPLE_IMAGES = 64
"""Images of the first client kept, as it encrypts them and as the server sees them, for the figure and for SSIM."""


def simulate(config: SimulationConfig, workdir: Path, observer: Observer | None = None) -> dict[str, Any]:
    """Run every arm of a configuration and gather the results.

    Everything is checked and read before the folder is touched. Each run's result is written as soon as it is there;
    the same call in the same folder keeps the finished runs and does the rest.

    Args:
        config: what to run.
        workdir: the folder for the results; created, or gone on with if it holds the same configuration.
        observer: told what happens.

    Returns:
        What is written to `results.json`: the arms with their accuracies, the resolved configuration, versions,
        device, and the clients' share of the data.

    Raises:
        ConfigError: the configuration does not fit the images or the devices, or the folder holds something else.
        DataError: images are missing or damaged, or a client would have none.
        NonFiniteLossError: training diverged.
    """
    observer = observer or Observer()
    setting = prepare(config, observer)
    num_records = sum(len(client.records["label"]) for client in setting.clients)
    model = vit(num_classes=len(setting.class_names), patch_size=config.patch_size, **config.model.settings())
    pretrained, notes = load_start(config.model, model, setting.image_shape)
    trainer = make_trainer(config.train, model, num_records)
    notes += _notes(config)
    for note in notes:
        observer.note(note)
    with open_workdir(workdir, config):
        arms = []
        for arm in config.arms:
            runs = []
            for run in range(config.train.runs):
                folder = workdir / "arms" / arm.name / f"run-{run}"
                result = read_json(folder / "result.json")
                if result is None:
                    observer.run_started(arm.name, run + 1, config.train.runs, trainer.total_steps)
                    result = _run_arm(config, arm, run, setting, trainer, pretrained, folder, observer)
                    write_json(folder / "result.json", result)
                    observer.run_finished(arm.name, run + 1, result["test_accuracy"])
                else:
                    observer.run_kept(arm.name, run + 1)
                runs.append(result)
            arms.append(arm_summary(config, arm, setting, runs))
        results = {"arms": arms, "data": data_summary(setting), "notes": notes, **provenance(config)}
        write_json(workdir / "results.json", results)
    return results


def _run_arm(
    config: SimulationConfig,
    arm: ArmConfig,
    run: int,
    setting: Setting,
    trainer: Trainer,
    pretrained: Params | None,
    folder: Path,
    observer: Observer,
) -> dict[str, Any]:
    """Let the clients of one arm upload, train the server, and say what came of it."""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    rounds = config.clients.rounds
    seed = config.train.seed + run
    training_server: server.Server | None = None
    upload_bytes, encrypt_seconds, ssim = 0, 0.0, None
    test_views: dict[str, Pool] = {}
    curve: list[dict[str, Any]] = []
    hand_over: HandOver = upload
    if config.store.on_disk:
        # What a stopped run left is of no use: its keys are gone, and this one draws others.
        shutil.rmtree(folder / "uploads", ignore_errors=True)
        hand_over = upload_to(folder / "uploads", config, arm, run, setting.class_names)
    hand_over = augmenting(hand_over, config.augment, seed)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(MetricsLog(folder / "metrics.jsonl"))
        ratchet = make_ratchet(config.keys, run)
        stack.callback(ratchet.discard)
        scheme = setting.schemes[arm.name]
        arriving = rounds_of_arm(arm, scheme, setting.clients, setting.test, ratchet, rounds, hand_over)
        stack.callback(arriving.close)
        for number in range(1, rounds + 1):
            before = time.perf_counter()
            this_round = next(arriving)
            encrypt_seconds += time.perf_counter() - before
            upload_bytes += sum(sent.num_bytes for sent in this_round.uploads)
            observer.encrypted(arm.name, number, sum(len(sent.pool) for sent in this_round.uploads))
            if training_server is None:
                test_views = {view: Pool([records]) for view, records in this_round.test_views.items()}
                first_client = augmented(setting.clients[0], 1, config.augment, seed, limit=SAMPLE_IMAGES)
                ssim = _keep_samples(folder, first_client, this_round.uploads[0].pool)
                init_key, dropout_key = jax.random.split(jax.random.key(seed))
                start = trainer.model.init(init_key, setting.image_shape) if pretrained is None else pretrained
                params = this_round.adapt(start)
                training_server = server.start(trainer, trainer.start(params), order_seed=seed, prng_key=dropout_key)
            training_server = server.receive(training_server, this_round.uploads, config.clients.train_on)
            steps = range(*(trainer.total_steps * edge // rounds for edge in (number - 1, number)))
            training_server, history = train_evaluated(training_server, steps, test_views, log, observer)
            curve += history.curve
    assert training_server is not None  # there is at least one round
    params = training_server.state.params
    save_trained(folder, Trained(trainer.model, params, setting.image_shape, setting.class_names))
    return {
        "test_accuracy": curve[-1]["test_accuracy"],
        "curve": curve,
        "upload_bytes": upload_bytes,
        "ssim": ssim,
        "encrypt_seconds": round(encrypt_seconds, 3),
        "seconds": round(time.perf_counter() - started, 3),
    }


def _keep_samples(folder: Path, client: Client, uploaded: Pool) -> float | None:
    """Keep a client's images, plain as it encrypted them and as uploaded; return their SSIM."""
    plain = client.records["image"]
    seen = uploaded[: len(plain)]["image"]
    np.savez(folder / "seen.npz", plain=plain, seen=seen)
    return mean_ssim(plain, seen)


def _notes(config: SimulationConfig) -> list[str]:
    notes = []
    if config.keys.mode == "reproducible":
        notes.append(
            "keys are reproducible: anybody who knows the seed can decrypt, so this is for experiments, never for "
            "images that must not be seen"
        )
    if config.clients.rounds > 1 and any(arm.kind == "disposable" for arm in config.arms):
        notes.append(
            f"{config.clients.rounds} rounds show the server {config.clients.rounds} encryptions of every image under "
            "different keys, which together reveal more than one"
        )
    return notes
