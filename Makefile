# Every target works from a fresh clone: it makes its own virtual environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo publish play test lint results environments recipes bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

$(BIN)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(BIN)/installed-dev: $(BIN)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(BIN)/installed ## from an empty folder to a driven, judged, reported policy
	$(BIN)/python scripts/pipeline.py --run runs/demo --preset demo

publish: $(BIN)/installed ## datasets, model and bundle of the demo, in runs/demo/published (after make demo)
	$(BIN)/python -m pip install --quiet --editable '.[publish]'
	$(BIN)/python scripts/10_publish.py --run runs/demo

play: $(BIN)/installed ## the playground: type a sentence, click a place, watch it drive (after make demo)
	$(BIN)/python scripts/play.py --run runs/demo

test: $(BIN)/installed-dev ## the whole test suite
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(BIN)/installed-dev ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

results: $(BIN)/installed ## docs/results.md: full size, other splits and layouts, fewer trajectories (a day)
	$(BIN)/python scripts/pipeline.py --run runs/paper --preset paper
	$(BIN)/python scripts/experiments.py --run runs/paper --preset paper
	$(BIN)/python scripts/results.py --run runs/paper

environments: $(BIN)/installed ## a car on a hill and a maze of others, all the way (docs/environments.md; an hour)
	$(BIN)/python -m pip install --quiet --editable '.[gym]'
	$(BIN)/python scripts/pipeline.py --run runs/car --options docs/examples/mountain_car_options.toml
	$(BIN)/python scripts/pipeline.py --run runs/maze --options docs/examples/point_maze_options.toml

recipes: demo ## train and try the other systems of the family (docs/recipes.md; an hour)
	$(BIN)/python -m pip install --quiet --editable '.[gym]'
	$(BIN)/python -m nanodt.family.recipes --all

bench: $(BIN)/installed-dev ## speed: simulator, training, driving, the playground (after make demo)
	$(BIN)/python benchmarks/simulator.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/drive.py
	$(BIN)/python benchmarks/llm.py
	$(BIN)/python benchmarks/playground.py

clean: ## remove the virtual environment and caches (not the runs)
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
