# Tocsin: `make up` starts everything from a fresh clone, `make test` runs every test.
PYTHON ?= python3
PORT ?= 8700
DATA ?= data
VENV := .venv
BUILD := .venv-build
BIN := $(VENV)/bin
KERNELS := $(wildcard src/tocsin/flow/wide/*.py src/tocsin/methods/*.py)

.PHONY: setup up test test-slow test-crash lint bench clean
.DEFAULT_GOAL := setup

$(VENV)/.base: requirements/base.txt
	@echo "[1/4] Python environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tocsin needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	@echo "[+] tools for the tests"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(BUILD)/.ready: requirements/build.txt
	@echo "[2/4] build environment in $(BUILD)"
	@test -x $(BUILD)/bin/python || $(PYTHON) -m venv $(BUILD)
	@$(BUILD)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@touch $@

setup: $(VENV)/.base $(BUILD)/.ready
	@echo "[3/4] console and package"
	@$(BUILD)/bin/python build_console.py
	@test -x $(BIN)/tocsin -a $(VENV)/.linked -nt pyproject.toml || { rm -rf dist/editable && mkdir -p dist/editable \
	  && $(BUILD)/bin/python -c "from hatchling.build import build_editable; build_editable('dist/editable')" \
	  && $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --force-reinstall dist/editable/*.whl \
	  && touch $(VENV)/.linked; }
	@$(MAKE) --no-print-directory $(VENV)/.kernels

# Compiled once here, so that no start has to: a minute or two.
$(VENV)/.kernels: $(KERNELS)
	@echo "[4/4] kernels of the data plane"
	@$(BIN)/tocsin warm --quiet
	@touch $@

up: setup
	@exec $(BIN)/tocsin up --demo --data-dir $(DATA) --port $(PORT)

test: setup $(VENV)/.dev
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "not slow"

test-slow: setup $(VENV)/.dev
	@$(BIN)/python -m pytest -q -m slow

# The crash suite at all 50 positions (make test takes a sample of them).
test-crash: setup $(VENV)/.dev
	@$(BIN)/python -m pytest -q -n 2 -m slow tests/crash

lint: setup $(VENV)/.dev
	@$(BIN)/ruff format --check src tests benchmarks
	@$(BIN)/ruff check src tests benchmarks
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup
	@for name in $$($(BIN)/python -m benchmarks --list); do $(BIN)/python -m benchmarks $$name || true; done

clean:
	@rm -rf $(VENV) $(BUILD) src/tocsin/server/console console/node_modules
