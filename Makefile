.PHONY: check format lint types contracts test cards bench

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

cards:
	python -c "from pathlib import Path; from mixhub.card.page.write import write_model_cards; write_model_cards(Path('model_cards'))"

bench:
	python -m tests.benchmarks
