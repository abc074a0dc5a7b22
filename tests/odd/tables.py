"""Odd tables and parameters for tables.yaml, and the maps of a network that was never there."""

import csv
import os
import shutil
from collections.abc import Callable
from json import dumps
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

import no_files
import predicted
from ftu.datasets.sample import write_histology
from imports import ROOT

MAPS = f"- {__file__}"
RUN = ["decode", "resize", "shift", "split", MAPS, "members", "calibrate", "submit"]
CHECK = ["- -m ftu.masks.submission check submissions/submission.csv --test data/raw/test.csv"]
WHOLE = [*RUN[:-1], "evaluate", "submit", *CHECK]
TRAIN, TEST = "data/raw/train.csv", "data/raw/test.csv"
Rows = list[dict[str, str]]


def project(folder: Path) -> None:
    """A data set of four training and two test images, and parameters for one fold of two."""
    (folder / "data/raw").mkdir(parents=True)
    write_histology(folder / "data/raw", train=4, test=2, seed=0)
    shutil.copy(ROOT / "params.yaml", folder)
    small = {"resize.side": 64, "split.count": 2, "split.run": [0], "stain.backend": "none"}
    parameters(folder, **{"data.root": "data/raw"}, **small)


def parameters(folder: Path, **values: Any) -> None:
    """Values of params.yaml, by their dotted keys."""
    yaml = YAML(typ="safe")
    params = yaml.load(folder / "params.yaml")
    for key, value in values.items():
        *sections, last = key.split(".")
        place = params
        for section in sections:
            place = place[section]
        place[last] = value
    yaml.dump(params, folder / "params.yaml")


def written(folder: Path, text: str, file: str = "params.yaml") -> None:
    """More text at the end of a file."""
    with (folder / file).open("a", encoding="utf-8") as end:
        end.write(text)


def changed(folder: Path, file: str, old: str, new: str) -> None:
    """Each `old` of a text becomes `new`."""
    text = (folder / file).read_text(encoding="utf-8")
    if old not in text:
        raise ValueError(f"{file} holds no {old!r}")
    (folder / file).write_bytes(text.replace(old, new).encode())


def saved(folder: Path, way: str, file: str = TRAIN) -> None:
    """As another program saves the file."""
    ways: dict[str, Callable[[str], bytes]] = {
        "Latin-1": lambda text: text.replace("HPA", "HPÄ").encode("latin-1"),
        "UTF-16": lambda text: text.encode("utf-16"),
        "UTF-32": lambda text: text.encode("utf-32"),
        "a BOM": lambda text: text.encode("utf-8-sig"),
        "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
        "CR": lambda text: text.replace("\n", "\r").encode(),
        "no last end": lambda text: text.removesuffix("\n").encode(),
        "blank lines": lambda text: text.replace("\n", "\n\n").encode(),
        "quotes": lambda text: "\n".join(_quoted(line) for line in text.splitlines()).encode() + b"\n",
        "an open quote": lambda text: (text + '"').encode(),
        "half": lambda text: text[: len(text) // 2].encode(),
        "NUL": lambda text: text.encode() + b"\0\0\0\0",
        "no rows": lambda text: text.splitlines(keepends=True)[0].encode(),
        "nothing": lambda _: b"",
        "a page": lambda _: b"<!DOCTYPE html>\n<html><title>Sign in</title></html>\n",
    }
    (folder / file).write_bytes(ways[way]((folder / file).read_text(encoding="utf-8")))


def _quoted(line: str) -> str:
    return ",".join(f'"{cell}"' for cell in line.split(","))


def rows(folder: Path, file: str) -> Rows:
    csv.field_size_limit(2**30)
    with (folder / file).open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def write(folder: Path, file: str, table: Rows) -> None:
    with (folder / file).open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def cell(folder: Path, column: str, value: str, file: str = TRAIN) -> None:
    """Another value in the second row."""
    table = rows(folder, file)
    table[1][column] = value
    write(folder, file, table)


def columns(folder: Path, file: str = TRAIN, without: str = "", more: str = "") -> None:
    """Without a column, or with one more."""
    table = [{name: text for name, text in row.items() if name != without} for row in rows(folder, file)]
    write(folder, file, [row | ({more: str(number)} if more else {}) for number, row in enumerate(table)])


def twice(folder: Path, what: str, file: str = TRAIN) -> None:
    """The first row, or the first column, twice."""
    lines = (folder / file).read_text(encoding="utf-8").splitlines()
    lines = [*lines, lines[1]] if what == "row" else [f"{line},{line.split(',')[0]}" for line in lines]
    (folder / file).write_text("\n".join([*lines, ""]), encoding="utf-8")


def without_row(folder: Path, file: str = TRAIN) -> None:
    write(folder, file, rows(folder, file)[1:])


def json(folder: Path, file: str, value: Any) -> None:
    """Another value in place of what a file of JSON holds."""
    (folder / file).write_text(dumps(value), encoding="utf-8")


def deep(folder: Path, file: str) -> None:
    (folder / file).write_text("[" * 100_000, encoding="utf-8")


def runs(folder: Path, length: int, spaces: int = 0, file: str = TRAIN) -> None:
    """An RLE of single pixels, cut behind so many characters, and spaces behind it."""
    text = " ".join(f"{start} 1" for start in range(1, 80_000, 2))[:length]
    cell(folder, "rle", text + " " * spaces, file)


def named(folder: Path, ids: list[str]) -> None:
    """Other ids in both tables, and files of these names."""
    new = iter(ids)
    for part, file in (("train", TRAIN), ("test", TEST)):
        table = rows(folder, file)
        for row, name in zip(table, new, strict=False):
            images = folder / f"data/raw/{part}_images"
            (images / f"{row['id']}.tiff").rename(images / f"{name}.tiff")
            row["id"] = name
        write(folder, file, table)


def organ(folder: Path, name: str) -> None:
    """An organ of another name, in the tables and in the parameters."""
    for file in (TRAIN, TEST):
        table = rows(folder, file)
        write(folder, file, [row | {"organ": row["organ"].replace("lung", name)} for row in table])
    yaml = YAML(typ="safe")
    params = yaml.load(folder / "params.yaml")
    params["data"]["organs"] = [each.replace("lung", name) for each in params["data"]["organs"]]
    for table in (*params["thresholds"].values(), params["shift"]["pixel_size"]):
        table[name] = table.pop("lung")
    yaml.dump(params, folder / "params.yaml")


def home(folder: Path) -> None:
    """The data set in a home folder, named by its sign."""
    (folder / "home").mkdir()
    (folder / "data/raw").rename(folder / "home/raw")
    parameters(folder, **{"data.root": "~/raw"})


def no_file(folder: Path, file: str, kind: str) -> None:
    """A pipe, a device, a folder, a socket or a hole in place of a file, or where there is none."""
    path = folder / file
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    no_files.put(path, kind)


def maps() -> None:
    """What the networks of the folds that run would have predicted, here."""
    for name in ("data/predictions", "models"):
        shutil.rmtree(name, ignore_errors=True)
    params = YAML(typ="safe").load(Path("params.yaml"))
    predicted.predict(Path(os.curdir), run=params["split"]["run"], sets=[params["predict"]["tta"]])


if __name__ == "__main__":
    maps()
