"""CPU seconds and peak memory of each stage on synthetic data sets of several sizes, fitted and extrapolated.

PYTHONPATH=src python benchmarks/scaling.py --images 30 100 300 1000

Stages run one by one, without DVC, on one worker and one thread; then DVC takes the outputs. Writes what was
measured to benchmarks/scaling.csv (`--again` reads it and measures nothing), a picture to
docs/images/scaling.png, and prints the tables of docs/scaling.md.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from ruamel.yaml import YAML
from tqdm import tqdm

import costs
from costs import DEALT, Setting
from ftu.datasets import image_files
from ftu.datasets.synthetic import histology
from ftu.files import csvfile, rle

ROOT = Path(__file__).parents[1]
MEASURED, PICTURE = ROOT / "benchmarks/scaling.csv", ROOT / "docs/images/scaling.png"
SIDE, SIZE = 256, 128  # px of an image and of what the network sees, where they are not varied
DRAWN = 10  # images that are drawn; the others are these, rolled
FOLDED = ("train", "predict")
STAGES = (
    "decode", "resize", "normalize", "shift", "split", "train", "predict", "members", "calibrate", "evaluate",
    "submit",
)  # fmt: skip

Measured = dict[str, dict[Setting, tuple[float, float]]]  # stage -> setting -> CPU s and MB


def mega(side: float) -> float:
    return side * side / 1e6


def settings(counts: list[int]) -> list[Setting]:
    """Every count of images at one size; and at the smallest count other sizes, more folds, more epochs."""
    few = Setting(min(counts), mega(SIDE), mega(SIZE))
    return [few._replace(images=count) for count in counts] + [
        few._replace(native=mega(1024)),
        few._replace(native=mega(3000)),
        few._replace(network=mega(64)),
        few._replace(network=mega(256)),
        few._replace(folds=3),
        few._replace(epochs=6),
    ]


class Cost(NamedTuple):
    seconds: float  # of CPU, of the command and what it started
    peak: float  # MB, of its largest process


# A process counts the memory of the one that it was forked from as its own: here that is a small one.
SMALL = """
import json, resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=sys.stderr)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
sys.exit(status)
"""


def cost(folder: Path, *command: str) -> Cost:
    """Run a command in `folder`; SystemExit with its words when it fails."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SMALL, *command],
        cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: failed\n{done.stderr}")
    return Cost(*json.loads(done.stdout))


def write_data(folder: Path, setting: Setting) -> None:
    """A data set in the competition's layout: few drawn images, and these rolled and repeated to size."""
    rng, side, organs = np.random.default_rng(0), round((setting.native * 1e6) ** 0.5), list(histology.ORGANS)
    drawn = [
        histology.draw(organs[turn % 5], "HPA", height=SIDE, width=SIDE, pixel_size=1000 / SIDE, rng=rng)
        for turn in range(DRAWN)
    ]
    repeats = -(-side // SIDE)
    for part, count in (("train", setting.images), ("test", setting.test)):
        (folder / f"{part}_images").mkdir(parents=True)
        rows = []
        for turn in range(count):
            moved = [np.roll(one, (7 * turn, 13 * turn + len(part)), (0, 1)) for one in drawn[turn % DRAWN]]
            image, mask = (
                np.tile(one, (repeats, repeats) + (1,) * (one.ndim - 2))[:side, :side] for one in moved
            )
            name = f"{part}{turn}"
            image_files.write_tiff(folder / f"{part}_images" / f"{name}.tiff", image)
            rows.append([name, organs[turn % 5], "HPA", side, side, 1000 / side, rle.encode(mask)])
        columns = ["id", "organ", "data_source", "img_height", "img_width", "pixel_size", "rle"]
        kept = columns if part == "train" else columns[:-1]
        pd.DataFrame(rows, columns=columns)[kept].to_csv(folder / f"{part}.csv", index=False)


def write_params(folder: Path, setting: Setting) -> None:
    """The committed parameters, cut down to this setting and to one core."""
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["root"] = "data/raw"
    params["compute"] |= {"executor": "process", "workers": 1}
    params["resize"] |= {"mode": "fixed", "side": round((setting.network * 1e6) ** 0.5)}
    params["split"] |= {"count": DEALT, "run": list(range(setting.folds))}
    params["train"] |= {"epochs": setting.epochs, "switch_epoch": 1, "threads": 1}
    params["predict"] |= {"threads": 1, "tta": "none"}
    YAML(typ="safe").dump(params, folder / "params.yaml")


def measure(setting: Setting) -> dict[str, Cost]:
    """Run every stage on a new data set; the costs of fold 0, where a stage has folds."""
    folder, found = Path(tempfile.mkdtemp(prefix="scaling-")), {}
    try:
        write_data(folder / "data" / "raw", setting)
        write_params(folder, setting)
        for stage in STAGES:
            script = [sys.executable, str(ROOT / "stages" / f"{stage}.py")]
            folds = range(setting.folds) if stage in FOLDED else [None]
            runs = [cost(folder, *script, *([] if k is None else ["--fold", str(k)])) for k in folds]
            found[stage] = runs[0]
        dvc = [sys.executable, "-m", "dvc"]
        cost(folder, *dvc, "init", "--no-scm")
        outputs = [f"data/{name}" for name in ("masks", "resized", "normalized")]
        found["dvc"] = cost(folder, *dvc, "add", "-q", *outputs)
        found["dvc, nothing to do"] = cost(folder, *dvc, "status", "-q")
    finally:
        shutil.rmtree(folder)
    return found


def measured_at(chosen: list[Setting]) -> Measured:
    measured: Measured = defaultdict(dict)
    for setting in tqdm(chosen, "settings"):
        for stage, one in measure(setting).items():
            measured[stage][setting] = (one.seconds, one.peak)
    return measured


def save(measured: Measured, path: Path) -> None:
    rows = [
        [stage, *setting, round(seconds, 3), round(peak, 1)]
        for stage, by_setting in measured.items()
        for setting, (seconds, peak) in by_setting.items()
    ]
    pd.DataFrame(rows, columns=["stage", *Setting._fields, "cpu_s", "peak_mb"]).to_csv(path, index=False)


def load(path: Path) -> Measured:
    measured: Measured = defaultdict(dict)
    table = csvfile.read_csv(path)
    whole = dict.fromkeys(("images", "folds", "epochs"), int)
    table = csvfile.measured(str(path), table, table.columns[1:]).astype(whole)
    for stage, *setting, seconds, peak in table.itertuples(index=False, name=None):
        measured[stage][Setting(*setting)] = (seconds, peak)
    return measured


SCALE = 27  # times fewer px: 0.25 um a px, a slide scanner's, brought to 1.3 um
CASES = {
    "competition": Setting(351, mega(3000), mega(768), folds=5, epochs=120),
    "100,000 images": Setting(100_000, mega(3000), mega(768), folds=5, epochs=12),
    "100 slides in 8,000 tiles": Setting(8000, mega(10_000), mega(10_000) / SCALE, folds=5, epochs=12),
    "a slide as one image": Setting(1, 8000, 8000 / SCALE, epochs=12),  # 100,000 x 80,000 px
}


def tables(measured: Measured) -> str:
    """What was fitted, and what it says of CASES, in Markdown."""
    fits = costs.fit_all(measured)
    lines = ["| stage | CPU seconds | error | peak MB | error |", "|---|---|---|---|---|"]
    for stage, (seconds, peak) in fits.items():
        words = [costs.formula(seconds), f"{seconds.error:.0%}", costs.formula(peak), f"{peak.error:.0%}"]
        lines.append(f"| {' | '.join([stage, *words])} |")
    head = [f"{case}: {unit}" for case in CASES for unit in ("core hours", "GB")]
    lines += ["", f"| stage | {' | '.join(head)} |", "|---" * (1 + len(head)) + "|"]
    for stage, (seconds, peak) in fits.items():
        cells = []
        for case in CASES.values():
            times = case.folds if stage in FOLDED else 1
            hours = times * seconds.at(costs.work(stage, case)) / 3600
            cells += [f"{hours:.3g}", f"{peak.at(costs.memory(stage, case)) / 1024:.3g}"]
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(measured: Measured, path: Path) -> None:
    """CPU seconds and peak memory against images: what was measured, and the fits out to 100,000."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    seconds_axes, peak_axes = figure.subplots(1, 2)
    fits, counts = costs.fit_all(measured), np.geomspace(10, 100_000, 50)
    shown = [stage for stage in measured if stage not in ("shift", "members")]  # which do nothing here
    for number, stage in enumerate(shown):
        colour = f"C{number}" if number < 10 else "black"
        seconds, peak = fits[stage]
        few = min(measured[stage])._replace(native=mega(SIDE), network=mega(SIZE), folds=1, epochs=2)
        lines = [few._replace(images=int(count)) for count in counts]
        points = {
            one: value for one, value in measured[stage].items() if one._replace(images=few.images) == few
        }
        for axes, which, fitted, terms in (
            (seconds_axes, 0, seconds, costs.work),
            (peak_axes, 1, peak, costs.memory),
        ):
            axes.plot(counts, [fitted.at(terms(stage, one)) for one in lines], color=colour, label=stage)
            axes.plot([one.images for one in points], [v[which] for v in points.values()], "o", color=colour)
    what = f"images of {SIDE} px, {SIZE} px for the network"
    seconds_axes.set(xscale="log", yscale="log", xlabel=what, ylabel="CPU seconds (train, predict: a fold)")
    peak_axes.set(xscale="log", yscale="log", xlabel=what, ylabel="peak memory, MB")
    seconds_axes.legend(fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[30, 100, 300, 1000])
    parser.add_argument("--again", action="store_true", help="from benchmarks/scaling.csv")
    words = parser.parse_args()
    measured = load(MEASURED) if words.again else measured_at(settings(words.images))
    if not words.again:
        save(measured, MEASURED)
    draw(measured, PICTURE)
    print(tables(measured))


if __name__ == "__main__":
    main()
