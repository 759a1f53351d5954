# Two commands: `make demo` and `make test`. Each sets up what it needs, once.

PYTHON ?= python3
ENV := .venv/.installed

.PHONY: demo test test-slurm test-faults clean

demo: $(ENV)
	.venv/bin/python compare.py configs/shakespeare.yaml

test: $(ENV)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m pytest --ignore=tests/slurm --numprocesses=auto --dist=loadfile

# Wants root and Debian's slurmctld, slurmd, slurm-client, munge and shellcheck; starts a cluster of its own.
test-slurm: $(ENV)
	.venv/bin/python -m pytest tests/slurm --numprocesses=2 --dist=loadfile

test-faults: $(ENV)
	.venv/bin/python -m pytest tests/faults --crashes 100

$(ENV): requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	touch $@

clean:
	rm -rf .venv out
