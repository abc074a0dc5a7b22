# make help lists what can be made. Every target makes the environment first, if it has to.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# No value that is given reaches a shell as code, or make as text to expand: what the command line sets is taken as it
# is written, and recipes read every value from the environment ("$$NAME").
$(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(eval override $(name) := $$(value $(name)))))

export PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.uv/bin:$(PATH)
export UV_PYTHON_DOWNLOADS := never

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: env
env: .venv/.ready ## make the environment in .venv, as uv.lock says

.venv/.ready: uv.lock pyproject.toml
	@command -v uv >/dev/null || { "$$PYTHON" -m venv .uv && .uv/bin/pip install --quiet uv; }
	uv sync --quiet --locked --compile-bytecode --python "$$PYTHON"
	@touch $@

export VERBOSE ?=

.PHONY: doctor
doctor: ## look at machine, data and project, and change nothing: what is missing; VERBOSE=1: what is well, what would run
	@PYTHONPATH=src "$$(command -v python || echo "$$PYTHON")" -B -m ftu_tools.doctor.doctor $${VERBOSE:+--verbose}

.PHONY: repro
repro: env ## run the whole pipeline on the data set that params.yaml names (the embedded sample)
	dvc repro
	@echo && cat reports/summary.md && echo && echo "Submission: submissions/submission.csv"

export JOBS ?= 2

.PHONY: test
test: env ## run the tests (minutes), JOBS=2 files at a time
	pytest -m "not slow" -n "$$JOBS" --dist loadfile

.PHONY: test-slow
test-slow: env ## run the long tests: whole pipelines, caching, killed processes (tens of minutes), JOBS=2 files at a time
	pytest -m slow -n "$$JOBS" --dist loadfile

export KILLS ?= 50
export SEED ?= 0

.PHONY: faults
faults: env ## kill, fill, damage, cut the power in every stage; the next run ends as an undisturbed one: KILLS=50 SEED=0
	python tests/support/faults.py --kills="$$KILLS" --seed="$$SEED"

export FILES ?=
export MOST ?= 40

.PHONY: mutants
mutants: env ## change modules a little, MOST=40 times each; which changes no fast test notices: FILES="src/ftu/..."
	PYTHONPATH=src:tests/support python tests/support/mutants.py --most="$$MOST" --seed="$$SEED" $$FILES

export EVERY ?= 1

.PHONY: odd
odd: env ## odd files and environments: each refused in words, or without a trace: JOBS=2 at a time, EVERY=1
	PYTHONPATH=src:tests/support python -W ignore tests/support/odd.py --jobs="$$JOBS" --every="$$EVERY"

.PHONY: verify-cache
verify-cache: env ## compare the files of DVC's cache with their names, and remove the damaged ones
	PYTHONPATH=src python -m ftu_tools.maintenance.verify_cache

# Empty: JOBS folds at a time on CPUs.
export GPUS ?=

.PHONY: train-parallel
train-parallel: env ## train the folds side by side: GPUS=0,1 one on each card; without, JOBS=2 at a time on CPUs
	PYTHONPATH=src python -m ftu_tools.maintenance.train_parallel --gpus="$$GPUS" --jobs="$$JOBS"

.PHONY: determinism
determinism: env ## run what is committed in two clones, on 1 and 2 workers, and compare their dvc.lock (minutes)
	PYTHONPATH=src:tests/support python tests/support/determinism.py

.PHONY: check
check: env audit ## ruff, ruff format, pyright, and audit
	ruff check .
	ruff format --check .
	pyright

# Known vulnerabilities that are accepted, each with the reason.
# GHSA-w8v5-vhqr-4h9v: diskcache, of DVC, pickles DVC's own index in its site cache folder: who can write there is the
#   user already. There is no fixed version, and neither the stages nor the notebook import it.
ACCEPTED := GHSA-w8v5-vhqr-4h9v
export ACCEPTED
export REQUIRED ?=

# uv's status: 0 nothing is known, 1 something is; any other, it could not find out.
.PHONY: audit
audit: env ## known vulnerabilities of what uv.lock pins; REQUIRED=1 fails, too, where the database cannot be asked
	@set -f; ignored=(); for name in $$ACCEPTED; do ignored+=("--ignore=$$name"); done; \
	UV_HTTP_RETRIES=$${UV_HTTP_RETRIES:-1} UV_HTTP_TIMEOUT=20 timeout 120 uv audit --frozen --preview-features audit-command "$${ignored[@]}"; \
	status=$$?; [ $$status -le 1 ] && exit $$status; \
	stars=$$(printf '*%.0s' {1..72}); \
	printf '%s\n' "$$stars" "SKIPPED: no package was audited (status $$status of uv audit)" "$$stars" >&2; \
	[ -z "$$REQUIRED" ]

.PHONY: format
format: env ## write Python the way make check wants it
	ruff check --fix .
	ruff format .

.PHONY: docs
docs: env ## write the parts of docs/ that are made from the code
	PYTHONPATH=tests/support python tests/support/packages.py
	PYTHONPATH=src python -m ftu_tools.maintenance.parameters_page
	PYTHONPATH=src python -m ftu_tools.maintenance.augmentation_picture
	PYTHONPATH=src python -m ftu_tools.maintenance.corruptions_picture
	PYTHONPATH=src python -m ftu_tools.studies.second_paper

export SECONDS_OF_FUZZING ?= 30

.PHONY: fuzz
fuzz: env ## damage what is read, guided by coverage (atheris): SECONDS_OF_FUZZING=30
	PYTHONPATH=src:tests/support uv run --quiet --frozen --no-sync --with atheris==3.0.0 python tests/support/fuzzing.py "$$SECONDS_OF_FUZZING"

export BENCHMARKS ?= stain rle reading preprocess loading training predict masking startup repro

.PHONY: bench
bench: env ## measure against peers, side by side; BENCHMARKS="stain rle ..."
	@set -f; for benchmark in $$BENCHMARKS; do echo "== $$benchmark"; PYTHONPATH=src:.peers python "benchmarks/$$benchmark.py" || exit 1; done

.PHONY: peers
peers: env ## install peers that bench can do without, in .peers, beside the environment: nothing else sees them
	uv pip install --quiet --target .peers --no-deps monai==1.6.1 pytorch-ignite==0.5.5 torchstain==1.4.1

# Each is empty for its default: all models of the grid, all modes, train.seed and split.run of params.yaml.
export MODELS ?=
export MODES ?=
export SEEDS ?=
export FOLDS ?=
export SET ?=
export GRID ?= table2

.PHONY: table2
table2: env ## the paper's Table 2: MODELS="CoaT,PVTv2" MODES="none switched" SEEDS="42 43" FOLDS=0 SET="..." GRID=...
	PYTHONPATH=src python -m ftu_tools.studies.run_table2 --models="$$MODELS" --modes="$$MODES" --seeds="$$SEEDS" \
	  --folds="$$FOLDS" --set="$$SET" --grid="$$GRID"

.PHONY: models
models: env ## every network of the papers: parameters, buffers, multiplications, licence of weights; JSON=1 as data
	@PYTHONPATH=src python -m ftu_tools.studies.networks $${JSON:+--json}

export PROFILE ?=
export ROOT ?=
export CLASSES ?=

.PHONY: new
new: env ## a profile for your own images: PROFILE=mine ROOT=data/mine CLASSES=gland,vessel (docs/own-data.md)
	PYTHONPATH=src python -m ftu_tools.dataset.new --classes="$$CLASSES" -- "$$ROOT" "$$PROFILE"

export EFFECTS ?= benchmarks/effects.yaml
export PART ?= oof
export CLAIMS ?=

.PHONY: effects
effects: env ## what each change of parameters brings, in paired differences: EFFECTS=file SEEDS="42 43 44" SET="..." PART=test CLAIMS=em-ssl
	PYTHONPATH=src python -m ftu_tools.studies.effects --seeds="$$SEEDS" --set="$$SET" --part="$$PART" --claims="$$CLAIMS" -- "$$EFFECTS"

export NAMES ?=

.PHONY: compare
compare: env ## what experiments changed and brought, in paired differences with intervals: NAMES="A B", the first compared with; PART=test
	PYTHONPATH=src python -m ftu_tools.studies.compare --part="$$PART" -- "$$NAMES"

export IMAGES ?=
export MODEL ?= .
export ORGAN ?=
export SOURCE ?=
export UM ?=
export OUT ?=
export WORKERS ?= 1

.PHONY: segment
segment: env ## your own slides with a trained model, for QuPath: IMAGES=dir ORGAN=kidney MODEL=. UM=0.25 OUT=results WORKERS=1
	PYTHONPATH=src python -m ftu_tools.segment --model="$$MODEL" --organ="$$ORGAN" --source="$$SOURCE" --um="$$UM" \
	  --out="$${OUT:-results}" --workers="$$WORKERS" -- "$$IMAGES"

# Empty for the project as it lies here, the running Python, no name yet, and predict.device.
export EXPERIMENT ?=
export PYTHONS ?=
export KAGGLE_USER ?=
export DEVICE ?=

.PHONY: bundle
bundle: env ## inference for Kaggle in bundle/: EXPERIMENT=name PYTHONS="3.11 3.12" KAGGLE_USER=you DEVICE=cuda
	PYTHONPATH=src python -m ftu_tools.kaggle.bundle --experiment="$$EXPERIMENT" --pythons="$$PYTHONS" \
	  --user="$$KAGGLE_USER" --device="$$DEVICE"

export FOLD ?=
export TITLE ?=
export AUTHOR ?=
export LICENCE ?=

.PHONY: export
export: env ## a model for other programs in export/: EXPERIMENT=name OUT=export FOLD=0 LICENCE=CC-BY-4.0 TORCHSCRIPT=1
	PYTHONPATH=src python -m ftu_tools.export --model="$$EXPERIMENT" --out="$${OUT:-export}" --fold="$$FOLD" --name="$$TITLE" \
	  --author="$$AUTHOR" --licence="$$LICENCE" $${TORCHSCRIPT:+--torchscript} $${FIXED:+--fixed}

# Images that the hidden test set of a rehearsal has more than the visible one.
export HIDDEN ?= 12

.PHONY: rehearsal
rehearsal: env ## run the notebook of bundle/ as Kaggle would, and compare its CSV with the pipeline's: HIDDEN=12
	PYTHONPATH=src python -m ftu_tools.kaggle.rehearsal --hidden="$$HIDDEN"

export DAYS ?= 30

.PHONY: prune-cache
prune-cache: env ## forget what was made of single images and not used for DAYS=30 days; 0: all of it
	PYTHONPATH=src python -m ftu_tools.maintenance.prune_cache --days="$$DAYS"

.PHONY: release
release: env ## when version, changelog, citation and tag agree: source, packages and checksums in dist/ (docs/release.md)
	PYTHONPATH=src python -m ftu_tools.maintenance.release
