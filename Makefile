# Two commands for a new machine with Python >= 3.11 (with venv) and make: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint types layers check screenshots screenshots-png soak bench bench-quick clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "qtui needs Python 3.11 or newer; set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed  ## run the document pipeline: the dashboard on a terminal, plain lines otherwise
	@$(BIN)/qtui run workflows/corpus.toml

test: $(VENV)/.installed  ## run the tests; properties with the same examples each time, `make soak` tries new ones
	$(BIN)/python -m compileall -q src  # as an installation does; else each of the 1,000 processes of the tests may compile it anew
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 4 --dist worksteal --hypothesis-profile=ci

lint: $(VENV)/.installed  ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed  ## mypy --strict
	$(BIN)/mypy

layers: $(VENV)/.installed  ## the import contracts
	$(BIN)/lint-imports

check: lint types layers test  ## all that a change must pass

screenshots: $(VENV)/.installed  ## make the pictures in screenshots/ from real runs
	$(BIN)/python screenshots/make.py

screenshots-png: $(VENV)/.installed  ## draw them as PNG files in build/, to look at
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target build/resvg 'resvg>=0.2'
	PYTHONPATH=build/resvg $(BIN)/python screenshots/png.py

soak: $(VENV)/.installed  ## what `make test` tries in part, in full: 20,000 worlds, 60,000 mutants of files, 200 kills
	$(BIN)/python -m compileall -q src
	QTUI_SOAK=1 $(BIN)/python -m pytest -n 2 tests/core tests/loaders/test_fuzzed_examples.py tests/cli/test_resume.py \
		tests/store/test_journal_faults.py tests/engine/test_contract.py tests/engine/test_chaos.py \
		tests/engine/test_command_lane.py

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

bench: $(VENV)/.bench  ## compare process units and commands with pools, make and ninja (several minutes)
	$(BIN)/python -m compileall -q src  # as an installation does; else each worker would compile what it imports
	$(BIN)/python -m benchmarks $(BENCH)

bench-quick: $(VENV)/.bench  ## see in seconds whether the benchmarks run
	$(BIN)/python -m benchmarks --quick $(BENCH)

clean:  ## remove what the other targets made
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
