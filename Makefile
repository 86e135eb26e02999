# Two commands: `make serve` and `make test`. Both first build .venv from requirements.lock; a second call skips that.
# Needs make (3.81 or later) and Python 3.11 to 3.14 with venv; PYTHON=/path/to/python3 names another interpreter.

VENV      := .venv
BIN       := $(VENV)/bin
LOCKED    := $(VENV)/.locked
INSTALLED := $(VENV)/.installed
LOCK_VENV := .lock-venv
GPU_VENV  := .gpu-venv
CODE      := vdb api bench tests
WORKERS   ?= 2
CUPY      ?= cupy-cuda13x[ctk]
PIP       := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: help env serve test test-gpu check bench-smoke demo format lock clean

help:
	@echo 'make serve    build $(VENV) and start the server on 127.0.0.1:8080 (SERVE_ARGS="--port 9000 ...")'
	@echo 'make test     build $(VENV) and run the tests (TEST_ARGS="-k name ...", WORKERS=$(WORKERS))'
	@echo 'make test-gpu run the tests of the kernels on every device of this machine, in $(GPU_VENV) (CUPY="$(CUPY)")'
	@echo 'make check    format, lint, types, import layers'
	@echo 'make bench-smoke  what a minute can tell of speed, beside the last recorded row; fails by no figure (SMOKE_ARGS=--record)'
	@echo 'make demo     two tenants and a shared set of real sentences, on a server that is gone afterwards'
	@echo 'make format   let ruff rewrite what it can'
	@echo 'make lock     bring requirements.lock in step with pyproject.toml (LOCK_ARGS=--upgrade renews every pin)'
	@echo 'make clean    remove $(VENV) and everything built'

env: $(INSTALLED)

serve: $(INSTALLED)
	@exec $(BIN)/vdb serve $(SERVE_ARGS)

# Kernels are compiled once, before the workers start, not by each of them.
test: $(INSTALLED)
	@$(BIN)/python -c 'from vdb.kernels import warm; warm(background=False)'
	$(BIN)/python -m pytest -q -n $(WORKERS) $(TEST_ARGS)

# The kernels and their tests need no more packages than these. What needs a GPU is skipped where there is none, with the
# reason. `[ctk]` brings the libraries of CUDA, from CuPy 14 on; CUPY=cupy-cuda13x will do where CUDA Toolkit 13 is.
test-gpu: $(GPU_VENV)/.installed
	$(GPU_VENV)/bin/python -m pytest -q -rs tests/kernels $(TEST_ARGS)

$(GPU_VENV)/.installed: requirements.lock
	@$(find_python); "$$py" -m venv --clear $(GPU_VENV)
	@$(GPU_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock numpy numba pytest '$(CUPY)'
	@touch $@

check: $(INSTALLED)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy --strict $(CODE)
	$(BIN)/lint-imports

# Kernels are compiled first: that is no part of the minute.
bench-smoke: $(INSTALLED)
	@$(BIN)/python -c 'from vdb.kernels import warm; warm(background=False)'
	@$(BIN)/python -m bench smoke $(SMOKE_ARGS)

demo: $(INSTALLED)
	@$(BIN)/python -m bench demo

format: $(INSTALLED)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

# A changed lock builds the environment anew, so that nothing unlocked stays behind.
$(LOCKED): requirements.lock
	@$(find_python); \
	echo "Building $(VENV) with $$("$$py" --version) from requirements.lock"; \
	"$$py" -m venv --clear $(VENV)
	@$(PIP) -r requirements.lock || { echo 'Could not install the locked packages: pip says why above.' >&2; exit 1; }
	@touch $@

# The editable install hides the renamed package `vdb_api` (folder api) from mypy and import-linter; the link shows it.
$(INSTALLED): $(LOCKED) pyproject.toml
	@$(PIP) --no-deps --no-build-isolation --editable .
	@ln -sfn "$(CURDIR)/api" "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/vdb_api"
	@touch $@

lock:
	@$(find_python); test -x $(LOCK_VENV)/bin/uv || { "$$py" -m venv --clear $(LOCK_VENV) && \
	$(LOCK_VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv; }
	$(LOCK_VENV)/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --extra test \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links $(LOCK_ARGS) -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) $(LOCK_VENV) $(GPU_VENV) build dist vdb.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# Shell text: set $py to the first interpreter that will do, or say what is missing and stop. The locked packages have
# no wheels for 3.15 and later.
find_python = \
py=; for candidate in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python3.14 python); do \
	"$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null || continue; \
	py=$$candidate; break; \
done; \
test -n "$$py" || { \
	echo 'Python 3.11 to 3.14 is missing: install it, or name it with PYTHON=/path/to/python3.' >&2; exit 1; }; \
"$$py" -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "$$py lacks the venv module: on Debian and Ubuntu install python3-venv, or name another with PYTHON=." >&2; exit 1; }
