SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
ARGS ?=
# One file a claim; in_turn.py runs some of them in two checkouts.
# Tests run three at a time, with a broker each: they wait for a third of their time, and two of them would leave a quarter
# of two cores unused. Files come in the order of their names, not those with the most tests first: whole stacks at the
# beginning, and at the end small tests, with which all cores are busy to the last. Tests that kill processes or count
# delays run apart from all others, whose work comes in bursts, and two at a time, for each has a whole stack under load;
# few and long, they are shared out one by one.
EACH := --durations=25 --max-worker-restart=2
APART := tests/acceptance tests/recovery

# Where the machine says that no bytecode is kept, each of the thousands of processes that tests start would compile all
# of the product anew, which is a third of such a start, and each worker of pytest the tests.
unexport PYTHONDONTWRITEBYTECODE

# Stamps: what is up to date takes no time. They lie in the directories they speak of, and go with them.
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
JARS := .kafka/.fetched
WEBJARS := api/assets/jars/.fetched
CLASSES := .kafka/classes.jsa

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(RUNTIME) $(JARS) $(WEBJARS) ## Set up whatever is missing, then run everything here: tidemark up (ARGS="…" is passed on)
	@exec $(BIN)/tidemark up $(ARGS)

.PHONY: ready
ready: $(DEV) $(JARS) $(WEBJARS) $(CLASSES) browser ## Set up what tests need (with -j: side by side)

.PHONY: browser
browser:
	@PYTHON="$(PYTHON)" sh .ci/needs tests
	@sh .ci/browser

.PHONY: test
test: ready ## Set up whatever is missing, then run every test (ARGS="…": what pytest is told instead)
ifeq ($(strip $(ARGS)),)
	@failed=0; \
	$(BIN)/python -m pytest $(EACH) -n 3 --dist loadfile --no-loadscope-reorder $(addprefix --ignore=,$(APART)) || failed=1; \
	$(BIN)/python -m pytest $(EACH) -n 2 --dist worksteal $(APART) || failed=1; \
	exit $$failed
else
	$(BIN)/python -m pytest $(ARGS)
endif

.PHONY: lint
lint: $(DEV) ## Check style, formatting, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: digests
digests: $(DEV) ## Print a digest of every table after each script of tests/data/scripts
	@$(BIN)/python -m tests.support.scripted

.PHONY: schemas
schemas: $(RUNTIME) ## Write the JSON schemas of rows and records
	$(BIN)/python -m tidemark.write_schemas docs/schemas

.PHONY: client
client: $(DEV) ## Write what is made of others: the client's types, and the client as the page loads it
	$(BIN)/python clients/typescript/generate_types.py
	cd clients/typescript && npm ci --no-audit --no-fund && npm run build
	rm -rf api/dashboard/static/client
	cd clients/typescript && npm run page

.PHONY: manifests
manifests: $(DEV) ## Write the manifests that are made of the registry, of access lists and of alert rules
	$(BIN)/python k8s/generate.py

.PHONY: k8s-verify
k8s-verify: $(DEV) ## Check manifests and images with real tools; they are fetched and built the first time (minutes)
	$(BIN)/python k8s/verify/verify_manifests.py

.PHONY: panels
panels: $(DEV) $(JARS) $(WEBJARS) ## Run a stack under a real Prometheus, and say which panels of the dashboards show nothing
	$(BIN)/python k8s/verify/live_panels.py

.PHONY: site
site: $(DEV) ## Build the guides as a site: .cache/site
	$(BIN)/python -m sphinx -q -W --keep-going -d .cache/doctrees docs .cache/site

SBOM := .cache/sbom

.PHONY: sbom
sbom: $(SBOM)/.fetched ## Write everything that is installed with Tidemark as CycloneDX: .cache/sbom/tidemark.cdx.json
	$(SBOM)/tool/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --validate \
		--output-file $(SBOM)/tidemark.cdx.json requirements/runtime.txt

$(SBOM)/.fetched: requirements/sbom.txt
	$(PYTHON) -m venv --clear $(SBOM)/tool
	$(SBOM)/tool/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes -r $<
	@touch $@

.PHONY: rehearse
rehearse: $(DEV) $(JARS) $(WEBJARS) ## Play bad days on the rendered overlay "prod" (ARGS="words of a rehearsal's name")
	PYTHONPATH=.:k8s/verify $(BIN)/python -m tests.rehearsals $(ARGS)

.PHONY: soak
soak: $(DEV) $(JARS) $(WEBJARS) ## Run that overlay for an hour, then at ten times the load (ARGS="--minutes 60 --burst-minutes 5")
	PYTHONPATH=.:k8s/verify $(BIN)/python -m tests.rehearsals.soak $(ARGS)

.PHONY: hostile
hostile: $(DEV) $(JARS) ## Ingest behind hostile nodes: 6,000 scripts, and the whole stack with each trait (SCRIPTS=, SEED=)
	TIDEMARK_TEST_SCRIPTS=$(SCRIPTS) TIDEMARK_TEST_SEED=$(SEED) TIDEMARK_TEST_HOSTILE=all \
		$(BIN)/python -m pytest tests/property/test_hostile_node.py \
		tests/property/test_hostile_calls.py tests/integration/test_hostile_stack.py $(ARGS)

.PHONY: hostile-venue
hostile-venue: $(DEV) ## Prices of a hostile venue: 20,000 scripts (VENUE_SCRIPTS=, SEED=)
	TIDEMARK_TEST_SCRIPTS=$(VENUE_SCRIPTS) TIDEMARK_TEST_SEED=$(SEED) \
		$(BIN)/python -m pytest -o timeout=3600 tests/property/test_hostile_venue.py $(ARGS)

SCRIPTS ?= 6000
VENUE_SCRIPTS ?= 20000
SEED ?= 0
STORMS ?= 20

.PHONY: funding-storm
funding-storm: $(DEV) $(JARS) ## Charge funding while feeds, workers, ingests, nodes and executors fail and blocks leave (STORMS=, SEED=)
	TIDEMARK_TEST_STORMS=$(STORMS) TIDEMARK_TEST_SEED=$(SEED) $(BIN)/python -m pytest tests/property/test_funder_lives.py \
		tests/evm/test_funder_pipeline_storm.py $(ARGS)

.PHONY: funding-mutants
funding-mutants: $(DEV) $(JARS) ## Give the funder a fault at a time, and see that the storm's judge refuses each (SEED=, MUTANTS=)
	TIDEMARK_TEST_SEED=$(SEED) $(BIN)/python -m tests.evm.mutants $(MUTANTS)

.PHONY: storms
storms: $(DEV) $(JARS) $(WEBJARS) ## Kill and rebalance workers at length: 30 kills, 30 rebalances, 5 sleeps; 30 kills; 20 standbys that take over
	TIDEMARK_TEST_WHOLE=1 $(BIN)/python -m pytest tests/recovery/test_chaos.py tests/recovery/test_crashes.py \
		tests/recovery/test_standbys.py $(ARGS)

.PHONY: bench
bench: $(DEV) $(JARS) ## Run the benchmarks, and end with what is claimed and what was found (ARGS="sweep idle": these alone)
	$(BIN)/python -m bench.claims $(ARGS)

.PHONY: in-turn
in-turn: $(DEV) $(JARS) ## Measure this checkout and another in turn (BEFORE=its directory)
	$(BIN)/python bench/in_turn.py --before "$(BEFORE)"

.PHONY: install
install: $(RUNTIME) ## Make .venv with the tidemark command, nothing else

.PHONY: lock
lock: ## Pin every dependency anew, with hashes
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip --disable-pip-version-check --no-input install --quiet uv
	$(VENV)-lock/bin/uv pip compile pyproject.toml --group build $(LOCK) --output-file requirements/runtime.txt
	$(VENV)-lock/bin/uv pip compile pyproject.toml --group build --extra analysis $(LOCK) --output-file requirements/analysis.txt
	$(VENV)-lock/bin/uv pip compile pyproject.toml --group dev $(LOCK) --output-file requirements/dev.txt
	$(VENV)-lock/bin/uv pip compile requirements/sbom.in $(LOCK) --output-file requirements/sbom.txt
	$(VENV)-lock/bin/uv pip compile k8s/verify/requirements.in $(LOCK) --output-file k8s/verify/requirements.txt
	rm -rf $(VENV)-lock

LOCK := --quiet --universal --no-strip-extras --python-version 3.11 --upgrade --generate-hashes --no-header --no-emit-index-url

$(VENV)/bin/python:
	@PYTHON="$(PYTHON)" sh .ci/needs
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --require-hashes -r requirements/runtime.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(JARS): tidemark/broker/pom.xml | $(RUNTIME)
	$(BIN)/python -m tidemark.fetch_kafka .kafka/libs
	@touch $@

$(CLASSES): $(JARS) | $(DEV)
	-$(BIN)/python -m tests.support.class_archive $@

$(WEBJARS): api/assets/pom.xml | $(RUNTIME)
	$(BIN)/python -m tidemark.fetch_webjars
	@touch $@
