# make demo | test | chaos | bench | lint | format | clean. Each installs what it needs into .venv, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet -c constraints.txt
INSTALLED := $(VENV)/installed
INSTALLED_TEST := $(VENV)/installed-test
CODE = $(wildcard cli.py hpo search_spaces storage tests benchmarks examples)

BENCHMARKS := throughput steps scaling startup time_to_target centre

# Times are measured by the full form, which has the machine to itself.
CHAOS_PROCESSES = $(if $(findstring --short,$(ARGS)),3,0)

DEMO := HPO_STORAGE=sqlite:///demo/hpo.db $(BIN)/hpo

.PHONY: help demo test chaos bench lint format clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    run a small study on bundled data, in the folder demo/"
	@echo "make test    run the tests, check style and types (ARGS='-k claims': some of the tests)"
	@echo "make chaos   run studies under faults; writes docs/reliability.md (ARGS=--short: small studies)"
	@echo "make bench   measure speed, on MNIST (BENCHMARKS='steps startup': some of the benchmarks)"
	@echo "make lint    check style and types"
	@echo "make format  sort imports and format the code"
	@echo "make clean   remove caches, builds and the demo; keep .venv"

demo: $(INSTALLED)
	mkdir -p demo
	$(DEMO) study create --architecture siamese --dataset digits --trials 12 --folds 3 --epochs 10 --repeats 5 --if-not-exists
	$(DEMO) worker --study siamese
	$(DEMO) study show siamese
	$(DEMO) export siamese -o demo/best.yaml

test: $(INSTALLED_TEST)
	$(BIN)/python -m pytest $(ARGS)

chaos: $(INSTALLED_TEST)
	$(BIN)/python -m pytest tests/chaos tests -o 'norecursedirs=.* __pycache__' -m chaos -n $(CHAOS_PROCESSES) --dist loadgroup --timeout 900 $(ARGS)

bench: $(INSTALLED_TEST)
	@for benchmark in $(BENCHMARKS); do echo; PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m benchmarks.$$benchmark || exit; done

lint: $(INSTALLED_TEST)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)

format: $(INSTALLED_TEST)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean:
	rm -rf build dist demo .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: name a Python of 3.11 or newer, as in make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): hpo needs 3.11 or newer, as in make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.[postgres,mysql]'
	@touch $@

$(INSTALLED_TEST): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.[test]'
	@touch $@ $(INSTALLED)
