"""How probabilities become masks: as the parameters say, or chosen on the out-of-fold predictions."""

from collections.abc import Iterable, Sequence
from functools import partial

from ftu import (
    calibration,
    calibration_report,
    fusion,
    jsonfile,
    mixtures,
    nested,
    paths,
    predictions,
    rules,
    tables,
)
from ftu.calibration import Case
from ftu.calibration_report import Panel
from ftu.curves import Sizes
from ftu.errors import InputError
from ftu.fusion import Experiment
from ftu.mixtures import Measured, Mixture
from ftu.nested import Choice, Search
from ftu.params import Params, load_params
from ftu.stage import run
from ftu.whole import whole_files
from ftu.workers import each


def main() -> None:
    params = load_params(paths.PARAMS)
    if params.calibrate.enabled:
        calibrate(params)
    else:
        start = from_params(params, held_out(params, range(params.split.count)))
        save(params, start, {"enabled": False}, calibration_report.OFF, [])


def calibrate(params: Params) -> None:
    """Choose, and say by nested cross-validation what the choice is worth."""
    if len(params.split.run) < 2:
        raise InputError(
            f"calibrate.enabled: split.run is {params.split.run}, but what is chosen on some folds is scored "
            "on another: run at least two, or set calibrate.enabled: false"
        )
    cases = held_out(params, params.split.run)
    if params.calibrate.metric == "dice_shifted":
        cases += shifted(cases)
    settings = params.calibrate
    folds, weights = tuple(params.split.run), {one.name: one.weight for one in params.ensemble.members}
    own = Experiment("own", paths.PREDICTIONS, folds, params.ensemble.own, params.predict.tta)
    experiments, search = fusion.ensemble(own, paths.MEMBERS, weights), find_search(params, cases)
    check_folds(cases, search.sets)
    mixtures.check(cases, experiments, search.sets)
    measured = Measured(cases, experiments, mean=params.ensemble.mean, workers=params.compute.workers)
    outer, final = nested.run(measured, search)
    score = partial(
        nested.score,
        experiments=experiments,
        mean=params.ensemble.mean,
        method=params.postprocess.threshold,
        never_empty=params.postprocess.never_empty,
    )
    chosen = [[outer[case.fold], final, search.start] for case in cases]
    scores = each(score, cases, chosen, workers=params.compute.workers, doing="score")
    estimates = nested.estimates(nested.tidy(cases, scores), draws=settings.bootstrap, seed=settings.seed)
    facts = {"enabled": True, "metric": settings.metric, "estimates": estimates}
    facts |= {"final": calibration_report.facts(final)}
    facts |= {"folds": {str(fold): calibration_report.facts(choice) for fold, choice in outer.items()}}
    report = calibration_report.report(estimates, final, outer)
    (curves,) = measured.of([final.mixture], search.settings.sizes)
    save(params, final, facts, report, calibration_report.panels(cases, curves, final, search))


def check_folds(cases: Sequence[Case], sets: Sequence[str]) -> None:
    """Raise InputError unless the models of today predicted each set of views of each case."""
    for fold in sorted({case.fold for case in cases}):
        oof = [case.id for case in cases if case.fold == fold and case.part == "oof"]
        for tta in sets:
            predictions.check_fold(paths.prediction(fold), paths.model(fold), tta=tta, due={"oof": oof})


def held_out(params: Params, folds: Iterable[int]) -> list[Case]:
    """The training images that these folds hold out."""
    table = tables.read_folds(paths.FOLDS).set_index("id")["fold"]
    rows = tables.image_rows(tables.read_index(paths.IMAGES))
    rows = [row for row in rows if row.set == "train" and table[row.id] in set(folds)]
    truths = [paths.MASKS / f"{row.id}.png" for row in rows]
    shares = each(calibration.share, truths, workers=params.compute.workers, doing="foreground")
    return [
        Case(row.id, row.organ, row.data_source, int(table[row.id]), "oof", truth, row.pixel_size, share)
        for row, truth, share in zip(rows, truths, shares, strict=True)
    ]


def shifted(cases: Sequence[Case]) -> list[Case]:
    """Those of `cases` that were made to look like the other source, of organs that it has no image of."""
    known, pairs = {case.id: case for case in cases}, {case.pair for case in cases}
    found = [
        known[row.id]._replace(
            data_source=row.data_source,
            part="shifted",
            truth=paths.SHIFTED / "masks" / f"{row.id}.png",
            pixel_size=row.pixel_size,
        )
        for row in tables.image_rows(tables.read_index(paths.SHIFTED / "shifted.csv"))
        if row.id in known and (row.data_source, row.organ) not in pairs
    ]
    if not found:
        raise InputError(
            "calibrate.metric: dice_shifted needs shifted images of an organ that the shifted source has no "
            "training image of, and data/shifted/shifted.csv names none; use the metric dice"
        )
    return found


def find_search(params: Params, cases: Sequence[Case]) -> Search:
    """What is chosen from, and how."""
    settings = params.calibrate
    candidates = params.predict.candidates if settings.choose_tta else []
    return Search(
        start=from_params(params, cases),
        sets=tuple(predictions.set_names(params.predict.tta, candidates)),
        weigh=settings.choose_weights,
        part="shifted" if settings.metric == "dice_shifted" else "oof",
        settings=calibration.Settings(
            method=params.postprocess.threshold,
            sizes=Sizes(tuple(sorted(settings.smallest_objects)), tuple(sorted(settings.largest_holes))),
            flat=settings.flat,
            fewest=settings.fewest,
        ),
    )


def from_params(params: Params, cases: Sequence[Case]) -> Choice:
    """What the parameters say, with the foreground of these cases."""
    weights = (params.ensemble.own, *(member.weight for member in params.ensemble.members))
    table = rules.from_thresholds(
        params.thresholds,
        smallest_object=params.postprocess.smallest_object,
        largest_hole=params.postprocess.largest_hole,
        foreground=calibration.foreground(cases),
    )
    return nested.as_given(Mixture(params.predict.tta, weights), table)


def save(params: Params, final: Choice, facts: dict, report: str, panels: Sequence[Panel]) -> None:
    """Write the rules and the report on them."""
    own, *others = final.mixture.weights
    names = [member.name for member in params.ensemble.members]
    members = dict(zip(names, others, strict=True))
    method = params.postprocess.threshold
    rules.write(paths.RULES, rules.Rules(final.mixture.tta, own, members, method, final.table, final.why))
    with whole_files(paths.REPORTS) as folder:
        jsonfile.write(folder / "calibration.json", facts)
        (folder / "calibration.md").write_text(report)
        calibration_report.draw(panels, folder / "calibration.png")
    print(report, end="")


if __name__ == "__main__":
    run(main)
