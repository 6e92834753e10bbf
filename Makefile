# make serve | make test set themselves up; everything else is for those who change the code.
PYTHON ?= python3
PORT ?= 8000
HOST ?= 127.0.0.1
DATA_DIR ?= data

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed
DEVELOPER := $(VENV)/.developer

# PyTorch's CPU build is not on PyPI: the configured sources are asked first, then PyTorch's index,
# for this one package only (an unreachable extra index would slow down every other package).
TORCH := torch==2.13.0+cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

INSTALL_LOCKED := $(PIP) install --no-deps --require-hashes --progress-bar off
COUNTED := awk '/^Collecting/ {n++; if (n % 20 == 0) {print "        " n " ..."; fflush()}}'

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

.PHONY: serve test chaos install develop lint lock clean

serve: install
	@$(BIN)/kosmosx serve --host $(HOST) --port $(PORT) --data-dir $(DATA_DIR)

test: develop
	@$(BIN)/python -m pytest $(ARGS)

# Kill every process again and again, and compare what clients, log and bill say. ARGS="--strikes 100"
chaos: develop
	@$(BIN)/python -m tests.chaos $(ARGS)

lint: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(STAMP)

develop: $(DEVELOPER)

$(STAMP): locks/cpu.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, this is $$($(PYTHON) --version)" >&2; exit 1; }
	@echo "Setting up $(VENV) (once, a few minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "  [1/3] PyTorch (CPU)"
	@$(PIP) install --quiet --no-deps "$(TORCH)" 2>/dev/null || $(PIP) install --no-deps --index-url $(TORCH_INDEX) "$(TORCH)"
	@echo "  [2/3] $$(grep -c '==' locks/cpu.txt) locked packages"
	@$(INSTALL_LOCKED) -r locks/cpu.txt | $(COUNTED)
	@echo "  [3/3] kosmosx"
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# What only tests and linters need.
$(DEVELOPER): $(STAMP) locks/dev.txt
	@echo "  $$(grep -c '==' locks/dev.txt) packages for tests and linters"
	@$(INSTALL_LOCKED) -r locks/dev.txt | $(COUNTED)
	@touch $@

# After a change of the dependencies in pyproject.toml. What is locked keeps its version.
CUDA_ONLY := torch $(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx) cuda-bindings cuda-pathfinder cuda-toolkit
COMPILE := $(BIN)/uv pip compile --quiet --universal --no-annotate --no-header --generate-hashes --python-version 3.11 \
	pyproject.toml --extra cpu --override locks/overrides.txt $(addprefix --no-emit-package ,$(CUDA_ONLY))
lock: develop
	$(COMPILE) --group build -o locks/cpu.txt
	cat locks/cpu.txt locks/dev.txt > $(VENV)/all.txt
	$(COMPILE) --group dev --constraint locks/cpu.txt -o $(VENV)/all.txt
	awk 'NR == FNR {has[$$0]; next} /^[^ ]/ {p = !($$0 in has)} p' locks/cpu.txt $(VENV)/all.txt > locks/dev.txt

clean:
	rm -rf $(VENV) data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
