# `make` lists what there is. Needs Python 3.11+, Java 17 and Maven; everything else is installed into .venv and .cache.
PYTHON ?= $(shell infra/fastest_python.sh)
BIN := .venv/bin
PACKAGES := schemas client services/runtime services/engine services/collector services/writer services/trainer services/console
# Services and tests start twice as fast when Python may keep the bytecode of what they import.
unexport PYTHONDONTWRITEBYTECODE
SECONDS ?= 60
MINUTES ?= 30
SEED ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint format bench up down compose-test learn chaos soak soak-engine constraints clean

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/' | expand -t 18

setup: .venv/.ready .cache/kafka/.ready .venv/.compiled    ## install everything into .venv and Kafka's jars into .cache

.venv/.ready: constraints.txt pyproject.toml $(PACKAGES:%=%/pyproject.toml)
	@echo "installing the packages into .venv (PyTorch is large; a minute or two the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv
	@$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -r requirements-dev.txt $(PACKAGES:%=-e ./%)
	@touch $@

.cache/kafka/.ready: infra/kafka/pom.xml
	@echo "fetching Apache Kafka's jars with Maven"
	@mvn -q -B -f infra/kafka/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/.cache/kafka
	@touch $@

# Otherwise the first start of each service would spend a minute on it, all at once.
.venv/.compiled: .venv/.ready infra/docker/compile_kernels.py
	@echo "compiling the kernels of the engine, the collector and the trainer (about a minute, once)"
	@for service in engine collector trainer; do $(BIN)/python infra/docker/compile_kernels.py $$service || exit 1; done
	@touch $@

demo: setup      ## run the whole pipeline for a minute and prove that nothing was lost
	@$(BIN)/generals demo --seconds $(SECONDS)

learn: setup     ## let an agent learn from nothing, then play its matches (about 13 minutes)
	@$(BIN)/generals learn

test: setup      ## the tests: unit, real Kafka, real S3
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: setup ## the long tests: many kills, fuzzing, TensorFlow
	@$(BIN)/python -m pytest -m slow

lint: setup      ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy $(PACKAGES:%=%/generals_*) && $(BIN)/lint-imports

format: setup    ## write the code as ruff wants it
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

bench: setup     ## every figure beside its peers, and docs/results.md made of them
	@$(BIN)/python benchmarks/results.py --run all

up:              ## docker compose: the whole stack
	docker compose up -d --build --wait

down:            ## docker compose: stop it, keep the data
	docker compose down

compose-test: setup  ## bring the stack up, scale it, kill every service, audit
	@GENERALS_TEST_COMPOSE=required $(BIN)/python -u -m pytest -m slow -s tests/e2e/test_compose.py

chaos: setup     ## strike every service under load (MINUTES, SEED), then audit
	@$(BIN)/generals chaos --minutes $(MINUTES) --seed $(SEED) --trainer

soak: MINUTES = 120
soak: setup      ## run everything for two hours and see that nothing grows (MINUTES, SEED)
	@$(BIN)/generals soak --minutes $(MINUTES) --seed $(SEED)

soak-engine: MINUTES = 10
soak-engine: setup   ## hold 512 games at 20 x 20 for ten minutes and see that memory stays flat (MINUTES)
	@$(BIN)/generals soak --only engine --games 512 --size 20 --ticks-per-second 30000 --minutes $(MINUTES) --seed $(SEED) --json

constraints: setup   ## pin what is installed now
	@$(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable | grep -v '^uv==' > constraints.txt

clean:           ## remove .venv, .cache and ALL of runs and data: agents, archives, Kafka's log
	rm -rf .venv .cache runs data
