# Everything runs in .venv, which is made on first use; a machine needs Python 3.11 or later with venv and nothing else.

# The first of these that is new enough; PYTHON=/path/to/python chooses another.
PYTHON ?= $(shell for python in python3 python3.12 python3.13 python3.11 python; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
WORKERS ?= 2
# Further packages for the environment: torch, where the tests against PyTorch are to run.
EXTRAS ?=
VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/installed

.PHONY: help demo test test-all lint format install clean

help:
	@echo "make demo      train a small model on embedded data, and generate and caption motions with it"
	@echo "make test      style, import contracts and tests: at most 10 minutes on two cores"
	@echo "make test-all  the slow tests as well"
	@echo "make lint      style and import contracts alone"
	@echo "make format    puts the style right where a tool can"
	@echo "make clean     removes the environment and what was built"

demo: install
	$(RUN) motiongpt3_jax demo --out runs/demo

test: lint-style
	$(RUN) pytest -n $(WORKERS) --dist loadfile -m "not slow" --durations=10 $(PYTEST_ARGS)

test-all: lint-style
	$(RUN) pytest -n $(WORKERS) --dist loadfile --durations=20 $(PYTEST_ARGS)

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

$(INSTALLED): setup.py pyproject.toml
	@test -n "$(PYTHON)" || { echo "There is no Python 3.11 or later with venv here; set PYTHON=/path/to/python."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check $(EXTRAS) --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .cache .ruff_cache .pytest_cache *.egg-info
