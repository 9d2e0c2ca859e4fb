# The developer's menu. Each target sets up .venv by itself; nothing needs root.
PY := .venv/bin/python
WORKERS ?= 2
.DEFAULT_GOAL := help

.PHONY: help setup demo up check test train lock

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: ## Make .venv and install the pinned dependencies
	@sh scripts/setup.sh

demo: setup ## Walk one checkpoint's whole way on real weights; ONCE=1 exits when done
	@$(PY) -m demo.run $(if $(ONCE),--once,)

up: setup ## Start Lictor on this host and stay up
	@$(PY) -m config.stack

check: setup ## Lint, types, import contracts, migrations, deployment settings
	@sh scripts/check.sh

test: setup ## The whole suite on SQLite, and on PostgreSQL and Redis where they answer
	@sh scripts/test.sh

train: setup ## Train the demo checkpoints anew (about an hour on two cores)
	@$(PY) -m demo.training.train --all --out demo/checkpoints

lock: setup ## Resolve the dependencies again into requirements.lock
	@.venv/bin/uv pip compile -q --universal --generate-hashes --no-annotate --no-emit-index-url --no-header \
	  --python-version 3.11 --extra dev pyproject.toml -o requirements.lock
