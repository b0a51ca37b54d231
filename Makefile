# Everything a newcomer runs. Each target sets up what it needs; a second run is quick.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test check bench lock clean

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: setup
	$(BIN)/imageloom build deployments/recipes/colour-shapes.yaml

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m tests.benchmarks

# After a change of the dependencies in pyproject.toml.
lock: setup
	$(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --no-header --no-annotate --no-emit-options \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--extra dev --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) dist .imageloom datasets
