# Zvonar. `make` alone lists the targets. Every target sets up what it needs by itself (scripts/bootstrap.py).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
PY := .venv/bin/python
ZVONAR := .venv/bin/zvonar
PYTEST := $(PY) -m pytest
SETUP := $(PYTHON) -m scripts.bootstrap
FAST := $(wildcard tests/unit tests/sim tests/contract)
WHOLE := $(wildcard tests/integration tests/browser)
ARGS ?=

##@ Work with it

.PHONY: run
run: python3  ## The demonstration: private Asterisk, demo carrier, 200 leads, log-ins printed
	@$(SETUP) run
	@$(ZVONAR) demo $(ARGS)

.PHONY: serve
serve: python3  ## The call center itself, by config.yaml: no demo carrier, no demo people
	@$(SETUP) run
	@$(ZVONAR) run $(ARGS)

.PHONY: check-config
check-config: python3  ## Say everything that is wrong in config.yaml, with file, line and column
	@$(SETUP) run
	@$(ZVONAR) check-config $(ARGS)

.PHONY: verify
verify: python3  ## Check that the database keeps every promise: limits, hours, one call per lead
	@$(SETUP) run
	@$(ZVONAR) verify $(ARGS)

.PHONY: doctor
doctor: python3  ## Say what this machine has, what is missing and how to get it (needs no set-up)
	@$(PYTHON) -m scripts.doctor

##@ Set up

.PHONY: setup
setup: python3  ## Everything for `run` and `test`, ahead of time
	@$(SETUP) test

.PHONY: clean
clean:  ## Remove what set-up and tests made in this checkout; the database in var/ stays
	rm -rf node_modules web/static/vendor var/setup dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
	@if [ -L .venv ]; then rm .venv; else rm -rf .venv; fi

##@ Test

.PHONY: test
test: python3  ## All of it: lint, types, unit, simulation, contract, real Asterisk, browser
	@$(SETUP) test
	@$(MAKE) lint type sim SETUP=true
	$(PYTEST) $(FAST) $(WHOLE) $(ARGS)

.PHONY: test-unit
test-unit: python3  ## Unit and contract tests: seconds, no Asterisk
	@$(SETUP) unit
	$(PYTEST) $(wildcard tests/unit tests/contract) $(ARGS)

.PHONY: test-sim
test-sim: python3  ## The whole engine against a simulated switch, in virtual time
	@$(SETUP) unit
	$(PYTEST) tests/sim $(ARGS)

.PHONY: test-pacing
test-pacing: python3  ## The pacer's promises through 1,000 seeds of nasty shifts (11 minutes of one core)
	@$(SETUP) unit
	PACING_SEEDS=1000 $(PYTEST) tests/unit/test_pacing_properties.py $(ARGS)

SEEDS ?= 200
.PHONY: sim
sim: python3  ## Whole shifts with every fault in virtual time: SEEDS=200 histories, or one with SEED=7
	@$(SETUP) unit
	@$(PY) -m engine.sim $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(ARGS)

.PHONY: month
month: python3  ## A month of dialing in 11 zones with random deaths, judged by the texts of the rules (minutes; SEED=7)
	@$(SETUP) unit
	@$(PY) -m tests.sim.month $(SEED)

.PHONY: mutants
mutants: python3  ## Put deliberate bugs into a copy, one at a time: does the test that is named for it notice?
	@$(SETUP) unit
	@$(PY) -m tests.mutants $(ARGS)

.PHONY: test-integration
test-integration: python3  ## Real SIP calls: private Asterisk, SIPp, baresip
	@$(SETUP) test
	$(PYTEST) tests/integration $(ARGS)

.PHONY: test-browser
test-browser: python3  ## The real pages in headless Chromium
	@$(SETUP) test
	$(PYTEST) tests/browser $(ARGS)

.PHONY: lint
lint: python3  ## Style and common slips (ruff), with formatting checked
	@$(SETUP) unit
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

.PHONY: type
type: python3  ## Types (mypy, strict)
	@$(SETUP) unit
	@$(PY) -m mypy

.PHONY: fmt
fmt: python3  ## Format the code and mend what ruff can mend
	@$(SETUP) unit
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

.PHONY: chaos
chaos: python3  ## Break the engine on a real Asterisk, fault by fault (a quarter of an hour; ARGS="--list")
	@$(SETUP) test
	@$(PY) -m bench.chaos $(ARGS)

##@ Generate

.PHONY: schema
schema: python3  ## Write the JSON Schema and the reference of config.yaml (config.schema.json, docs/config.md)
	@$(SETUP) run
	@$(ZVONAR) config schema > var/config.schema.json && mv var/config.schema.json config.schema.json
	@$(ZVONAR) config docs > var/config.md && mv var/config.md docs/config.md

.PHONY: i18n
i18n: python3  ## Gather the words of code and pages into the translation files
	@$(SETUP) unit
	@mkdir -p var
	@.venv/bin/pybabel -q extract -F babel.cfg -k N_ -k t -k tn:1,2 --sort-by-file --no-location -o var/messages.pot .
	@for language in ru uk en; do \
		file=web/locale/$$language/LC_MESSAGES/messages.po; verb=update; [ -f $$file ] || verb=init; \
		.venv/bin/pybabel -q $$verb -i var/messages.pot -o $$file -l $$language; done

.PHONY: machines
machines: python3  ## Draw the state machines of the core (docs/machines)
	@$(SETUP) unit
	@$(PY) -m scripts.draw_machines

##@ Measure

.PHONY: bench-ari
bench-ari: python3  ## Originates per second: our ARI client beside raw aiohttp and asyncari
	@$(SETUP) test
	@$(PY) -c "import asyncari" 2>/dev/null || $(PY) -m pip install -q --require-hashes -r requirements/bench.lock || true
	@$(PY) -m bench.ari $(ARGS)

.PHONY: bench-latency
bench-latency: python3  ## From answer to agent and to screen-pop, beside the raw ARI floor
	@$(SETUP) test
	@$(PY) -m bench.latency $(ARGS)

.PHONY: bench-pacing
bench-pacing: python3  ## The pacing algorithm beside the known ones, on simulated shifts
	@$(SETUP) unit
	@$(PY) -m bench.pacing $(ARGS)

.PHONY: bench-pacing-engine
bench-pacing-engine: python3  ## The same pacer in the whole engine: a working day in virtual time, beside the judge
	@$(SETUP) unit
	@$(PY) -m bench.pacing_engine $(ARGS)

.PHONY: bench-pacing-real
bench-pacing-real: python3  ## Predictive against progressive on a real Asterisk, counted by the carrier
	@$(SETUP) test
	@$(PY) -m bench.pacing_real $(ARGS)

.PHONY: bench-desk
bench-desk: python3  ## 300 desks on one engine: answer to painted card, button to answer, memory, page weight
	@$(SETUP) test
	@$(PY) -m bench.desk $(ARGS)

.PHONY: bench-returning
bench-returning: python3  ## 300 desks in calls, the server killed: how soon each has its screen again
	@$(SETUP) test
	@$(PY) -m bench.returning $(ARGS)

.PHONY: bench-floor
bench-floor: python3  ## What one fact costs the core, with 30, 100 and 300 agents
	@$(SETUP) unit
	@$(PY) -m bench.floor $(ARGS)

.PHONY: bench-leads
bench-leads: python3  ## Import, claims, explanations and loop lag at 10k, 100k and 1M leads, beside SQLite's own floor
	@$(SETUP) unit
	@$(PY) -m bench.leads $(ARGS)

##@ Help

.PHONY: help
help:  ## This list
	@[ -t 1 ] && bold='\033[1m' plain='\033[0m' || bold='' plain=''; awk -v bold="$$bold" -v plain="$$plain" ' \
		BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s%s%s\n", bold, substr($$0, 5), plain} \
		/^[a-z0-9-]+:.*## / {sub(/:.*/, "", $$1); printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Without Python nothing starts: as root it is fetched, otherwise it is asked for by name.
.PHONY: python3
python3:
	@command -v $(PYTHON) >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ "$(PYTHON)" = python3 ]; then \
			echo "set-up: no python3 here; installing it with apt-get"; \
			{ apt-get -qq install -y --no-install-recommends python3 python3-venv || { apt-get -qq update && \
			apt-get -qq install -y --no-install-recommends python3 python3-venv; }; } >/dev/null; \
		else echo "set-up: needs $(PYTHON) (3.11 or newer); ask an administrator for: apt-get install python3 python3-venv"; exit 1; fi; }
