# The commands people use; each creates what it needs.

PYTHON ?= python3
PYTHON2 ?= python2.7
VENV := .venv
BIN := $(VENV)/bin
# all at once: npm takes away what it is not told of
BENCH_TOOLS := ws@8.23.0 axe-core@4.14.1 lighthouse@12.8.2
INSTALLED := pyproject.toml constraints.txt hatch_build.py web/package.json web/package-lock.json

.PHONY: run test test-all demo-ops faults faults-cluster fuzz conformance dos audit coverage mutants check format bench bench-bus bench-store bench-workers bench-web soak screenshots clean

run: $(VENV)/.run
	$(BIN)/ticker serve --config config.yaml

LONG := $(addprefix tests/,web/test_kiosk.py web/test_embeds.py web/test_live_operations.py \
	web/test_drawer.py web/test_dialogs.py web/test_calm.py web/test_operations.py \
	test_deploy.py test_deploy_cluster.py test_proxies.py test_package.py test_openapi.py \
	test_workers.py test_bus_ill.py test_postgres.py test_feed_faults.py test_soak_trial.py \
	test_redis.py test_faults.py web/test_accessibility.py)

test: $(VENV)/.dev $(VENV)/.browser
	$(BIN)/pytest --numprocesses 3 --dist loadfile $(LONG:%=--ignore=%)

# those that wait for long, too: walls, frames, dialogs and operations in the browser, deploy/ in real
# tools, workers, an ill bus
test-all: $(VENV)/.dev $(VENV)/.browser
	$(BIN)/pytest --numprocesses 2 --dist loadfile

# a day of operations with 500 viewers: change, break, mend, add, remove, rotate a token, drain
demo-ops: $(VENV)/.dev
	$(BIN)/pytest -s tests/test_operations.py

# everything goes wrong at random for a minute, RUNS times over; SEED=7 runs one again, CLUSTER=1 adds a bus
faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults --runs $(or $(RUNS),$(if $(SEED),1,30)) \
		$(if $(SEED),--seed $(SEED)) $(if $(VIEWERS),--viewers $(VIEWERS)) $(if $(CLUSTER),--cluster)

# 50 kills, pauses and cuts of processes and of the bus, with 500 viewers; SEED=1 runs one again
faults-cluster: $(VENV)/.dev
	$(BIN)/python -m tests.faults cluster $(if $(SEED),--seed $(SEED))

# looks for input that breaks a rule, led by coverage where atheris can be had; SEED=1, TARGETS="config"
fuzz: $(VENV)/.dev
	-$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,fuzz]'
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(TARGETS)

# WebSockets judged by the fuzzing client of the Autobahn test suite, some 20 minutes: docs/conformance.md
conformance: $(VENV)/.dev $(VENV)/.autobahn
	$(BIN)/python -m tests.conformance $(PYTHON2) $(VENV)/autobahn

# 46 attacks from this machine beside 200 viewers: how long those wait, and the memory; ONLY="pipelining,bombs"
dos: $(VENV)/.dev
	$(BIN)/python -m tests.dos $(if $(ONLY),--only "$(ONLY)")

# known weaknesses of what is installed, by PyPI's advisories, and bandit; needs the internet, and its own packages
audit: $(VENV)/.audit
	$(VENV)/audit/bin/bandit --quiet --recursive --configfile pyproject.toml ticker
	$(VENV)/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

# what of the code the daily tests and those of workers run, a few files at a time; fails below the
# bars of tests/bars.py
coverage: $(VENV)/.dev
	rm -f .coverage .coverage.*
	echo $(filter-out $(LONG),$(wildcard tests/test_*.py)) tests/test_workers.py | \
		xargs -n 12 $(BIN)/coverage run -m pytest --numprocesses 2 --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/python -m tests.bars

# changes the core bit by bit and counts what no test notices; tests/mutants.md explains what is left
mutants: $(VENV)/.dev
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[mutants]'
	rm -rf mutants # what was found before the tests were others counts no more
	$(BIN)/mutmut run --max-children $(or $(PROCESSES),1)
	$(BIN)/python -m tests.mutants

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# the core alone, then servers side by side; writes docs/performance.md
bench: $(VENV)/.dev
	$(BIN)/python -m benches.board
	-npm install --silent --no-save --no-package-lock --prefix benches $(BENCH_TOOLS)
	$(BIN)/python -m benches.fanout --write
	$(BIN)/python -m benches.model --write

# what a bus costs, beside a server without one; writes docs/performance.md and docs/scaling.md
bench-bus: $(VENV)/.dev $(VENV)/.browser
	$(BIN)/python -m benches.bus --write
	$(BIN)/python -m benches.model --write

# the store: restarts after kill -9, what is lost, what it costs
bench-store: $(VENV)/.dev
	$(BIN)/python -m benches.store

# one worker against two; needs redis-server
bench-workers: $(VENV)/.dev
	$(BIN)/python -m benches.workers

# the page in Chromium; writes docs/performance.md. MINUTES=10 is how long the heap is watched
bench-web: $(VENV)/.dev $(VENV)/.browser
	-npm install --silent --no-save --no-package-lock --prefix benches $(BENCH_TOOLS)
	$(BIN)/python -m benches.web

# a server under load with churn: memory, descriptors, latency; five minutes more than MINUTES, which
# are left out; writes docs/reliability.md and its plot
soak: MINUTES ?= 30
soak: $(VENV)/.dev
	$(BIN)/python -m benches.soak --write --minutes $(MINUTES)

# the pictures of the documentation
screenshots: $(VENV)/.dev $(VENV)/.browser
	TICKER_SCREENSHOTS=docs $(BIN)/pytest tests/web/test_screenshots.py

clean:
	rm -rf $(VENV) benches/node_modules web/vendor build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis mutants .coverage .coverage.*

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(VENV)/.run: $(VENV)/bin/python $(INSTALLED)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python $(INSTALLED)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.run

$(VENV)/.autobahn: $(VENV)/bin/python
	$(PYTHON2) -m pip install --quiet --target $(VENV)/autobahn autobahntestsuite==25.10.1
	touch $@

$(VENV)/.audit: $(VENV)/bin/python
	$(BIN)/python -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet bandit==1.9.4 pip-audit==2.10.1
	touch $@

# Debian's browser where apt may be used, otherwise Playwright's own; node runs the page's unit tests
$(VENV)/.browser: $(VENV)/.dev scripts/install-test-tools
	scripts/install-test-tools $(BIN)
	touch $@
