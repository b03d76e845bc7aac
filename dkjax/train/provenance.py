"""Provenance of results: configuration, versions and device."""

from typing import Any

from pydantic import BaseModel

from dkjax.config import config_hash, resolved
from dkjax.runtime import machine


def provenance(config: BaseModel) -> dict[str, Any]:
    """Return configuration, versions and device."""
    return {
        "config": resolved(config),
        "config_hash": config_hash(config),
        "versions": machine.versions(),
        "device": machine.device(),
    }
