# Two targets for a newcomer: `make up` runs the example service, `make test` proves the house.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXAMPLE ?= examples/hello
FUZZ_SECONDS ?= 300

.PHONY: up test lint unit bench fuzz clean

$(VENV)/up: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/dev: $(VENV)/up
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

$(VENV)/bench: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --group bench
	touch $@

up: $(VENV)/up
	$(BIN)/lamington up $(EXAMPLE)

lint: $(VENV)/bench
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/dev
	$(BIN)/pytest tests/unit tests/property tests/fidelity

test: lint
	$(BIN)/pytest -n 2 --dist loadfile

bench: $(VENV)/bench
	$(BIN)/python -m benchmarks

fuzz: $(VENV)/dev
	for target in tests/fuzz/fuzz_*.py; do \
	  $(BIN)/python $$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -max_len=2000 || exit 1; \
	done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
