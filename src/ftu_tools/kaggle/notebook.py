"""The notebook that infers from a bundle on Kaggle, and the metadata that Kaggle's command line reads.

Fields: https://github.com/Kaggle/kaggle-cli/blob/main/docs/kernels_metadata.md and datasets_metadata.md.
Cells are plain Python without magics, so that a rehearsal runs them as they are.
"""

from typing import Any

COMPETITION = "hubmap-organ-segmentation"
DATASET = "ftu-bundle"  # slugs; Kaggle makes the slug of a notebook from its title
KERNEL = "ftu-inference"
CODE_FILE = "inference.ipynb"
INPUT = "FTU_INPUT"  # environment variable: where the data sets lie, when not where Kaggle puts them

FIND = f"""\
import json, os, subprocess, sys
from glob import glob
from pathlib import Path

INPUT = os.environ.get("{INPUT}", "/kaggle/input")
(BUNDLE,) = {{Path(path).parent for path in glob(f"{{INPUT}}/**/bundle.json", recursive=True)}}
(DATA,) = {{Path(path).parent for path in glob(f"{{INPUT}}/**/test.csv", recursive=True)}}
FACTS = json.loads((BUNDLE / "bundle.json").read_text())
PYTHON = f"{{sys.version_info.major}}.{{sys.version_info.minor}}"
print(f"bundle of commit {{FACTS['code_commit']}}; data {{DATA}}; Python {{PYTHON}}", flush=True)
if PYTHON not in FACTS["packages"]:
    sys.exit(f"no wheels for Python {{PYTHON}}: make bundle PYTHONS={{PYTHON}}, and publish again")
"""

INSTALL = """\
PINS = [f"{name}=={version}" for name, version in FACTS["packages"][PYTHON].items()]
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--find-links"]
subprocess.run([*PIP, BUNDLE / "wheels", *PINS], check=True)
"""

INFER = """\
# Threads that spin briefly while they wait: see ftu.pipeline.stage, which comes too late for torch here.
ENVIRONMENT = {"GOMP_SPINCOUNT": "1000"} | os.environ | {"PYTHONPATH": str(BUNDLE / "src")}
OURS = [sys.executable, "-m", "ftu_tools.kaggle.infer"]
OURS += ["--data", DATA, "--bundle", BUNDLE, "--out", "submission.csv"]
subprocess.run(OURS, env=ENVIRONMENT, check=True)
"""

CHECK = """\
CHECK = [sys.executable, "-m", "ftu.masks.submission", "check", "submission.csv", "--test", DATA / "test.csv"]
subprocess.run(CHECK, env=ENVIRONMENT, check=True)
"""

INTRODUCTION = f"""\
# Segmentation of functional tissue units

Inference without a network, from the data set `{DATASET}`: it installs the wheels there, predicts every image
of test.csv, one at a time, and writes submission.csv.
"""


def notebook() -> dict[str, Any]:
    """The notebook, in Jupyter's format 4.4 (https://nbformat.readthedocs.io)."""
    cells = [_cell("markdown", INTRODUCTION)]
    cells += [_cell("code", code) | {"execution_count": None, "outputs": []} for code in code_cells()]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def code_cells() -> list[str]:
    """The code of the notebook, in order: find, install, infer, check."""
    return [FIND, INSTALL, INFER, CHECK]


def kernel_metadata(user: str) -> dict[str, Any]:
    """kernel-metadata.json: a private notebook with a GPU and, as the competition asks, without internet."""
    return {
        "id": f"{user}/{KERNEL}",
        "title": KERNEL.replace("-", " "),
        "code_file": CODE_FILE,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "enable_tpu": False,
        "enable_internet": False,
        "dataset_sources": [f"{user}/{DATASET}"],
        "competition_sources": [COMPETITION],
        "kernel_sources": [],
        "model_sources": [],
    }


def dataset_metadata(user: str, description: str) -> dict[str, Any]:
    """dataset-metadata.json; the licences are many, and stand in the data set's LICENSES.md."""
    return {
        "title": DATASET.replace("-", " "),
        "subtitle": "Models and wheels for inference without a network",
        "description": description,
        "id": f"{user}/{DATASET}",
        "licenses": [{"name": "other"}],
        "keywords": [],
    }


def _cell(kind: str, text: str) -> dict[str, Any]:
    return {"cell_type": kind, "metadata": {}, "source": text.rstrip("\n").splitlines(keepends=True)}
