# make serve | make test set themselves up; everything else is for those who change the code.
PYTHON ?= python3
PORT ?= 8000
HOST ?= 127.0.0.1
DATA_DIR ?= data

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed

# PyTorch's CPU build is not on PyPI: the configured sources are asked first, then PyTorch's index,
# for this one package only (an unreachable extra index would slow down every other package).
TORCH := torch==2.13.0+cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

.PHONY: serve test chaos install lint lock clean

serve: install
	@$(BIN)/kosmosx serve --host $(HOST) --port $(PORT) --data-dir $(DATA_DIR)

test: install
	@$(BIN)/python -m pytest $(ARGS)

# Kill every process again and again, and compare what clients, log and bill say. ARGS="--strikes 100"
chaos: install
	@$(BIN)/python -m tests.chaos $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(STAMP)

$(STAMP): locks/cpu.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, this is $$($(PYTHON) --version)" >&2; exit 1; }
	@echo "Setting up $(VENV) (once, a few minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "  [1/3] PyTorch (CPU)"
	@$(PIP) install --quiet --no-deps "$(TORCH)" 2>/dev/null || $(PIP) install --no-deps --index-url $(TORCH_INDEX) "$(TORCH)"
	@echo "  [2/3] $$(grep -c '==' locks/cpu.txt) locked packages"
	@$(PIP) install --no-deps --require-hashes --progress-bar off -r locks/cpu.txt | awk '/^Collecting/ {n++; if (n % 20 == 0) {print "        " n " ..."; fflush()}}'
	@echo "  [3/3] kosmosx"
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# After a change of the dependencies in pyproject.toml.
CUDA_ONLY := torch $(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx) cuda-bindings cuda-pathfinder cuda-toolkit
lock: install
	$(BIN)/uv pip compile --universal --no-annotate --no-header --generate-hashes --python-version 3.11 \
		pyproject.toml --extra cpu --group dev --override locks/overrides.txt \
		$(addprefix --no-emit-package ,$(CUDA_ONLY)) -o locks/cpu.txt

clean:
	rm -rf $(VENV) data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
