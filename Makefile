# Everything a newcomer needs: `make demo`, `make test`. Each sets up what it needs in .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# PyTorch is compared with in an environment of its own, so that it never decides the core's versions.
TORCH_VENV := .venv-torch
TORCH ?= torch==2.13.0

.PHONY: demo test lint test-slow test-torch clean

demo: $(VENV)/.demo
	$(BIN)/dkjax simulate configs/quickstart.toml

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

test-torch: $(TORCH_VENV)/.dev
	$(TORCH_VENV)/bin/python -m pytest -m torch

$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.demo

$(TORCH_VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(TORCH_VENV)
	$(TORCH_VENV)/bin/python -m pip install --quiet '$(TORCH)' --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(TORCH_VENV) runs
