# `make demo` and `make test` are all that a newcomer needs; both make the environment first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUTPUT := results

# Compiled bytecode and compiled kernels are kept: without them each start costs seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test quick check format dev notebooks fuzz faults baseline selftest clean

help: ## List the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

# The environment. One stamp says that what running needs is installed, the other what developing
# needs. A change of the project's metadata or of the pins makes both old; nothing else reinstalls.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "hanse needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; try: make PYTHON=python3.12 demo")'
	$(PYTHON) -m venv $(VENV)

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Setuptools reminds on each editable install that folders may shadow packages; ours are meant to.
EDITABLE = PYTHONWARNINGS=ignore $(INSTALL) --build-constraint constraints.txt --editable .

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing hanse into $(VENV) (some minutes the first time)"
	@$(INSTALL) --upgrade pip
	@$(EDITABLE)
	@touch $@

# The dev group contains all of the above, so its stamp renews both. pip reads groups since 25.1,
# which is newer than what most Pythons bring, hence the upgrade.
$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing hanse and its development tools into $(VENV) (some minutes the first time)"
	@$(INSTALL) --upgrade pip
	@$(EDITABLE) --group dev
	@touch $(VENV)/.installed $@

demo: $(VENV)/.installed ## Run the main job, the ladder on the baseline, and say where its page is
	$(BIN)/hanse compare baseline -o $(OUTPUT)/baseline

test: $(VENV)/.installed-dev ## Run all tests, the slow ones too
	$(BIN)/python -m pytest -n logical --dist loadfile

dev: $(VENV)/.installed-dev ## Make the environment with the development tools

quick: $(VENV)/.installed-dev ## Run the tests that are not slow
	$(BIN)/python -m pytest -n logical --dist loadfile -m "not slow"

check: $(VENV)/.installed-dev ## Lint, check format and types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p hanse -p benchmarks
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-dev ## Mend format and import order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: $(VENV)/.installed-dev ## Execute the notebooks; the executed copies go to results/notebooks
	$(BIN)/python -m nbconvert --to notebook --execute --output-dir $(OUTPUT)/notebooks notebooks/*.ipynb

selftest: $(VENV)/.installed ## Check the cases whose answer is known on paper
	$(BIN)/hanse selftest

fuzz: $(VENV)/.installed-dev ## Fuzz the decoders for ten minutes, guided by coverage; stops at what breaks one
	@$(INSTALL) --group fuzz
	$(BIN)/python -m tests.fuzz.guided $(OUTPUT)/fuzz -artifact_prefix=$(OUTPUT)/ -max_len=2048 -max_total_time=600

faults: $(VENV)/.installed-dev ## Kill, fill and fail sweeps in every way, and say whether a run was lost
	$(BIN)/python -m tests.faults

baseline: $(VENV)/.installed-dev ## Rewrite the pinned regression run; the commit explains its difference
	$(BIN)/python -m tests.pin_baseline

clean: ## Remove caches and built files; keeps the environment and the results
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find hanse market agents verification scenarios tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
