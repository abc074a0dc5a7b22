"""The item cache under the real stages: what is found and what is made, and that both have the same bytes."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from ftu.datasets import image_files
from ftu.files import csvfile
from ftu.files.index import read_index
from imports import ROOT

STAGES = ("decode", "resize", "normalize")
IMAGES, MASKS = 8, 6  # of the sample; each stage makes some of both


def found(project, stage: str) -> tuple[int, int]:
    """Run a stage: how many images and masks it made in all, and how many of them it found."""
    result = project.run(stage)
    assert result.returncode == 0, result.stderr
    (said,) = re.findall(rf"^{stage}: (.*) from the cache", result.stderr, re.MULTILINE)
    numbers = [int(number) for number in re.findall(r"\d+", said)]
    return sum(numbers[:-1]), numbers[-1]


def made(project, stages: tuple[str, ...] = STAGES) -> dict[str, int]:
    """Run the stages: how many images and masks each had to make."""
    counts = {stage: found(project, stage) for stage in stages}
    return {stage: total - hits for stage, (total, hits) in counts.items()}


def outputs(project) -> dict[str, bytes | None]:
    stages = ("data/images", "data/masks", "data/resized", "data/normalized", "data/shifted")
    return {name: content for name, content in project.contents().items() if name.startswith(stages)}


def forget(project) -> None:
    shutil.rmtree(project.folder / ".ftu")


@pytest.fixture(scope="module")
def base(new_project, small_sample):
    """A project whose images were all made once, and how many each stage made; do not write into it."""
    project = new_project(small_sample, resize={"side": 64})
    return project, made(project)


@pytest.fixture
def project(base, new_project):
    """A copy of `base`, its cache included."""
    copy = new_project()
    shutil.copytree(base[0].folder, copy.folder, dirs_exist_ok=True)
    copy.params = {section: dict(values) for section, values in base[0].params.items()}
    return copy


def raw(project) -> Path:
    return project.folder / "data" / "raw"


def add(project, name: str) -> None:
    """One training image more: another one, upside down."""
    table = csvfile.read_csv(raw(project) / "train.csv")
    row = table[(table["img_height"] == table["img_width"])].iloc[-1]
    folder = raw(project) / "train_images"
    image_files.write_tiff(
        folder / f"{name}.tiff", image_files.read_image(folder / f"{row['id']}.tiff")[::-1]
    )
    added = row.to_frame().T.assign(id=name, rle="1 7")
    pd.concat([table, added]).to_csv(raw(project) / "train.csv", index=False)


def change(project) -> None:
    """One pixel of one image that no target shows."""
    path = raw(project) / "test_images" / f"{csvfile.read_csv(raw(project) / 'test.csv')['id'][0]}.tiff"
    image = image_files.read_image(path)
    image[:9, :9] = 255 - image[:9, :9]
    image_files.write_tiff(path, image)


def remove(project) -> None:
    """One test image."""
    table = csvfile.read_csv(raw(project) / "test.csv")
    (raw(project) / "test_images" / f"{table['id'][0]}.tiff").unlink()
    table[1:].to_csv(raw(project) / "test.csv", index=False)


def own_code(project, *changed: str) -> None:
    """The project's scripts take the library from a copy, in which the named modules are others."""
    copy = project.first / "ftu"
    shutil.copytree(ROOT / "src/ftu", copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in changed:
        module = copy / f"{name}.py"
        module.write_text(module.read_text() + "# changed\n")


def test_the_first_time_everything_is_made(base):
    assert base[1] == {"decode": IMAGES + MASKS, "resize": IMAGES + MASKS, "normalize": IMAGES}


def test_an_unchanged_image_costs_nothing_and_a_changed_one_itself(project):
    assert found(project, "resize") == (IMAGES + MASKS, IMAGES + MASKS)
    change(project)
    assert found(project, "resize") == (IMAGES + MASKS, IMAGES + MASKS - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("happens", "images_made", "masks_made"),
    [(lambda project: add(project, "zzz"), 1, 1), (change, 1, 0), (remove, 0, 0)],
    ids=["new", "changed", "removed"],
)
def test_one_image_costs_one_image_and_the_bytes_are_those_without_a_cache(
    project, happens, images_made, masks_made
):
    happens(project)
    both = images_made + masks_made
    assert made(project) == {"decode": both, "resize": both, "normalize": images_made}
    with_cache = outputs(project)
    forget(project)
    made(project)
    assert outputs(project) == with_cache


@pytest.mark.slow
def test_a_parameter_costs_what_depends_on_it(project):
    before = outputs(project)
    project.set(stain={"seed": 7})
    assert made(project) == {"decode": 0, "resize": 0, "normalize": IMAGES}
    project.set(resize={"side": 96}, stain={"seed": 42})
    assert made(project) == {"decode": 0, "resize": IMAGES + MASKS, "normalize": IMAGES}
    assert outputs(project) != before
    project.set(resize={"side": 64})
    assert made(project) == dict.fromkeys(STAGES, 0)  # one goes back for nothing
    assert outputs(project) == before


@pytest.mark.slow
def test_a_target_that_looks_the_same_costs_nothing_and_another_everything(project):
    name = csvfile.read_csv(raw(project) / "test.csv")["id"][1]
    target = project.params["stain"]["target"]
    project.set(stain={"target": target | {"kind": "image", "ids": [name]}})
    assert found(project, "normalize") == (IMAGES, 0)
    shutil.copy(project.folder / f"data/resized/test/{name}.png", project.folder / "target.png")
    project.set(stain={"target": target | {"kind": "file", "ids": [], "file": "target.png"}})
    assert found(project, "normalize") == (IMAGES, IMAGES)


@pytest.mark.slow
def test_other_code_makes_everything_again(project):
    """A module in use or a library: each may decide the bytes, and none is believed not to."""
    own_code(project)
    assert found(project, "resize") == (IMAGES + MASKS, IMAGES + MASKS)  # another folder, the same code
    own_code(project, "datasets/image_files")
    assert found(project, "resize") == (IMAGES + MASKS, 0)
    assert found(project, "resize") == (IMAGES + MASKS, IMAGES + MASKS)
    other = "import importlib.metadata as m; v = m.version; m.version = lambda name: v(name) + '.0'\n"
    project.shadow("sitecustomize", other)
    assert found(project, "resize") == (IMAGES + MASKS, 0)


@pytest.mark.slow
def test_two_processes_find_what_one_has_made(project):
    before = outputs(project)
    project.set(compute={"workers": 2})
    assert found(project, "normalize") == (IMAGES, IMAGES)
    assert outputs(project) == before


def test_damage_is_told_of_and_the_outputs_are_as_they_were(project):
    before = outputs(project)
    entries = [path for path in (project.folder / ".ftu/items").rglob("*") if path.is_file()]
    for path in entries:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    result = project.run("normalize")
    assert result.returncode == 0
    assert f"normalize: {IMAGES} images, 0 from the cache" in result.stderr
    assert f"was damaged and is made again, and {IMAGES - 3} more like these" in result.stderr
    assert outputs(project) == before


def test_a_cache_that_cannot_be_written_fails_no_stage(project):
    before = outputs(project)
    forget(project)
    (project.folder / ".ftu").write_text("a file where the folder should be")
    result = project.run("normalize")
    assert result.returncode == 0
    assert "warning: the item cache: .ftu/items/" in result.stderr
    assert "cannot be kept (Not a directory)" in result.stderr
    assert outputs(project) == before


@pytest.mark.slow
def test_shift_finds_what_it_has_made(project):
    project.set(shift={"enabled": True})
    assert made(project, ("shift",)) == {"shift": MASKS}
    before = outputs(project)
    assert made(project, ("shift",)) == {"shift": 0}
    assert outputs(project) == before
    sizes = project.params["shift"]["pixel_size"]
    project.set(shift={"pixel_size": sizes | {"lung": 2 * sizes["lung"]}})
    lungs = csvfile.read_csv(raw(project) / "train.csv")["organ"].eq("lung").sum()
    assert made(project, ("shift",)) == {"shift": lungs}


@pytest.mark.slow
def test_what_staintools_made_stays_what_it_is(project):
    """Its results depend on the clock: of an image and a target that stay, the first ones are kept."""
    index = read_index(project.folder / "data/images.csv")
    target = project.params["stain"]["target"] | {"kind": "image", "ids": [index["id"][0]]}
    project.set(stain={"backend": "staintools", "target": target})
    index[:2].to_csv(project.folder / "data/images.csv", index=False)
    assert found(project, "normalize") == (2, 0)
    before = outputs(project)
    index[:3].to_csv(project.folder / "data/images.csv", index=False)
    assert found(project, "normalize") == (3, 2)
    after = outputs(project)
    for name in index["id"][:2]:
        path = f"data/normalized/train/{name}.png"
        assert after[path] == before[path] is not None
    own_code(project, "preprocessing/staintools_backend")
    assert found(project, "normalize") == (3, 0)  # though it is imported only where it is asked for
