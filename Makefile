.PHONY: check format lint types contracts docs test nightly cards bench

check: lint types contracts docs test

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

docs:
	mkdocs build --strict

test:
	pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

nightly:
	pytest -m nightly

cards:
	python -c "from pathlib import Path; from mixhub.card.page.write import write_model_cards; write_model_cards(Path('model_cards'))"

bench:
	python -m tests.benchmarks
