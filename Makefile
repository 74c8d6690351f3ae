# Every habit is one command. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help

.PHONY: help demo test lint types layers unit integration compat acceptance fault-tests faults bench bench-test lock clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or later is needed; set PYTHON=" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.local: $(VENV)/.made requirements.lock pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.made requirements-dev.lock pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

demo: $(VENV)/.local ## Run a firm through the whole pipeline, checked by the oracle
	$(BIN)/tallystream demo $(DEMO)

test: lint types layers unit integration acceptance fault-tests ## Lint, types, layers and all tests

lint: $(VENV)/.dev ## ruff: rules and format; no float where hours and money are computed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/support/no_floats.py

types: $(VENV)/.dev ## mypy, strict
	$(BIN)/mypy

layers: $(VENV)/.dev ## import-linter: streams below, agents and connectors apart
	$(BIN)/lint-imports

unit: $(VENV)/.dev ## Tests without I/O, on all cores
	$(BIN)/pytest -q -n auto --dist worksteal tests/unit

integration: $(VENV)/.dev ## Tests with real servers
	$(BIN)/pytest -q --ignore=tests/integration/compat tests/integration
	$(BIN)/pytest -q tests/integration/compat

compat: $(VENV)/.dev ## Of these, those beside Debezium itself on Kafka Connect (fetches 200 MB once; needs Java and Maven)
	$(BIN)/pytest -q tests/integration/compat

acceptance: $(VENV)/.dev ## Whole flows, the demo, the installed wheel
	$(BIN)/pytest -q tests/acceptance
	$(BIN)/pytest -q -m "not slow" tests/bench

bench-test: $(VENV)/.dev ## A small benchmark of both programs, on real brokers
	$(BIN)/pytest -q tests/bench

fault-tests: $(VENV)/.dev ## Kills under load, the part that CI runs
	$(BIN)/pytest -q tests/faults

faults: $(VENV)/.dev ## All faults of the PostgreSQL source, of workers and of brokers; renews the tables in tests/faults (needs Java; an hour)
	FAULTS=full $(BIN)/pytest -q -s tests/faults/test_source_processes.py tests/faults/test_source_servers.py \
	  tests/faults/test_source_network.py tests/faults/test_source_losses.py tests/faults/test_source_memory.py \
	  tests/faults/test_worker_rebalances.py
	FAULTS=full $(BIN)/pytest -q -s tests/faults/test_cluster_kills.py tests/faults/test_cluster_network.py \
	  tests/faults/test_cluster_surroundings.py
	FAULTS=full $(BIN)/pytest -q tests/unit/topology

bench: $(VENV)/.dev ## The billing flow beside a plain Faust agent
	$(BIN)/tallystream bench agents $(BENCH)

lock: ## Resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --extra local --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --custom-compile-command "make lock" --quiet -o requirements.lock
	uv pip compile pyproject.toml --extra local --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --custom-compile-command "make lock" --quiet -o requirements-dev.lock

clean: ## Remove the environment and caches
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
