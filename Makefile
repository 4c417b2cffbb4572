# make run    the server, on HOST:PORT (default 127.0.0.1:8080); the first start prints an admin token, once
# make test   lint, types, and the tests to run before each commit (three minutes)
# make test-system   the tests that start servers, proxies and whole machines' worth of trouble (some minutes)
# make model  made-up calls against a model of the contract, on both databases (a quarter of an hour)
# make docs   docs/commands.md and docs/calls.md, out of the code
# make test-image   the container image, built and run (two minutes; the first time five)
# make dist   dist/connector.pyz, one file to deploy: python3 connector.pyz
# make release   tests, the single files, licences and checksums in dist/, and the tag to set
# make bench  what a call costs here, as a table (see bench/README.md)
#
# Each is quick the second time: pip runs only when a requirements file is newer than the environment's stamp.


.PHONY: run test test-system model lint format test-dist test-image fuzz bench bench-large faults failover screenshots dist release lock audit clean

# The first of these that runs and is new enough (a pyenv shim can be there and not run).
PYTHON ?= $(firstword $(foreach p,python3.11 python3 python3.12 python3.13 python3.14,\
	$(shell $(p) -c 'import sys; print("$(p)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
PY := .venv/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
MAKEFLAGS += --no-print-directory

run: .venv/run.stamp
	@exec $(PY) -m commands serve

test: lint
	@$(PY) -m pytest -n auto --dist loadfile

# What needs nginx, strace or several servers, or takes minutes. What is not installed is skipped, and named.
test-system: .venv/dev.stamp
	@$(PY) -m pytest -n auto --dist loadfile -m system --ignore tests/test_linear.py
	@$(PY) -m pytest -m system tests/test_linear.py  # it measures time: alone

# Thousands of made-up calls of several clients, each answer compared with a model of the contract; a quarter of an hour.
model: .venv/dev.stamp
	@MODEL_ROUNDS=5000 $(PY) -m pytest -o faulthandler_timeout=0 -n auto --dist load -m system tests/test_model.py

lint: .venv/dev.stamp
	@mkdir -p build
	@$(PY) -m ruff check --quiet
	@$(PY) -m ruff format --check --quiet || { echo "Run 'make format'."; exit 1; }
	@$(PY) -m mypy --no-error-summary
	@.venv/bin/lint-imports --no-logo >build/imports.log || { cat build/imports.log; exit 1; }

format: .venv/dev.stamp
	@$(PY) -m ruff check --fix-only --quiet
	@$(PY) -m ruff format

# Builds the file and runs it as a fresh machine would: without this environment and, where the system allows it to
# be taken away, without a network.
test-dist: dist .venv/dev.stamp
	@$$(unshare --map-current-user --keep-caps --net true 2>/dev/null && echo unshare --map-current-user --keep-caps --net) \
		$(PY) -m pytest -m dist tests/test_dist.py

# The container image, built and run by podman; where no registry can be reached, on a Debian made by debootstrap.
test-image: .venv/dev.stamp
	@$(PY) -m pytest -o faulthandler_timeout=0 -m image tests/test_image.py

ifneq ($(wildcard tests/fuzz),)
# Every operation of the OpenAPI description, with input that was made up.
fuzz: .venv/dev.stamp
	@$(PY) -m pytest tests/fuzz
endif

# docs/commands.md and docs/calls.md, out of the code.
.PHONY: docs
docs: .venv/dev.stamp
	@$(PY) -m docs.generate

# docs/*.png, of made-up data, by the system's Chromium.
screenshots: .venv/dev.stamp
	@$(PY) -m tests.screenshots

# Under load, beside a bare Flask route; a few minutes. Large: a million mails (10 GB of disk, 6 minutes to make) against
# 5,000. The databases stay in build/ and are made anew when the tables change.
bench: build/bench/5000.db
	@$(PY) -m bench.load --db $<

bench-large: build/bench/5000.db build/bench/1000000.db
	@$(PY) -m bench.pages $^

# Kills, deploys, backups, power failures, full disks while mail is logged: one table of what was lost (bench/README.md).
faults: .venv/dev.stamp
	@$(PY) -m bench.faults

# Two PostgreSQL servers, of which one is killed: what is lost, and for how long nothing can be written. A minute or two.
failover: .venv/dev.stamp
	@$(PY) -m bench.faults failover

build/bench/%.db: bench/generate.py models.py | .venv/run.stamp
	@mkdir -p $(@D) && rm -f $@*
	@$(PY) -m bench.generate $* $@

# What goes into the file besides the libraries. Tests and the database do not.
SHIPPED := $(wildcard *.py) commands crm database migrations pages routes store web

# Without PostgreSQL's library; with it: make dist POSTGRESQL=1
dist: dist/connector$(if $(POSTGRESQL),-postgresql).pyz

dist/connector.pyz dist/connector-postgresql.pyz: requirements.lock deploy/single_file.py LICENSE \
		$(shell find $(SHIPPED) -type f -not -name '*.pyc') | .venv/dev.stamp
	@$(PY) -m deploy.single_file $@ $(SHIPPED) LICENSE

# What is given away, in dist/: both single files, the licences, the changes, checksums. The tag is yours to set.
release: .venv/dev.stamp
	@test -z "$$(git status --porcelain)" || { echo "Commit first: a release is made of what git has."; exit 1; }
	@version=$$($(PY) -c 'import settings; print(settings.VERSION)'); \
	if git rev-parse --quiet --verify "refs/tags/v$$version" >/dev/null; then \
		echo "v$$version is released: raise VERSION in settings.py."; exit 1; fi; \
	grep -q "^## \[$$version\] - " CHANGELOG.md || { echo "CHANGELOG.md has no '## [$$version] - DATE'."; exit 1; }
	@rm -rf dist && $(MAKE) test && $(MAKE) test-dist && $(MAKE) dist POSTGRESQL=1
	@cp LICENSE CHANGELOG.md dist/ && cd dist && sha256sum * >SHA256SUMS && cat SHA256SUMS
	@version=$$($(PY) -c 'import settings; print(settings.VERSION)'); \
	printf '\nAll is in dist/. Now:\n\n    git tag -a "v%s" -m "Version %s"\n' "$$version" "$$version"

# Secrets in the tree; then known vulnerabilities, asked of the package index's database. The development list holds the
# runtime list.
audit: .venv/dev.stamp
	@$(PY) -m pytest tests/test_tree.py
	@$(PY) -m pip_audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements-dev.lock || { \
		echo "Where it says 'not found on PyPI', nothing was checked: the package index that pip uses here is one"; \
		echo "without data about vulnerabilities. Run 'make audit' where pypi.org can be reached."; exit 1; }

# What requirements*.txt name, with all that it needs in turn. No address of a package index may get into the files.
UV := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade
lock: .venv/dev.stamp
	@$(UV) requirements.txt -o requirements.lock
	@$(UV) requirements-dev.txt -o requirements-dev.lock
	@git diff --stat -- '*.lock'

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache

# One environment. The development lock holds the runtime list, at the same versions.
define venv
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (python3.11 or python3 on the PATH)."; exit 1; }
	@test -x .venv/bin/pip || $(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) comes without its venv module. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
	@chmod go= instance  # git makes it for all to read
	@test -x .venv/bin/pip || { echo "Making .venv with $(PYTHON) ..."; $(PYTHON) -m venv --clear .venv; }
endef

.venv/run.stamp: requirements.lock
	$(venv)
	@$(PIP) install -r requirements.lock
	@touch $@

.venv/dev.stamp: requirements.lock requirements-dev.lock
	$(venv)
	@echo "Installing the test environment ..."
	@$(PIP) install -r requirements-dev.lock
	@touch .venv/run.stamp $@
