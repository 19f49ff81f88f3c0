# Every target sets up what it needs. `make help` lists them, `make help TARGET=cv` tells the variables of one.
#
# What a command does, its variables and their defaults stand in pneumobundle/commands.py and options.py: the targets of
# COMMANDS are commands of the program `pneumobundle`, whose options are these variables.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# As pipeline/core/waiting.py says, for programs that load torch before they load that, as MONAI's does
ifndef OMP_WAIT_POLICY
export GOMP_SPINCOUNT ?= 10000
export KMP_BLOCKTIME ?= 1
endif
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

COMMANDS := cv predict check-data compare report status bundle data fetch-data cache starter semi evaluate cancel lopo score nnunet ensemble \
  experiment ablation profile features bundles verify-bundle zoo-pr push-bundle export node
# Given on the command line, a variable reaches the program as it is: make would take a $ for its own
$(foreach name,$(.VARIABLES),$(if $(filter command line,$(origin $(name))),$(eval override $(name) := $$(value $(name)))\
  $(eval export $(name))))

# Of the shell: the folder of the network that was given, or of the default one
USUAL = $$(name="$${NETWORK:-$${CASCADE:-unet_3d}}"; echo "$${name//>/-}")

.PHONY: help
help:
	@$(PYTHON) -m pneumobundle.make_help

.PHONY: setup
setup: $(READY)

$(READY): setup.cfg setup.py pyproject.toml constraints.txt
	@VENV="$(VENV)" PYTHON="$(PYTHON)" bash tools/install.sh
	@touch $@

.PHONY: $(COMMANDS)
$(COMMANDS): $(READY)
	@$(PY) -m pneumobundle.from_make $@

.PHONY: test
test: $(READY)
	@$(PY) -m pytest -n 2 --dist loadfile

.PHONY: benchmark
benchmark: $(READY)
	@$(PY) -m benchmarks $(if $(GOALS),--goals "$$GOALS") --run "$${MODEL:-runs/$(USUAL)/cv/fold0}" \
	  $(if $(filter-out 0,$(KEEP)),--keep) $(if $(OUT),--output "$$OUT")

.PHONY: fuzz
fuzz: $(READY)
	@$(PY) -m tests.fuzz --count "$${COUNT:-2000}" --seed "$${SEED:-0}"

.PHONY: lint
lint: $(READY)
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

.PHONY: docs
docs: $(READY)
	@$(PY) -c 'import material' 2>/dev/null || VENV="$(VENV)" PYTHON="$(PY)" INSTALL_EXTRA=docs bash tools/install.sh
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@echo "Documentation: build/site/index.html"

.PHONY: wheel
wheel: $(READY)
	@$(PY) -m pip --disable-pip-version-check wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/pneumobundle-*.whl

.PHONY: image
image: $(READY)
	@PY="$(PY)" bash tools/image.sh

.PHONY: pictures
pictures: $(READY)
	@$(PY) -m tools.pictures "$${RUN:-runs/$(USUAL)/cv}"

.PHONY: clean
clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache build *.egg-info data/cache
