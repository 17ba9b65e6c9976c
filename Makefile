# Two commands for a fresh machine with only Python 3.11+ and make:
#   make demo   sets up and plays a session of a real face, live and attacked
#   make test   sets up and passes the tests
PYTHON ?= python3
.DELETE_ON_ERROR:
.PHONY: demo test lint docs fuzz soak clean

demo: .venv-demo/ready
	.venv-demo/bin/ratta demo --output out/demo

test: .venv-test/ready
	.venv-test/bin/pytest

lint: .venv-test/ready
	.venv-test/bin/ruff format --check ratta tests bench examples docs/browser docs/hooks.py
	.venv-test/bin/ruff check ratta tests bench examples docs/browser docs/hooks.py
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports

# Long runs of what `make test` does for some seconds; EXAMPLES a property, SECONDS of attempts.
EXAMPLES ?= 20000
SECONDS ?= 7200
fuzz: .venv-test/ready
	RATTA_FUZZ=$(EXAMPLES) .venv-test/bin/pytest tests/fuzz tests/test_monotone.py

soak: .venv-test/ready
	.venv-test/bin/python -P tests/fuzz/soak.py --seconds $(SECONDS) --output soak.json

docs:
	bash .ci/docs

clean:
	rm -rf .venv-demo .venv-test .venv-docs out site

SOURCES := pyproject.toml NOTICE $(shell find ratta models -type f -not -path '*/__pycache__/*' 2>/dev/null)

.venv-demo/ready: $(SOURCES)
	test -x .venv-demo/bin/python || $(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet --disable-pip-version-check '.[camera]'
	.venv-demo/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	touch $@

# The tests run against the installed wheel, never against the source folder.
.venv-test/ready: $(SOURCES)
	test -x .venv-test/bin/python || $(PYTHON) -m venv .venv-test
	.venv-test/bin/python -m pip install --quiet --disable-pip-version-check '.[camera,bench,tools,dev]'
	.venv-test/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	touch $@
