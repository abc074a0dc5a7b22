"""images.csv: what a data set in folders may say of its images, and which image a row is about."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from ftu.errors import InputError, some
from ftu.files import csvfile, names

SETS = ("train", "test")
TABLE = "images.csv"
SAYS = ("organ", "data_source", "pixel_size")  # what it may say of an image
READ = ("id", "set", *SAYS)
OF_ONE = {"id", "name", "image", "mask", "img_height", "img_width", "pixel_size"}  # never what images share
ALIKE = 0.7  # of two names, by difflib: sex and set are less


def with_table(root: Path, images: pd.DataFrame, told: Sequence[str]) -> pd.DataFrame:
    """The images (name, set, image, and SAYS) with what images.csv says of them, where there is one; empty
    cells say nothing. Behind these come its columns in `told`, as text; what else it has is not read."""
    path = root / TABLE
    columns = [name for name in told if not names.is_pattern(name)]
    if odd := [name for name in columns if name in OF_ONE]:
        raise InputError(
            f"{path}: data.group or data.z names {odd[0]}, which is each image's own, not what images share; "
            "name another column, or call it otherwise in the table and there"
        )
    if not path.exists():
        if columns:
            raise InputError(
                f"{path}: does not exist, and data.group or data.z names its column {', '.join(columns)}; "
                "add it, or give a regular expression with a bracket"
            )
        return images
    table = csvfile.read_csv(path)
    if blank := [name for name in table.columns if name != name.strip()]:
        raise InputError(f"{path}: the column {blank[0]!r} has blanks around it; write {blank[0].strip()!r}")
    csvfile.check_columns(path, table, ["id", *columns])
    said = table.set_axis(_places(path, images, table)).reindex(images.index, fill_value="")
    for column in SAYS:
        if column in said:
            images = images.assign(**{column: said[column].where(said[column] != "", images[column])})
    return images.assign(**{column: said[column] for column in columns if column not in images})


def unread(root: Path, told: Sequence[str]) -> str:
    """A warning that names the columns of images.csv that nothing reads, '' where there are none."""
    path = root / TABLE
    table = csvfile.read_csv(path) if path.exists() else pd.DataFrame()
    known = [*READ, *told, "z"]  # which tells nothing by itself, and is not missed
    left = [name for name in table.columns if name not in known]
    if not left:
        return ""
    missing = [name for name in READ if name not in table]
    near = {name: get_close_matches(name.lower(), missing, n=1, cutoff=ALIKE) for name in left}
    words = [f"{name} (is {near[name][0]} meant?)" if near[name] else name for name in left]
    return (
        f"{path}: nothing reads {some(words)}; correct the name, or name in data.group what says who belongs "
        "together"
    )


def _places(path: Path, images: pd.DataFrame, table: pd.DataFrame) -> list[int]:
    """Of each row the number of the image that it is about: of its name, and of its set where it says one;
    where more are, of its data_source."""
    ids = [names.composed(name) for name in table["id"]]
    sets, sources = (table.get(column, pd.Series("", table.index)) for column in ("set", "data_source"))
    for name, part in zip(ids, sets, strict=True):
        if part not in ("", *SETS):
            raise InputError(f"{path}: id {name}: set {part[:40]!r} is not train or test; correct the row")
    named, found = images.groupby("name").indices, []
    for name, part, source in zip(ids, sets, sources, strict=True):
        about = [place for place in named.get(name, ()) if part in ("", images["set"][place])]
        if len(about) > 1 and source:
            about = [place for place in about if images["data_source"][place] == source]
        found.append(about)
    if nothing := [name for name, about in zip(ids, found, strict=True) if not about]:
        raise InputError(
            f"{path}: id {some(nothing)} names no image{' of its set' if 'set' in table else ''}; an id is "
            "the file's name without its ending"
        )
    for name, about in zip(ids, found, strict=True):
        if len(about) > 1:
            raise InputError(f"{path}: id {name} names more than one image{_told_apart(images.loc[about])}")
    places = pd.Series([int(place) for (place,) in found], dtype=int)
    if places.duplicated().any():
        again = images["name"][places[places.duplicated()]]
        raise InputError(f"{path}: id {some(again)} stands in more than one row; keep one")
    return list(places)


def _told_apart(alike: pd.DataFrame) -> str:
    """Which images have one name, and what can say in the table which of them is meant."""
    columns = [column for column in ("set", "data_source") if alike[column].nunique() > 1]
    say = f", or say which in its column {' and '.join(columns)}" if columns else ""
    return f" ({some(alike['image'])}); rename the files{say}"
