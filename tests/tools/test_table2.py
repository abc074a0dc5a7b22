"""The sweep behind reports/table2.md: names, checks, what is skipped, what is said of hand-made runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from ftu.errors import InputError
from ftu.training.checkpoints import CHOICES
from ftu_tools.studies import experiments, grid, run_table2, switched_aux, table2_report
from ftu_tools.studies.grid import Cell
from ftu_tools.studies.statistics import UNKNOWN, Estimate, Interval
from imports import ROOT, imported_modules
from project import commit, copy_repository, run, set_params

MODEL = "family: encoder_decoder, encoder: %s, decoder: unet, width: 16, fuse: conv1x1, drop_path: 0"
ROW = f"{{kind: cnn, model: {{{MODEL}}}}}"
GRID = grid.read_grid(run_table2.GRIDS / "table2.yaml")


def cells(*settings: str, params: Path = ROOT / "params.yaml", folds: tuple[int, ...] = (0,)) -> list[Cell]:
    return grid.make_cells(
        params,
        GRID,
        models=["Enet-b5 DLv3+"],
        modes=["none", "switched"],
        seeds=[42, 43],
        folds=folds,
        settings=settings,
    )


# ------------------------------------------------------------------ the paper


@pytest.mark.parametrize(
    ("values", "model", "expected"),
    [
        (switched_aux.PUBLIC, "Enet-b5 Unet", (0.77197, 0.76929, 0.75352)),
        (switched_aux.PUBLIC, "Resnet101 Unet", (0.69737, 0.70302, 0.67994)),
        (switched_aux.PUBLIC, "Enet-b5 DLv3+", (0.75404, 0.75438, 0.75921)),
        (switched_aux.PUBLIC, "Resnet101 DLv3+", (0.60265, 0.65143, 0.66397)),
        (switched_aux.PUBLIC, "CoaT", (0.78446, 0.77024, 0.79321)),
        (switched_aux.PUBLIC, "PVTv2", (0.74261, 0.75728, 0.75742)),
        (switched_aux.PUBLIC, "Segformer", (0.76105, 0.75931, 0.76628)),
        (switched_aux.PRIVATE, "CoaT", (0.76127, 0.74223, 0.77805)),
        (switched_aux.PRIVATE, "PVTv2", (0.69732, 0.70284, 0.71199)),
        (switched_aux.PRIVATE, "Segformer", (0.70640, 0.69562, 0.72102)),
    ],
)
def test_table_2_is_the_papers(values, model, expected):
    assert values[model] == expected


def test_the_grid_is_the_papers_seven_models_as_docs_models_lists_them():
    assert set(GRID) == set(switched_aux.PUBLIC)
    page = (ROOT / "docs/models.md").read_text()
    for name, row in GRID.items():
        width = row.model.model_dump()["width"]
        assert f"| {name} | `{row.model.encoder}` | {row.model.decoder} | {width} |" in page
    assert {name for name, row in GRID.items() if row.kind == "transformer"} == set(switched_aux.PRIVATE)


def test_the_papers_own_table_contradicts_what_is_said_to_be_contradicted():
    public, private = switched_aux.PUBLIC, switched_aux.PRIVATE
    assert set(switched_aux.CONTRADICTED) == {"one percent", "single lowers", "cnns less sensitive"}
    assert 100 * (public["PVTv2"].switched - public["PVTv2"].single) == pytest.approx(0.014)
    assert [100 * (set_["PVTv2"].single - set_["PVTv2"].none) for set_ in (public, private)] == pytest.approx(
        [1.467, 0.552]
    )
    moved = {name: abs(row.switched - row.none) for name, row in public.items()}
    assert max(moved, key=moved.__getitem__) == "Resnet101 DLv3+"
    assert 100 * moved["Resnet101 DLv3+"] == pytest.approx(6.132)


# ------------------------------------------------------------------ cells


def test_a_name_tells_model_mode_and_seed_and_ends_in_a_digest():
    assert re.fullmatch(r"table2-enet-b5-dlv3-none-s42-[0-9a-f]{8}", cells()[0].name)


def test_every_cell_has_a_name_of_its_own():
    assert len({cell.name for cell in cells()}) == 4


def test_a_cell_is_run_by_a_plain_command():
    cell = Cell("m", "none", 42, "table2-m-none-s42-0", ("train.seed=42", "split.run=[0]"))
    words = [
        "dvc",
        "exp",
        "run",
        "--queue",
        "-n",
        "table2-m-none-s42-0",
        "-S",
        "train.seed=42",
        "-S",
        "split.run=[0]",
    ]
    assert cell.command("--queue") == words


def test_a_changed_parameter_changes_every_name_wherever_it_is_set(tmp_path):
    changed = tmp_path / "params.yaml"
    changed.write_text((ROOT / "params.yaml").read_text().replace("epochs: 12", "epochs: 13"))
    plain, by_file, by_setting = cells(), cells(params=changed), cells("train.epochs=13")
    assert [cell.name for cell in by_file] == [cell.name for cell in by_setting]
    assert not {cell.name for cell in plain} & {cell.name for cell in by_file}


def test_the_last_epoch_is_scored_unless_another_is_asked_for(tmp_path):
    best = tmp_path / "params.yaml"
    best.write_text((ROOT / "params.yaml").read_text().replace("checkpoint: last", "checkpoint: best"))
    for settings, expected in (
        ([], "last"),
        (["train.checkpoint=best"], "best"),
        (["train.epochs=20"], "last"),
    ):
        (cell, *_) = cells(*grid.with_last_epoch(settings), params=best)
        assert grid.effective(best, cell.overrides).train.checkpoint == expected
        assert set(settings) <= set(cell.overrides)
    assert grid.with_last_epoch(["train.checkpoint=best"]) == ["train.checkpoint=best"]


def test_the_report_says_of_each_rule_which_epoch_is_scored():
    assert tuple(table2_report.CHECKPOINTS) == CHOICES
    for rule, sentence in table2_report.CHECKPOINTS.items():
        assert f"(train.checkpoint {rule})" in sentence
        assert ("too high" in sentence) == (rule != "last")


def test_spelling_comments_and_the_order_of_folds_change_no_name(tmp_path):
    respelt = tmp_path / "params.yaml"
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    YAML(typ="safe").dump(dict(reversed(values.items())), respelt)
    names = [
        [cell.name for cell in each] for each in (cells(), cells(params=respelt), cells("train.lr=0.002"))
    ]
    assert names[0] == names[1] == names[2]
    assert cells(folds=(1, 0)) == cells(folds=(0, 1))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.epochs", "'train.epochs' is not key=value"),
        ("=3", "'=3' is not key=value"),
        ("train.seed=1", "train.seed is what the sweep varies; use MODELS"),
        ("train.model.width=1", "train.model.width is what the sweep varies"),
        ("train.epochs=1,2", "a key takes one value here, not several"),
        ("train.epoch=3", "train.epoch"),
        ("train.epochs=[", "SET: train.epochs=["),
        ("train.epochs=many", "train.epochs: Input should be a valid integer"),
    ],
)
def test_a_bad_setting_is_told_before_anything_runs(setting, words):
    with pytest.raises(InputError) as told:
        cells(setting)
    assert words in str(told.value)
    assert not re.search(r"/tmp\w{8}/", str(told.value))  # the copy that is checked is nobody's business


def test_a_fold_that_is_not_dealt_is_told():
    with pytest.raises(InputError, match=r"run must name different folds among 0\.\.4, got \[7\]"):
        cells(folds=(7,))


def test_an_unknown_model_gets_the_nearest_names():
    with pytest.raises(InputError, match="model 'PVTv3' is not known; did you mean PVTv2"):
        grid.choose("model", ["PVTv3"], list(GRID))


def test_an_unknown_mode_gets_the_nearest_name():
    with pytest.raises(InputError, match="mode 'swiched' is not known; did you mean switched"):
        grid.choose("mode", ["none", "swiched"], ["none", "single", "switched"])


def test_nothing_asked_for_is_everything_and_nothing_twice():
    assert grid.choose("mode", [], ["none", "single"]) == ["none", "single"]
    assert grid.choose("mode", ["single", "single"], ["none", "single"]) == ["single"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("", "holds no models"),
        ("a: {kind: cnn", "is not valid YAML"),
        (f"a: {ROW % 'resnet18'}".replace("cnn", "tree"), "model a: kind: Input should be"),
        (f"a: {ROW % 'resnet18'}".replace("width", "depth"), "model a: model.width: Field required"),
        (
            f"a: {ROW % 'resnet18'}".replace("encoder_decoder", "forest"),
            "model a: model.family: Input should be",
        ),
        ("'a,b': {}", "model 'a,b': a name is text without commas"),
    ],
)
def test_a_bad_grid_is_told_with_its_row(tmp_path, text, words):
    if text is not None:
        (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(InputError) as told:
        grid.read_grid(tmp_path / "grid.yaml")
    assert words in str(told.value)


@pytest.mark.parametrize("name", GRID)
def test_a_cell_trains_the_network_of_its_row(name):
    (cell,) = grid.make_cells(
        ROOT / "params.yaml", GRID, models=[name], modes=["none"], seeds=[1], folds=[0], settings=[]
    )
    assert grid.effective(ROOT / "params.yaml", cell.overrides).train.model == GRID[name].model
    for key, value in GRID[name].model.model_dump().items():
        assert f"train.model.{key}={value}" in cell.overrides  # whatever params.yaml says


@pytest.mark.parametrize("name", ["Attention U-Net", "YNETR Small"])
def test_a_cell_of_another_family_has_its_keys_alone(name):
    rows = grid.read_grid(run_table2.GRIDS / "em-networks.yaml")
    (cell,) = grid.make_cells(
        ROOT / "params.yaml", rows, models=[name], modes=["none"], seeds=[1], folds=[0], settings=[]
    )
    norm = rows[name].model.model_dump()["norm"]
    assert {f"+train.model.norm={norm}", "~train.model.drop_path"} < {*cell.overrides}
    assert grid.effective(ROOT / "params.yaml", cell.overrides).train.model == rows[name].model


def test_a_row_may_start_from_weights_of_its_own(tmp_path):
    row = (ROW % "resnet18").removesuffix("}")
    path = tmp_path / "grid.yaml"
    path.write_text(f"own: {row}, weights: a.pth}}\nother: {row}}}\n")
    models = grid.read_grid(path)
    own, other = (
        grid.make_cells(
            ROOT / "params.yaml", models, models=[name], modes=["none"], seeds=[1], folds=[0], settings=[]
        )[0].overrides
        for name in ("own", "other")
    )
    assert set(own) - set(other) == {"train.weights=a.pth"}
    assert set(other) <= set(own)


def test_the_sample_grid_is_a_grid():
    assert {row.kind for row in grid.read_grid(run_table2.GRIDS / "sample.yaml").values()} == {
        "transformer",
        "cnn",
    }


def test_what_is_finished_is_not_run_and_a_failure_stops_nothing():
    some, ran = cells(), []

    def train(cell: Cell) -> bool:
        ran.append(cell)
        return cell != some[1]

    states = dict(grid.fill(some, {some[0].name}, train))
    assert list(states.values()) == ["cached", "failed", "done", "done"]
    assert ran == some[1:]
    again = dict(grid.fill(some, {cell.name for cell in some if cell != some[1]}, lambda _: True))
    assert list(again.values()) == ["cached", "done", "cached", "cached"]


# ------------------------------------------------------------------ experiments in git


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A git repository with code, a document, and an experiment called `old` on its first commit."""
    for name in ("src/ftu/code.py", TOOL, HOW, "stages/stage.py", "dvc.yaml", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("first\n")
    run(tmp_path, "git", "init", "-q")
    for words in (["config", "user.name", "t"], ["config", "user.email", "t@example.org"]):
        run(tmp_path, "git", *words)
    commit(tmp_path)
    head = run(tmp_path, "git", "rev-parse", "HEAD").strip()
    run(tmp_path, "git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/old", head)
    run(tmp_path, "git", "update-ref", "refs/exps/stash", head)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PATHS, TOOL = experiments.decisive("data/sample"), "src/ftu_tools/report.py"
HOW = "src/ftu/pipeline/stage.py"


def test_an_experiment_counts_while_the_code_is_the_same(repository):
    assert list(experiments.finished(PATHS)) == ["old"]
    for name in ("README.md", TOOL, HOW):  # a word in a report makes no result old
        (repository / name).write_text("second\n")
        commit(repository)
        assert list(experiments.finished(PATHS)) == ["old"]
    (repository / "src/ftu/code.py").write_text("second\n")
    commit(repository)
    assert experiments.finished(PATHS) == {}


@pytest.mark.parametrize(
    "name", ["src/ftu/code.py", "stages/new.py", "dvc.yaml", "data/raw.dvc", "data/sample/new.csv"]
)
def test_what_decides_over_results_must_be_committed(repository, name):
    experiments.check_committed(PATHS)
    (repository / name).parent.mkdir(parents=True, exist_ok=True)
    (repository / name).write_text("second\n")
    with pytest.raises(InputError, match=f"{name}: changed and not committed"):
        experiments.check_committed(PATHS)


def test_what_decides_over_nothing_need_not_be_committed(repository):
    for name in ("README.md", TOOL, HOW):
        (repository / name).write_text("second\n")
    experiments.check_committed(PATHS)


def test_a_project_without_a_commit_is_told(tmp_path, monkeypatch):
    run(tmp_path, "git", "init", "-q")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="has no commit"):
        experiments.check_committed(PATHS)


def test_a_data_set_outside_the_repository_is_not_gits_business():
    assert experiments.decisive("/data/raw") == list(experiments.CODE)


@pytest.mark.parametrize("tracker", ["data/raw.dvc", "data.dvc", "data/raw/train.csv"])
def test_a_data_set_that_experiments_cannot_see_is_told(repository, tracker):
    with pytest.raises(
        InputError, match=r"data/raw is tracked neither by git nor by DVC.*; dvc add data/raw"
    ):
        experiments.check_visible("data/raw", "competition")
    (repository / tracker).parent.mkdir(parents=True, exist_ok=True)
    (repository / tracker).write_text("tracked\n")
    commit(repository)
    experiments.check_visible("data/raw", "competition")


def test_a_data_set_outside_the_repository_must_be_there_and_absolute(small_sample):
    experiments.check_visible(str(small_sample), "competition")
    with pytest.raises(InputError, match="does not exist"):
        experiments.check_visible(str(small_sample / "absent"), "competition")
    with pytest.raises(InputError, match="give the absolute path"):
        experiments.check_visible("../raw", "competition")


@pytest.mark.usefixtures("interruptible")
def test_a_stopped_run_stops_the_command_and_what_runs_under_it(tmp_path, monkeypatch):
    """As Ctrl-C does: the exception arrives while this process waits."""
    mark = tmp_path / "survived"
    script = f"sleep 2 && touch {mark}"  # a shell's job in the background would ignore Ctrl-C
    wait = subprocess.Popen.wait
    interrupts = iter([KeyboardInterrupt()])

    def interrupted(process: subprocess.Popen, timeout: float | None = None) -> int:
        for error in interrupts:
            raise error
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        experiments.run(["bash", "-c", script], tmp_path / "log")
    monkeypatch.undo()
    subprocess.run(["sleep", "2.5"], check=True)
    assert not mark.exists()


# ------------------------------------------------------------------ claims


def estimate(low: float, high: float) -> Estimate:
    """With this reach: of one seed."""
    middle = (low + high) / 2
    return Estimate(middle, Interval(low, high), UNKNOWN, {42: middle}, images=9)


def contrasts(kind: switched_aux.Kind, switched_none, switched_single, single_none) -> switched_aux.Contrasts:
    return switched_aux.Contrasts(
        kind, *(each and estimate(*each) for each in (switched_none, switched_single, single_none))
    )


BETTER = contrasts("transformer", (0.01, 0.02), (0.006, 0.014), (-0.02, -0.01))
STILL = contrasts("cnn", (-0.001, 0.001), (-0.001, 0.001), (-0.001, 0.001))
MOVED = contrasts("cnn", (0.05, 0.07), (0.01, 0.02), (0.04, 0.06))
UNSURE = contrasts("transformer", (-0.01, 0.02), (-0.01, 0.02), (-0.01, 0.02))
ABSENT = contrasts("transformer", None, None, None)


@pytest.mark.parametrize(
    ("claim", "models", "expected"),
    [
        ("switched beats none", {"a": BETTER}, "holds"),
        ("switched beats none", {"a": BETTER, "b": UNSURE}, "cannot be told"),
        ("switched beats none", {"a": BETTER, "b": ABSENT}, "cannot be told"),
        ("switched beats none", {"c": MOVED}, "cannot be told"),  # a CNN is no evidence for it
        ("switched beats single", {"a": BETTER, "c": STILL}, "holds"),
        ("one percent", {"a": BETTER}, "cannot be told"),  # up to 2 %
        ("single lowers", {"a": BETTER}, "holds"),
        ("single lowers", {"a": BETTER, "c": MOVED}, "does not hold"),
        ("cnns less sensitive", {"a": BETTER, "c": STILL}, "holds"),
        ("cnns less sensitive", {"a": BETTER, "c": STILL, "d": MOVED}, "does not hold"),
        ("cnns less sensitive", {"a": UNSURE, "c": STILL}, "cannot be told"),
        ("cnns less sensitive", {"a": BETTER}, "cannot be told"),
        ("cnns less sensitive", {"a": ABSENT, "c": MOVED}, "cannot be told"),
    ],
)
def test_a_claim_is_judged(claim, models, expected):
    assert switched_aux.judge(models)[claim].verdict == expected


def test_every_claim_is_judged():
    assert set(switched_aux.judge({})) == set(switched_aux.CLAIMS)


# ------------------------------------------------------------------ the report


def result(
    mode: str, seed: int, gain: float | None, *, model: str = "CoaT", state: grid.State = "done"
) -> table2_report.Result:
    """A run of five images that score `gain` above 0.5 to 0.54; None: not scored."""
    cell = Cell(model, mode, seed, f"{model}-{mode}-{seed}", ())
    if gain is None:
        return table2_report.Result(cell, state, None)
    dice = 0.5 + gain + np.array([0.0, 0.01, 0.02, 0.03, 0.04])
    names = {"id": ["10", "11", "12", "13", "9"], "organ": "lung", "data_source": "HPA"}
    return table2_report.Result(cell, state, pd.DataFrame(names | {"dice": dice}))


GAPS = [
    result("none", 42, 0.0),
    result("none", 43, None, state="failed"),
    result("switched", 42, 0.02),
    result("switched", 43, 0.02),
    result("none", 42, None, model="other", state="not run"),
]
MODELS = {"CoaT": GRID["CoaT"], "other": GRID["Resnet101 Unet"]}


def page(results: list[table2_report.Result]) -> str:
    table = table2_report.tidy(results)
    return table2_report.text(table, table2_report.contrasts(table, MODELS), setting="Fold 0 of 5.")


def test_the_report_has_the_dice_the_interval_and_the_papers_values():
    row = next(line for line in page(GAPS).splitlines() if line.startswith("| CoaT | switched |"))
    start, interval, rest = row.partition(" 0.540 |")[0], row.split(" | ")[3], row.split(" | ")[4:]
    assert start == "| CoaT | switched |"
    assert re.fullmatch(r"0\.5[23]\d to 0\.55\d", interval)
    assert rest == ["0.000", "5", "42, 43", "0.79321", "0.77805 |"]


def test_the_report_has_the_difference_beside_the_papers():
    assert (
        "| CoaT | switched - none | +0.020 | +0.020 to +0.020 | one seed | +0.020 to +0.020 | 42: +0.020 "
        "| +0.00875 | +0.01678 |" in page(GAPS)
    )


def test_a_gap_is_shown_everywhere_and_dropped_nowhere():
    words = page(GAPS)
    assert "- CoaT, none, seed 43: failed" in words
    assert "- other, none, seed 42: not run" in words
    assert "| 42, 43 (failed) |" in words
    assert "| other | none | - | - | - | - | 42 (not run) | - | - |" in words
    table = table2_report.tidy(GAPS)
    assert table.loc[table["dice"].isna(), ["model", "seed", "state"]].to_numpy().tolist() == [
        ["CoaT", 43, "failed"],
        ["other", 42, "not run"],
    ]


def test_the_report_says_what_holds_and_that_one_seed_is_not_many():
    words = page(GAPS)
    assert "- On transformers, switched beats none. **Here: holds** (CoaT)." in words
    assert "- On transformers, switched beats single. **Here: cannot be told** (not run for CoaT)." in words
    assert "Each difference is over one seed: the spread over seeds is not known" in words


def test_a_claim_about_transformers_is_not_told_without_one():
    words = page([result(mode, 42, 0.0, model="other") for mode in ("none", "single", "switched")])
    assert (
        "On transformers, switched beats none. **Here: cannot be told** (no transformer was asked for)."
        in words
    )


def test_the_report_names_the_claims_that_the_paper_contradicts():
    words = page(GAPS)
    for why in switched_aux.CONTRADICTED.values():
        assert why in words


def test_a_report_of_nothing_is_a_report():
    words = page([result("none", 42, None, state="not run")])
    assert "No two losses can be compared yet." in words
    assert "holds**" not in words


def test_the_report_says_over_what_its_intervals_are():
    groups = [*"xxyyz"]
    grouped = [one._replace(dice=None if one.dice is None else one.dice.assign(group=groups)) for one in GAPS]
    assert "over groups" not in page(GAPS)
    assert "group" not in table2_report.tidy(GAPS)
    text = page(grouped)
    assert "over images" not in text.partition("## How to read this")[0]
    assert text.count("| 95 % over groups |") == 2
    assert "*Over groups* (bootstrap): what\nother groups of this kind would give" in text
    shown = table2_report.tidy(grouped)
    assert list(shown.columns) == [*table2_report.COLUMNS, "group"]
    assert shown.loc[shown["dice"].notna(), "group"].tolist() == groups * 3


def test_equal_results_give_equal_bytes_cached_or_not(tmp_path):
    cached = [each._replace(state="cached") if each.state == "done" else each for each in GAPS]
    assert page(GAPS) == page(cached)
    assert table2_report.tidy(GAPS).to_csv() == table2_report.tidy(cached).to_csv()
    compared = table2_report.contrasts(table2_report.tidy(GAPS), MODELS)
    for name in ("one.png", "two.png"):
        table2_report.draw(compared, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


# ------------------------------------------------------------------ the command


def test_no_stage_depends_on_the_tools():
    """Or a word in a report would train everything again."""
    used = set.union(*(imported_modules(path.relative_to(ROOT)) for path in (ROOT / "stages").glob("*.py")))
    assert not [path for path in used if path.startswith("src/ftu_tools")]


def refused(folder: Path, *arguments: str) -> str:
    """What the script says in a copy of params.yaml's folder, where nothing is a git repository."""
    shutil.copy(ROOT / "params.yaml", folder)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ftu_tools.studies.run_table2",
            "--grid",
            "table2",
            *arguments,
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["params.yaml"]
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--models", "coat"), "table2: error: model 'coat' is not known; did you mean CoaT"),
        (("--seeds", "42 x"), "SEEDS: 'x' is not a whole number from 0"),
        (("--models", "CoaT", "--folds", "5"), "split: run must name different folds among 0..4, got [5]"),
        (("--models", "CoaT", "--set", "a='b"), "SET: No closing quotation"),
        (("--models", "CoaT"), "has no commit"),
    ],
)
def test_a_bad_argument_is_told_before_anything_runs(tmp_path, arguments, words):
    assert words in refused(tmp_path, *arguments)


REDUCED = {
    "sample": {"train": 10, "test": 4},
    "resize": {"side": 64},
    "split": {"count": 2, "run": [0]},
    "train": {"epochs": 2, "switch_epoch": 1},
}
GOOD = f"good: {ROW % 'tu-resnet10t'}\n"
OTHER = f"other: {ROW}\n"


@pytest.mark.slow
def test_a_sweep_survives_a_failed_cell_and_fills_the_gap_when_run_again(tmp_path):
    copy_repository(tmp_path)
    set_params(tmp_path, REDUCED)
    two, report = tmp_path / "two.yaml", tmp_path / "reports/table2.md"
    two.write_text(OTHER % "tu-nonesuch" + GOOD)
    commit(tmp_path)
    command = [
        "env",
        "PYTHONPATH=src",
        "python",
        "-m",
        "ftu_tools.studies.run_table2",
        "--grid",
        "two.yaml",
        "--modes",
        "none",
    ]

    output = run(tmp_path, *command, status=1)
    assert "[1/2] other, none, seed 42: runs" in output
    assert "[2/2] good, none, seed 42: runs" in output
    assert "failed: other, none, seed 42" in output
    assert re.search(r"alone: dvc exp run --temp -n table2-other-none-s42-\w{8} -S train", output)
    assert "- other, none, seed 42: failed" in report.read_text()
    scores = pd.read_csv(tmp_path / "reports/table2.csv", dtype={"id": str}).dropna(subset="dice")
    assert set(scores["model"]) == {"good"}
    assert len(scores) == 5

    two.write_text(OTHER % "tu-resnet14t" + GOOD)
    commit(tmp_path)  # the report too: no code changed, so that the finished cell still counts
    output = run(tmp_path, *command)
    assert "[1/2] other, none, seed 42: runs" in output
    assert "[2/2] good, none, seed 42: is there already" in output
    assert "Missing" not in report.read_text()

    before = {path.name: path.read_bytes() for path in report.parent.glob("table2.*")}
    assert run(tmp_path, *command).count("is there already") == 2
    assert {path.name: path.read_bytes() for path in report.parent.glob("table2.*")} == before
    assert len(before) == 3
    (tmp_path / "stages/split.py").write_text("# changed\n")
    assert "stages/split.py: changed and not committed" in run(tmp_path, *command, status=2)
