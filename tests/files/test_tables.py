"""The competition's tables: what is read, and the row and column that a bad one is refused with."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftu.datasets import competition
from ftu.errors import InputError
from ftu.files import csvfile, folds, markdown, rle
from ftu.files.index import ImageRow, image_file, image_rows, read_index

KNOWN = {"organs": ["kidney", "lung"], "sources": ["HPA", "Hubmap"]}
ROWS = [
    {"id": "00008", "organ": "kidney", "data_source": "HPA", "img_height": "3", "img_width": "4"},
    {"id": "127", "organ": "lung", "data_source": "Hubmap", "img_height": "5", "img_width": "2"},
    {"id": "9", "organ": "lung", "data_source": "HPA", "img_height": "6", "img_width": "6"},
]
RLES = ["2 1", "", "1 36"]


def good() -> pd.DataFrame:
    return pd.DataFrame(ROWS).assign(pixel_size="0.4", rle=RLES)


def written(folder: Path, table: pd.DataFrame) -> Path:
    table.to_csv(folder / "train.csv", index=False)
    return folder / "train.csv"


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(InputError) as caught:
        competition.read_train(path, **KNOWN)
    for part in (str(path), *parts):
        assert part in str(caught.value)


def test_a_good_table_is_read_with_its_types(tmp_path):
    table = competition.read_train(written(tmp_path, good()), **KNOWN)
    assert list(table.columns) == competition.TRAIN_COLUMNS
    assert table["id"].tolist() == ["00008", "127", "9"]  # text: zeros in front stay
    assert table["rle"].tolist() == RLES  # an empty mask is an empty text, not a missing value
    assert table["img_height"].tolist() == [3, 5, 6]
    assert table["img_width"].tolist() == [4, 2, 6]
    assert table["pixel_size"].tolist() == [0.4] * 3
    assert table["img_height"].dtype == int
    assert table["pixel_size"].dtype == float


@settings(max_examples=25)
@given(order=st.permutations([*competition.TRAIN_COLUMNS, "age", "sex"]))
def test_order_of_columns_and_other_columns_do_not_matter(tmp_path_factory, order):
    table = good().assign(age="30", sex="Male")[order]
    path = written(tmp_path_factory.mktemp("permuted"), table)
    expected = competition.read_train(written(tmp_path_factory.mktemp("plain"), good()), **KNOWN)
    pd.testing.assert_frame_equal(competition.read_train(path, **KNOWN), expected)


def test_the_test_table_needs_no_rle(tmp_path):
    path = written(tmp_path, good().drop(columns="rle"))
    assert list(competition.read_test(path, **KNOWN).columns) == competition.TEST_COLUMNS
    refused(path, "no column rle")


@pytest.mark.parametrize("column", competition.TRAIN_COLUMNS)
def test_a_missing_column_is_named_with_those_found(tmp_path, column):
    path = written(tmp_path, good().drop(columns=column))
    refused(path, f"has no column {column}", "found", "fetch the file again")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "-x"])
def test_an_id_must_be_a_file_name(tmp_path, name):
    table = good()
    table.loc[1, "id"] = name
    refused(written(tmp_path, table), "line 3", repr(name), "use letters, digits")


@given(rows=st.permutations([0, 0, 1, 2]))
def test_a_repeated_id_is_named_wherever_it_stands(tmp_path_factory, rows):
    path = written(tmp_path_factory.getbasetemp(), good().iloc[list(rows)])
    refused(path, "id 00008 stands in more than one row", "keep one")


@pytest.mark.parametrize(
    ("column", "value"), [("organ", "liver"), ("organ", ""), ("data_source", "hubmap"), ("data_source", "")]
)
def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path, column, value):
    table = good()
    table.loc[1, column] = value
    known = KNOWN["organs" if column == "organ" else "sources"]
    refused(written(tmp_path, table), "id 127", f"{column} {value!r}", ", ".join(known), "thresholds")


@pytest.mark.parametrize("column", ["img_height", "img_width", "pixel_size"])
@pytest.mark.parametrize("value", ["0", "-3", "", "x", "inf", "nan", "1e999", "1e300"])
def test_a_size_must_be_a_positive_number(tmp_path, column, value):
    table = good()
    table.loc[1, column] = value
    refused(written(tmp_path, table), "id 127", f"{column} {value!r}", "correct the row")


@pytest.mark.parametrize("column", ["img_height", "img_width"])
def test_a_size_in_pixels_must_be_whole(tmp_path, column):
    table = good()
    table.loc[1, column] = "3.5"
    refused(written(tmp_path, table), "id 127", f"{column} '3.5' is not a positive whole number")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as CSV"),
        (b'id,organ\n1,"kidney\n', "cannot be read as CSV"),
        (b"id,organ\n1,2,3,4\n1,2,3,4,5\n", "row 1 has more cells"),
        (b"\xff\xfe\x00i\x00d", "cannot be read as CSV"),
        (b"<!DOCTYPE html><title>Sign in</title>\n", "has no column id"),
        (",".join(competition.TRAIN_COLUMNS).encode(), "has no rows"),
    ],
)
def test_a_file_that_is_no_table_is_to_be_fetched_again(tmp_path, content, message):
    (tmp_path / "train.csv").write_bytes(content)
    refused(tmp_path / "train.csv", message, "fetch the file again")


def of_length(length: int) -> str:
    """A valid RLE of so many characters, for a mask of 1 column: single pixels, two apart."""
    text, start = "1 1", 1
    while len(text) < length - 14:
        start += 2
        text += f" {start} 1"
    rest = length - len(text) - 3  # " N 1", N with zeros in front
    return f"{text} {start + 2:0{rest}d} 1"


@pytest.mark.parametrize("length", [255, 4_000, 4_095, 8_000, 32_766, 32_767, 50_000, 65_535])
@pytest.mark.parametrize("column", ["rle", "rle of a submission"])
def test_an_rle_where_programs_cut_cells_is_refused_and_one_two_characters_longer_is_not(
    tmp_path, length, column
):
    path, rles = tmp_path / "train.csv", ["2 1", of_length(length)]
    assert len(rles[1]) == length
    rle.check(rles[1], height=10**6, width=1)
    table = good().head(2).assign(img_height="1000000", img_width="1", rle=rles)
    table = table if column == "rle" else table[["id", "rle"]]
    table.to_csv(path, index=False)
    words = rf"id 127: rle has exactly {length} characters.*cuts cells there.*{rles[1][-5:]}.*fetch"
    with pytest.raises(InputError, match=words):
        csvfile.read_csv(path)
    for other in (rles[1] + "  ", rles[1].replace("1 1", "001 1", 1), csvfile.whole(rles[1])):
        table.assign(rle=["2 1", other]).to_csv(path, index=False)
        assert csvfile.read_csv(path)["rle"].tolist() == ["2 1", other]


def test_a_short_cut_tells_only_where_no_rle_is_longer(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "rle": [of_length(255), of_length(300)]})
    table.to_csv(tmp_path / "a.csv", index=False)
    assert csvfile.read_csv(tmp_path / "a.csv")["rle"].str.len().tolist() == [255, 300]
    table = pd.DataFrame({"id": ["a", "b"], "rle": [of_length(32_766), of_length(40_000)]})
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match="id a: rle has exactly 32766 characters, and Excel"):
        csvfile.read_csv(tmp_path / "a.csv")


def test_a_cut_rle_of_a_table_without_ids_is_named_by_its_row(tmp_path):
    pd.DataFrame({"rle": ["2 1", of_length(255)]}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=r"a\.csv: row 2: rle has exactly 255 characters"):
        csvfile.read_csv(tmp_path / "a.csv")


def test_an_rle_may_be_longer_than_the_csv_module_reads_by_itself():
    before = csv.field_size_limit(2**17)
    try:
        assert csvfile.parse(b"id,rle\n1," + b"1" * 2**18 + b"\n", "it")["rle"].str.len().tolist() == [2**18]
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("row", ['"a"b,', 'a,"b"c'])
def test_what_follows_a_closing_quote_is_no_part_of_a_cell(row):
    with pytest.raises(InputError, match=r"it: cannot be read as CSV .*',' expected after"):
        csvfile.parse(f"id,rle\n{row}\n".encode(), "it")


@pytest.mark.parametrize(("header", "twice"), [("id,rle,rle", "rle"), ("id,id,rle", "id"), ("a,b,c,b", "b")])
def test_a_column_that_is_there_twice_is_named(header, twice):
    with pytest.raises(InputError, match=f"it: names the column '{twice}' twice; keep one"):
        csvfile.parse(f"{header}\n".encode(), "it")


@given(cut=st.integers(1, 60))
def test_a_table_that_was_cut_is_refused_wherever_it_can_be_told(tmp_path_factory, cut):
    """At the end of a line it cannot: then ids are missing, which a submission's check says."""
    path = written(tmp_path_factory.mktemp("cut"), good())
    content = path.read_bytes()[:-cut]
    path.write_bytes(content)
    whole = content.endswith(b"\n")
    try:
        found = csvfile.read_csv(path)["id"].tolist()
    except InputError:
        assert not whole
    else:
        assert whole
        assert found == [row["id"] for row in ROWS][: len(found)]


@pytest.mark.parametrize(
    ("encode", "words"),
    [
        (lambda text: text.encode("utf-16"), "UTF-16"),
        (lambda text: text.encode("utf-16-le"), "NUL"),
        (lambda text: text.encode("utf-32"), "UTF-16 or UTF-32"),
        (lambda text: text.replace("30", "é").encode("latin-1"), "0xe9 in line 2 is not UTF-8"),
        (lambda text: text.encode() + b"\0", "NUL"),
        (lambda text: text.replace(",", ";").encode(), "parted by ';', not by a comma; save it"),
        (lambda text: text.replace(",", "\t").encode(), r"parted by '\\t', not by a comma; save it"),
    ],
)
def test_another_encoding_or_separator_is_named_in_a_line(tmp_path, encode, words):
    path = tmp_path / "train.csv"
    path.write_bytes(encode(good().assign(age="30").to_csv(index=False)))
    with pytest.raises(InputError, match=words) as caught:
        csvfile.read_csv(path)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_of_utf_8_is_no_part_of_a_name(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes(good().to_csv(index=False).encode("utf-8-sig"))
    assert csvfile.read_csv(path).columns[0] == "id"


NAMES = ["NA", "nan", "NaN", "None", "null", "NULL", "007", "1e5", "TRUE", "inf", "0x1F", "N.A", "1.0"]


@settings(max_examples=10)
@given(ids=st.permutations(NAMES))
def test_ids_that_other_readers_take_for_something_else_stay_what_they_are(tmp_path_factory, ids):
    path = tmp_path_factory.mktemp("ids") / "train.csv"
    table = pd.concat([good().head(1)] * len(ids)).assign(id=ids, rle="")
    table.to_csv(path, index=False)
    assert competition.read_train(path, **KNOWN)["id"].tolist() == ids


@pytest.mark.parametrize("name", ["-1", "a ", " a", "\u0430bc", "1\u200b", "a\u00a0", "\uff11"])
def test_ids_that_look_like_others_are_refused(tmp_path, name):
    table = good()
    table.loc[1, "id"] = name
    refused(written(tmp_path, table), "line 3", "is no file name; use letters, digits")


def test_numbers_of_a_table_are_exact_and_an_empty_cell_is_none():
    table = csvfile.parse(b"id,dice\nNA,0.1\nb,\n", "it")
    found = csvfile.measured("it", table, ["dice"])["dice"]
    assert found[0] == float("0.1")
    assert np.isnan(found[1])
    with pytest.raises(InputError, match="it: could not convert string to float: 'x'; run"):
        csvfile.measured("it", table.assign(dice="x"), ["dice"])


def test_a_missing_table_is_named(tmp_path):
    refused(tmp_path / "train.csv", "cannot be read (No such file or directory)", "fetch it")


@pytest.mark.parametrize("rows", ["1,2,3\n", "1,2,\n", "0,a,b\n1,c,d\n", "1,2\n3,4,5\n", "1,2,3,4\n"])
def test_a_row_with_more_cells_than_the_first_line_is_refused(tmp_path, rows):
    (tmp_path / "a.csv").write_text(f"id,rle\n{rows}")
    with pytest.raises(InputError, match=r"a\.csv: (.|\n)*; fetch the file again"):
        csvfile.read_csv(tmp_path / "a.csv")


def test_a_folder_is_no_table(tmp_path):
    (tmp_path / "train.csv").mkdir()
    refused(tmp_path / "train.csv", "cannot be read (Is a directory)", "fetch it")


@pytest.mark.parametrize(
    ("read", "column"),
    [(read_index, column) for column in ImageRow._fields if column != "image"]
    + [(folds.read_folds, column) for column in ("id", "organ", "fold")],
)
def test_a_table_of_a_stage_without_a_column_is_refused_by_its_name(tmp_path, read, column):
    table = good().assign(set="train", fold="0").drop(columns=column)
    with pytest.raises(InputError, match=rf"train\.csv: has no column {column}; found"):
        read(written(tmp_path, table))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_last_line_ends_as_any_system_ends_one(tmp_path, end):
    (tmp_path / "a.csv").write_bytes(f"id,organ{end}1,lung{end}".encode())
    assert csvfile.read_csv(tmp_path / "a.csv")["organ"].tolist() == ["lung"]


@pytest.mark.parametrize("fold", ["-1", "1.0", "", "\u0661", "0" * 10])
def test_a_fold_is_a_short_number_from_0(tmp_path, fold):
    path = written(tmp_path, good().assign(fold="0"))
    assert folds.read_folds(path)["fold"].tolist() == [0, 0, 0]
    with pytest.raises(InputError, match=rf"id 00008: fold '{fold}' is no number from 0; run `dvc repro`"):
        folds.read_folds(written(tmp_path, good().assign(fold=[fold, "0", "0"])))


def test_an_empty_cell_is_an_empty_text_and_a_missing_one_an_error(tmp_path):
    (tmp_path / "a.csv").write_text("id,rle\n2,\n\n3,NA\n")
    assert csvfile.read_csv(tmp_path / "a.csv")["rle"].tolist() == ["", "NA"]
    (tmp_path / "a.csv").write_text("id,rle\n2,\n3\n")  # as when it was cut off
    with pytest.raises(InputError, match=r"a\.csv: row 2 has fewer cells than the first line names"):
        csvfile.read_csv(tmp_path / "a.csv")


def test_sizes_are_read_whatever_else_the_table_holds(tmp_path):
    path = written(tmp_path, good().assign(organ="unheard of"))
    assert csvfile.read_sizes(path)["img_height"].tolist() == [3, 5, 6]
    with pytest.raises(InputError, match="has no column img_width"):
        csvfile.read_sizes(written(tmp_path, good().drop(columns="img_width")))
    with pytest.raises(InputError, match="id 9 stands in more than one row"):
        csvfile.read_sizes(written(tmp_path, good().assign(id="9")))
    largest = good().assign(img_height="1000000", img_width="1")
    assert csvfile.read_sizes(written(tmp_path, largest))["img_height"].tolist() == [10**6] * 3
    with pytest.raises(InputError, match=r"id 00008: .*: 40000 x 30000 px \(height x width\) are"):
        csvfile.read_sizes(written(tmp_path, good().assign(img_height="40000", img_width="30000")))


def test_every_rle_is_checked_and_a_bad_one_is_refused_with_row_and_remedy(tmp_path):
    table = good()
    table.loc[1, "rle"] = "10 2"
    refused(
        written(tmp_path, table), "id 127: rle: RLE pair 1: start 10", "height 5 x width 2", "correct the row"
    )


@given(present=st.sets(st.sampled_from(["train.csv", "train_images", "test.csv", "test_images"]), max_size=3))
def test_an_incomplete_data_set_is_refused_with_the_way_to_get_it(tmp_path_factory, present):
    root = tmp_path_factory.mktemp("raw")
    for name in present:
        (root / name).mkdir()
    with pytest.raises(InputError) as caught:
        competition.check_root(root)
    missing = [
        name for name in ("train.csv", "train_images", "test.csv", "test_images") if name not in present
    ]
    for part in ("data.root", str(root), *missing, "kaggle competitions download", "data/sample"):
        assert part in str(caught.value)


def test_a_data_set_that_does_not_exist_is_refused_with_the_way_to_get_it(tmp_path):
    with pytest.raises(InputError, match=r"raw does not exist(.|\n)*kaggle(.|\n)*data\.root: data/sample"):
        competition.check_root(tmp_path / "raw")


def test_the_index_gives_back_what_was_written(tmp_path):
    table = competition.located(competition.read_train(written(tmp_path, good()), **KNOWN), "train").drop(
        columns="rle"
    )
    table.to_csv(tmp_path / "images.csv", index=False)
    rows = image_rows(read_index(tmp_path / "images.csv"))
    assert rows[0] == ImageRow("00008", "train", "kidney", "HPA", 3, 4, 0.4, "train_images/00008.tiff")
    assert [row.id for row in rows] == ["00008", "127", "9"]


def test_folds_are_read_with_ids_as_text(tmp_path):
    pd.DataFrame({"id": ["00008"], "organ": ["lung"], "fold": [3]}).to_csv(tmp_path / "f.csv", index=False)
    table = folds.read_folds(tmp_path / "f.csv")
    assert table["id"].tolist() == ["00008"]
    assert folds.divide(table, 3) == ([], ["00008"])


def test_an_index_of_an_earlier_version_names_no_files(tmp_path):
    table = competition.located(competition.read_train(written(tmp_path, good()), **KNOWN), "train")
    table.drop(columns=["rle", "image"]).to_csv(tmp_path / "images.csv", index=False)
    rows = image_rows(read_index(tmp_path / "images.csv"))
    assert {row.image for row in rows} == {""}
    with pytest.raises(InputError, match=r"images\.csv is of an earlier version.*dvc repro -f -s decode"):
        image_file(tmp_path, rows[0])


@pytest.mark.parametrize("image", ["/etc/passwd", "train_images/../../a.tiff"])
def test_an_index_that_leads_out_of_the_data_set_is_refused(tmp_path, image):
    table = competition.located(competition.read_train(written(tmp_path, good()), **KNOWN), "train")
    table.drop(columns="rle").assign(image=image).to_csv(tmp_path / "images.csv", index=False)
    with pytest.raises(InputError, match=r"id 00008: image .* leads out of the data set; run"):
        read_index(tmp_path / "images.csv")


def test_a_bar_in_a_cell_ends_no_column_of_a_markdown_table():
    lines = markdown.table(["a", "b"], [(1, "x|y"), ("", 0.5)])
    assert lines == ["| a | b |", "|---|---|", r"| 1 | x\|y |", "|  | 0.5 |"]


def test_images_without_a_row_are_told(tmp_path):
    table = competition.located(good(), "train")
    (tmp_path / "train_images").mkdir()
    for name in [*table["id"], "more"]:
        (tmp_path / "train_images" / f"{name}.tiff").touch()
    words = competition.left_out(tmp_path, [table])
    assert "train_images: 1 of 4 images have no row in train.csv and are left out: more.tiff; " in words
    (tmp_path / "train_images" / "more.tiff").unlink()
    assert competition.left_out(tmp_path, [table]) == ""


def test_a_file_in_place_of_the_data_set_is_called_one(tmp_path):
    (tmp_path / "raw.zip").touch()
    with pytest.raises(InputError, match=r"data\.root: .*raw\.zip is a file; unpack it, and name the folder"):
        competition.check_root(tmp_path / "raw.zip")
