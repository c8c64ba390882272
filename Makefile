# Every target does its own set-up: a fresh machine needs python >= 3.11 (with venv), make and a network.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS ?= all
DEMO_OUT ?= demo_out
# One file at a time on two processes: what a file sets up is made once.
PYTEST_ARGS ?= -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help venv test test-slow audit lint demo docs tutorials bench clean distclean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

venv: $(STAMP)  ## Make .venv with the tested versions of everything

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no python3 of version 3.11 to 3.13 found; install one or call: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "making $(VENV) failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(BIN)/uv: | $(BIN)/python
	$(BIN)/python -m pip install --quiet uv

$(STAMP): pyproject.toml constraints.txt | $(BIN)/uv
	$(BIN)/uv pip install --python $(BIN)/python -e '.[$(EXTRAS)]' -c constraints.txt
	@touch $@

test: $(STAMP)  ## Run the quick tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: $(STAMP)  ## Run every test that needs no GPU
	$(BIN)/python -m pytest -m "not gpu" $(PYTEST_ARGS)

audit: $(STAMP)  ## Look for known vulnerabilities of the tested versions; bill of materials in build/sbom.json
	$(BIN)/python .ci/audit

lint: $(STAMP)  ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo: $(STAMP)  ## Train the tiny model on a small slide, generate and report, in demo_out
	$(BIN)/infbrush demo --out $(DEMO_OUT)

docs: $(STAMP)  ## Build the documentation in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

tutorials: $(STAMP)  ## Run the tutorials in full and store their outputs
	$(BIN)/python tutorials/run.py

bench: $(STAMP)  ## Run the benchmarks; tables on the screen, JSON in benchmarks/results
	@for script in noise sparse_conv denoiser train_step loader sampling canvas floors plot; do echo "== $$script"; $(BIN)/python benchmarks/$$script.py || exit 1; done

clean:  ## Remove caches and the demo's output
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist $(DEMO_OUT)
	find infbrush_wsi tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## Remove the environment too
	rm -rf $(VENV)
