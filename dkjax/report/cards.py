"""The model card and the data card of a report."""

from collections.abc import Mapping
from typing import Any

from dkjax.report.document import Section, Table

_SETTINGS = ("variant", "patch_size", "width", "depth", "heads", "mlp_dim", "pool", "reading", "dtype", "pretrained")
_TRAINING = (
    "epochs",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "label_smoothing",
    "mixup",
    "patch_mix",
    "seed",
    "runs",
)
_FACTS = ("what", "which")


def model_card(results: Mapping[str, Any]) -> Section:
    """Say what was trained, on what, for what it may be used and for what not (Mitchell et al. 2019).

    Args:
        results: of `results.json`.
    """
    model, train, data = results["config"]["model"], results["config"]["train"], results["data"]
    height, width, channels = data["image_shape"]
    rows = (
        ("architecture", "Vision Transformer, " + _listed(model, _SETTINGS)),
        ("input", f"{height} x {width} x {channels} values, uint8, plain or encrypted"),
        ("output", f"one of {len(data['class_names'])} classes: {', '.join(data['class_names'])}"),
        ("training", _listed(train, _TRAINING)),
        ("start", "drawn at random" if model.get("pretrained") is None else f"pretrained, {model['pretrained']}"),
        ("tested on", f"{data['test_images']:,} images that no client has"),
    )
    sentences = (
        "Meant for comparing what an encryption costs. The accuracies hold for images of this source; nothing was "
        "measured on other cameras, sites or classes.",
        "A model may reveal what it was trained on: keep it as confidential as its training images.",
    )
    return Section("Model card", sentences, (Table(_FACTS, rows),))


def data_card(results: Mapping[str, Any]) -> Section:
    """Say which images there were and which client had them (Gebru et al. 2021).

    Args:
        results: of `results.json`.
    """
    data, config = results["data"], results["config"]
    height, width, channels = data["image_shape"]
    clients = config["clients"]
    size = "as they are" if config["data"]["image_size"] is None else f"resized ({config['data']['resize']})"
    facts = (
        ("source", str(config["data"]["source"])),
        ("images", f"{data['train_images']:,} for training, {data['test_images']:,} for testing"),
        ("left out", f"{data['skipped']:,} that could not be read"),
        ("size", f"{height} x {width} x {channels}, {size}"),
        ("partition", f"{len(data['clients'])} clients, {clients['partition']}, seed {clients['seed']}"),
        ("what left the clients", "encrypted images, labels, and how many there are"),
    )
    rows = tuple(
        (client["name"], f"{client['images']:,}", *(f"{count:,}" for count in client["images_per_class"]))
        for client in data["clients"]
    )
    per_class = Table(("client", "images", *data["class_names"]), rows, "Images of each class at each client.")
    return Section("Data card", tables=(Table(_FACTS, facts), per_class))


def _listed(section: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {section[name]}" for name in names if section.get(name) is not None)
