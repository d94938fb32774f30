# One command each; `.venv` makes itself, with uv when it is on PATH, otherwise with python's own venv and pip.
# Choose the interpreter with PYTHON=..., force pip with UV=, pass arguments on with ARGS="..." (make test ARGS="-k link").

# An interpreter that is named is the one that is used; only without a name is the first new enough one looked for.
ifeq ($(origin PYTHON),undefined)
PYTHONS := python3 python3.13 python3.12 python3.11
else
PYTHONS := "$(PYTHON)"
endif
UV ?= $(shell command -v uv 2>/dev/null)
ARGS ?=
# Files of tests run side by side. One file stays in one process, so its fixtures are made once.
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
BIN := .venv/bin
SHELL := /bin/sh

.DEFAULT_GOAL := help
.PHONY: help env demo test test-all bench lab lint format constraints browser clean clean-all

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

env: .venv/.stamp ## create or refresh .venv

# Each candidate is run, not only looked up: version managers put shims on PATH that do not work.
.venv/.stamp: pyproject.toml constraints.txt
	@set -e; found=; seen=; \
	for candidate in $(PYTHONS); do \
	  version=$$("$$candidate" --version 2>/dev/null) || continue; \
	  seen="$$seen $$candidate ($$version)"; \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "integrate needs Python >= 3.11; found:$${seen:- none}." \
	    "Install a newer one, or name it: make env PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	if [ -n "$(UV)" ]; then \
	  [ -x $(BIN)/python ] || "$(UV)" venv --python "$$found" .venv; \
	  "$(UV)" pip install --python $(BIN)/python -c constraints.txt -e '.[test,reference]' \
	    || { echo "uv could not install; with pip instead: make env UV=" >&2; exit 1; }; \
	else \
	  $(BIN)/python -m pip --version >/dev/null 2>&1 || "$$found" -m venv .venv; \
	  $(BIN)/python -m pip install -c constraints.txt -e '.[test,reference]'; \
	fi; \
	touch $@

demo: env ## run the main job on the shipped study
	$(BIN)/integrate demo $(ARGS)

test: lint browser ## lint, types and the fast tests (two files at a time; WORKERS=0 for one process)
	$(PYTEST) $(ARGS)

test-all: lint browser ## the same with the slow tests
	$(PYTEST) -m "not benchmark and not network" $(ARGS)

bench: env ## benchmarks; their numbers go in the docs with machine and date
	$(BIN)/python -m pytest -m benchmark -s tests/benchmarks tests/show $(ARGS)

lint: env ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lab: env ## JupyterLab on notebooks/
	$(BIN)/integrate lab notebooks $(ARGS)

constraints: env ## pin every dependency anew within the ranges of pyproject.toml (add ARGS=--upgrade for newer versions)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-annotate \
	  --custom-compile-command "make constraints" --output-file constraints.txt $(ARGS)

# Browser tests need Chromium. It is installed only where that takes no question; otherwise they are skipped.
browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null 2>&1 && exit 0; done; \
	root=; [ "$$(id -u)" = 0 ] || root="sudo -n"; \
	if command -v apt-get >/dev/null 2>&1 && $$root true 2>/dev/null; then \
	  $$root apt-get update -q && $$root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y chromium && exit 0; \
	fi; \
	echo "No Chromium found and none could be installed: the browser tests will be skipped."

clean: ## remove caches and what demos and tests wrote
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis test-results demo-*/
	find integrate tests -type d -name __pycache__ -prune -exec rm -rf {} +

clean-all: clean ## the same, and .venv
	rm -rf .venv
