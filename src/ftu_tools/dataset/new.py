"""Parameters for a data set in folders: what is found there, in a profile, and in words.

`make new PROFILE=mine ROOT=data/mine` writes profiles/mine.yaml, which begins as profiles/laptop.yaml.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import pandas as pd
from ruamel.yaml import YAML

from ftu.datasets import folders, image_files
from ftu.errors import InputError
from ftu.files import csvfile, limits, yamlfile
from ftu.pipeline.atomic import whole_file
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run

START = Path("profiles/laptop.yaml")
ORGAN, SOURCE = "tissue", "own"
FOLDS = 5
LARGEST_SIDE = 512  # px: what a laptop trains on
THRESHOLD = 0.5


class Guess(NamedTuple):
    """Values of parameters, by section, and a sentence on where each came from."""

    sections: dict[str, dict[str, Any]]
    words: list[str]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ftu_tools.dataset.new", description=__doc__)
    parser.add_argument("root", type=Path, help="the data set: train/images, train/masks, ...")
    parser.add_argument("profile", help="the name of the profile that is written")
    arguments = parser.parse_args()
    if fault := limits.name_fault(arguments.profile):
        raise InputError(f"PROFILE: {fault}")
    path = Path("profiles") / f"{arguments.profile}.yaml"
    if path.exists():
        raise InputError(f"{path}: is there already; give another PROFILE, or remove it")
    guess = guessed(arguments.root)
    write(path, guess.sections)
    lines = [*guess.words, f"{path} is written; go on with `cp {path} params.yaml && dvc repro`"]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def guessed(root: Path) -> Guess:
    """What the data set at `root` says; InputError where it is no data set in folders."""
    folders.check_root(root)
    said = csvfile.read_csv(root / folders.TABLE) if (root / folders.TABLE).exists() else pd.DataFrame()
    organs = _values(said, "organ") or [ORGAN]
    deeper = {path.parent.parent.name for path in root.glob("*/train/images")}
    sources = sorted(deeper | set(_values(said, "data_source"))) or [SOURCE]
    told = [column for column in ("group", "z") if column in said]
    train, test = folders.read_both(root, organs=organs, sources=sources, pixel_size=1.0, told=told)
    scale = _pixel_size(root, train, said)
    grouped = "group" in told
    units = train["group"].nunique() if grouped else len(train)
    if units < 2:
        what = "groups" if grouped else "images"
        raise InputError(f"{root}: has {units} training {what}, and folds need two at least; add more")
    count = min(FOLDS, units)
    side = _side(train)
    batch = max(1, min(4, len(train) * (count - 1) // count))
    sections: dict[str, dict[str, Any]] = {
        "data": {
            "layout": "folders",
            "root": str(root),
            "organs": organs,
            "sources": sources,
            "pixel_size": scale or 1.0,
            "group": ["group"] if grouped else [],
            "z": "z" if {"group", "z"} <= set(told) else "",
        },
        "resize": {"side": side},
        "stain": {
            "backend": "none",
            "target": {"kind": "mosaic_by_organ", "ids": [], "source": sources[0], "file": ""},
        },
        "shift": {"source": sources[0], "pixel_size": dict.fromkeys(organs, scale or 1.0)},
        "split": {"count": count, "run": list(range(count)), "by": "group" if grouped else "image"},
        "train": {"batch_size": batch, "organ_weights": {}},
        "thresholds": {source: dict.fromkeys(organs, THRESHOLD) for source in sources},
    }
    return Guess(sections, _words(root, train, test, sections, scale=scale, grouped=grouped))


def write(path: Path, sections: dict[str, dict[str, Any]]) -> None:
    """The profile START with these values, checked whole before it takes its place."""
    params = cast(dict[str, Any], yamlfile.read(START, "run from the project's folder"))
    for section, values in sections.items():
        params[section] = values if section == "thresholds" else params[section] | values
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    with whole_file(path) as made:
        with made.open("w", encoding="utf-8") as file:
            file.write(f"# Begun as {START} by `make new`: `cp {path} params.yaml && dvc repro`.\n")
            yaml.dump(params, file)
        load_params(made)


def _values(said: pd.DataFrame, column: str) -> list[str]:
    return sorted(set(said[column]) - {""}) if column in said else []


def _side(train: pd.DataFrame) -> int:
    """px: the median longer side, a multiple of 32 between 64 and LARGEST_SIDE."""
    longer = statistics.median(train[["img_height", "img_width"]].max(axis=1))
    return min(max(round(longer / 32) * 32, 64), LARGEST_SIDE)


def _pixel_size(root: Path, train: pd.DataFrame, said: pd.DataFrame) -> float:
    """um per px as the table says of most images, or as the first image's file states; 0 where neither
    does."""
    if "pixel_size" in said and (known := [value for value in said["pixel_size"] if value]):
        return float(statistics.mode(known))
    stated: Sequence[float] = list(image_files.stated_of(root / train["image"].iloc[0]).values())
    return round(stated[0], 6) if stated else 0.0


def _words(
    root: Path,
    train: pd.DataFrame,
    test: pd.DataFrame,
    sections: dict[str, dict[str, Any]],
    *,
    scale: float,
    grouped: bool,
) -> list[str]:
    data, split = sections["data"], sections["split"]
    sizes = train[["img_height", "img_width"]]
    units = f"{train['group'].nunique()} groups of images.csv" if grouped else "single images"
    unknown = "unknown, so 1: sizes in um2 are px, and resize.mode microns means nothing"
    known = f"{scale:g} um per px" if scale else unknown
    flatter = "" if grouped else "; where images share a patient, slide or volume, say so in data.group"
    return [
        f"{root}: {len(train)} training and {len(test)} test images, sides of {sizes.min().min()} to "
        f"{sizes.max().max()} px",
        f"data.organs: {', '.join(data['organs'])}; data.sources: {', '.join(data['sources'])}; thresholds: "
        f"{THRESHOLD} each",
        f"data.pixel_size: {known}",
        f"resize.side: {sections['resize']['side']} px; larger shows more, and takes longer",
        f"split: {split['count']} folds of {units}{flatter}",
    ]


if __name__ == "__main__":
    run(main)
