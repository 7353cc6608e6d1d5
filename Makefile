# The commands people use; each creates what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# all at once: npm takes away what it is not told of
BENCH_TOOLS := ws@8.23.0 axe-core@4.14.1 lighthouse@12.8.2
INSTALLED := pyproject.toml constraints.txt hatch_build.py web/package.json web/package-lock.json

.PHONY: run test test-all demo-ops faults check format bench bench-bus bench-web bench-store bench-workers screenshots clean

run: $(VENV)/.run
	$(BIN)/ticker serve --config config.yaml

LONG := $(addprefix tests/,web/test_kiosk.py web/test_embeds.py web/test_live_operations.py \
	web/test_drawer.py web/test_dialogs.py web/test_calm.py web/test_operations.py \
	test_deploy.py test_deploy_cluster.py test_proxies.py test_package.py test_openapi.py \
	test_workers.py test_bus_ill.py test_postgres.py test_feed_faults.py)

test: $(VENV)/.dev $(VENV)/.browser
	$(BIN)/pytest --numprocesses 3 --dist loadfile $(LONG:%=--ignore=%)

# those that wait for long, too: walls, frames, dialogs and operations in the browser, deploy/ in real
# tools, workers, an ill bus
test-all: $(VENV)/.dev $(VENV)/.browser
	$(BIN)/pytest --numprocesses 2 --dist loadfile

# a day of operations with 500 viewers: change, break, mend, add, remove, rotate a token, drain
demo-ops: $(VENV)/.dev
	$(BIN)/pytest -s tests/test_operations.py

# 50 kills, pauses and cuts of processes and of the bus, with 500 viewers; SEED=1 runs one again
faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED))

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

# the pictures of the documentation
screenshots: $(VENV)/.dev $(VENV)/.browser
	TICKER_SCREENSHOTS=docs $(BIN)/pytest tests/web/test_screenshots.py

clean:
	rm -rf $(VENV) benches/node_modules web/vendor build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(VENV)/.run: $(VENV)/bin/python $(INSTALLED)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python $(INSTALLED)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.run

# Debian's browser where apt may be used, otherwise Playwright's own; node runs the page's unit tests
$(VENV)/.browser: $(VENV)/.dev scripts/install-test-tools
	scripts/install-test-tools $(BIN)
	touch $@
