# Every target does the set-up it needs; PYTHON chooses the interpreter (3.10 or newer) for the virtual environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: setup demo test test-slow check bench mini clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $(STAMP)

demo: setup
	$(BIN)/geodiff-sar demo

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 6 --dist loadfile

test-slow: setup
	$(BIN)/python -m pytest -m slow

bench: setup
	$(BIN)/python benchmarks/train_step.py
	$(BIN)/python benchmarks/generate.py

mini: setup
	$(BIN)/geodiff-sar pretrain --config configs/mini/mini.toml
	$(BIN)/geodiff-sar pretrain --config configs/mini/round2.toml

clean:
	rm -rf $(VENV) dist build
