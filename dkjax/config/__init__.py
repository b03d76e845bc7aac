"""Typed configuration: frozen models (`schema`), read from TOML and checked (`load`).

`resolved` is a whole configuration with every default filled in; `config_hash` names what of it decides the results:
two runs with the same hash were asked for the same thing.
"""

from dkjax.config.load import (
    asked_for,
    config_hash,
    load_as,
    load_config,
    nearest,
    parse_as,
    parse_config,
    resolved,
)
from dkjax.config.schema import (
    ArmConfig,
    AugmentConfig,
    ClientsConfig,
    ClientWeights,
    DataConfig,
    EncryptConfig,
    ExperimentConfig,
    FederatedConfig,
    KeysConfig,
    LabelColumns,
    ModelConfig,
    PlanConfig,
    PlanDataConfig,
    SchemeConfig,
    ServerConfig,
    ServerDataConfig,
    SimulationConfig,
    StoreConfig,
    TrainConfig,
    fixed_count,
)
from dkjax.config.starter import First, starter_config

__all__ = [
    "starter_config",
    "First",
    "load_config",
    "load_as",
    "parse_config",
    "parse_as",
    "resolved",
    "asked_for",
    "config_hash",
    "nearest",
    "fixed_count",
    "SimulationConfig",
    "ExperimentConfig",
    "FederatedConfig",
    "EncryptConfig",
    "ServerConfig",
    "PlanConfig",
    "DataConfig",
    "LabelColumns",
    "ServerDataConfig",
    "PlanDataConfig",
    "ClientsConfig",
    "KeysConfig",
    "SchemeConfig",
    "StoreConfig",
    "AugmentConfig",
    "ModelConfig",
    "TrainConfig",
    "ClientWeights",
    "ArmConfig",
]
