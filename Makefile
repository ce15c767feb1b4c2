# Two commands do all the set-up on a fresh machine with Python 3.11 and make: `make demo` and `make test`.
# Every target builds on .venv and installs only when pyproject.toml is newer than its stamp.

VENV := .venv
PY   := $(VENV)/bin/python
# Twice quiet: an index or folder of wheels that is configured but absent is a page of warnings, and not an error.
PIP  := $(PY) -m pip install -qq --no-input --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test crash chaos tamper mutants explore deaths bench lint format clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

demo: $(VENV)/.stamp-examples ## the first minute: headline failures without holdfast and with it
	$(VENV)/bin/holdfast demo

test: $(VENV)/.stamp-dev ## every tier, one table, under ten minutes
	$(PY) scripts/test

crash: $(VENV)/.stamp-dev ## at least 500 seeded kills of real processes, judged by the outside's books
	$(PY) -m tests.crash.campaign

chaos: $(VENV)/.stamp-dev ## at least 300 seeded faults on workers, their database and the wire between them
	$(PY) -m tests.chaos.campaign

tamper: $(VENV)/.stamp-dev ## every byte of a small store flipped, its history forged, rolled back and forked
	$(PY) -m tests.tamper.campaign

mutants: $(VENV)/.stamp-dev ## planted defects: each must be found and shrunk; small changes: which do the tests notice
	$(PY) -m tests.mutants.campaign

explore: $(VENV)/.stamp-dev ## every crash point and single fault, exhaustively
	$(PY) -m tests.harness.explore

deaths: $(VENV)/.stamp-dev ## a process is killed at every wait of every worked case, and compared with virtual time
	$(PY) -m tests.harness.deaths


bench: $(VENV)/.stamp-bench ## durable effects per second, beside its peers
	$(PY) -m bench

lint: $(VENV)/.stamp-dev ## style, types and layers
	$(PY) scripts/test lint

format: $(VENV)/.stamp-dev ## let ruff lay out the code
	$(VENV)/bin/ruff format .

clean: ## remove everything make has made
	rm -rf $(VENV) build dist holdfast-demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(PY):
	@sh scripts/venv $(VENV)

$(VENV)/.stamp-%: pyproject.toml | $(PY)
	@echo "installing holdfast[$*] into $(VENV)"
	@$(PIP) --editable '.[$*]'
	@touch $@

# The bench needs what the tests need as well: it starts the same outside.
$(VENV)/.stamp-bench: pyproject.toml | $(PY)
	@echo "installing holdfast[bench,test] into $(VENV)"
	@$(PIP) --editable '.[bench,test]'
	@touch $@
