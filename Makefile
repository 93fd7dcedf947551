.PHONY: check format lint types contracts test bench

check: lint types contracts test

format:
	ruff format .
	ruff check --fix .

lint:
	ruff format --check .
	ruff check .

types:
	mypy

contracts:
	lint-imports

test:
	pytest

bench:
	python -m tests.benchmarks
