"""The study of effects: what a file of variants may hold, the cells it makes, and the differences it
reports."""

import dvc.api
import numpy as np
import pandas as pd
import pytest

from ftu.errors import InputError
from ftu.training.pretraining.corruptions import CORRUPTIONS
from ftu_tools.studies import effects, experiments, grid, run_table2, second_paper_claims
from imports import ROOT

PARAMS = ROOT / "params.yaml"


def written(tmp_path, text):
    (tmp_path / "variants.yaml").write_text(text)
    return tmp_path / "variants.yaml"


def test_the_projects_own_variants_are_all_other_parameters():
    cells = effects.make_cells(PARAMS, effects.read_variants(ROOT / "benchmarks/effects.yaml"), [1, 2], [])
    assert len({cell.name for cell in cells}) == len(cells) == 2 * len({cell.mode for cell in cells})
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)


@pytest.mark.parametrize(
    ("profile", "study", "claims"),
    [
        ("em-text", "ablation", "em-ablation"),
        ("em-text", "networks", "em-networks"),
        ("em-text", "pretraining", "em-ssl"),
        ("em-adapt", "adaptation", "em-adapt"),
    ],
)
def test_the_second_papers_variants_are_parameters_that_work_together(profile, study, claims):
    variants = effects.read_variants(ROOT / f"benchmarks/em/{study}.yaml")
    second_paper_claims.check(claims, variants)
    cells = effects.make_cells(ROOT / f"profiles/{profile}.yaml", variants, [1], [])
    assert len({cell.name for cell in cells}) == len(cells) == len(variants) >= 5


def test_pre_training_has_every_task_and_a_control_of_as_many_steps():
    variants = effects.read_variants(ROOT / "benchmarks/em/pretraining.yaml")
    assert set(variants) == {"none", "none, twice as long", *CORRUPTIONS}
    for name in CORRUPTIONS:
        (words,) = variants[name]
        assert f"corrupt: {name}," in words
        assert "epochs: 360," in words


def test_a_cell_runs_with_what_all_have_then_its_own_and_its_seed():
    variants = {"a": [], "b": ["augment.colour_picks=0"]}
    cells = effects.make_cells(PARAMS, variants, [7], ["train.epochs=9"])
    assert [cell.overrides for cell in cells] == [
        ("train.epochs=9", "train.seed=7"),
        ("train.epochs=9", "augment.colour_picks=0", "train.seed=7"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("only: []", "holds fewer than two variants"),
        ("[1, 2]", "holds fewer than two variants"),
        ("a: []\nb: train.ema=0.9", "b: 'train.ema=0.9' is no list of key=value"),
        ("a: []\nb: [{train.ema: 0.9}]", "b: .* is no list of key=value"),
    ],
)
def test_a_wrong_file_is_refused_with_its_row(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=f"{path}: {message}"):
        effects.read_variants(path)


def test_a_parameter_that_there_is_not_is_refused_before_anything_runs():
    with pytest.raises(InputError, match=r"variant b: .*train\.no_such"):
        effects.make_cells(PARAMS, {"a": [], "b": ["train.no_such=1"]}, [1], [])


def test_a_difference_is_paired_by_image_and_seed():
    rng = np.random.default_rng(0)
    rows = []
    for seed in (1, 2, 3):
        hard = rng.uniform(0.2, 0.9, 40)  # images differ far more than variants
        for name, more in (("plain", 0.0), ("better", 0.05)):
            dice = hard + more + rng.normal(0, 0.001, 40)
            rows += [
                {"model": "effect", "mode": name, "seed": seed, "id": str(k), "dice": d}
                for k, d in enumerate(dice)
            ]
    first, second = effects.report(pd.DataFrame(rows), "plain").splitlines()[2:]
    assert first.startswith("| plain |")
    assert "+0.05" in second
    low, high = (float(part) for part in second.split("|")[5].split(" to "))
    assert 0.049 < low < 0.05 < high < 0.051


def rows_of(variant, seeds=(1,)):
    return [
        {"model": "effect", "mode": variant, "seed": seed, "id": str(k), "dice": 0.5 + k / 100}
        for seed in seeds
        for k in range(20)
    ]


def test_a_failed_baseline_leaves_the_differences_empty_and_is_named():
    table = pd.DataFrame(rows_of("b") + rows_of("c"))
    failed = effects.make_cells(PARAMS, {"a": [], "b": ["train.ema=0.9"]}, [1], [])[:1]
    text = effects.report(table, "a", missing=failed)
    assert "minus a" in text
    assert "| b | 0.5950 | 1: 0.5950 |  |  |  |" in text
    assert "Failed: a, seed 1." in text


def test_of_one_seed_it_says_so():
    text = effects.report(pd.DataFrame(rows_of("a") + rows_of("b")), "a")
    assert text.splitlines()[3].endswith("| +0.0000 | +0.0000 to +0.0000 | one seed |")


def test_a_seed_among_the_overrides_is_refused():
    with pytest.raises(InputError, match=r"variant b: train\.seed is what SEEDS names"):
        effects.make_cells(PARAMS, {"a": [], "b": ["train.seed=7"]}, [1], [])


@pytest.mark.parametrize(("part", "file"), [("oof", "reports/dice.csv"), ("test", "reports/dice_test.csv")])
def test_a_part_is_read_from_its_own_table(monkeypatch, part, file):
    def read(path, **_):
        return f"id,organ,data_source,dice\n{path.removeprefix('reports/')},kidney,HPA,0.5\n"

    monkeypatch.setattr(dvc.api, "read", read)
    assert experiments.dice("some-name", "some-commit", part)["id"].tolist() == [
        file.removeprefix("reports/")
    ]


def test_a_part_without_images_is_refused(monkeypatch):
    monkeypatch.setattr(dvc.api, "read", lambda *_, **__: "id,organ,data_source,dice\n")
    with pytest.raises(InputError, match="no image of the test set came with a mask"):
        experiments.dice("some-name", "some-commit", "test")


def test_an_id_or_group_called_na_stays_text(monkeypatch):
    text = "id,organ,data_source,dice,group\nNA,kidney,HPA,0.5,nan\n1e5,lung,HPA,0.25,None\n"
    monkeypatch.setattr(dvc.api, "read", lambda *_, **__: text)
    table = experiments.dice("some-name", "some-commit")
    assert table["id"].tolist() == ["NA", "1e5"]
    assert table["group"].tolist() == ["nan", "None"]
    assert table["dice"].tolist() == [0.5, 0.25]


def test_the_second_papers_networks_are_those_of_its_grid():
    variants = effects.read_variants(ROOT / "benchmarks/em/networks.yaml")
    rows = grid.read_grid(run_table2.grid_file("em-networks"))
    assert list(variants) == list(rows)
    for name, row in rows.items():
        found = grid.effective(ROOT / "profiles/em-text.yaml", variants[name]).train.model
        assert found == row.model
