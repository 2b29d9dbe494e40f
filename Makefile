# Two commands matter: `make demo` and `make test`. Both work in a fresh clone and install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA_DIR ?= ./data
STRATUM_PORT ?= 3333
HTTP_PORT ?= 8080
MINER ?= 1
MUTATION_PROCESSES ?= 1
SEEDS ?= 10000
ROUNDS ?= 200
SOAK_MINUTES ?= 60
MESSAGES ?= 10000000

.PHONY: demo test lint unit nightly soak asan fuzz audit bench mutation install clean

install: $(STAMP)

# uv only speeds up the installation; every package is pinned with its hash in requirements.lock.
$(STAMP): requirements.lock pyproject.toml hatch_build.py $(wildcard chains/*/_*.[ch] stratum/_*.[ch] pool/*/_*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "parapool needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==0.13.9
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --no-deps -e .
	@touch $@

# exec: a shell in between would be ended by Ctrl-C and make complain of it, although the demo stopped cleanly.
demo: install
	@MINER=$(MINER) exec $(BIN)/pool devnet demo -c deploy/devnet.yaml --data-dir $(DATA_DIR) \
	  --stratum-port $(STRATUM_PORT) --http-port $(HTTP_PORT)

test: install
	@sh tests/install-parts.sh
	@$(MAKE) --no-print-directory lint
	@sh tests/run-all.sh $(BIN)/pytest

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 20

unit: install
	@$(BIN)/pytest tests/unit tests/vectors

# Ten thousand seeds of each simulation; SEEDS=500 for fewer. What fails is printed with how to play it again. Between them an
# hour of each of our own networks under faults, and one of each with a pool above it; SOAK_MINUTES=5 for less. Then 200 rounds of kill -9 of front end, accountant,
# Redis and PostgreSQL under load, and of one process of several; ROUNDS=20 for fewer. A restart under 5,000 miners. Then twenty faults under load until 1,000
# blocks were found meanwhile, and eight floods beside honest miners. What is held to what: docs/reliability.md.
nightly: install
	@$(BIN)/python tests/sim/nightly.py --seeds $(SEEDS)
	@$(BIN)/pool simulate bk --full --jobs 2
	@$(BIN)/python tests/network/soak.py --kind bk --minutes $(SOAK_MINUTES)
	@$(BIN)/python tests/network/soak.py --kind parallel --minutes $(SOAK_MINUTES)
	@$(BIN)/python tests/network/pool_soak.py --kind bk --minutes $(SOAK_MINUTES)
	@$(BIN)/python tests/network/pool_soak.py --kind parallel --minutes $(SOAK_MINUTES)
	@sh tests/install-parts.sh
	@$(MAKE) --no-print-directory asan
	@$(BIN)/pytest -m nightly tests
	@PARAPOOL_ALL_POINTS=1 $(BIN)/pytest tests/sim tests/storage -k "every_point or wherever_it_is_killed"
	@PARAPOOL_KILL_ROUNDS=$(ROUNDS) $(BIN)/pytest tests/devnet/test_devnet_redis.py tests/devnet/test_devnet_front_ends.py \
	  -k "kill_rounds or killed_lose" -o log_cli=true -o log_cli_level=INFO
	@PARAPOOL_RESTART_MINERS=5000 $(BIN)/pytest tests/devnet/test_devnet_front_ends.py -k restart_gracefully
	@$(BIN)/python tests/faults/faults.py
	@$(BIN)/python tests/attacks/attacks.py

# A pool under load: half of the time 10,000 connections at 667 shares a second, half of it 5,000 at 1,667, with tips, auxiliary
# blocks and storms of reconnections; a verdict for each figure. SOAK_MINUTES=10 for less.
soak: install
	@$(BIN)/python tests/soak/soak.py --minutes $(SOAK_MINUTES)

# What of the share path is written in C, with AddressSanitizer and UBSan, and its tests with many more examples.
asan: install
	@$(BIN)/python tests/fuzz/share_kernel_asan.py

# Coverage-guided, over every target of tests/fuzz: ten million messages, eight of ten on a miner's connection, in about an hour of one
# core. MESSAGES=100000 for fewer. The fuzzer has no wheel for every machine, so it is installed only here.
fuzz: install
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --require-hashes -r tests/fuzz/requirements.lock
	@$(BIN)/python tests/fuzz/run.py --all --messages $(MESSAGES)

# Asks the advisory databases of PyPI about every pinned package; needs a network that reaches them.
audit: install
	@$(PYTHON) -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install -q --disable-pip-version-check pip-audit
	@$(VENV)/audit/bin/pip-audit --no-deps --disable-pip -r requirements.lock

# What a share costs, against a server that checks nothing; writes docs/performance.md. BENCH="--previous REF" or
# BENCH="--peer NAME=PORT,PID" to compare; a machine with nothing else to do.
bench: install
	@PYTHONPATH=. $(BIN)/python tests/bench/bench.py $(BENCH)

# Half an hour on one core. Afterwards: .venv/bin/mutmut show NAME, .venv/bin/mutmut run 'pool.payouts.compose*'.
mutation: install
	@rm -rf mutants
	@$(BIN)/mutmut run --max-children $(MUTATION_PROCESSES)
	@$(BIN)/python tests/mutation/report.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache mutants
