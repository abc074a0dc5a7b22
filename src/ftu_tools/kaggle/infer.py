"""Inference where Kaggle runs it: a bundle's models on the competition's folder, one image at a time.

`python -m ftu_tools.kaggle.infer --data DIR --bundle DIR --out CSV` answers every row of test.csv. An image
goes through files as in the stages decode, resize, normalize, predict and submit, by the same functions, in
a folder that holds this image alone: so the CSV has the bytes of the pipeline's own, and memory and disk hold
one image, whatever the number of images and models.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from ftu.datasets import competition, image_files
from ftu.errors import InputError
from ftu.files import jsonfile, png
from ftu.files.index import ImageRow, image_rows
from ftu.masks import from_maps, rules, submission
from ftu.masks.rules import Rules
from ftu.networks.common import saved
from ftu.pipeline.atomic import whole_file
from ftu.pipeline.params import Params
from ftu.pipeline.stage import run
from ftu.prediction.one_image import Trained, predict
from ftu.preprocessing import normalization, resize
from ftu_tools.kaggle import bundle_layout

HIDDEN = 550  # images of the hidden test set, about
HOURS, GIGABYTES = 9, 13  # that a notebook may take
PATIENCE = 30  # s between two lines of progress


class Loaded(NamedTuple):
    """What a bundle holds, in memory."""

    params: Params  # of the experiment itself
    rules: Rules
    experiments: Sequence[Trained]  # those that count, the experiment itself first
    device: str


class Cost(NamedTuple):
    """What a run took."""

    images: int
    loading: float  # s, once
    predicting: float  # s
    peak: float  # GB of resident memory


def load(bundle: Path) -> Loaded:
    """Everything in a bundle; InputError names what is missing, damaged or does not fit."""
    facts = jsonfile.read(bundle / bundle_layout.FACTS, "give the folder that `make bundle` wrote")
    bundle_layout.check(bundle, facts)
    params = bundle_layout.params_of(bundle, facts["own"])
    known = rules.read(bundle / bundle_layout.RULES, organs=params.data.organs, sources=params.data.sources)
    if set(known.members) != set(facts["members"]):
        raise InputError(
            f"{bundle}: {bundle_layout.RULES} weighs {sorted(known.members)}, not the members; bundle again"
        )
    packed = [("own", facts["own"], known.own)]  # a member may be called own, too
    packed += [(name, place, known.members[name]) for name, place in facts["members"].items()]
    experiments = [load_experiment(bundle / place, name, weight) for name, place, weight in packed if weight]
    return Loaded(params, known, experiments, facts["device"])


def load_experiment(folder: Path, name: str, weight: float) -> Trained:
    """One experiment with the networks of all its folds."""
    params = bundle_layout.params_of(folder.parent, folder.name)
    stain, target = params.stain, folder / bundle_layout.TARGET
    work = normalization.prepare(
        stain.backend, lambda: png.read_image(target), seed=stain.seed, most_gain=stain.most_gain
    )
    networks = {fold: saved.load(folder / f"fold_{fold}") for fold in params.split.run}
    settings, shape = params.predict, partial(resize.network_shape, **params.resize.model_dump())
    window = settings.window.model_dump()
    return Trained(
        name,
        weight,
        shape,
        work,
        networks,
        settings.scales,
        window,
        settings.batch_size,
        settings.threads,
        settings.precision,
    )


def answers(loaded: Loaded, rows: Sequence[ImageRow], data: Path) -> Iterator[dict[str, Any]]:
    """What `from_maps.answer` says of each row, in order."""
    params = loaded.params
    way = from_maps.Way(params.ensemble.mean, loaded.rules.method, params.postprocess.never_empty)
    for row in tqdm(rows, desc="images", mininterval=PATIENCE, maxinterval=PATIENCE):
        image, tta = data / row.image, loaded.rules.tta
        with tempfile.TemporaryDirectory() as scratch:
            predicted = [
                predict(each, row, image, Path(scratch) / str(number), tta=tta, device=loaded.device)
                for number, each in enumerate(loaded.experiments)
            ]
            (case,) = from_maps.cases([row], "test", predicted, loaded.rules)
            yield from_maps.answer(case, way)


def submit(data: Path, bundle: Path, out: Path) -> Cost:
    """Answer test.csv in the folder `data` with the models of `bundle`; `out` is written whole or not at all.

    Raises InputError for a bad table, for an image that is missing, damaged or not of its row's size, and for
    one whose rule cannot be followed, before any is predicted.
    """
    started = time.perf_counter()
    loaded = load(bundle)
    known = loaded.params.data
    test = competition.read_test(data / "test.csv", organs=known.organs, sources=known.sources)
    rows = image_rows(competition.located(test, "test"))
    for row in rows:
        loaded.rules.rule(row.data_source, row.organ)
        # Not against the size of pixels in its tags: where they disagree the row counts, and a score is due.
        image_files.check_image(data / row.image, (row.img_height, row.img_width))
    ready = time.perf_counter()
    answered = pd.DataFrame(answers(loaded, rows, data))
    table = submission.build(list(answered["id"]), list(answered["rles"]))
    submission.check(table, test, 1)
    with whole_file(out) as path:
        table.to_csv(path, index=False)
    sys.stdout.write(from_maps.guard_in_words(answered, loaded.params.postprocess.never_empty) + "\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # Linux counts in KiB
    return Cost(len(test), ready - started, time.perf_counter() - ready, peak)


def report(cost: Cost) -> str:
    """What a run took, and what the hidden test set would take against Kaggle's limits."""
    each = cost.predicting / cost.images
    hours = (cost.loading + HIDDEN * each) / 3600
    over = [f"{HOURS} hours"] if hours > HOURS else []
    over += [f"{GIGABYTES} GB"] if cost.peak > GIGABYTES else []
    return (
        f"{cost.images} images: {each:.2f} s each after {cost.loading:.1f} s of loading and checking, "
        f"{cost.peak:.2f} GB of memory at most\n"
        f"{HIDDEN} such images: {hours:.2f} of {HOURS} hours, {cost.peak:.2f} of {GIGABYTES} GB"
        + (f"\nwarning: over Kaggle's {' and '.join(over)}" if over else "")
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ftu_tools.kaggle.infer", description="Infer with a bundle's models."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with test.csv and test_images/")
    parser.add_argument("--bundle", type=Path, required=True, help="the data set that `make bundle` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the CSV to write")
    arguments = parser.parse_args()
    cost = submit(arguments.data, arguments.bundle, arguments.out)
    sys.stdout.write(f"{arguments.out}: valid for Kaggle\n{report(cost)}\n")


if __name__ == "__main__":
    run(main)
