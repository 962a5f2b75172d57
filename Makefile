# The book's verbs. Every one that needs Python sets it up first, so any of them works in a clone.

PYTHON ?= python3
PRESET ?= book
SEEDS ?= 0 1 2 3 4
REPEATS ?= 30
JOBS ?= 2
# The chapters are the notebooks.
CHAPTERS := $(patsubst chapters/%.ipynb,%,$(wildcard chapters/*.ipynb))
CHAPTER ?= $(CHAPTERS)
# Of notebooks side by side the longest begin; one that is not named here may be longer still.
LONGEST := pixelcnn lmconv minimax infogan cyclegan wgan unrolled evaluation
IN_TURN = $(filter-out $(LONGEST),$(CHAPTER)) $(filter $(CHAPTER),$(LONGEST))

BIN := .venv/bin
READY := .venv/ready
RUN := $(BIN)/python tests/chapter.py
# Two things at a time, one thread each, and a thread that waits does not spin.
export OMP_NUM_THREADS := 1
export OMP_WAIT_POLICY := PASSIVE
SIDE_BY_SIDE := --no-print-directory -j$(JOBS)

.DEFAULT_GOAL := help
.PHONY: help book pdf test units strict smoke verify budget run claims spread notebooks likelihoods judge unrolled grid digits codes translation paper plain rehearse bench torture lab clean

help: ## explain these verbs
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | awk -F '\t' '{ printf "make %-12s %s\n", $$1, $$2 }'
	@echo
	@echo "CHAPTER=\"$(CHAPTERS)\"  PRESET=smoke|book|paper  SEEDS=\"$(SEEDS)\"  narrow run, claims and notebooks;"
	@echo "JOBS=$(JOBS) notebooks or tests run at a time"

$(READY): requirements.txt tests/requirements-alone.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}: try make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --target .venv/alone --requirement tests/requirements-alone.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

book: $(READY) ## render the book from the committed outputs, to _build/html/index.html
	$(BIN)/jupyter-book build . --quiet
	@echo "Open _build/html/index.html"

pdf: book ## print the whole book as one PDF, to _build/chains-and-games.pdf (needs Chromium)
	$(BIN)/python -m ganlib.publishing.pdf _build/html _build/chains-and-games.pdf

test: units strict smoke verify budget ## check everything that CI checks

units: $(READY) ## unit and property tests, side by side
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n $(JOBS) tests

strict: $(READY) ## build the book and fail on any warning
	$(BIN)/jupyter-book build . --all --quiet -n -W --keep-going --path-output _build/strict

smoke: $(READY) ## run every chapter with papermill at the smoke preset (smoke-minimax: one)
	@$(MAKE) $(SIDE_BY_SIDE) $(IN_TURN:%=smoke-%)

verify: $(READY) ## run every chapter again and compare with its committed outputs (verify-minimax: one)
	@$(MAKE) $(SIDE_BY_SIDE) $(IN_TURN:%=verify-%)

budget: $(READY) ## say which chapter took longer than promised when it last ran
	@$(RUN) budget

run: $(READY) ## run chapters with papermill into runs/ (PRESET=, CHAPTER=)
	@$(MAKE) $(SIDE_BY_SIDE) $(IN_TURN:%=run-%)

claims: $(READY) ## measure the claims of chapters at several seeds, into data/results (CHAPTER=, SEEDS=)
	@$(MAKE) $(SIDE_BY_SIDE) $(foreach seed,$(SEEDS),$(CHAPTER:%=claims-%-$(seed)))

spread: $(READY) ## repeat the measurement of every stochastic claim (CHAPTER=, REPEATS=)
	@$(MAKE) $(SIDE_BY_SIDE) $(CHAPTER:%=spread-%)

notebooks: $(READY) ## run chapters in place at the book preset: how outputs are committed (CHAPTER=)
	@$(MAKE) $(SIDE_BY_SIDE) $(CHAPTER:%=place-%)

# A target for each chapter, and what `claims` needs for each of its seeds.
smoke-%: $(READY)
	@$(RUN) run $* --preset smoke
verify-%: $(READY)
	@$(RUN) verify $*
run-%: $(READY)
	@$(RUN) run $* --preset $(PRESET)
spread-%: $(READY)
	@$(RUN) spread $* --repeats $(REPEATS)
place-%: $(READY)
	@$(RUN) place $*
define CLAIMS_AT
claims-%-$(1): $(READY)
	@$(RUN) claims $$* --preset $(PRESET) --seed $(1)
endef
$(foreach seed,$(SEEDS),$(eval $(call CLAIMS_AT,$(seed))))

likelihoods: $(READY) ## compute the table of likelihoods from the shipped chains, into data/results
	$(BIN)/python -m ganlib.tables.likelihoods

judge: $(READY) ## compute the table of generators from the shipped ones, into data/results
	$(BIN)/python -m ganlib.tables.generators

unrolled: $(READY) ## play the unrolled games at several steps and seeds, resumable, into data/results (EXPERIMENT=)
	$(BIN)/python -u -m ganlib.tables.unrolled $(EXPERIMENT)

grid: $(READY) ## play the grid of settings of two games, into data/results
	$(BIN)/python -u -m ganlib.tables.grid

digits: $(READY) ## play the recipe of digits with one thing changed at a time, into data/results
	$(BIN)/python -u -m ganlib.tables.digits

codes: $(READY) ## play the games of codes and encoders at full length, resumable, into data/results (TABLE=)
	$(BIN)/python -u -m ganlib.tables.codes $(TABLE)

translation: $(READY) ## play the games of translation at full length, resumable, into data/results (RECIPE=)
	$(BIN)/python -u -m ganlib.tables.translation $(RECIPE)

paper: $(READY) ## train shipped networks further, in the background and resumable (RECIPE=: one of them)
	$(BIN)/python -u -m ganlib.paper $(RECIPE)

plain: $(READY) ## write plain copies of the notebooks, for readers outside the book, into runs/plain
	$(BIN)/python -m ganlib.publishing.plain runs/plain

rehearse: $(READY) ## run the plain copies where ganlib is missing, as a hosted notebook does (CHAPTER=)
	$(BIN)/python tests/rehearsal.py $(CHAPTER)

bench: $(READY) ## measure ganlib against the textbook way
	$(BIN)/python -m benchmarks

torture: $(READY) ## kill training at random moments, a hundred times, and compare what comes of it
	$(BIN)/python tests/torture.py --kills 100

lab: $(READY) ## open the chapters in JupyterLab
	$(BIN)/jupyter lab chapters

clean: ## remove what was built; data, checkpoints and .venv stay
	rm -rf _build runs .pytest_cache .hypothesis .ruff_cache
