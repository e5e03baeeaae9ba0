# Makes an environment for the demo and one for work on the code, and runs what each is for.
#
#   make demo                        see the memory work
#   make test ARGS="-k video -x"     pass arguments to pytest
#   make demo EXTRAS=cuda            install JAX for an NVIDIA GPU
#   make gpu EXTRAS=cuda             measure everything on it, in nine minutes at most

PYTHON  ?= python3
# Extras of pyproject.toml to install as well, such as cuda or cuda,text.
EXTRAS  ?=
# Processes that share the tests; 0 runs them in one, which pytest --pdb needs.
WORKERS ?= 2
ARGS    ?=

DEMO_ENV := .venv-demo
TEST_ENV := .venv-test
# Named after the extras, so that asking for others installs them.
DEMO_STAMP := $(DEMO_ENV)/.installed-$(EXTRAS)
TEST_STAMP := $(TEST_ENV)/.installed-$(EXTRAS)
# A folder stays in one process, which then makes its fixtures and compiles its programs once.
PYTEST := $(TEST_ENV)/bin/python -m pytest -n $(WORKERS) --dist loadscope

.PHONY: help demo lint types test test-long test-browser test-all docs versions gpu clean check-python
.DEFAULT_GOAL := help

help:
	@echo "make demo          install into $(DEMO_ENV) and run the demo: a world with and without memory"
	@echo "make test          install into $(TEST_ENV) and run the quick tests"
	@echo "make test-long     then those of whole models and programs, and those that compare bits"
	@echo "make test-browser  then those of the page, in a Chromium that is installed"
	@echo "make test-all      all tests, the slowest too, compiled as users compile"
	@echo "make lint          check style and formatting with ruff"
	@echo "make types         check types with pyright"
	@echo "make docs          build the documentation into site/; a broken link is an error"
	@echo "make versions      run the core's tests on every Python and JAX that is supported (ARGS: which ones)"
	@echo "make gpu           measure on a GPU, with EXTRAS=cuda; ARGS=\"--only lingbot\" for a part"
	@echo "make clean         remove environments, caches and the built site (results stay)"
	@echo
	@echo "ARGS=\"...\"   arguments for the demo or for pytest       PYTHON=...   Python 3.11 or newer ($(PYTHON))"
	@echo "EXTRAS=cuda  JAX for an NVIDIA GPU                      WORKERS=$(WORKERS)    processes that share the tests"

demo: $(DEMO_STAMP)
	@$(DEMO_ENV)/bin/worldkv demo $(ARGS)

gpu: $(TEST_STAMP)
	@$(TEST_ENV)/bin/python -m tests.on_gpu $(ARGS)

lint: $(TEST_STAMP)
	@$(TEST_ENV)/bin/ruff check .
	@$(TEST_ENV)/bin/ruff format --check .

types: $(TEST_STAMP)
	@$(TEST_ENV)/bin/pyright --level error --pythonpath $(TEST_ENV)/bin/python

test: $(TEST_STAMP)
	@$(PYTEST) $(ARGS)

test-long: $(TEST_STAMP)
	@$(PYTEST) -m "long and not (slow or optimized)"
	@$(PYTEST) -m "optimized and not slow" --optimized

# In one process: all pages share one server and one browser.
test-browser: $(TEST_STAMP)
	@$(TEST_ENV)/bin/python -m pytest -m "browser and not slow" $(ARGS)

test-all: $(TEST_STAMP)
	@$(PYTEST) -m "" --optimized $(ARGS)

docs: $(TEST_STAMP)
	@NO_MKDOCS_2_WARNING=1 $(TEST_ENV)/bin/mkdocs build --strict --quiet
	@echo "site/index.html"

versions:
	@.ci/versions $(ARGS)

clean:
	rm -rf $(DEMO_ENV) $(TEST_ENV) .venv-versions .pytest_cache .ruff_cache .hypothesis dist site
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

check-python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	  echo "error: no $(PYTHON) found; install Python 3.11 or newer, or say which: make PYTHON=/path/to/python" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1), but Python 3.11 or newer is needed;" \
	    "say which: make PYTHON=python3.11" >&2; \
	  exit 1; }

# Order-only on check-python: it runs each time and does not make an environment out of date.
$(DEMO_STAMP): pyproject.toml | check-python
	@echo "installing worldkv-jax into $(DEMO_ENV) (about 2 minutes, once) ..."
	@$(PYTHON) -m venv $(DEMO_ENV)
	@$(DEMO_ENV)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[all$(EXTRAS:%=,%)]"
	@touch $@

$(TEST_STAMP): pyproject.toml | check-python
	@echo "installing worldkv-jax and its development tools into $(TEST_ENV) (about 2 minutes, once) ..."
	@$(PYTHON) -m venv $(TEST_ENV)
	@$(TEST_ENV)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[dev$(EXTRAS:%=,%)]"
	@touch $@
