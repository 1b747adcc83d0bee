# Two commands matter: `make run` (the main job on a demo library) and `make test` (all that must hold).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_QUIET := -qq --disable-pip-version-check

.PHONY: run test lint types imports unit faults install system benchmarks clean

run: $(STAMP)
	@$(BIN)/mobius demo

test: system install lint types imports unit

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "setting up $(VENV) (packages pinned in constraints.txt)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install $(PIP_QUIET) --constraint constraints.txt --upgrade pip
	@$(BIN)/python -m pip install $(PIP_QUIET) --constraint constraints.txt --editable . --group dev
	@touch $@

system:
	@sh .ci/system-packages

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadgroup

# every kill, every second kill, every failing call: hours; `make test` has all first kills and a share of the rest
faults: system $(STAMP)
	$(BIN)/python tests/faults/every_fault.py --write

benchmarks: $(STAMP)
	$(BIN)/python benchmarks/neighbours.py
	$(BIN)/python benchmarks/fingerprint.py
	$(BIN)/python benchmarks/watch_simulation.py --watches 1000

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
