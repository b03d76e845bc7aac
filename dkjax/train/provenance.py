"""What stands beside results: what was asked for, and what it ran on."""

from typing import Any

from pydantic import BaseModel

from dkjax.config import config_hash, resolved
from dkjax.runtime import machine


def provenance(config: BaseModel) -> dict[str, Any]:
    """Say what was asked for and what it ran on."""
    return {
        "config": resolved(config),
        "config_hash": config_hash(config),
        "versions": machine.versions(),
        "device": machine.device(),
    }
