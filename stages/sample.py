"""Check that the data set is there; draw the embedded sample data set."""

from pathlib import Path

from ftu import paths, sample, tables
from ftu.params import load_params
from ftu.stage import run
from ftu.whole import whole_folder


def main() -> None:
    params = load_params(paths.PARAMS)
    root = Path(params.data.root)
    if root != paths.SAMPLE:
        tables.check_root(root)
    with whole_folder(paths.SAMPLE) as folder:
        sample.write_sample(
            folder, train=params.sample.train, test=params.sample.test, seed=params.sample.seed
        )


if __name__ == "__main__":
    run(main)
