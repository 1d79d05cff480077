# Everything that is done here day to day. `make` alone lists it.

PYTHON ?= python3
SPEC ?= examples/sales.yaml
SIZE ?= 1

BIN := .venv/bin
PYTHON_READY := .venv/.ready
NODE_READY := node_modules/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run dev deliver setup tools test e2e chaos bench lint fmt catalog policy openapi lock clean

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup ## start everything locally and show a failure being healed (Ctrl-C stops it)
	@$(BIN)/python -m devstack $(ARGS)

dev: setup ## start everything locally without the demonstration
	@$(BIN)/python -m devstack --no-demo $(ARGS)

deliver: setup ## deliver SPEC (examples/sales.yaml) to the running stack and show it becoming green
	@$(BIN)/python -m devstack.deliver "$(SPEC)" $(ARGS)

setup: $(PYTHON_READY) $(NODE_READY) ## install what is needed into .venv and node_modules

test: setup ## run all tests (ARGS="-k name" to choose)
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

e2e: setup ## run the end-to-end tests (BASE_URL=http://... to aim them at a running host)
	@$(BIN)/python -m pytest tests/e2e $(if $(BASE_URL),--base-url "$(BASE_URL)") $(ARGS)

chaos: setup ## break everything for an hour (SIZE=0.1 for a tenth, SEED=n to see a run again)
	@$(BIN)/python -m pytest tests/chaos --chaos "$(SIZE)" $(if $(SEED),--chaos-seed "$(SEED)") $(ARGS)

bench: setup ## measure everything beside its references (ARGS="intake" for one; see docs/performance.md)
	@$(BIN)/python -m bench $(ARGS)

lint: setup ## check style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/python -m shared.catalog.document --check docs/catalog.md
	@$(BIN)/python -m shared.policy.document --check docs
	@$(BIN)/python -m shared.delivery.builder.schema --check docs/medallion.schema.json
	@$(BIN)/python -m devstack.openapi --check docs/openapi.json

catalog: setup ## write docs/catalog.md from the catalog, and the medallion's JSON schema
	@$(BIN)/python -m shared.catalog.document docs/catalog.md
	@$(BIN)/python -m shared.delivery.builder.schema docs/medallion.schema.json

policy: setup ## write the schema and the table of docs/policy.md from the policy's model
	@$(BIN)/python -m shared.policy.document docs

openapi: setup ## write docs/openapi.json from the routes, docs/api.md and the models
	@$(BIN)/python -m devstack.openapi docs/openapi.json

lock: ## write requirements.lock from requirements.txt (ARGS=--upgrade for the newest); needs pipx
	@infra/scripts/lock.sh $(ARGS)

fmt: setup ## format, and mend what can be mended without thought
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

clean: ## remove everything that was installed or produced here
	@rm -rf .venv node_modules .run .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

tools:
	@sh devstack/check_tools.sh "$(PYTHON)"

$(PYTHON_READY): requirements.lock requirements.txt requirements-dev.txt | tools
	@echo "installing Python packages into .venv ..."
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@$(PIP) install -r requirements-dev.txt
	@touch $@

$(NODE_READY): package.json package-lock.json | tools
	@echo "installing Azurite into node_modules ..."
	@npm ci --silent --no-audit --no-fund
	@touch $@
