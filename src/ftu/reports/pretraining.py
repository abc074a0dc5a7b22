"""What the networks that are scored had learnt before their training, as the summary says it."""

from collections.abc import Iterable
from pathlib import Path

from ftu.files import jsonfile


def words(models: Iterable[Path]) -> str:
    """A paragraph about the folders of models, '' where none was pre-trained.

    Raises InputError for a model.json that cannot be read.
    """
    found = []
    for model in models:
        with jsonfile.facts(model / "model.json", "run `dvc repro`") as facts:
            found += [facts["pretrained"]] if "pretrained" in facts else []
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
