"""Slides from file to results: discs where they were drawn, the pipeline's mask of an image, runs that were
stopped, and what is refused."""

import csv
import errno
import json
import os
import re
import tracemalloc
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from torch import Tensor

from ftu.errors import InputError
from ftu.networks.common import devices
from ftu.pipeline import locks
from ftu_tools.segment import __main__ as command
from ftu_tools.segment import maps, one_slide, plan, sparse, written
from ftu_tools.segment.outputs.atlas import UNITS
from ftu_tools.segment.slides import files, tissue
from ftu_tools.segment.slides.slide import Slide
from slides import (
    DISC,
    GLASS,
    TISSUE,
    Green,
    dark_model,
    drawn,
    options,
    spoil_tile,
    use,
    write_ome,
    write_svs,
)

UM = 0.5
# Some lie over borders of windows (64 px of 1 um, at steps of 48) and of tiles, one over a corner of four.
DISCS = [
    (192.0, 192.0, 40.0),
    (400, 150, 30),
    (560.5, 300.5, 25),
    (384, 384, 36),
    (700, 420, 44),
    (200, 420, 28),
]


@pytest.fixture(autouse=True)
def model(tmp_path, monkeypatch):
    """What finds discs, at 1 um per px; every image is seen in windows."""
    use(monkeypatch, dark_model(tmp_path / "model", um=1.0))
    monkeypatch.setattr(plan, "WHOLE", 0)


@pytest.fixture
def image() -> np.ndarray:
    return drawn(560, 840, DISCS)


def rows_of(path: Path, sign: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=sign))


def objects_of(out: Path, name: str) -> list[dict[str, str]]:
    return rows_of(out / written.KEPT / f"{name}.csv")


def check_discs(rows: list[dict[str, str]], discs, um: float, within: float = 1) -> None:
    """One object for each disc, at its place up to `within` um and of its area."""
    assert len(rows) == len(discs)
    for x, y, radius in discs:
        (one,) = [row for row in rows if np.hypot(float(row["x_px"]) - x, float(row["y_px"]) - y) < radius]
        assert np.hypot(float(one["x_um"]) - x * um, float(one["y_um"]) - y * um) < within
        assert float(one["area_um2"]) == pytest.approx(np.pi * (radius * um) ** 2, rel=0.03)


def test_discs_are_found_where_they_are(tmp_path, image):
    path = write_ome(tmp_path / "a.ome.tif", image, UM)
    result = one_slide.segment(path, options(tmp_path / "out"))
    (row,) = result["rows"]
    check_discs(objects_of(tmp_path / "out", "a"), DISCS, UM)
    areas = sum(np.pi * (radius * UM) ** 2 for _, _, radius in DISCS)
    assert row["count"] == len(DISCS)
    assert row["area_um2"] == pytest.approx(areas, rel=0.01)
    assert row["tissue_mm2"] == pytest.approx(0.8**2 * image[..., 0].size * UM**2 / 1e6, rel=0.01)
    assert row["per_mm2"] == pytest.approx(row["count"] / row["tissue_mm2"], rel=1e-3)
    assert row["uberon"] == UNITS["kidney"].identifier
    features = json.loads((tmp_path / "out/a.geojson").read_text(encoding="utf-8"))["features"]
    assert len(features) == len(DISCS)


@pytest.mark.skipif(not find_spec("openslide"), reason="openslide is in the extra `slides`")
def test_both_readers_give_the_same_objects(tmp_path, image, monkeypatch):
    path = write_svs(tmp_path / "a.svs", image, "0.5")
    found = []
    for number, reader in enumerate((files.VENDORS, ())):
        monkeypatch.setattr(files, "VENDORS", reader)
        out = tmp_path / str(number)
        assert "rows" in one_slide.segment(path, options(out))
        found.append((out / "a.geojson").read_bytes())
    assert found[0] == found[1]


def test_a_pyramid_gives_the_objects_of_its_full_resolution(tmp_path, image):
    for name, levels in (("one", 1), ("three", 3)):
        write_ome(tmp_path / f"{name}.ome.tif", image, UM, levels=levels)
        one_slide.segment(tmp_path / f"{name}.ome.tif", options(tmp_path / "out"))
        check_discs(objects_of(tmp_path / "out", name), DISCS, UM)


def test_windows_without_tissue_are_not_predicted(tmp_path):
    image = drawn(560, 840, [(420, 280, 30)], margin=0.4)
    path = write_ome(tmp_path / "a.ome.tif", image, UM)
    (some,) = one_slide.segment(path, options(tmp_path / "some"))["rows"]
    (every,) = one_slide.segment(path, options(tmp_path / "all", find_tissue=False))["rows"]
    assert some["windows_skipped"] > some["windows"]
    assert every["windows_skipped"] == 0
    assert every["windows"] == some["windows"] + some["windows_skipped"]
    one, other = (objects_of(tmp_path / name, "a") for name in ("some", "all"))
    assert [row["id"] for row in one] == [row["id"] for row in other]


def test_an_object_over_a_seam_of_windows_is_one(tmp_path, monkeypatch):
    """64 x 128 px, columns 54 to 73, windows of 64: one object of 400 px and not two."""
    use(
        monkeypatch,
        dark_model(
            tmp_path / "model",
            um=1.0,
            predict={"window": {"side": 64, "overlap": 0.0, "blend": "smooth"}, "tta": "none", "threads": 1},
        ),
    )
    monkeypatch.setattr(plan, "WHOLE", 0)
    image = drawn(64, 128, [], margin=0)
    image[20:40, 54:74] = (90, 40, 120)
    path = write_ome(tmp_path / "a.ome.tif", image, 1.0, levels=1)
    (row,) = one_slide.segment(path, options(tmp_path / "out"))["rows"]
    assert (row["count"], row["area_um2"]) == (1, 400)


@pytest.mark.parametrize("whole", [0, 2**24])
def test_grey_images_have_objects_of_several_classes(tmp_path, monkeypatch, image, whole):
    use(monkeypatch, dark_model(tmp_path / "grey", um=1.0, base="profiles/cells.yaml"))
    monkeypatch.setattr(plan, "WHOLE", whole)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image[..., 1])
    asked = options(tmp_path / "out", organ="brain", source="EM", um=UM)
    rows = one_slide.segment(path, asked)["rows"]
    assert [(row["class"], row["count"]) for row in rows] == [
        ("membrane", len(DISCS)),
        ("mitochondrion", 0),
        ("vesicle", 0),
    ]
    check_discs(objects_of(tmp_path / "out", "a"), DISCS, UM)
    assert {row["uberon"] for row in rows} == {""}


def test_memory_does_not_grow_with_the_slide(tmp_path, monkeypatch):
    """150,000 x 200,000 px, 90 GB at full resolution, with one disc of 1 mm on 4 mm of tissue."""
    full, centre = (150_000, 200_000), (75_300, 100_500)  # row first
    largest: list[int] = []

    def read(level: int, top: int, left: int, height: int, width: int) -> np.ndarray:
        largest.append(height * width * 3)
        times = (1, 8, 64)[level]
        down = np.abs((np.arange(top, top + height) + 0.5) * times - centre[0])[:, None]
        across = np.abs((np.arange(left, left + width) + 0.5) * times - centre[1])
        pixels = np.full((height, width, 3), GLASS, np.uint8)
        pixels[(down < 8000) & (across < 8000)] = TISSUE
        pixels[down**2 + across**2 < 2000**2] = DISC
        return pixels

    levels = tuple((full[0] // times, full[1] // times) for times in (1, 8, 64))
    made_up = Slide(tmp_path / "a.tif", levels, 3, {"OME": (0.25, 0.25)}, read)
    monkeypatch.setattr(files, "opened", lambda _: nullcontext(made_up))
    use(monkeypatch, dark_model(tmp_path / "model", um=32.0))
    made_up.path.write_bytes(b"")
    tracemalloc.start()
    (row,) = one_slide.segment(made_up.path, options(tmp_path / "out"))["rows"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert row["windows_skipped"] > 10 * row["windows"]
    assert row["tissue_mm2"] == pytest.approx(16, rel=0.02)
    assert max(largest) < 2**25
    assert peak < 3e8
    check_discs(objects_of(tmp_path / "out", "a"), [(100_500, 75_300, 2000)], 0.25, within=32)


def test_little_detail_is_told_of_a_small_image_too(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "WHOLE", 2**24)
    path = write_ome(tmp_path / "a.ome.tif", drawn(60, 80, []), 8.0, levels=1)
    with files.opened(path) as slide:
        found = plan.of(slide, options(tmp_path))
    assert found.grid is None
    assert found.warnings == ["is magnified 8 times: the network learnt from finer detail than it has"]


def test_what_is_large_at_the_networks_scale_is_seen_in_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "WHOLE", 60 * 80 * 10)
    for um, whole in ((3.0, True), (4.0, False)):  # 43,200 px of 1 um, and 76,800
        path = write_ome(tmp_path / "a.ome.tif", drawn(60, 80, []), um, levels=1)
        with files.opened(path) as slide:
            assert (plan.of(slide, options(tmp_path)).grid is None) == whole


# ------------------------------------------------------------------ stopped, finished, changed


def windows_seen(monkeypatch) -> list[int]:
    """How many windows the network is shown, in each chunk."""
    seen: list[int] = []
    chunks = maps._chunks

    def counted(*arguments):
        for chunk in chunks(*arguments):
            seen.append(len(chunk))
            yield chunk

    monkeypatch.setattr(maps, "_chunks", counted)
    return seen


def test_a_slide_that_is_done_is_not_done_again(tmp_path, image, monkeypatch):
    path, out = write_ome(tmp_path / "a.ome.tif", image, UM), tmp_path / "out"
    first = one_slide.segment(path, options(out))
    seen = windows_seen(monkeypatch)
    assert one_slide.segment(path, options(out)) == first
    assert not seen
    (out / "a.geojson").unlink()
    one_slide.segment(path, options(out))
    assert sum(seen) == first["rows"][0]["windows"]
    for changed in (options(out, organ="lung"), options(out, find_tissue=False)):
        seen.clear()
        one_slide.segment(path, changed)
        assert seen
    image[300:302, 100:300] = 255
    write_ome(path, image, UM)
    seen.clear()
    one_slide.segment(path, options(out))
    assert seen


class Crowded(Green):
    """Finds the same, less surely where it sees fewer windows at a time: real ones differ in a last bit."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * len(images) / 60


def killed(*_, **__) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("overlap", [0.25, 0.6])
@pytest.mark.parametrize("after", [1, 3])
def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(
    tmp_path, monkeypatch, after, overlap, image
):
    window = {"side": 64, "overlap": overlap, "blend": "smooth"}
    found = dark_model(
        tmp_path / "model", predict={"window": window, "tta": "none", "threads": 1, "batch_size": 4}
    )
    found.trained.networks[0][0].head = Crowded(1)
    use(monkeypatch, found)
    monkeypatch.setattr(plan, "WHOLE", 0)
    path, formats = write_ome(tmp_path / "a.ome.tif", image, UM), ("gz", "hubmap", "labels")
    (whole,) = one_slide.segment(path, options(tmp_path / "whole", formats=formats))["rows"]
    keep, kept = maps._keep, []

    def die(*arguments):
        keep(*arguments)
        kept.append(arguments)
        if len(kept) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(maps, "_keep", die)
        with pytest.raises(KeyboardInterrupt):
            one_slide.segment(path, options(tmp_path / "out", formats=formats))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [written.KEPT]
    seen = windows_seen(monkeypatch)
    one_slide.segment(path, options(tmp_path / "out", formats=formats))
    assert sum(seen) < whole["windows"] or after == 1
    names = {path.name for path in (tmp_path / "whole").iterdir()} - {written.KEPT}
    assert names == {"a.geojson.gz", "a.png", "a.labels.ome.tiff", "a-objects.tsv"}
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not (tmp_path / "out" / written.KEPT / "a.work").exists()


def test_a_run_that_was_killed_as_it_finished_leaves_nothing_to_the_next(tmp_path, image, monkeypatch):
    path, out = write_ome(tmp_path / "a.ome.tif", image, UM), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(one_slide.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            one_slide.segment(path, options(out))
    assert (out / written.KEPT / "a.work").exists()
    assert one_slide.segment(path, options(out))["rows"][0]["count"] == len(DISCS)
    assert not (out / written.KEPT / "a.work").exists()


def test_what_a_killed_run_with_other_options_wrote_does_not_count_as_finished(tmp_path, image, monkeypatch):
    path, out = write_ome(tmp_path / "a.ome.tif", image, UM), tmp_path / "out"
    one_slide.segment(path, options(out))
    before = (out / "a.geojson").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(one_slide, "_rows", killed)
        with pytest.raises(KeyboardInterrupt):
            one_slide.segment(path, options(out, network_um=2.0))
    assert (out / "a.geojson").read_bytes() != before
    one_slide.segment(path, options(out))
    assert (out / "a.geojson").read_bytes() == before


@pytest.mark.parametrize("file", [maps.MAP, "labels.npy"])
def test_a_disk_that_is_full_is_told_and_does_not_end_the_process(tmp_path, image, monkeypatch, file):
    def full(array: np.memmap, *_: int) -> None:
        if Path(str(array.filename)).name == file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sparse, "reserve", full)
    path = write_ome(tmp_path / "a.ome.tif", image, UM)
    asked = options(tmp_path / "out", formats=("labels",))
    if file == maps.MAP:
        with pytest.raises(OSError, match="No space left"):
            one_slide.segment(path, asked)
    else:
        assert "the disk is full" in one_slide.segment(path, asked)["error"]


def test_room_is_reserved_for_the_rows_that_are_written_and_no_others(tmp_path):
    array = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint16, (2, 500, 4096))
    before = (tmp_path / "a.npy").stat().st_blocks
    sparse.reserve(array, 700, 710)
    taken = ((tmp_path / "a.npy").stat().st_blocks - before) * 512
    assert 10 * 4096 * 2 <= taken < 20 * 4096 * 2
    assert not array.any()


def test_outlines_of_an_earlier_run_do_not_stay_beside_those_of_another_kind(tmp_path, image):
    path, out = write_ome(tmp_path / "a.ome.tif", image, UM), tmp_path / "out"
    for formats, expected in (((), "a.geojson"), (("gz",), "a.geojson.gz"), ((), "a.geojson")):
        one_slide.segment(path, options(out, formats=formats))
        assert [path.name for path in out.glob("*.geojson*")] == [expected]


def test_results_may_lie_in_a_folder_of_the_slides_name(tmp_path, image, monkeypatch):
    path, out = write_ome(tmp_path / "a.tif", image, UM), tmp_path / "a"
    first, seen = one_slide.segment(path, options(out)), windows_seen(monkeypatch)
    assert one_slide.segment(path, options(out)) == first
    assert not seen


def test_a_slide_in_parts_is_known_by_the_bytes_of_all(tmp_path):
    path, part = tmp_path / "a.mrxs", tmp_path / "a/Data0001.dat"
    part.parent.mkdir()
    path.write_bytes(b"")
    found = []
    for content in (b"one", b"two", b"one"):
        part.write_bytes(content)
        found.append(one_slide._digest(path))
    assert found[0] == found[2] != found[1]


# ------------------------------------------------------------------ the command


def run(*words) -> str:
    return command.segment(command.parsed([str(word) for word in words]))


def test_tables_hold_all_slides_in_order(tmp_path, image, capsys):
    write_ome(tmp_path / "b.ome.tif", image, UM)
    write_ome(tmp_path / "a.ome.tif", image[:, :500], UM)
    out = tmp_path / "out"
    told = run(tmp_path, "--organ", "kidney", "--out", out, "--format", "hubmap", "--gz", "--labels")
    assert re.fullmatch(rf"2 slides, \d+ objects in {re.escape(str(out))}", told)
    table, slides = rows_of(out / "objects.csv"), rows_of(out / "slides.csv")
    assert [row["slide"] for row in slides] == ["a", "b"]
    assert [row["slide"] for row in table] == [
        row["slide"] for row in slides for _ in range(int(row["count"]))
    ]
    assert len({row["id"] for row in table}) == len(table)
    assert "b: 6 ftu" in capsys.readouterr().out
    hubmap = rows_of(out / "b-objects.tsv", "\t")
    own = [row for row in table if row["slide"] == "b"]
    assert [row["Area"] for row in hubmap] == [row["area_um2"] for row in own]
    assert {row["Mask ID"] for row in hubmap} == {"UBERON:0001229"}
    with tifffile.TiffFile(out / "b.labels.ome.tiff") as file:
        labels = file.series[0].levels[0].asarray()
        assert 'PhysicalSizeX="1.0"' in (file.ome_metadata or "")
    assert np.bincount(labels.ravel())[1:].tolist() == [float(row["area_um2"]) for row in own]


def test_a_pyramid_of_labels_knows_no_other_objects(tmp_path, image, monkeypatch):
    from ftu_tools.segment.outputs import labels

    monkeypatch.setattr(labels, "SMALLEST", 120)
    path = write_ome(tmp_path / "a.ome.tif", image, UM)
    one_slide.segment(path, options(tmp_path / "out", formats=("labels",)))
    with tifffile.TiffFile(tmp_path / "out/a.labels.ome.tiff") as file:
        levels = [level.asarray() for level in file.series[0].levels]
    assert [level.shape for level in levels] == [(280, 420), (140, 210), (70, 105)]
    for level in levels:
        assert set(np.unique(level)) <= set(range(len(DISCS) + 1))
        assert level.dtype == np.uint32


def test_a_slide_that_fails_stops_no_other(tmp_path, image, capsys):
    write_ome(tmp_path / "b.ome.tif", image, UM)
    write_ome(tmp_path / "a.ome.tif", np.full_like(image, 241), UM)
    spoil_tile(write_ome(tmp_path / "c.ome.tif", image, UM, levels=1), 40)
    with pytest.raises(InputError, match=r"2 of 3 slides failed, .* done: .*a\.ome\.tif, .*c\.ome\.tif"):
        run(tmp_path, "--organ", "kidney", "--out", tmp_path / "out")
    told = capsys.readouterr().err
    assert "a.ome.tif: holds no tissue; --no-tissue" in told
    assert "c.ome.tif: level 0, rows " in told
    assert [row["slide"] for row in rows_of(tmp_path / "out/slides.csv")] == ["b"]
    assert len(rows_of(tmp_path / "out/objects.csv")) == len(DISCS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--organ", "liver"), r"--organ: 'liver' the model has a rule for kidney, "),
        ((), r"--organ: is missing, and the model has a rule for kidney, "),
        (("--organ", "kidney", "--source", "x"), r"--source: 'x' the model has a rule for HPA, Hubmap"),
        (("--organ", "kidney", "--um", "0"), r"--um: '0' is no size"),
        (("--organ", "kidney", "--um", "x"), r"--um: 'x' is no size"),
        (("--organ", "kidney", "--um", "0.3"), r"a\.ome\.tif: states another size"),
        (("--organ", "kidney", "--workers", "0"), r"--workers: '0' is no number"),
        (("--organ", "kidney", "--um", "99999"), r"a\.ome\.tif: states another size"),
        (("--organ", "kidney", "--network-um", "1e-5"), r"a\.ome\.tif: of 0\.5 x 0\.5 um per px it would be"),
        (("--organ", "kidney", "--out", "/proc/no"), r"--out: /proc/no cannot be written to"),
        (("--organ", "kidney", "--out", ""), r"--out: is empty; name a folder"),
    ],
)
def test_bad_options_are_refused_before_any_work(tmp_path, monkeypatch, words, said):
    monkeypatch.setattr(tissue, "look", None)
    path = write_ome(tmp_path / "a.ome.tif", drawn(64, 96, []), UM, levels=1)
    with pytest.raises(InputError, match=said):
        run(path, *words)


@pytest.mark.parametrize("linked", [False, True])
def test_no_result_takes_the_place_of_an_image(tmp_path, image, linked):
    slides, other = tmp_path / "slides", tmp_path / "other"
    for folder in (slides, other):
        folder.mkdir()
    Image.fromarray(image).save(slides / "a.png")
    if linked:
        (other / "a.png").symlink_to(slides / "a.png")
    before = (slides / "a.png").read_bytes()
    with pytest.raises(InputError, match=r"--out: .*slides holds .*a\.png, which a result could replace"):
        run(other if linked else slides, "--organ", "kidney", "--um", "1", "--out", slides)
    assert (slides / "a.png").read_bytes() == before
    run(slides, "--organ", "kidney", "--um", "1", "--out", slides / "results")


def test_two_runs_do_not_write_into_one_folder(tmp_path, monkeypatch):
    path = write_ome(tmp_path / "a.ome.tif", drawn(64, 96, []), UM, levels=1)
    asked = path, "--organ", "kidney", "--out", tmp_path / "out"
    within: list[str] = []

    def second(*_, **__):
        with pytest.raises(InputError, match=r"--out: another run writes into .*out; wait for it"):
            run(*asked)
        within.append("refused")
        return {"error": "the first is at work"}

    with monkeypatch.context() as patch:
        patch.setattr(one_slide, "segment", second)
        with pytest.raises(InputError, match="1 of 1 slides failed"):
            run(*asked)
    assert within == ["refused"]
    assert run(*asked).startswith("1 slide,")


def test_a_disk_without_locks_is_told(tmp_path, monkeypatch, capsys):
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    path = write_ome(tmp_path / "a.ome.tif", drawn(64, 96, []), UM, levels=1)
    assert run(path, "--organ", "kidney", "--out", tmp_path / "out").startswith("1 slide,")
    assert "out: its disk knows no locks" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_told_before_any_work(tmp_path, monkeypatch):
    use(monkeypatch, dark_model(tmp_path / "model", um=1.0)._replace(device="cuda"))
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    path = write_ome(tmp_path / "a.ome.tif", drawn(64, 96, []), UM, levels=1)
    with pytest.raises(InputError, match=r"torch sees no GPU on this machine; .*, or give --device cpu"):
        run(path, "--organ", "kidney", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_slide_that_has_vanished_is_told_as_one_that_failed(tmp_path):
    assert "a.tif: is no file" in one_slide.segment(tmp_path / "a.tif", options(tmp_path))["error"]


def test_bad_images_are_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(tissue, "look", None)
    good = write_ome(tmp_path / "a.ome.tif", drawn(64, 96, []), UM, levels=1)
    grey = drawn(64, 96, [])[..., 0]
    tifffile.imwrite(tmp_path / "grey.tif", grey, resolution=(20000, 20000), resolutionunit="CENTIMETER")
    tifffile.imwrite(tmp_path / "none.tif", drawn(64, 96, []))
    for name, said in (
        ("grey.tif", "has 1 channels, and the model was trained on 3"),
        ("none.tif", "does not say how large its pixels are"),
    ):
        with pytest.raises(InputError, match=rf"{name}: .*{said}"):
            run(good, tmp_path / name, "--organ", "kidney", "--out", tmp_path / "out")
    with pytest.raises(InputError, match="FILE: is missing"):
        run("")
    with pytest.raises(InputError, match=r"gone\.tif: is no file"):
        run(tmp_path / "gone.tif", "--organ", "kidney")
