# Everything that is done by hand or by CI is one of these targets; there is no other runner.
#   demo       set all up, send sample mail through a gateway, print what became of it
#   test       set all up and run every test          test-fast  those that need no peer program and no long wait
#   check      linters, types, import contracts, house rules                          fmt        put the sources in form
#   bench      speed beside Postfix                    crash      kill -9 of every process under load, for long
#   vectors    only the tests on outside vectors       fuzz       generated and hostile input, for long
#   scan       known faults in what we depend on       generate   requirement files and tables made from their authority
# The parts below are files: a step is done again only when what it is made from has changed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := test
.PHONY: demo test test-fast check fmt bench crash vectors fuzz scan generate

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
STATE ?=
ARGS ?=

# ---- what they need: a virtual environment, pinned, hashed, with the source tree in it ----

# What the machine itself must have is looked at each time: it takes a moment, and machines change.
MACHINE := bash .ci/packages

.venv/.made:
	@$(MACHINE) python
	@"$$($(MACHINE) which-python)" -m venv --clear .venv
	@touch $@

.venv/.installed: .venv/.made requirements/test.txt pyproject.toml
	@$(PIP) --require-hashes -r requirements/test.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# An ACME server that our tests talk to, in an environment of its own.
.venv-acme/.installed: .venv/.made requirements/peer.txt
	@$(BIN)/python -m venv --clear .venv-acme
	@.venv-acme/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peer.txt
	@touch $@

# The packages of a peer that the tests talk to, pinned and hashed in package-lock.json; they run no script.
NODE_PEER := tests/interop/peers/node_modules/.installed
$(NODE_PEER): tests/interop/peers/package-lock.json
	@cd tests/interop/peers && npm ci --loglevel=error --ignore-scripts --omit=dev --no-audit --no-fund
	@touch $@

# ---- targets ----

demo: .venv/.installed
	@$(BIN)/python demo/run.py $(if $(STATE),--state $(STATE)) $(ARGS)

test: .venv/.installed .venv-acme/.installed
	@$(MACHINE) peers
	@$(MAKE) --no-print-directory --silent $(NODE_PEER)
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-fast: .venv/.installed
	@LETTERLOCK_TEST_FAST=1 $(BIN)/python -m pytest -m "not slow and not peer" -n 2 --dist loadfile --ignore tests/house $(ARGS)

check: .venv/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest tests/house

fmt: .venv/.installed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: .venv/.installed
	@$(MACHINE) peers
	@$(BIN)/python bench/run.py $(ARGS)

crash: .venv/.installed
	@$(BIN)/python bench/crash.py $(ARGS)

vectors: .venv/.installed
	@$(MACHINE) peers
	@$(BIN)/python -m pytest $(wildcard tests/vectors) tests/foreign $(ARGS)

# First the properties with many examples, then half an hour guided by coverage (FUZZ_SECONDS for another time).
fuzz: .venv/.installed
	@LETTERLOCK_FUZZ=long $(BIN)/python -m pytest tests/properties tests/attacks $(ARGS)
	@$(BIN)/python -m tests.fuzz.run --lines

scan: .venv/.installed
	@[ -x .make/scan/bin/pip-audit ] || { $(BIN)/python -m venv .make/scan && .make/scan/bin/python -m pip install --quiet pip-audit; }
	@.make/scan/bin/pip-audit --disable-pip --require-hashes -r requirements/run.txt $(ARGS)

# The two .txt are one resolution: test.txt is bound to run.txt by "-c run.txt".
COMPILE = ../$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options
define PAGES
from pathlib import Path
from letterlock.config import sample
from letterlock.policy.settings import reference
Path("docs/reference/configuration.md").write_text(sample.reference(), encoding="utf-8")
Path("docs/reference/settings.md").write_text(reference.reference(), encoding="utf-8")
endef
export PAGES
generate: .venv/.installed
	@$(BIN)/python -c "$$PAGES"
	@$(BIN)/python -m tests.interop.document
	@cd requirements && $(COMPILE) -o run.txt run.in && $(COMPILE) -o test.txt test.in && $(COMPILE) -o peer.txt peer.in
