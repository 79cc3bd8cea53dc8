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
# The site that the targets below work in; one that is not there is made, with a sample.
SITE ?= demo
CTL := $(BIN)/retrainctl --config $(SITE)/config.yaml
BY_HAND := setup-model-infrastructure train-models evaluate-models register-models validate-models promote-champion \
    pipeline-training-basic pipeline-training-registry pipeline-training-full pipeline-training-prod \
    generate-model-reports monitor-model-drift retrain-scheduled retrain-performance
.PHONY: help run test test-long lint bench bench-when clean $(BY_HAND)

help:  ## what can be made
	@sed -n 's/^\([a-z-]*\):.*##  */\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r t w; do printf 'make %-26s %s\n' "$$t" "$$w"; done

run: $(VENV)/.installed  ## make a sample site in demo/, start the daemon on it and watch it work
	@$(BIN)/retrainctl demo demo

test: lint  ## everything CI checks: lint, types, contracts, tests
	@echo "tests: pytest"
	@$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(TESTS)

# The full matrices behind docs/guarantees.md. TESTS=tests/jobs runs one folder's.
test-long: $(VENV)/.installed-for-tests  ## break it on purpose, everywhere: half an hour; prints what was tried
	@$(BIN)/python -m pytest -q -m long -n $(TEST_PROCESSES) --dist load $(TESTS)

lint: $(VENV)/.installed-for-tests  ## ruff, mypy --strict and the import contracts
	@echo "lint: ruff"; $(BIN)/ruff check --quiet daemon cli tests $(wildcard bench)
	@echo "lint: mypy"; $(BIN)/mypy
	@echo "lint: import contracts"; $(BIN)/lint-imports --no-cache --no-logo

bench: $(VENV)/.installed-for-tests  ## the quick benchmarks, each beside its target
	@set -e; for b in idle drift policy; do echo "bench/$$b.py"; $(BIN)/python "bench/$$b.py"; done

# The long ones, on the real sales beside the checkout: make bench-accuracy and bench-when (half an hour each),
# bench-loop (the daemon through 65 weeks, half an hour), bench-policy-chance (three minutes). On an invented record of
# 100,000 events: make bench-explain (ten minutes).
bench-when: $(VENV)/.installed-for-tests
	@$(BIN)/python bench/when_to_retrain.py

bench-policy-chance: $(VENV)/.installed-for-tests
	@$(BIN)/python bench/policy_chance.py

bench-%: $(VENV)/.installed-for-bench
	@$(BIN)/python bench/$*.py

# ---- by hand: each asks the daemon that runs on SITE, or starts one that ends when nothing is left to do ----

$(SITE)/config.yaml: | $(VENV)/.installed
	@$(BIN)/retrainctl init $(SITE) --sample

setup-model-infrastructure: $(SITE)/config.yaml  ## SITE, its journal, MLflow's store and experiment; works off the drops that lie there
	@$(CTL) work

train-models: $(SITE)/config.yaml  ## search the whole portfolio for every target now
	@$(CTL) retrain --search --now --wait --reason "make train-models"
	@$(CTL) runs show

evaluate-models: $(SITE)/config.yaml  ## the newest training beside doing nothing on its test days, and the champion on days that came since
	@$(CTL) work
	@$(CTL) runs show
	@$(CTL) scores

register-models: $(SITE)/config.yaml  ## finish what is pending, and list the versions in the registry
	@$(CTL) work
	@$(CTL) versions list

validate-models: $(SITE)/config.yaml  ## the policies and their tests, the journal's chain, and the newest training made again and compared
	@$(CTL) policy check
	@$(CTL) policy test
	@$(CTL) audit verify
	@$(CTL) runs reproduce

promote-champion: $(SITE)/config.yaml  ## what the newest training chose, to Production, where the policy allows it
	@$(CTL) runs promote --yes --reason "make promote-champion"

pipeline-training-basic: $(SITE)/config.yaml  ## refresh the champions' recipes on the newest data
	@$(CTL) work
	@$(CTL) retrain --now --wait --reason "make pipeline-training-basic"
	@$(CTL) runs show

pipeline-training-registry: train-models  ## a search, and what it registered
	@$(CTL) versions list

pipeline-training-full: train-models evaluate-models  ## a search, its figures, and what the policies made of it
	@$(CTL) versions list
	@$(CTL) status

pipeline-training-prod: pipeline-training-full validate-models  ## the same, checked: policies, journal, and every figure made again
	@$(CTL) status

generate-model-reports: $(SITE)/config.yaml  ## where each training's report lies
	@$(CTL) runs list --reports

monitor-model-drift: $(SITE)/config.yaml  ## measure the drops that came, and show what moved
	@$(CTL) work
	@$(CTL) drift show

retrain-scheduled: $(SITE)/config.yaml  ## for cron: a refresh that waits its turn like a schedule's
	@$(CTL) work
	@$(CTL) retrain --wait --reason "make retrain-scheduled"

retrain-performance: $(SITE)/config.yaml  ## a refresh because forecasts got worse, past the daily budget
	@$(CTL) work
	@$(CTL) scores
	@$(CTL) retrain --now --wait --reason "make retrain-performance"

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
