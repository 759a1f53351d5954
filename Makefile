# `make demo` and `make test` set up .venv first, once.

PYTHON ?= python3
RUN := .venv/.installed
DEV := .venv/.installed-dev

.PHONY: demo test test-all test-slurm test-faults lint clean

demo: $(RUN)
	.venv/bin/python compare.py configs/shakespeare.yaml

# Needs nothing but Python, git and make.
test: lint
	.venv/bin/python -m pytest -m "not extended" --numprocesses=auto --dist=loadfile

# Needs Linux, root and the Debian packages that it names where they are missing.
test-all: $(DEV)
	.ci/packages
	$(MAKE) lint
	.ci/tests

test-slurm: $(DEV)
	.venv/bin/python -m pytest tests/slurm --numprocesses=2 --dist=loadfile

test-faults: $(DEV)
	.venv/bin/python -m pytest tests/faults --crashes 100

lint: $(DEV)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

$(RUN): requirements.txt
	@./setup.sh $(PYTHON) requirements.txt
	@touch $@

$(DEV): requirements.txt requirements-dev.txt
	@./setup.sh $(PYTHON) requirements-dev.txt
	@touch $(RUN) $@

clean:
	rm -rf .venv out
