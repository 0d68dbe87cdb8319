# Two commands on a fresh machine: `make demo` and `make test`. Everything else is for people who change the code.
PYTHON ?= python3
SECONDS ?= 60
# Tests wait for servers more than they work: three at a time keep two cores busy. A module's tests share its servers, and the
# modules with the slow ones are begun first.
TOGETHER ?= 3
PYTEST = $(BIN)/python -m pytest --numprocesses $(TOGETHER) --dist loadfile --no-loadscope-reorder
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-all torture soak fuzz check lint bench bench-full servers lock audit-dependencies clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("chatferry needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/installed  ## load the sample chat log through the embedded broker into a SQLite file
	@mkdir -p demo
	$(BIN)/chatferry load examples/chat.jsonl --database sqlite:///demo/chat.db
	@$(BIN)/python examples/show.py demo/chat.db

test: $(VENV)/installed-dev  ## every test but the long ones; sets up what they need (Java, Kafka, MariaDB)
	@./tests/prepare
	$(PYTEST) -m "not long" $(PYTEST_ARGS)

test-all: $(VENV)/installed-dev  ## the same and the long ones: half an hour
	@./tests/prepare
	$(PYTEST) $(PYTEST_ARGS)

torture: $(VENV)/installed-dev  ## rounds of faults while lines flow, SEED=1 MINUTES=10: the same seed, the same faults
	@./tests/prepare
	$(BIN)/python -m tests.torture --seed $(or $(SEED),1) --minutes $(or $(MINUTES),10)

soak: $(VENV)/installed-dev  ## an hour of 1,000 lines a second and four chat systems: does memory, do descriptors, do threads grow?
	@./tests/prepare
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),60)

lint: $(VENV)/installed-dev  ## style, types and import borders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fuzz: $(VENV)/installed-dev  ## fuzz the parser for SECONDS=60; finds and crash-* go to .cache/fuzz
	@mkdir -p .cache/fuzz
	$(BIN)/python -m tests.fuzz -max_total_time=$(SECONDS) -max_len=2048 -dict=tests/fuzz/json.dict -artifact_prefix=.cache/fuzz/ .cache/fuzz tests/fuzz/corpus

check: lint test  ## what .ci/run does

bench: $(VENV)/installed-dev  ## every measure beside its baseline: some ten minutes
	@./tests/prepare
	$(BIN)/python -m benchmarks.install
	$(BIN)/python -m benchmarks.bench

bench-full: $(VENV)/installed-dev  ## the same with 10 M lines and 10 GB: about an hour
	@./tests/prepare
	$(BIN)/python -m benchmarks.install
	$(BIN)/python -m benchmarks.bench --full

servers: $(VENV)/installed  ## start a local Apache Kafka and MariaDB to play with; Ctrl-C ends them
	@./tests/prepare servers
	$(BIN)/python -m tests.services

lock: $(VENV)/installed-dev  ## write the lock files anew, with hashes
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --extra embedded --group build pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --group dev --constraint requirements.lock pyproject.toml --output-file requirements-dev.lock
	echo matrix-synapse | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 - --output-file tests/services/synapse-requirements.lock

audit-dependencies: $(VENV)/installed-dev  ## known vulnerabilities of what both lock files name; needs pypi.org
	$(BIN)/python -m tests.audit

clean:  ## remove what these commands made
	rm -rf $(VENV) demo .cache
