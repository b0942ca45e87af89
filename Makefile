# One command each for what people do here. `make quickstart` and `make test` need nothing but Python 3.11 and pip:
# they make .venv when it is missing, from the exact releases in constraints.txt.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
OTHER_DATASETS := .cache/datasets5

.DEFAULT_GOAL := help
.PHONY: help install quickstart demo tour test test-slow lint release compose build up repl logs down clean

help:  ## List these commands.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(STAMP)  ## Make .venv with everything in it (about 1.5 GB with a CPU build of torch).

$(STAMP): pyproject.toml constraints.txt requirements-embedded.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11: install Python 3.11 or newer, or name one with make PYTHON=python3.12"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --progress-bar off --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --progress-bar off --no-deps --requirement requirements-embedded.txt
	touch $(STAMP)

# The tests run on both generations of `datasets`; the second one lies in a folder of its own, without its dependencies.
$(OTHER_DATASETS)/datasets/__init__.py: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(OTHER_DATASETS) datasets==5.2.0
	touch $@

quickstart: $(STAMP)  ## The main job end to end on a real model: convert, prove, build XQ3, fine-tune, score, answer.
	$(BIN)/python -m space.quickstart --overwrite_output_dir

demo: $(STAMP)  ## Open the question-answering page on http://127.0.0.1:7860.
	$(BIN)/python -m space.app

tour: $(STAMP)  ## Execute docs/tour.ipynb and keep what it prints: after new weights or another output.
	$(BIN)/python -m benchmarks.tour --output docs/tour.ipynb

lint: $(STAMP)  ## ruff and mypy.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# One thread and three workers: the tests are many and small, and some of them wait for a browser or a socket.
# The tests run even when lint finds something, and pytest's closing line comes last; either one fails the target.
test: $(STAMP) $(OTHER_DATASETS)/datasets/__init__.py  ## lint and the tests: under ten minutes on 2 cores.
	@status=0; $(MAKE) --no-print-directory lint || status=1; OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 3 --dist loadfile || status=1; exit $$status

test-slow: $(STAMP) $(OTHER_DATASETS)/datasets/__init__.py  ## The tests that take minutes each.
	$(BIN)/python -m pytest -q -m slow

release: $(STAMP)  ## Build the wheel and the source archive and check them; uploading is yours to do.
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	@echo; ls -l dist; echo; echo "checked, not uploaded: $(BIN)/twine upload dist/*"

# Docker, as in the thesis: `cp .env.template .env`, edit it, then build, up, repl, logs, down.
COMPOSE := docker compose
LAUNCH  ?= accelerate launch

# Without its plugin, docker takes `compose` for nothing and complains of the next flag.
compose:
	@$(COMPOSE) version > /dev/null 2>&1 || { echo "error: docker compose does not run here: install Docker and its compose plugin"; exit 2; }

build: compose  ## Build the image (DEVICE in .env says for which machine).
	$(COMPOSE) build

# A folder that docker makes itself belongs to root, and the container's user could not write into it.
up: compose  ## Start the container and leave it running.
	@[ ! -f .env ] || . ./.env; mkdir -p "$${DATA_DIR:-data}" "$${MODEL_DIR:-models}" "$${LOG_DIR:-logs}"
	$(COMPOSE) up --detach

# $(run) goes in by the environment, so that its quotes survive; what it prints is kept for `make logs`.
repl: export RUN = $(LAUNCH) $(run)
repl: compose  ## Run a script in it: make repl run="training/finetune.py --help"; without run=, a shell.
ifdef run
	@$(COMPOSE) exec --env RUN="$$RUN" repl bash -o pipefail -c 'eval "$$RUN" 2>&1 | tee -a logs/repl.log'
else
	@$(COMPOSE) exec repl bash
endif

logs: compose  ## Follow what `make repl` prints.
	$(COMPOSE) exec repl tail -n 200 -F logs/repl.log

down: compose  ## Stop and remove the container; data, models and logs stay.
	$(COMPOSE) down

clean:  ## Remove what can be made again, .venv and caches included.
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
