"""How probabilities become masks: as the parameters say, or chosen on the out-of-fold predictions."""

from collections.abc import Sequence

from ftu.calibration import choose_mixture, held_out, nested_cv, report
from ftu.calibration.held_out import Held
from ftu.calibration.nested_cv import Choice
from ftu.files import folds
from ftu.files.index import read_index
from ftu.masks import rules
from ftu.pipeline import paths
from ftu.pipeline.atomic import whole_files
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.stage import run
from ftu.pipeline.workers.pool import Pool
from ftu.probabilities import ensemble, fold_maps

SIZES = {"smallest_object", "largest_hole"}


def main() -> str:
    params = load_params(paths.PARAMS)
    if len(params.data.classes) > 1:
        return of_classes(params)
    enabled, others = params.calibrate.enabled, params.ensemble.others
    due = params.split.run if enabled else range(params.split.count)
    if enabled:
        nested_cv.check_folds(params.split.run)
    index = read_index(paths.IMAGES)
    table = folds.read_dealt(paths.FOLDS, index)
    cases = held_out.held_out(index, table, due, paths.MASKS, pool=Pool(**params.compute.model_dump()))
    given = rules.from_thresholds(
        params.thresholds,
        **params.postprocess.model_dump(include=SIZES),
        foreground=held_out.foreground(cases),
    )
    mixture = choose_mixture.Mixture(params.predict.tta, (params.ensemble.own, *others.values()))
    start = nested_cv.as_given(mixture, given)
    final, told = calibrate(params, cases, start) if enabled else (start, report.OFF)
    with whole_files(paths.REPORTS) as folder:
        report.write(told, folder)
        rules.write(paths.RULES, nested_cv.as_rules(final, list(others), params.postprocess.method))
    print(told.words, end="")
    return f"{len(cases)} images, rules {'chosen' if enabled else 'of the parameters'}"


def of_classes(params: Params) -> str:
    """The sizes of the parameters: where pixels are of the likeliest class, there is nothing to choose."""
    table = rules.of_classes(
        classes=params.data.classes,
        sources=params.data.sources,
        organs=params.data.organs,
        **params.postprocess.model_dump(include=SIZES),
    )
    why = {"tta": "predict.tta", "weights": "ensemble", "rules": "postprocess"}
    mixed = params.predict.tta, params.ensemble.own, params.ensemble.others
    made = rules.Rules(*mixed, "argmax", {}, why, tuple(params.data.classes), table)
    with whole_files(paths.REPORTS) as folder:
        report.write(report.ARGMAX, folder)
        rules.write(paths.RULES, made)
    print(report.ARGMAX.words, end="")
    return f"{len(made.classes)} classes, rules of the parameters"


def calibrate(params: Params, cases: Sequence[Held], start: Choice) -> tuple[Choice, report.Report]:
    """Choose, and say by nested cross-validation what the choice is worth."""
    settings, method = params.calibrate, params.postprocess.method
    if settings.metric == "dice_shifted":
        moved = read_index(paths.SHIFTED / "shifted.csv")
        cases = [*cases, *held_out.shifted(cases, moved, paths.SHIFTED / "masks")]
    if method == "quantile":
        held_out.refuse_lone_folds(cases)
    options = settings.model_dump(exclude={"enabled", "bootstrap", "seed"})
    search = nested_cv.search_of(start, method, params.predict.candidates, **options)
    due = {fold: {"oof": held_out.ids(cases, fold)} for fold in params.split.run}
    own, others = params.ensemble.own, params.ensemble.others
    experiments = ensemble.opened(*paths.TRAINED, own=own, weights=others, sets=search.sets, due=due)
    choose_mixture.check(cases, experiments, search.sets)
    mean, pool = params.ensemble.mean, Pool(**params.compute.model_dump())
    measured = choose_mixture.Measured(cases, experiments, mean=mean, pool=pool)
    outer, final = nested_cv.choose_by_fold(measured, search)
    scores = nested_cv.scores(measured, search, outer, final, params.postprocess.never_empty)
    estimates = nested_cv.estimates(scores, draws=settings.bootstrap, seed=settings.seed)
    selection = fold_maps.selection(paths.model(fold) for fold in params.split.run)
    return final, report.compose(measured, search, outer, final, estimates, selection)


if __name__ == "__main__":
    run(main)
