# `make run` and `make test` need Debian, Python 3.11 or later, and nothing set up beforehand.
PYTHON ?= $(shell scripts/choose-python)
PYTEST_ARGS ?=
BENCH_ARGS ?= --json bench.json
ARGS ?=
SWEEP ?= all
BASE ?= HEAD
BIN := .venv/bin
# The tests start hundreds of nodes: each would compile all its modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test lint types unit conformance chaos bench bench-sweep bench-compare clean

help:
	@echo 'make run     a cluster of three nodes on ports 5379, 6379 and 7379, data in ./data; Ctrl-C stops it'
	@echo 'make test    lint, types and tests (PYTEST_ARGS="-k word" for some of them)'
	@echo 'make conformance  a million random commands, at this node and at a redis-server, with the same replies'
	@echo 'make chaos   faults against real nodes (ARGS="--nodes 3,5 --jobs 4 --seed 7 --minutes 30")'
	@echo 'make bench   throughput, latency, cost and failover of three nodes (BENCH_ARGS="--quick" within a minute)'
	@echo 'make bench-sweep    the same with clients, values, mixes, keys, reads and nodes varied (SWEEP="nodes,reads")'
	@echo 'make bench-compare  this version beside another (BASE=commit); fails if a workload is worse by 10% and more'
	@echo 'make clean   remove what the other targets made, but not ./data'

run: .venv/run.stamp
	@exec $(BIN)/python -m leto.process.localcluster

test: lint types unit

lint: .venv/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/test.stamp
	$(BIN)/mypy

unit: .venv/test.stamp
	@command -v redis-cli >/dev/null || scripts/apt-install redis-tools || \
		echo 'leto: no redis-cli on PATH; the tests that drive it, or redis-server, will say so' >&2
	@command -v strace >/dev/null || scripts/apt-install strace || \
		echo 'leto: no strace on PATH; the tests of disk errors let the calls fail in the process instead' >&2
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

# The same streams of random commands at a node in memory and at a redis-server: ARGS="--first 5000 --families lists".
conformance: .venv/test.stamp
	@command -v redis-server redis-check-rdb >/dev/null || scripts/apt-install redis-tools
	$(BIN)/python -m tests.conformance --commands 1000000 $(ARGS)

# Kills, pauses, partitions and the rest against real processes; every reply is held against linearizability.
chaos: .venv/test.stamp
	@command -v ip >/dev/null || scripts/apt-install iproute2 || \
		echo 'leto: no ip on PATH: the nodes share loopback, behind proxies' >&2
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || scripts/apt-install libfaketime || \
		echo 'leto: no libfaketime: clocks are left alone' >&2
	$(BIN)/python -m tests.chaos $(ARGS)

bench: .venv/run.stamp
	@command -v redis-benchmark >/dev/null || scripts/apt-install redis-tools || \
		echo 'leto: no redis-benchmark on PATH; leto bench makes the load itself' >&2
	@$(BIN)/python -m leto.main bench $(BENCH_ARGS)

bench-sweep: .venv/run.stamp
	@$(BIN)/python -m leto.main bench --sweep $(SWEEP) --json sweep.json $(ARGS)

bench-compare: .venv/run.stamp
	@$(BIN)/python -m leto.main bench --against $(BASE) $(ARGS)

# The environment is made anew when what it is made from changes. The one for tests serves `make run` too.
.venv/run.stamp: setup.cfg pyproject.toml scripts/venv
	@scripts/venv $(PYTHON) ""
	@touch $@

.venv/test.stamp: setup.cfg pyproject.toml scripts/venv
	@scripts/venv $(PYTHON) test
	@touch .venv/run.stamp $@

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis twisted/plugins/dropin.cache
	find leto tests twisted -name __pycache__ -prune -exec rm -rf {} +
