"""Fetch what the other experiments of the ensemble predicted; an ensemble of one has nothing to fetch."""

from ftu.files import csvfile, folds, jsonfile
from ftu.files.index import read_index
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_folder
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import run
from ftu.probabilities import ensemble, fold_maps, member_checks, members


def main() -> str:
    params = load_params(paths.PARAMS)
    wanted = what_is_wanted(params)
    names = [member.name for member in params.ensemble.members]
    found = [members.find(name, paths.project(), wanted) for name in names]
    members.check_different(found)
    with whole_folder(paths.MEMBERS) as folder:
        for member in found:
            members.fetch(member, folder / member.facts["folder"])
            jsonfile.write(folder / member.facts["folder"] / members.FACTS, member.facts)
        listed = {member.facts["name"]: member.facts for member in found}
        jsonfile.write(folder / ensemble.LIST, {"members": listed})
        maps = sum(1 for _ in folder.rglob("*.tif"))
    return f"{len(found)} other experiments, {maps} maps fetched" if found else "no other experiments"


def what_is_wanted(params: Params) -> member_checks.Wanted:
    """The same images and views as this project's own; what is scored here must be held out there."""
    index = read_index(paths.IMAGES)
    table = folds.read_dealt(paths.FOLDS, index)
    held_out = {name for fold in params.split.run for name in folds.divide(table, fold)[1]}
    due = {"oof": held_out, "test": set(index.loc[index["set"] == "test", "id"])}
    if params.shift.enabled:
        due["shifted"] = held_out & set(csvfile.read_csv(paths.SHIFTED / "shifted.csv")["id"])
    return member_checks.Wanted(
        organs=params.data.organs,
        classes=params.data.classes,
        images=index,
        due=due,
        sets=fold_maps.set_names(params.predict.tta, params.predict.candidates),
        shift=params.shift.model_dump(),
    )


if __name__ == "__main__":
    run(main)
