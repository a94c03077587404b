# Two commands to know: `make reproduce` and `make test`. Both install what they need into .venv first.
#   make reproduce SUITE=nlu CORES=8        another suite; PIP=.venv/bin/pip installs with pip instead of uv
PYTHON ?= python3
CORES ?= all
VENV := .venv
BIN := $(abspath $(VENV))/bin
PIP ?= $(BIN)/uv pip
# Byte code is compiled at once: hundreds of short jobs import torch, and would else compile it each time where
# PYTHONDONTWRITEBYTECODE is set.
QUIET := --quiet $(if $(findstring uv,$(PIP)),--compile-bytecode)
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES) $(if $(SUITE),--config suite=$(SUITE))
export PATH := $(BIN):$(PATH)
export VIRTUAL_ENV := $(abspath $(VENV))

.PHONY: help install reproduce publish test check lint format docs bench bench-gpu schema dvc-commit ship clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

$(BIN)/uv: requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock uv
	@touch $@

$(VENV)/workflow.installed: $(BIN)/uv pyproject.toml requirements.lock
	$(PIP) install $(QUIET) -c requirements.lock -e '.[workflow]'
	@touch $@

$(VENV)/dev.installed: $(BIN)/uv pyproject.toml requirements.lock
	$(PIP) install $(QUIET) -c requirements.lock -e '.[workflow,dev]'
	@touch $@ $(VENV)/workflow.installed

install: $(VENV)/workflow.installed ## Install the package and the workflow into .venv

reproduce: $(VENV)/workflow.installed ## Install, then run the whole workflow; ends with reports/SUITE/index.html
	@[ -t 1 ] && bars="--logger rich"; $(SNAKEMAKE) $$bars

test: $(VENV)/dev.installed ## Install, then run the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

check: lint test ## Linters, types, then the tests

lint: $(VENV)/dev.installed ## Formatting, linters, types, the workflow's own lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/snakemake --lint
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(PIP) check

format: $(VENV)/dev.installed ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile workflow

docs: $(VENV)/dev.installed ## The pages of docs/ as a site, in site/; an error where a link leads nowhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/dev.installed ## Methods side by side on the CPU, 40 minutes on 2 cores: one table; writes bench/results
	$(BIN)/python -m bench $(BENCH)

bench-gpu: ## The same on CUDA; installs nothing: PYTHON needs torch, transformers, timm, peft, accelerate
	$(PYTHON) -m bench --device cuda $(BENCH)

publish: ## Replace reports/published/SUITE, which git keeps, by reports/SUITE: make publish SUITE=smoke
	@case "$(SUITE)" in ''|*[!a-z0-9_]*) echo "SUITE: is '$(SUITE)'; name a suite, as in make publish SUITE=smoke" >&2; exit 1;; esac
	@test -f reports/$(SUITE)/report.json || { echo "reports/$(SUITE)/report.json: is not there; run make reproduce SUITE=$(SUITE) first" >&2; exit 1; }
	rm -rf reports/published/$(SUITE)
	mkdir -p reports/published
	cp -R reports/$(SUITE) reports/published/$(SUITE)
	find reports/published/$(SUITE) -name .snakemake_timestamp -delete

dvc-commit: $(VENV)/workflow.installed ## Have DVC record what plain snakemake has made, if nothing is left to be done
	$(BIN)/python -m frod.pipeline.commit

schema: $(VENV)/workflow.installed ## Write workflow/schemas again
	$(BIN)/frod schema

ship: $(VENV)/workflow.installed ## Train the backbones that the package ships again, by their recipes
	$(BIN)/frod ship

clean: ## Remove data, results, reports and logs; not reports/published, the environment or the cache
	rm -rf results data/models data/tasks data/bases logs benchmarks .snakemake mlflow.db* mlruns $(filter-out %/published,$(wildcard reports/*))
