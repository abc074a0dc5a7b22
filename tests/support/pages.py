"""The page of reports, of numbers that a test made, and as a reader of HTML finds it."""

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd

from ftu.masks.cutting import Rule
from ftu.masks.rules import Rules
from ftu.reports import class_scores
from ftu.reports.page import page, pictures, tables
from ftu.reports.page.pictures import Layers
from ftu.reports.page.tables import Scored

IDS = ["001", "NA", "1e5", "1", "None", "a<b>&\"'"]  # texts, whatever they look like
ORGAN = '<b>lung</b> & "more"'
VOID = {"meta", "img", "input", "br", "line", "polyline"}


def oof(ids: list[str] = IDS, dice: list[float] | None = None) -> pd.DataFrame:
    """dice.csv as `tables.read` gives it: the first image is the best, the last predictions are empty."""
    count = len(ids)
    found = dice or [round(0.9 - 0.8 * place / count, 6) for place in range(count)]
    organs = [ORGAN if place % 2 else "kidney" for place in range(count)]
    columns = {"nothing": 0.0, "everything": 0.25, "otsu": 0.3}
    objects = [float(place < count - 1) for place in range(count)]
    return pd.DataFrame({"id": ids, "organ": organs, "data_source": "HPA", "dice": found, **columns}).assign(
        objects=objects, action=["" if some else "empty" for some in objects]
    )


def history(epochs: int = 12, switch: int | None = None) -> pd.DataFrame:
    """history.csv as `figures.read_history` gives it."""
    epoch = np.arange(epochs, dtype=float)
    blocks = np.zeros(epochs) if switch is None else np.where(epoch < switch, 2.0, 1.0)
    norms = {f"gradient_{number}": np.full(epochs, number / 10) for number in range(1, 5)}
    return pd.DataFrame({"epoch": epoch, "active_block": blocks, "train_main": 1 / (1 + epoch)}).assign(
        valid_main=2 / (1 + epoch), valid_dice=epoch / epochs, ema_dice=np.nan, **norms
    )


def content(table: pd.DataFrame | None = None, **changes: Any) -> page.Content:
    """Of one class, two folds, no calibration, no test masks, with a picture of each image that is chosen."""
    images = oof() if table is None else table
    shown = pictures.choose(images)
    ids = [*shown.worst, *shown.typical]
    none = images[:0]
    scores = dict.fromkeys(class_scores.HEADS, 0.5) | {"hd95": None}
    rows = pd.DataFrame({"class": "ftu", "dice": images["dice"], "iou": 0.5, "hd95": np.nan}).assign(
        surface_dice=0.5
    )
    found = page.Content(
        classes=["ftu"],
        scored=Scored(
            {"oof": images, "shifted": none, "test": none},
            {"oof": tables.of_classes({"ftu": scores, "mean": scores}, rows, ["ftu"])},
        ),
        interval=(0.25, 0.75),
        nested={},
        estimates=[],
        rules=Rules("flips", 1.0, {}, "table", {"HPA": {ORGAN: Rule(0.5, 0, 0, np.nan)}}, {}),
        folds=pd.DataFrame({"id": images["id"], "fold": 1}),
        shown=shown,
        layers=[Layers(name, place, 320, 400, 0.2, 0.1, 0.1) for place, name in enumerate(ids, start=1)],
        histories={0: history(), 1: history()},
        remarks=["No epoch was chosen on these images."],
        warnings=page.Warnings([], [], [], []),
        models=[page.Model(0, "ab" * 32, "source none, licence none", "11", "last")],
        parameters={"data": {"organs": [ORGAN], "z": ""}, "thresholds": {"HPA": {ORGAN: 0.5}}},
        files={"data/images.csv": "cd" * 32},
    )
    return found._replace(**changes)


class Page(HTMLParser):
    """What a browser finds: every tag with its attributes, and the cells of each table by its caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""  # all that is read, without script and style
        self.tables: dict[str, list[list[str]]] = {}
        self.caption, self.open, self.unclosed = "", [], []
        self.rows: list[list[str]] = []
        self.all_rows: list[list[str]] = []  # of tables with and without a caption
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.caption, self.rows = "", []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unclosed.append(tag)
        if tag == "table":
            self.tables[self.caption] = self.rows
            self.all_rows += self.rows

    def handle_data(self, data: str) -> None:
        if {"script", "style"} & set(self.open):
            return
        self.text += data
        if "caption" in self.open:
            self.caption += data
        elif {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def table(self, caption: str) -> list[list[str]]:
        """The rows under the head of the table whose caption begins so."""
        (rows,) = (rows for name, rows in self.tables.items() if name.startswith(caption))
        return [[cell.strip() for cell in row] for row in rows[1:]]
