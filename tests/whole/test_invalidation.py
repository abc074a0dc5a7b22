"""What an edit runs again: each stage with its real code deps, in a copy of the project without data."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from imports import ROOT

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
IMAGES = {"decode", "resize", "normalize", "shift"}
REPORTED = {"evaluate", "report"}
SCORED = REPORTED | {"calibrate", "submit"}
NETWORK = {"pretrain", "train", "predict"}
TRAINED = {"pretrain", "train"}
EDITS = {
    "src/ftu/files/png.py": set(STAGES),
    "src/ftu/cache/entries.py": set(STAGES) - {"sample", "split"},
    "src/ftu/pipeline/stage.py": set(),
    "src/ftu/pipeline/sections/training.py": set(),  # a check of parameters; their values are tracked
    "src/ftu/pipeline/workers/pool.py": set(),
    "src/ftu/datasets/competition.py": IMAGES | REPORTED | {"sample"},
    "src/ftu/datasets/synthetic/cells.py": IMAGES | REPORTED | {"sample"},
    "src/ftu/preprocessing/stain.py": IMAGES - {"decode"} | TRAINED | {"report"},  # training recolours
    "src/ftu/networks/common/contract.py": NETWORK,
    "src/ftu/networks/encoder_decoder/daformer.py": NETWORK,
    "src/ftu/networks/another/segmenter.py": set(),  # a family that the parameters do not name
    "src/ftu/networks/unet/segmenter.py": set(),
    "src/ftu/networks/unetr/segmenter.py": set(),
    "src/ftu/networks/ms_twins/segmenter.py": set(),
    "src/ftu/training/loop.py": TRAINED,
    "src/ftu/training/augmentation/compose.py": TRAINED,
    "src/ftu/training/losses/terms.py": TRAINED,
    "src/ftu/training/pretraining/corruptions.py": TRAINED,
    "src/ftu/probabilities/map_file.py": SCORED | {"predict", "members"},
    "src/ftu/prediction/windows.py": {"predict"},
    "src/ftu/masks/classes.py": SCORED,
    "src/ftu/masks/cutting.py": SCORED,
    "src/ftu/masks/scores/overlap.py": SCORED,
    "src/ftu/calibration/report.py": {"calibrate"},
    "src/ftu/reports/figures.py": REPORTED,
    "src/ftu/reports/page/tables.py": REPORTED,
    "src/ftu/reports/page/style.css": REPORTED,
    "src/ftu_tools/dataset/make.py": set(),
    "src/ftu_tools/dataset/drawn/coco.py": set(),
    "src/ftu_tools/dataset/volumes/nifti.py": set(),
    "src/ftu_tools/doctor/doctor.py": set(),
    "src/ftu_tools/export/package.py": set(),
    "src/ftu_tools/kaggle/bundle.py": set(),
    "src/ftu_tools/maintenance/prune_cache.py": set(),
    "src/ftu_tools/segment/runs.py": set(),
    "src/ftu_tools/trained/model.py": set(),
    "src/ftu_tools/segment/outputs/geojson.py": set(),
    "src/ftu_tools/segment/slides/tiffs.py": set(),
    "src/ftu_tools/studies/table2_report.py": set(),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Code, parameters, and a dvc.lock of stages that do nothing but depend on their code."""
    folder = tmp_path_factory.mktemp("project")
    for part in ("src", "stages"):
        copytree(ROOT / part, folder / part, ignore=ignore_patterns("__pycache__"))
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    for stage in STAGES.values():
        code = [dep for dep in stage["deps"] if dep.startswith(("src/", "stages/"))]
        kept = {"matrix": stage["matrix"]} if "matrix" in stage else {}
        stage.clear()
        stage.update(cmd="true", deps=code, **kept)
    with (folder / "dvc.yaml").open("w") as file:
        YAML(typ="safe").dump({"stages": STAGES}, file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Repo.init(no_scm=True).reproduce()  # pyright: ignore[reportCallIssue] # DVC gives it its repo
        assert changed() == set()
        yield folder


def changed() -> set[str]:
    """The stages that DVC finds changed; those of a matrix by their one name."""
    return {name.partition("@")[0] for name in Repo().status()}


@pytest.mark.parametrize(("file", "stages"), EDITS.items())
def test_an_edit_runs_again_what_its_package_decides(project: Path, file: str, stages: set[str]) -> None:
    path = project / file
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((before or b"") + b"# edited\n")
    try:
        assert changed() == stages
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)


def test_every_package_is_edited() -> None:
    packages = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "src").rglob("*/__init__.py")}
    edited = {str(Path(file).parent) for file in EDITS}
    assert packages - edited == {"src/ftu", "src/ftu_tools", "src/ftu/networks"}
