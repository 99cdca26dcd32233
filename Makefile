# Every target sets up what it needs: `make demo` and `make test` work on a fresh machine.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3.11
BIN := .venv/bin
DEMO := var/demo
PICTURES ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE # a command that compiles all its modules anew takes a quarter longer; tests start hundreds

.PHONY: setup machine demo test-fast test test-long mutants check bench docs texts site lock clean

setup: machine .venv/.installed ## the environment in .venv, as requirements.lock has it

machine:
	@PYTHON="$(PYTHON)" bash .ci/system

# pyspark comes as a source archive: its builder is installed first, from the same lock, so that nothing
# unpinned is fetched to build it. torch stands beside the lock: its builds for processors and for each kind of
# GPU share one version number but no hash, so pip takes the one that this machine's package index offers.
.venv/.installed: requirements.lock pyproject.toml | machine
	@echo "Setting up .venv (some minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@awk '/^[a-z]/ { keep = /^setuptools==/ } keep' requirements.lock > .venv/builder.txt
	@$(BIN)/python -m pip install -qq --require-hashes -r .venv/builder.txt
	@$(BIN)/python -m pip install -qq --require-hashes --no-deps --no-build-isolation --use-pep517 -r requirements.lock
	@$(BIN)/python -m pip install -qq "$$(sed -n 's/^ *"\(torch==[0-9.]*\)".*/\1/p' pyproject.toml)"
	@$(BIN)/python -m pip install -qq --no-build-isolation --no-deps -e .
	@$(BIN)/python -m pip check -qq
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true # a command starts three times as fast; some files are no Python 3
	@$(BIN)/python -m erios.workflows.spark_classes 2>.venv/spark-classes.log || true # Spark starts twice as fast
	@touch $@

demo: setup ## the demonstration on a generated hospital, then served; FAST=1 for a small one
	@ERIOS_HOME=$(DEMO) $(BIN)/erios demo $(if $(FAST),--fast) $(if $(NO_SERVE),--no-serve) $(if $(RESTART),--restart)

test-fast: setup ## rules, units and properties, with few examples: no Spark, cluster, browser or PostgreSQL; about four minutes on two cores
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow and not long" --hypothesis-profile=fast tests/unit tests/spec tests/property

test: setup ## all tests but the full-size ones
	@PYTHON="$(PYTHON)" bash .ci/system tests
	@$(BIN)/python -m pytest -m "not long" -n logical --maxprocesses=4 --dist loadfile --no-loadscope-reorder

test-long: setup ## the full-size sets; their figures go to docs/figures.md
	@PYTHON="$(PYTHON)" bash .ci/system tests
	@$(BIN)/python -m pytest -m long --figures docs/figures.md

mutants: setup ## the mutation score of the modules whose rules protect people; takes most of an hour
	@$(BIN)/python -m tests.mutants

check: setup ## style, types, and the floors of the house
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: setup ## resources/s, MB/s and peak memory on 1x, 2x and 4x data; takes minutes
	@$(BIN)/python -m tests.bench

docs: setup ## the generated pages
	@$(BIN)/python -m docs.generated_pages

texts: setup ## the catalogues of texts: what is new is added without a translation, and all are compiled
	@$(BIN)/python -m tests.texts

site: setup ## the documentation in build/site, with pictures of the running product; PICTURES= takes none anew
ifneq ($(PICTURES),)
	@PYTHON="$(PYTHON)" bash .ci/system tests
	@$(BIN)/python docs/pictures.py
endif
	@$(BIN)/python -m sphinx -q -W --keep-going -d build/doctrees docs build/site

lock: setup ## pin the environment anew from pyproject.toml
	@$(BIN)/uv pip compile -q pyproject.toml --group dev --generate-hashes --python-version 3.11 \
	  --no-emit-index-url --no-emit-find-links --no-emit-package torch --no-header --upgrade -o .venv/new.lock
	@{ echo '# The whole environment, pinned and hashed. Written by `make lock` from pyproject.toml; do not edit.'; \
	  cat .venv/new.lock; } > requirements.lock

clean: ## caches and the demonstration; never data, never .venv
	@rm -rf $(DEMO) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find erios etl experiments validation tests -name __pycache__ -type d -prune -exec rm -r {} +
