"""Check that the data set is there; draw the embedded sample data set."""

from pathlib import Path

from ftu.datasets import sample
from ftu.datasets.layouts import LAYOUTS
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run


def main() -> str:
    params = load_params(paths.PARAMS)
    train, test = params.sample.train, params.sample.test
    root = Path(params.data.root)
    if root != paths.SAMPLE:
        LAYOUTS[params.data.layout].check_root(root)
    with whole_folder(paths.SAMPLE) as folder:
        sample.SAMPLES[params.sample.kind](folder, train=train, test=test, seed=params.sample.seed)
    return f"{train + test} images drawn"


if __name__ == "__main__":
    run(main)
