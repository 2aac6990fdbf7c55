# Everything runs in .venv, which is made on first use; a machine needs Python 3.11 or later with venv and nothing else.

# The first of these that is new enough; PYTHON=/path/to/python chooses another. Distributions build theirs with
# profile-guided optimization, and tests take a sixth less time with it than with one that is built as usual.
PYTHON ?= $(shell for python in /usr/bin/python3 python3 python3.12 python3.13 python3.11 python; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
WORKERS ?= 2
# What the tests against PyTorch are run with: any requirement that pip understands, as torch==2.13.0.
TORCH ?= torch
# What the tests of LoRA adapters compare with: PEFT and what it imports beside PyTorch and transformers.
PEFT ?= peft accelerate psutil
# What a run in a bucket of Google Cloud Storage is tested with.
GCS ?= gcsfs google-cloud-storage gcp-storage-emulator
# Extras of setup.py in the environment; with `dev,tpu` the train step is also compiled for TPU slices.
EXTRAS ?= dev
VENV := .venv
RUN := $(VENV)/bin/python -m
# Tests start many processes, each of which would compile every module again.
export PYTHONDONTWRITEBYTECODE :=
INSTALLED := $(VENV)/installed
TORCH_VENV := .venv-torch
TORCH_RUN := $(TORCH_VENV)/bin/python -m
TORCH_FETCHED := $(TORCH_VENV)/fetched
TORCH_INSTALLED := $(TORCH_VENV)/installed

.PHONY: help demo test test-torch test-all lint format install clean

help:
	@echo "make demo        train a small model on embedded data, and generate and caption motions with it"
	@echo "make test        style, import contracts and tests: 10 minutes on two cores"
	@echo "make test-torch  the tests against PyTorch, which it installs beside (TORCH=torch==2.13.0 chooses a version)"
	@echo "make test-all    the slow tests as well, and those against PyTorch"
	@echo "make lint        style and import contracts alone"
	@echo "make format      puts the style right where a tool can"
	@echo "make clean       removes the environments and what was built"

demo: install
	$(RUN) motiongpt3_jax demo --out runs/demo

test: lint-style
	$(RUN) pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow" --durations=10 $(PYTEST_ARGS)

test-all: lint-style $(TORCH_INSTALLED)
	$(RUN) pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=20 $(PYTEST_ARGS)
	$(TORCH_RUN) pip install --quiet --disable-pip-version-check $(GCS)
	$(TORCH_RUN) pytest -m "torch or gcs"

test-torch: $(TORCH_INSTALLED)
	$(TORCH_RUN) pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "torch and not slow" --durations=5 $(PYTEST_ARGS)

lint: lint-style
	$(RUN) pytest -q tests/test_house.py

.PHONY: lint-style
lint-style: install
	$(RUN) ruff format --check
	$(RUN) ruff check

format: install
	$(RUN) ruff format
	$(RUN) ruff check --fix

install: $(INSTALLED)

# Python compiles modules as they are used; compiling all of them takes longer than installing them.
export PIP_NO_COMPILE := 1

.PHONY: python
python:
	@test -n "$(PYTHON)" || { echo "There is no Python 3.11 or later with venv here; set PYTHON=/path/to/python."; exit 1; }

$(INSTALLED): setup.py pyproject.toml | python
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

# PyTorch lies in an environment of its own, which borrows the packages of the other; that one stays as it is.
$(TORCH_FETCHED): setup.py pyproject.toml | python
	rm -rf $(TORCH_VENV)
	$(if $(wildcard $(INSTALLED)),$(VENV)/bin/python,$(PYTHON)) -m venv $(TORCH_VENV)
	$(TORCH_RUN) pip install --quiet --disable-pip-version-check '$(TORCH)'
	$(TORCH_RUN) pip install --quiet --disable-pip-version-check --no-deps $(PEFT)
	@touch $@

# `addsitedir` reads the other environment's .pth files too, among them that of this project.
$(TORCH_INSTALLED): $(INSTALLED) $(TORCH_FETCHED)
	$(VENV)/bin/python -c "import sysconfig; print('import site; site.addsitedir(%r)' % sysconfig.get_path('purelib'))" \
		> "$$($(TORCH_VENV)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/borrowed.pth"
	$(TORCH_VENV)/bin/python -c "import torch"
	@touch $@

clean:
	rm -rf $(VENV) $(TORCH_VENV) build dist .cache .ruff_cache .pytest_cache *.egg-info
