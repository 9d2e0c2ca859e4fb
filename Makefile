# The developer's menu. Each target sets up .venv by itself; nothing needs root.
PY := .venv/bin/python
WORKERS ?= 2
.DEFAULT_GOAL := help

.PHONY: help setup demo up check test peers pages train lock bench bench-gpu bench-licences bench-compare

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

bench: setup ## Compare with vLLM and transformers on this CPU; BENCH_QUICK=1 takes two minutes
	@$(PY) -m bench.cpu $(BENCH_ARGS)

bench-gpu: setup ## Run the 9B and 8B shapes on an NVIDIA GPU, within an A10G's memory
	@$(PY) -m bench.gpu $(BENCH_ARGS)

bench-compare: setup ## Time lictor compare on a pair of 2 GB, and calibrate it (half an hour)
	@$(PY) -m bench.compare --speed --calibrate $(BENCH_ARGS)

bench-licences: setup ## Assess a million models; compare with weight-audit, ai-bom and ScanCode
	@$(PY) -m bench.assessment
	@sh scripts/licence-peers.sh
	@$(PY) -m bench.licence_peers

pages: setup ## Write docs/licences.md anew from the catalogue
	@$(PY) -m compliance.rules.catalogue_pages > docs/licences.md

peers: setup ## Install vLLM, mamba-ssm and NeMo Guardrails beside .venv, for the tests that need them
	@sh scripts/vllm.sh
	@sh scripts/oracles.sh
	@sh scripts/nemo.sh

train: setup ## Train the demo checkpoints anew (about an hour on two cores)
	@$(PY) -m demo.training.train --all --out demo/checkpoints

lock: setup ## Resolve the dependencies again into requirements.lock
	@.venv/bin/uv pip compile -q --universal --generate-hashes --no-annotate --no-emit-index-url --no-header \
	  --python-version 3.11 --extra dev pyproject.toml -o requirements.lock
