# Everything a newcomer runs. Each target sets up what it needs; a second run is quick.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
LOCAL := .venv-local

.PHONY: setup demo test test-e2e test-local check bench soak lock clean

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: setup
	$(BIN)/imageloom build deployments/recipes/colour-shapes.yaml

# Files of tests side by side, each process with a Prefect server of its own, in the order of their names.
test: setup
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Minutes: Ray, Prefect over PostgreSQL, Prefect's pages in a browser, schedules that fire by themselves.
test-e2e: setup
	$(BIN)/python -m pytest tests/e2e

# Models computed on this machine; torch is large, so it has an environment of its own.
test-local: $(LOCAL)/.installed
	$(LOCAL)/bin/python -m pytest tests/local

$(LOCAL)/.installed: requirements.lock requirements-local.lock pyproject.toml
	$(PYTHON) -m venv $(LOCAL)
	$(LOCAL)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock -r requirements-local.lock
	$(LOCAL)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m tests.benchmarks

# Kills a build -9 forty times; about three minutes.
soak: setup
	$(BIN)/python -m tests.benchmarks.soak --kills 40 --prompts 400 --seed 1

# After a change of the dependencies in pyproject.toml.
lock: setup
	$(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --no-header --no-annotate --no-emit-options \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--extra dev --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) $(LOCAL) dist
