# Turnup: `make demo` needs Python 3.11+, git and make, no root. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# what the environment holds; the stamp is newer than all of it once it was installed
STAMP := $(VENV)/.installed
ARGS ?=
TESTS ?= tests
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format lock peers clean

help: ## show this
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

setup: $(STAMP) ## create .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Turnup needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## an order becomes a service, a fault a credit, both a bill: make demo ARGS="--once --json FILE"
	@$(BIN)/turnup demo $(ARGS)

test: setup ## the tests, with the reason of every skip: make test TESTS=tests/runtime
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile -rs -m "not peers" $(TESTS) || test $$? -eq 5
	@# by themselves: they measure throughput; pytest exits with 5 where it finds nothing to run
	@$(BIN)/pytest -rs -m peers $(TESTS) || test $$? -eq 5

lint: setup ## ruff, types, and the laws of the house
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## let ruff put the code in shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# never names an index or a folder of wheels: those are the reader's own configuration
lock: ## compute requirements.lock anew from pyproject.toml
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	@$(BIN)/uv pip compile pyproject.toml --extra lab --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet --upgrade --output-file requirements.lock
	@! grep -nE '://|^ *(--index|--extra-index|--find-links|-i|-f) ' requirements.lock || { echo "requirements.lock names a host" >&2; exit 1; }

peers: ## install the real peers of tests marked `peers` (root, apt)
	@tools/install_peers

clean: ## remove the environment, caches and build results; the data in var/ stays
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
