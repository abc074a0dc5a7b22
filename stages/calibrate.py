"""How probabilities become masks: as the parameters say, or chosen on the out-of-fold predictions."""

from collections.abc import Sequence

from ftu import calibration_report, evidence, fusion, mixtures, nested, predictions, rules
from ftu.calibration import Settings
from ftu.curves import Sizes
from ftu.evidence import Case
from ftu.files import folds
from ftu.files.index import read_index
from ftu.nested import Choice, Search
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_files
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import run
from ftu.pipeline.workers.pool import Pool


def main() -> str:
    params = load_params(paths.PARAMS)
    cases = held_out(params)
    start = given(params, cases)
    enabled = params.calibrate.enabled
    final, report = calibrate(params, cases, start) if enabled else (start, calibration_report.OFF)
    names = [member.name for member in params.ensemble.members]
    rules.write(paths.RULES, nested.as_rules(final, names, params.postprocess.threshold))
    with whole_files(paths.REPORTS) as folder:
        calibration_report.write(report, folder)
    print(report.words, end="")
    return f"{len(cases)} images, rules {'chosen' if enabled else 'of the parameters'}"


def held_out(params: Params) -> list[Case]:
    """The training images of all folds; where there is something to choose, of those that run."""
    if params.calibrate.enabled:
        nested.check_folds(params.split.run)
    due = params.split.run if params.calibrate.enabled else range(params.split.count)
    index, table = read_index(paths.IMAGES), folds.read_folds(paths.FOLDS)
    return evidence.held_out(index, table, due, paths.MASKS, pool=Pool(**params.compute.model_dump()))


def given(params: Params, cases: Sequence[Case]) -> Choice:
    """What the parameters say, with the foreground of these cases."""
    weights = (params.ensemble.own, *(member.weight for member in params.ensemble.members))
    table = rules.from_thresholds(
        params.thresholds,
        smallest_object=params.postprocess.smallest_object,
        largest_hole=params.postprocess.largest_hole,
        foreground=evidence.foreground(cases),
    )
    return nested.as_given(mixtures.Mixture(params.predict.tta, weights), table)


def calibrate(
    params: Params, cases: Sequence[Case], start: Choice
) -> tuple[Choice, calibration_report.Report]:
    """Choose, and say by nested cross-validation what the choice is worth."""
    settings, folds = params.calibrate, params.split.run
    if settings.metric == "dice_shifted":
        moved = read_index(paths.SHIFTED / "shifted.csv")
        cases = [*cases, *evidence.shifted(cases, moved, paths.SHIFTED / "masks")]
    if params.postprocess.threshold == "quantile":
        evidence.refuse_lone_folds(cases)
    own = fusion.Experiment("own", paths.PREDICTIONS, tuple(folds), params.ensemble.own, params.predict.tta)
    weights = {member.name: member.weight for member in params.ensemble.members}
    experiments, search = fusion.ensemble(own, paths.MEMBERS, weights), find_search(params, start)
    for fold in folds:
        due = {"oof": [case.id for case in cases if case.fold == fold and case.part == "oof"]}
        for tta in search.sets:
            predictions.check_fold(paths.prediction(fold), paths.model(fold), tta=tta, due=due)
    mixtures.check(cases, experiments, search.sets)
    mean, pool = params.ensemble.mean, Pool(**params.compute.model_dump())
    measured = mixtures.Measured(cases, experiments, mean=mean, pool=pool)
    outer, final = nested.run(measured, search)
    scores = nested.scores(measured, search, outer, final, params.postprocess.never_empty)
    estimates = nested.estimates(scores, draws=settings.bootstrap, seed=settings.seed)
    return final, calibration_report.compose(measured, search, outer, final, estimates)


def find_search(params: Params, start: Choice) -> Search:
    """What is chosen from, and how."""
    settings = params.calibrate
    candidates = params.predict.candidates if settings.choose_tta else []
    sizes = Sizes(tuple(sorted(settings.smallest_objects)), tuple(sorted(settings.largest_holes)))
    return Search(
        start=start,
        sets=tuple(predictions.set_names(params.predict.tta, candidates)),
        weigh=settings.choose_weights,
        part="shifted" if settings.metric == "dice_shifted" else "oof",
        settings=Settings(params.postprocess.threshold, sizes, settings.flat, settings.fewest),
    )


if __name__ == "__main__":
    run(main)
