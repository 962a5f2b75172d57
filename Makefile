# The book's verbs. Every one that needs Python sets it up first, so any of them works in a clone.

PYTHON ?= python3
PRESET ?= book
SEEDS ?= 0 1 2 3 4
# The chapters are what the table of contents says.
CHAPTERS := $(shell sed -n 's|^ *- file: chapters/\(.*\)|\1|p' _toc.yml)
CHAPTER ?= $(CHAPTERS)
# These two only show what the others measured, so they run after them.
PAGES := ledger scoreboard
MEASURING = $(filter-out $(PAGES),$(CHAPTER))
NOTEBOOKS = $(CHAPTER:%=chapters/%.ipynb)

BIN := .venv/bin
READY := .venv/ready
EXECUTE := $(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level=WARN \
  --ExecutePreprocessor.record_timing=False --ExecutePreprocessor.timeout=-1
export PYDEVD_DISABLE_FILE_VALIDATION := 1

# Run $$chapter at $$seed with papermill; its log is shown only when it fails.
define PAPERMILL
echo "papermill $$chapter ($(PRESET), seed $$seed)"; out=runs/$$chapter-$(PRESET)-$$seed; \
$(BIN)/papermill --no-progress-bar --cwd chapters -k python3 -p preset $(PRESET) -p seed $$seed \
  chapters/$$chapter.ipynb $$out.ipynb 2> $$out.log || { cat $$out.log; exit 1; }
endef

.DEFAULT_GOAL := help
.PHONY: help book test units strict smoke verify run claims notebooks likelihoods bench torture lab clean

help: ## explain these verbs
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | awk -F '\t' '{ printf "make %-12s %s\n", $$1, $$2 }'
	@echo
	@echo "CHAPTER=\"$(CHAPTERS)\"  PRESET=smoke|book|paper  SEEDS=\"$(SEEDS)\"  narrow run, claims and notebooks"

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

test: units strict smoke verify ## check everything that CI checks

units: $(READY) ## unit and property tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest tests

strict: $(READY) ## build the book and fail on any warning
	$(BIN)/jupyter-book build . --all --quiet -n -W --keep-going --path-output _build/strict

smoke: $(READY) ## run every chapter with papermill at the smoke preset
	@$(MAKE) --no-print-directory run PRESET=smoke

verify: $(READY) ## run every chapter again and compare with its committed outputs
	$(BIN)/python -m pytest --nbval --nbval-current-env --nbval-cell-timeout=1200 $(NOTEBOOKS)

run: $(READY) ## run chapters with papermill into runs/ (PRESET=, CHAPTER=)
	@mkdir -p runs
	@seed=0; for chapter in $(CHAPTER); do $(PAPERMILL); done

claims: $(READY) ## measure the claims of chapters at several seeds, into data/results (CHAPTER=, SEEDS=)
	@mkdir -p runs
	@for chapter in $(MEASURING); do for seed in $(SEEDS); do $(PAPERMILL); \
	  $(BIN)/python -m ganlib.claims $$out.ipynb || exit 1; \
	done; done
	$(EXECUTE) $(PAGES:%=chapters/%.ipynb)

notebooks: $(READY) ## run chapters in place at the book preset: how outputs are committed (CHAPTER=)
	@for chapter in $(MEASURING); do \
	  $(EXECUTE) chapters/$$chapter.ipynb && $(BIN)/python -m ganlib.claims chapters/$$chapter.ipynb || exit 1; \
	done
	$(EXECUTE) $(PAGES:%=chapters/%.ipynb)

likelihoods: $(READY) ## compute the table of likelihoods from the shipped chains, into data/results
	$(BIN)/python -m ganlib.tables.likelihoods

bench: $(READY) ## measure ganlib against the textbook way
	$(BIN)/python -m benchmarks

torture: $(READY) ## kill training at random moments, a hundred times, and compare what comes of it
	$(BIN)/python tests/torture.py --kills 100

lab: $(READY) ## open the chapters in JupyterLab
	$(BIN)/jupyter lab chapters

clean: ## remove what was built; data, checkpoints and .venv stay
	rm -rf _build runs .pytest_cache .hypothesis .ruff_cache
