# Everything a person types in this project. `make` alone lists it.

# The first Python that is new enough; say PYTHON=... to choose.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
    "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input install -c constraints.txt
# Two suites at once: more would compete with the trainings that some tests start.
TEST_PROCESSES ?= 2
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help run test lint bench bench-when clean

help:  ## what can be made
	@sed -n 's/^\([a-z]*\):.*##  */\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r t w; do printf 'make %-6s %s\n' "$$t" "$$w"; done

run: $(VENV)/.installed  ## make a sample site in demo/, start the daemon on it and watch it work
	@$(BIN)/retrainctl demo demo

test: lint  ## everything CI checks: lint, types, contracts, tests
	@echo "tests: pytest"
	@$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile $(TESTS)

lint: $(VENV)/.installed-for-tests  ## ruff, mypy --strict and the import contracts
	@echo "lint: ruff"; $(BIN)/ruff check --quiet daemon cli tests $(wildcard bench)
	@echo "lint: mypy"; $(BIN)/mypy
	@echo "lint: import contracts"; $(BIN)/lint-imports --no-cache --no-logo

bench: $(VENV)/.installed-for-tests  ## the quick benchmarks, each beside its target
	@set -e; for b in idle drift policy; do echo "bench/$$b.py"; $(BIN)/python "bench/$$b.py"; done

# The long ones, on the real sales beside the checkout: make bench-accuracy (minutes), bench-when (half an hour),
# bench-loop (the daemon through 65 weeks, half an hour).
bench-when: $(VENV)/.installed-for-tests
	@$(BIN)/python bench/when_to_retrain.py

bench-%: $(VENV)/.installed-for-bench
	@$(BIN)/python bench/$*.py

clean:  ## remove the environment, the demo site and what the tools leave
	rm -rf $(VENV) demo dist bench/results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find daemon cli tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp file tells that the environment fits pyproject.toml and constraints.txt.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "retraind needs Python 3.11 or newer: install python3 (on Debian: python3 python3-venv)" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "setting up $(VENV) with $(PYTHON)"; \
	    $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no venv: on Debian, apt-get install python3-venv" >&2; exit 1; }; }
	@echo "installing retraind and what it needs (once; a minute or two)"
	@$(PIP) -e .
	@$(BIN)/python -m compileall -q daemon cli  # each job is a new process: it must not compile us anew
	@touch $@

$(VENV)/.installed-for-bench: $(VENV)/.installed-for-tests
	@echo "installing what is measured beside us"
	@$(PIP) -e '.[bench]'
	@touch $@

$(VENV)/.installed-for-tests: $(VENV)/.installed
	@echo "installing what the tests need"
	@$(PIP) -e '.[test,lint]'
	@touch $@
