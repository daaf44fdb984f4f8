# Everything here works from a fresh clone on a bare Linux machine with make and Python 3.11 or newer.
PYTHON ?= python3
VENV   ?= .venv
RUN     = $(VENV)/bin
# What the tests and `make demo` run on: embedded, kind or kubeconfig. See docs/clusters.md.
CLUSTER    ?= embedded
# One kind cluster a run, so one worker there.
WORKERS    ?= $(if $(filter kind,$(CLUSTER)),0,2)
KUBERNETES ?= 1.36

.DEFAULT_GOAL := help
.PHONY: help demo test test-matrix tools lint format bench prove mutants clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: $(VENV)/.installed ## install a dozen agents on a real API server, show what each can do, clean up
	@$(RUN)/agent-identities verify --values values/quickstart.yaml --cluster embedded --kubernetes $(KUBERNETES)

test: $(VENV)/.installed ## all tests: unit, render (helm), cluster (a real API server)
	@$(RUN)/python -m pytest -n $(WORKERS) --cluster $(CLUSTER) --kubernetes $(KUBERNETES) $(ARGS)

test-matrix: $(VENV)/.installed ## the cluster tests on Kubernetes 1.34 to 1.37 with Helm 3 and 4; writes the table of docs/versions.md
	@$(RUN)/python ci/matrix.py --workers $(WORKERS) $(ARGS)

tools: $(VENV)/.installed ## find or build helm, kubectl and the control plane, and link them in .tools/bin
	@$(RUN)/agent-identities toolchain --kubernetes $(KUBERNETES) --links .tools/bin

lint: $(VENV)/.installed ## ruff and mypy, strict
	@$(RUN)/ruff check . && $(RUN)/ruff format --check . && $(RUN)/mypy

format: $(VENV)/.installed ## let ruff format the code
	@$(RUN)/ruff check --fix . ; $(RUN)/ruff format .

prove: $(VENV)/.installed ## the long runs: invariants, decisions, generated values, mutants, the red team, audit, revocation, faults
	@$(RUN)/python ci/prove.py --kubernetes $(KUBERNETES) --workers $(WORKERS) $(ARGS)

mutants: $(VENV)/.installed ## the chart broken in one place, thousands of times: what kills each mutant, and what survives
	@$(RUN)/python ci/mutants.py --kubernetes $(KUBERNETES) $(ARGS)

bench: $(VENV)/.installed ## speed as ratios: rendering, growth, checks, control plane; then fleets of up to 10,000 agents
	@$(RUN)/python ci/bench.py $(ARGS); status=$$?; $(RUN)/python ci/bench_fleet.py && exit $$status

clean: ## remove what this Makefile made in the checkout (not the user's cache of built binaries)
	rm -rf $(VENV) .tools dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Installed once; again when the dependencies change. requirements.lock pins what CI has seen work.
$(VENV)/.installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11. Name a newer one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(VENV); exit 2; }
	@echo "Installing the Python packages into $(VENV) ..."
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[dev]'
	@touch $@
