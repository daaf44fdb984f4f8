# Every target works in a fresh clone on a bare Linux machine with make and Python 3.11 or newer.
PYTHON ?= python3
VENV   ?= .venv
RUN     = $(VENV)/bin
# The cluster of the tests: embedded, kind or kubeconfig. See docs/clusters.md.
CLUSTER    ?= embedded
# Each worker starts an embedded control plane of its own. Any other cluster is one for all tests, so it needs one worker.
WORKERS    ?= $(if $(filter embedded,$(CLUSTER)),2,0)
KUBERNETES ?= 1.36
# The wheel of `make wheel-test`, and its Pythons: versions or paths, as uv accepts them.
WHEEL   ?=
PYTHONS ?= $(RUN)/python
# `make changelog` compares the checkout with this branch.
BASE ?= origin/main

.DEFAULT_GOAL := help
.PHONY: help demo test unit render cluster test-matrix coverage wheel wheel-test tools lint format lock chart-docs changelog bench prove mutants clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: $(VENV)/.installed ## install twelve agents on a real API server and print what each agent can do
	@$(RUN)/agent-identities verify --values values/quickstart.yaml --cluster embedded --kubernetes $(KUBERNETES)

test: $(VENV)/.installed ## run all tests: unit, render (real Helm), cluster (a real API server)
	@$(RUN)/python -m pytest -n $(WORKERS) --agent-identities-cluster $(CLUSTER) --agent-identities-kubernetes $(KUBERNETES) $(ARGS)

unit: $(VENV)/.installed ## run the tests that need Python alone
	@$(RUN)/python -m pytest -n 2 tests/unit $(ARGS)

render: $(VENV)/.installed ## run the tests that need Helm
	@$(RUN)/python -m pytest -n 2 tests/render $(ARGS)

cluster: $(VENV)/.installed ## run the tests that need an API server
	@$(RUN)/python -m pytest -n $(WORKERS) --agent-identities-cluster $(CLUSTER) --agent-identities-kubernetes $(KUBERNETES) tests/cluster $(ARGS)

test-matrix: $(VENV)/.installed ## run the cluster tests on Kubernetes 1.34 to 1.37 with Helm 3 and 4; write the table of docs/versions.md
	@$(RUN)/python ci/matrix.py --workers $(WORKERS) $(ARGS)

coverage: $(VENV)/.installed ## run the unit and render tests with branch coverage; fail below the floor in pyproject.toml
	@$(RUN)/coverage erase
	@$(RUN)/coverage run -m pytest -n $(WORKERS) tests/unit tests/render $(ARGS)
	@$(RUN)/coverage combine --quiet && $(RUN)/coverage report

wheel: $(VENV)/.installed ## build the wheel in dist/
	@$(RUN)/uv build --quiet --wheel --build-constraints requirements.lock --require-hashes --out-dir dist

wheel-test: $(VENV)/.installed ## run the unit tests against the built wheel, without src/: PYTHONS='3.11 3.12 3.13'
	@$(RUN)/python ci/wheel_test.py $(if $(WHEEL),--wheel $(WHEEL)) --python $(PYTHONS) -- -n $(WORKERS) $(or $(ARGS),tests/unit)

tools: $(VENV)/.installed ## find or build helm, kubectl and the control plane; link them in .tools/bin
	@$(RUN)/agent-identities toolchain --kubernetes $(KUBERNETES) --links .tools/bin

lint: $(VENV)/.installed ## run ruff, import-linter, and mypy in strict mode; zizmor on the workflows
	@$(RUN)/ruff check . && $(RUN)/ruff format --check . && $(RUN)/lint-imports && $(RUN)/mypy && $(RUN)/zizmor --offline --quiet .github

format: $(VENV)/.installed ## format the code with ruff
	@$(RUN)/ruff check --fix . ; $(RUN)/ruff format .

lock: ## write requirements.lock for pyproject.toml; ARGS=--upgrade takes the newest versions
	@test -x $(RUN)/uv || { echo "$(RUN)/uv: no such file. Run: $(PYTHON) -m venv $(VENV) && $(RUN)/python -m pip install uv" >&2; exit 2; }
	@$(RUN)/uv pip compile --quiet --universal --python-version=3.11 --generate-hashes --extra=dev \
	  --output-file=requirements.lock pyproject.toml $(ARGS)

chart-docs: $(VENV)/.installed ## write the chart's README.md from its values and schema
	@$$($(RUN)/python -c 'from agent_identities.toolchain import provide; print(provide(["helm-docs"])["helm-docs"].path)') \
	  --chart-to-generate charts/agent-identities --sort-values-order file

changelog: $(VENV)/.installed ## check that a change of src/ or charts/ since BASE has a fragment in changelog.d/
	@git diff --quiet $(BASE)... -- src charts || $(RUN)/towncrier check --compare-with $(BASE)

prove: $(VENV)/.installed ## run all proofs at full length (about 45 minutes); see docs/proofs.md
	@$(RUN)/python ci/prove.py --kubernetes $(KUBERNETES) --workers $(WORKERS) $(ARGS)

mutants: $(VENV)/.installed ## break the chart in thousands of places, one at a time; print what notices each mutant
	@PYTHONPATH=ci:tests $(RUN)/python -m mutation --kubernetes $(KUBERNETES) $(ARGS)

bench: $(VENV)/.installed ## measure speed as ratios: rendering, growth, checks, control plane; then up to 10,000 agents, and the guards
	@$(RUN)/python ci/bench.py $(ARGS); status=$$?; $(RUN)/python ci/bench_fleet.py || status=1; $(RUN)/python ci/bench_guards.py && exit $$status

clean: ## remove the files that make created in the checkout (not the cache of built binaries)
	rm -rf $(VENV) .tools dist .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Installed again when the dependencies change. requirements.lock pins the versions and hashes that CI tests.
$(VENV)/.installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11. Set a newer version: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot create a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(VENV); exit 2; }
	@echo "Installing the Python packages into $(VENV) ..."
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
