"""Deal the training images into folds, stratified by organ, groups whole."""

from ftu.files import folds
from ftu.files.index import read_index
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_file
from ftu.pipeline.params import load_params
from ftu.pipeline.stage import run, warn


def main() -> str:
    params = load_params(paths.PARAMS)
    count, by = params.split.count, params.split.by
    index = read_index(paths.IMAGES)
    train = index[index["set"] == "train"]
    table = folds.assign_folds(train, by=by, count=count, seed=params.split.seed)
    what = "groups" if "group" in table else "images"
    for organ, found in folds.rare_organs(table, count=count).items():
        warn(f"{organ} has {found} {what} for {count} folds; some folds have none")
    with whole_file(paths.FOLDS) as path:
        table.to_csv(path, index=False)
    grouped = f" of {table['group'].nunique()} groups" if "group" in table else ""
    return f"{len(table)} images{grouped} in {count} folds"


if __name__ == "__main__":
    run(main)
