"""The page: it asks nobody for anything, says the numbers of the tables, and takes no name for HTML."""

import re

import numpy as np
import pandas as pd
import pytest

import pages
from ftu.masks.classes import ClassRule
from ftu.reports.page import page, pictures, tables
from pages import ORGAN, Page

IMAGES = "Out-of-fold scores by image"


@pytest.fixture(scope="module")
def text() -> str:
    return page.render(pages.content())


@pytest.fixture(scope="module")
def found(text: str) -> Page:
    return Page(text)


def test_it_opens_without_a_network(text, found):
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    for tag, attributes in found.tags:
        for name in {"src", "href", "srcset", "action", "data", "poster"} & set(attributes):
            assert re.fullmatch(r"#[a-z0-9-]+|page/\d\d-[a-z]+\.(png|jpg)", attributes[name]), (
                tag,
                attributes,
            )
    assert not {"link", "iframe", "object", "base", "form"} & {tag for tag, _ in found.tags}
    assert "default-src 'none'" in text


def test_every_tag_is_closed_and_every_link_leads_somewhere(found):
    assert (found.open, found.unclosed) == ([], [])
    names = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(set(names)) == len(names)
    links = {attributes["href"].removeprefix("#") for attributes in found.all("a")}
    assert links
    assert links <= set(names)


def test_every_picture_is_told_in_words_and_every_switch_is_a_control(found):
    shown = found.all("img")
    assert len(shown) == 5 * len(pages.IDS)
    assert all(image["alt"] and image["width"] and image["height"] for image in shown)
    assert len({image["alt"] for image in shown}) == len(shown)
    drawn = [svg for svg in found.all("svg") if svg.get("aria-hidden") != "true"]
    assert drawn
    assert all("epoch" in svg["aria-label"] for svg in drawn)
    assert {control.get("id") for control in found.all("input")} == {
        "image", "truth", "prediction", "errors", "probability", "once", "twice", "four"
    }  # fmt: skip
    assert found.all("html") == [{"lang": "en"}]


def test_ids_stay_the_texts_that_they_are(found):
    assert {row[0] for row in found.table(IMAGES)} == set(pages.IDS)
    values = [cell["data-value"] for cell in found.all("th") if "data-value" in cell]
    assert set(values) == set(pages.IDS)


def test_names_are_no_html(text, found):
    assert ORGAN in [row[0] for row in found.table("By organ")]
    assert ORGAN in [row[1] for row in found.table("Rules")]
    assert "<b>lung" not in text
    assert "a<b>" not in text


def test_the_worst_image_comes_first_in_pictures_and_rows(found):
    dice = [float(row[4]) for row in found.table(IMAGES)]
    assert dice == sorted(dice)
    alts = [image["alt"] for image in found.all("img") if image.get("class") == "image"]
    assert [alt.removeprefix("Image ").rpartition(": ")[0] for alt in alts] == [
        row[0] for row in found.table(IMAGES)
    ]


def test_the_order_of_sections_and_of_the_head(found):
    sections = [section["id"] for section in found.all("section")]
    assert sections == [
        "scores", "pictures", "images", "curves", "gradients", "calibration", "warnings", "parameters",
        "provenance",
    ]  # fmt: skip
    order = ["mean out-of-fold Dice", "0.250 to 0.750", "baseline: otsu", "Not a medical device", "By organ"]
    places = [found.text.index(words) for words in order]
    assert places == sorted(places)


def test_rows_in_another_order_give_the_same_bytes():
    images = pages.oof(dice=[0.5, 0.25, 0.5, 0.25, 0.5, 0.25])  # ties
    shuffled = images.sample(frac=1, random_state=3)
    assert shuffled["id"].tolist() != images["id"].tolist()
    one, other = (page.render(pages.content(table)) for table in (images, shuffled))
    assert one == other


def test_numbers_are_those_of_the_tables():
    table = pages.oof()
    found = Page(page.render(pages.content(table)))
    for name, rows in table.groupby("organ"):
        (row,) = (row for row in found.table("By organ") if row[0] == name)
        n, mean, lowest = len(rows), rows["dice"].mean(), rows["dice"].min()
        assert row[1:] == [str(n), f"{mean:.3f} n {n}", f"{lowest:.3f}", str((rows["objects"] == 0).sum())]
    by_id = table.set_index("id")
    for row in found.table(IMAGES):
        own = by_id.loc[row[0]]
        assert row[1:] == [
            own["organ"], "HPA", "1", f"{own['dice']:.3f}", "0.000", "0.250", "0.300",
            f"{own['objects']:.0f}", own["action"],
        ]  # fmt: skip
    assert f"{table['dice'].mean():.3f}" in found.text


def test_what_is_not_defined_is_counted_and_never_nan():
    dice = [0.5, np.nan, 0.7, np.nan, 0.9, 0.2]
    table = pages.oof(dice=dice).assign(data_source=["HPA"] * 5 + ["Hubmap"])
    table.loc[table["data_source"] == "Hubmap", "dice"] = np.nan
    text = page.render(pages.content(table))
    assert not re.search(r"\b(nan|inf|infinity)\b", text.lower())
    found = Page(text)
    assert found.table("By data source")[0][2] == "0.700 n 3, 2 undefined"
    assert found.table("By data source")[1][2:4] == ["undefined n 0, 1 undefined", "undefined"]
    assert found.table("By class")[0][7] == "undefined n 0, 6 undefined"
    assert [row[4] for row in found.table(IMAGES)[:3]] == ["undefined"] * 3


def test_several_classes_have_a_row_each_and_their_mean():
    classes = ["<i>nucleus", "cell"]
    scores = {"dice": 0.25, "hd95": None, "f1": 0.5, "one_sided": 3.0}
    rows = pd.DataFrame({"class": classes * 2, "dice": [0.2, 0.3, 0.2, np.nan], "hd95": [1, np.nan] * 2})
    rows = rows.assign(iou=0.0, surface_dice=0.0)
    made = tables.of_classes(dict.fromkeys([*classes, "mean"], scores), rows, classes)
    content = pages.content()
    sizes = {"HPA": {ORGAN: ClassRule((0, 7), (0, 0))}}
    rules = content.rules._replace(method="argmax", classes=tuple(classes), sizes=sizes)
    found = Page(
        page.render(
            content._replace(
                classes=classes,
                rules=rules,
                scored=content.scored._replace(classes={"oof": made, "test": made}),
            )
        )
    )
    for caption in ("By class, out of fold", "By class, test images"):
        assert found.table(caption) == [
            ["<i>nucleus", "0.250 n 2", "undefined n 2", "3", "0.500"],
            ["cell", "0.250 n 1, 1 undefined", "undefined n 0, 2 undefined", "3", "0.500"],
            ["mean", "0.250 n 3, 1 undefined", "undefined n 2, 2 undefined", "3", "0.500"],
        ]
    assert "<i>nucleus 0, cell 7" in found.table("Rules")[0]
    assert "another class" in found.text


def test_rules_that_were_chosen_stand_with_what_they_are_worth():
    nested = {"nested": {"dice": 0.4321, "low": 0.4, "high": 0.5}}
    facts = {way: {"dice": 0.5, "low": 0.4, "high": None} for way in page.WAYS}
    estimates = page.read_estimates({"estimates": {"all oof": {"images": 6, **facts}}})
    found = Page(page.render(pages.content(nested=nested, estimates=estimates)))
    assert found.table("What the chosen rules are worth")[0][:2] == ["all oof", "6"]
    assert "rules chosen on other folds 0.432" in found.text
    assert "Calibration is off" not in found.text
    assert "Calibration is off" in Page(page.render(pages.content())).text


def test_a_page_of_the_competitions_size_is_small_and_says_what_it_leaves_out(monkeypatch):
    table = pages.oof([f"{number:05d}" for number in range(351)])
    many = page.render(pages.content(table))
    assert len(many.encode()) < 1_000_000
    shown = pictures.choose(table)
    left = 351 - len(shown.worst) - len(shown.typical)
    assert f"Of 351 images, {left} have no picture here" in Page(many).text
    monkeypatch.setattr(tables, "MOST_ROWS", 20)
    found = Page(page.render(pages.content(table)))
    assert [row[0] for row in found.table(IMAGES)] == [f"{number:05d}" for number in range(350, 330, -1)]
    assert "The 20 with the lowest Dice of 351" in found.text


def test_groups_are_told_worst_first_when_they_are_known():
    table = pages.oof().assign(group=["g2", "g2", "g1", "g1", "g3", "g3"])
    found = Page(page.render(pages.content(table)))
    assert [row[0] for row in found.table("By group")] == ["g3", "g1", "g2"]
    assert "over groups" in found.text
    assert "By group" not in Page(page.render(pages.content())).text
