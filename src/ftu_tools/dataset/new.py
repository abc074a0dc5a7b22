"""Parameters for a data set in folders: what is found there, in a profile, and in words.

`make new PROFILE=mine ROOT=data/mine` writes profiles/mine.yaml, which begins as profiles/laptop.yaml.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd
from ruamel.yaml import YAML

from ftu.datasets import folders
from ftu.errors import InputError, some
from ftu.files import csvfile, limits, yamlfile
from ftu.files.names import composed
from ftu.pipeline.atomic import whole_file
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run
from ftu_tools.dataset import guesses, labels
from ftu_tools.dataset.guesses import THRESHOLD, Guess

START = Path("profiles/laptop.yaml")
ORGAN, SOURCE = "tissue", "own"
WEIGHTS = "train.weights: imagenet, fetched once; without a network give the path of a file, or none"
OF_NO_SOURCE = 3  # parts of the path of an image in no source's folder: train/images/NAME.png
KNOWN = {"id", "organ", "data_source", "pixel_size", "group", "z", "set"}  # columns of images.csv


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ftu_tools.dataset.new", description=__doc__)
    parser.add_argument("root", help="the data set: train/images, train/masks, ...")
    parser.add_argument("profile", help="the name of the profile that is written")
    parser.add_argument("--classes", default="", help="names, the first is 1 in the masks: gland,vessel")
    arguments = parser.parse_args()
    for variable, value in (("PROFILE", arguments.profile), ("ROOT", arguments.root)):
        if not value:
            raise InputError(f"{variable}: is missing; say `make new PROFILE=mine ROOT=data/mine`")
    if fault := limits.name_fault(arguments.profile):
        raise InputError(f"PROFILE: {fault}")
    path = Path("profiles") / f"{arguments.profile}.yaml"
    if path.exists():
        raise InputError(f"{path}: is there already; give another PROFILE, or remove it")
    root, classes = Path(arguments.root), labels.named(arguments.classes, "CLASSES")
    if not root.is_dir():
        raise InputError(f"ROOT: {root} is no folder; name the one that holds {folders.EXPECTED}")
    guess = guessed(root, classes)
    write(path, guess)
    lines = [*guess.words, f"{path} is written; go on with `cp {path} params.yaml && dvc repro`"]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def guessed(root: Path, classes: Sequence[str] = ()) -> Guess:
    """What the data set at `root` says; InputError where it is no data set in folders.

    `classes` are the names of those in masks, in order, where they are known.
    """
    folders.check_root(root)
    said = csvfile.read_csv(root / folders.TABLE) if (root / folders.TABLE).exists() else pd.DataFrame()
    organs = _values(said, "organ") or [ORGAN]
    deeper = {path.parent.parent.name for name in folders.SETS for path in root.glob(f"*/{name}/images")}
    sources = sorted(deeper | set(_values(said, "data_source"))) or [SOURCE]
    told = [column for column in ("group", "z") if column in said]
    train, test = folders.read_both(root, organs=organs, sources=sources, pixel_size=1.0, told=told)
    both = pd.concat([train, test])
    scale = guesses.pixel_size(root, train, said)
    belonging = guesses.belonging(root, train, test, said)
    folds = belonging.sections["split"]["count"]
    taken = {"organ": organs[0], "data_source": sources[0], "pixel_size": f"{scale:g}"}
    masks = guesses.classes([root / mask for mask in both["mask"] if mask], classes)
    one = len(masks.sections["data"]["classes"]) == 1
    return guesses.together(
        [
            _found(root, train, test),
            _named(organs, sources, scale or 1.0, thresholds=one),
            Guess({}, [_scale_in_words(scale), *_unsaid(both, said, taken)]),
            guesses.channels([root / image for image in both["image"]]),
            masks,
            belonging,
            guesses.shown(train, scale or 1.0, guesses.sizes_said(said), folds),
            Guess({}, [WEIGHTS, *_left(said)]),
        ]
    )


def write(path: Path, guess: Guess) -> None:
    """The profile START with these values, checked whole before it takes its place."""
    params = cast(dict[str, Any], yamlfile.read(START, "run from the project's folder"))
    for section, values in guess.sections.items():
        outer, _, name = section.rpartition(".")
        place = params[outer] if outer else params
        place[name] = values if name == "thresholds" else place[name] | values
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    words = [f"Begun as {START} by `make new`: `cp {path} params.yaml && dvc repro`.", *guess.words]
    with whole_file(path) as made:
        with made.open("w", encoding="utf-8") as file:
            file.write("".join(f"# {sentence}\n" for sentence in words))
            yaml.dump(params, file)
        load_params(made)


def _values(said: pd.DataFrame, column: str) -> list[str]:
    return sorted(set(said[column]) - {""}) if column in said else []


def _found(root: Path, train: pd.DataFrame, test: pd.DataFrame) -> Guess:
    """What is there."""
    sizes, scored = train[["img_height", "img_width"]], len(folders.labelled(test))
    test_words = f"{len(test)} test images" + (f", {scored} of them with masks to score" if scored else "")
    words = f"{root}: {len(train)} training and {test_words}, sides of {sizes.min().min()} to"
    return Guess({"data": {"layout": "folders", "root": str(root)}}, [f"{words} {sizes.max().max()} px"])


def _named(organs: Sequence[str], sources: Sequence[str], scale: float, *, thresholds: bool) -> Guess:
    """What the sections need for these organs and sources, at `scale` um per px."""
    each = f"; thresholds: {THRESHOLD} each" if thresholds else ""
    return Guess(
        {
            "data": {"organs": list(organs), "sources": list(sources), "pixel_size": scale},
            "stain": {
                "backend": "none",
                "target": {"kind": "mosaic_by_organ", "ids": [], "source": sources[0], "file": ""},
            },
            "shift": {"enabled": False, "source": sources[0], "pixel_size": dict.fromkeys(organs, scale)},
            "train": {"organ_weights": {}},
            "thresholds": {source: dict.fromkeys(organs, THRESHOLD) for source in sources if thresholds},
        },
        [f"data.organs: {', '.join(organs)}; data.sources: {', '.join(sources)}{each}"],
    )


def _scale_in_words(scale: float) -> str:
    unknown = "unknown, so 1: sizes in um2 are px, and resize.microns are px of an image"
    return f"data.pixel_size: {f'{scale:g} um per px' if scale else unknown}"


def _unsaid(both: pd.DataFrame, said: pd.DataFrame, taken: Mapping[str, str]) -> list[str]:
    """A sentence on each column that images.csv fills for some images alone; others have what is `taken`."""
    lines = []
    for column in [name for name in taken if name in said]:
        filled = said[said[column] != ""]
        sets = filled["set"] if "set" in said else [""] * len(filled)  # a row may be about both, or either
        told = set(zip(map(composed, filled["id"]), sets, strict=True))
        which = zip(both["name"], both["set"], strict=True)
        others = both[[not told & {(name, part), (name, "")} for name, part in which]]
        if column == "data_source":  # a folder names it, too
            others = others[[len(Path(image).parts) == OF_NO_SOURCE for image in others["image"]]]
        if told and len(others):
            names = some(others["name"])
            lines.append(
                f"images.csv has no {column} for {len(others)} of {len(both)} images ({names}), which so "
                f"have {taken[column]}; where that is wrong, fill these cells, and make the profile again"
            )
    return lines


def _left(said: pd.DataFrame) -> list[str]:
    """A sentence on columns of images.csv with which nothing was done."""
    if not (more := sorted(set(said.columns) - KNOWN)):
        return []
    return [f"images.csv has {', '.join(more)}, too; who belongs together may be named so in data.group"]


if __name__ == "__main__":
    run(main)
