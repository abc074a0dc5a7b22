"""Under which licences the parts of a package are: code, models and wheels; and what it is meant for."""

from collections.abc import Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

from ftu.files.markdown import table

USE = "For research only. This is not a medical device: do not use it for diagnosis or treatment."
MODELS = """
Models. Weights that training started from pass their terms on to the weights that came of it; what was
trained on the competition's images is under the competition's rules besides.
"""
PACKAGES = """
Packages, unchanged; each holds its own licence.
"""


def text(parts: Sequence[tuple[str, str]], models: Mapping[str, dict], wheels: Sequence[Path] = ()) -> str:
    """The document, in Markdown: a row for each of `parts` (what, its licence), of `models` (path ->
    model.json) and of the wheels."""
    weights = [
        (path, facts["architecture"]["encoder"], first["source"], first["licence"])
        for path, facts in models.items()
        for first in [facts["encoder_weights"]]
    ]
    lines = ["# Licences", "", USE, "", *table(["part", "licence"], parts)]
    lines += [MODELS, *table(["model", "encoder", "first weights", "their licence"], weights)]
    if wheels:
        lines += [PACKAGES, *table(["wheel", "licence"], [(path.name, of_wheel(path)) for path in wheels])]
    return "\n".join(lines) + "\n"


def bound(models: Mapping[str, dict]) -> list[str]:
    """Which of `models` came of weights for non-commercial use only."""
    return [path for path, facts in models.items() if "non-commercial" in facts["encoder_weights"]["licence"]]


def of_wheel(path: Path) -> str:
    """What a wheel says of its licence; the first line where that is the whole text.

    https://packaging.python.org/en/latest/specifications/core-metadata
    """
    with ZipFile(path) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(wheel.read(name).decode())
    classified = [each for each in metadata.get_all("Classifier", []) if each.startswith("License ::")]
    stated = [
        metadata["License-Expression"],
        metadata["License"],
        *(each.split(" :: ")[-1] for each in classified),
    ]
    return next((each.strip().splitlines()[0] for each in stated if each and each.strip()), "not stated")
