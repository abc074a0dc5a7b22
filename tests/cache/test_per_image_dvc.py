"""The item cache under the user's own commands: one image more costs one, in temporary experiments too."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ftu.datasets import image_files
from ftu.files import csvfile
from project import commit, copy_repository, run, set_params, stages_run

pytestmark = pytest.mark.slow

STAGES = ("decode", "resize", "normalize")
RAW = Path("data/raw")


def counts(output: str) -> dict[str, str]:
    """What each stage said of its images."""
    return dict(re.findall(rf"^({'|'.join(STAGES)}): (.* from the cache)", output, re.MULTILINE))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, small_sample: Path) -> Path:
    """A repository whose data set is six training images and two others, normalised and committed."""
    folder = tmp_path_factory.mktemp("clone") / "ftu"
    copy_repository(folder)
    shutil.copytree(small_sample, folder / RAW)
    set_params(folder, {"data": {"root": str(RAW)}, "resize": {"side": 64}})
    run(folder, "dvc", "add", "-q", str(RAW))
    run(folder, "dvc", "repro", "normalize")
    commit(folder)
    return folder


def add(project: Path, name: str, rle: str) -> None:
    """One training image more, the last one upside down, in the data set as DVC tracks it."""
    folder = project / RAW
    table = csvfile.read_csv(folder / "train.csv")
    last = table.iloc[[-1]].assign(id=name, rle=rle)
    image = image_files.read_image(folder / f"train_images/{table['id'].iloc[-1]}.tiff")[::-1]
    image_files.write_tiff(folder / f"train_images/{name}.tiff", image[:, :: 1 if name == "zz1" else -1])
    pd.concat([table, last]).to_csv(folder / "train.csv", index=False)
    run(project, "dvc", "add", "-q", str(RAW))


def test_one_image_more_costs_one_image(project: Path) -> None:
    add(project, "zz1", "1 7")
    output = run(project, "dvc", "repro", "normalize")
    assert stages_run(output) == sorted(STAGES)
    assert counts(output) == {
        "decode": "9 images and 7 masks, 14 from the cache",
        "resize": "9 images and 7 masks, 14 from the cache",
        "normalize": "9 images, 8 from the cache",
    }
    add(project, "zz2", "2 8")
    output = run(project, "dvc", "exp", "run", "--temp", "normalize")
    assert stages_run(output) == sorted(STAGES)
    assert counts(output) == {
        "decode": "10 images and 8 masks, 16 from the cache",
        "resize": "10 images and 8 masks, 16 from the cache",
        "normalize": "10 images, 9 from the cache",
    }
    output = run(
        project, "env", "PYTHONPATH=src", "python", "-m", "ftu_tools.maintenance.prune_cache", "--days", "0"
    )
    assert re.search(r"\.ftu/items: freed \d+\.\d MB, (\d+) of \1 entries", output)
