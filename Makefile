# Each target does its own set-up: Python 3.10 or newer and make are all that must be there.
PYTHON ?= python3
ARGS ?=
# of the lines and branches of both packages, in all processes of the tests but the slow ones
COVERAGE ?= 95

BIN := .venv/bin
READY := .venv/.ready

export RUNTIME__DLTHUB_TELEMETRY := false

# those of the neighbours in .venv that warn, or change the order, where nobody asks for them
ALONE := -p no:asyncio -p no:randomly

.PHONY: help example test lint format ruff installs site pictures bench build constraints clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

example: $(READY) ## run the example project: two pipelines, a report, its tests
	cd example_project && ../$(BIN)/dlt pipeline load_flights run
	cd example_project && ../$(BIN)/dlt pipeline load_reference run
	cd example_project && ../$(BIN)/python -m reports.delays
	cd example_project && ../$(BIN)/pytest $(ALONE) --dlt-cov --dlt-cov-fail-under=100

test: $(READY) ## run the tests with coverage; ARGS="-k name" for some options of pytest
	rm -rf .measured && mkdir .measured
	temporary="$$($(BIN)/python tests/support/temporary.py)"; \
	trap 'rm -rf "$$temporary"' EXIT INT TERM; \
	TMPDIR="$$temporary" MEASURE_INTO="$(CURDIR)/.measured" \
		PYTHONPATH="$(CURDIR)/tests/support/measuring" \
		$(BIN)/python -m pytest -n auto --dist worksteal -m "not installs and not slow" $(ARGS)
	$(BIN)/python tests/support/coverage_report.py .measured --fail-under $(COVERAGE)

lint: ruff ## check style, types and which room imports which
	$(BIN)/mypy
	$(BIN)/mypy tests/projects/typed
	$(BIN)/lint-imports

ruff: $(READY) ## check style and format alone
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(READY) ## mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

installs: $(READY) ## build the wheel and try it in fresh virtual environments (slow)
	$(BIN)/python -m pytest -m "installs and not slow" $(ARGS)

site: $(READY) ## build the documentation's site into site/html; any warning is an error
	$(BIN)/python docs/site/docs_site.py site

pictures: $(READY) ## draw README's pictures anew, from what pytest prints (on a quiet machine)
	$(BIN)/python tests/support/pictures.py

bench: $(READY) ## measure speed against plain dlt: one table (on a quiet machine)
	$(BIN)/python benchmarks/table.py

build: $(READY) ## build sdist and wheel into dist/
	$(BIN)/python -m build

constraints: $(READY) ## resolve constraints.txt anew, with the newest versions
	$(BIN)/uv pip compile --universal --upgrade --python-version 3.10 --no-annotate \
		--custom-compile-command "make constraints" --group dev --quiet \
		--output-file constraints.txt pyproject.toml

clean: ## remove what the other targets made
	rm -rf .venv .tox .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis \
		.measured dist site example_project/_data

$(READY): pyproject.toml constraints.txt hatch_build.py dlthub_project/hub_finder.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and \
		"Python 3.10 or newer is needed: make PYTHON=/path/to/python")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet uv --constraint constraints.txt
	# a minute sooner than pip, which knows indexes that uv may not reach
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode \
		--editable . --group dev --constraint constraints.txt || \
	$(BIN)/python -m pip install --quiet --editable . --group dev --constraint constraints.txt
	@touch $@
