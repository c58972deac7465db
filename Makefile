# The commands of the project: `make demo` and `make test` do their own set-up. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The interpreter to build for, and where its environment goes.
PYTHON ?= python3
VENV ?= .venv
PROFILE ?= release
BIN := $(VENV)/bin
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
# Interpreters that `make test-matrix` looks for, by the names they go by.
MATRIX ?= 3.11 3.12 3.13 3.14 3.15

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-20s %s\n", $$1, $$2 }'

# Set-up

$(VENV)/.created: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "boros needs Python 3.11 or later; name one with PYTHON=…"; exit 1; }
	@command -v cargo >/dev/null || { echo "boros needs Rust: see https://rustup.rs"; exit 1; }
	@echo "== environment in $(VENV), for $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements-dev.txt
	@touch $@

$(VENV)/.built: $(VENV)/.created $(RUST_SOURCES) pyproject.toml
	@echo "== building the extension ($(PROFILE))"
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --quiet --profile $(PROFILE)
	@touch $@

.PHONY: build
build: $(VENV)/.built ## build boros into .venv

# The main job

.PHONY: demo
demo: build ## fetch pages one by one, with threads and on boros, and compare
	$(BIN)/python demo/fetch.py

# Tests

.PHONY: test
test: lint test-rust test-python test-types test-cpython ## everything that has to pass before a change lands
	@echo "== all passed"

.PHONY: test-rust
test-rust: ## tests of the Rust crates
	cargo test --workspace --exclude boros-python --all-features --quiet

.PHONY: test-python
test-python: build ## behaviour tests, on asyncio and on boros
	$(BIN)/python -m pytest -q tests benches/python/tests --ignore tests/cpython
	$(BIN)/python -m pytest -q tests/cpython

# The oldest and the newest Python whose library mypy is to have in mind.
TYPED_FOR := 3.11 3.14

.PHONY: examples
examples: ## the programs of the Rust crates, their output compared with what is written beside them
	cargo test -p boros-coro --test examples
	cargo test -p boros --all-features --test examples

.PHONY: test-types
test-types: build ## the types: of the package, of programs that use it, and against what runs
	@for version in $(TYPED_FOR); do \
	  $(BIN)/python -m mypy --strict --python-version $$version python/boros tests/typing || exit 1; \
	done
	$(BIN)/python -m mypy.stubtest boros --allowlist tests/typing/stubtest-allowlist.txt

.PHONY: test-cpython
test-cpython: build ## the interpreter's own asyncio tests, on boros
	$(BIN)/python tests/cpython/run.py

.PHONY: test-matrix
test-matrix: ## test-python and test-cpython on every interpreter found
	@for version in $(MATRIX); do \
	  python=$$(command -v python$$version || ls -d $$HOME/.pyenv/versions/$$version*/bin/python3 2>/dev/null | tail -1); \
	  if [ -z "$$python" ]; then echo "== Python $$version: not found, left out"; continue; fi; \
	  echo "== Python $$version"; \
	  $(MAKE) --no-print-directory PYTHON=$$python VENV=.venv-$$version test-python test-cpython || exit 1; \
	done

# One test leaks on purpose; those that start other processes are left out by themselves.
MIRIFLAGS_COMMON := -Zmiri-ignore-leaks -Zmiri-disable-isolation

.PHONY: miri
miri: ## the generators' tests under Miri, with both models of aliasing (needs a nightly toolchain)
	rustup component add --toolchain nightly miri rust-src
	MIRIFLAGS="$(MIRIFLAGS_COMMON)" cargo +nightly miri test -p boros-coro --lib --tests
	MIRIFLAGS="$(MIRIFLAGS_COMMON) -Zmiri-tree-borrows" cargo +nightly miri test -p boros-coro --lib --tests

# Style

.PHONY: lint
lint: $(VENV)/.created ## formatting, clippy, ruff
	cargo fmt --all --check
	PYO3_PYTHON=$(abspath $(BIN)/python) cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet

.PHONY: fmt
fmt: $(VENV)/.created ## format everything
	cargo fmt --all
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

# Speed

$(VENV)/.peers: $(VENV)/.created benches/requirements.txt
	$(BIN)/pip install --quiet -r benches/requirements.txt
	@touch $@

.PHONY: bench
bench: build $(VENV)/.peers ## boros beside asyncio, uvloop and rloop (about six minutes)
	$(BIN)/python benches/python/run.py

.PHONY: bench-full
bench-full: build $(VENV)/.peers ## the same with every case and more rounds
	$(BIN)/python benches/python/run.py --full

.PHONY: bench-gate
bench-gate: build $(VENV)/.peers ## fail if a speed gate is missed
	$(BIN)/python benches/python/run.py --gate

# Releases

.PHONY: wheel
wheel: $(VENV)/.created ## a wheel for this interpreter, in dist/
	$(BIN)/maturin build --release --interpreter $(BIN)/python --out dist

.PHONY: clean
clean: ## remove what was built
	rm -rf target dist .venv .venv-* .pytest_cache .mypy_cache .ruff_cache
	find python -name '*.so' -delete
