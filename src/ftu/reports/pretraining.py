"""What the networks that are scored saw beside their training images, as the summary says it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ftu.files import jsonfile


def words(models: Iterable[Path]) -> str:
    """Paragraphs about the folders of models, '' where none was pre-trained or matched to test images.

    Raises InputError for a model.json that cannot be read.
    """
    found, matched = [], 0
    for model in models:
        with jsonfile.facts(model / "model.json", "run `dvc repro`") as facts:
            found += [facts["pretrained"]] if "pretrained" in facts else []
            matched = max(matched, facts.get("matched_to", 0))
    return _pretrained(found) + _matched(matched)


def _matched(count: int) -> str:
    if not count:
        return ""
    return (
        f"The networks learnt from images that have the grey levels of {count} test images: what is said of "
        "these is transductive.\n"
    )


def _pretrained(found: list[dict[str, Any]]) -> str:
    if not found:
        return ""
    steps = ", ".join(dict.fromkeys(name for each in found for name in each["steps"]))
    said = f"The networks were pre-trained ({steps}), never on images that their fold holds out."
    if not any(each["transductive"] for each in found):
        return f"{said}\n"
    count = max(each["images"]["test"] for each in found)
    return (
        f"{said} They saw the {count} test images, without masks: what is said of these images is "
        "transductive, and holds for them alone.\n"
    )
