"""Where everything lies, relative to the project's folder. Read by stages only."""

import os
from pathlib import Path

PARAMS = Path("params.yaml")

SAMPLE = Path("data/sample")
IMAGES = Path("data/images.csv")
MASKS = Path("data/masks")
TEST_MASKS = Path("data/masks_test")
RESIZED = Path("data/resized")
NORMALIZED = Path("data/normalized")
LEVELS = NORMALIZED / "histogram.json"
SHIFTED = Path("data/shifted")
FOLDS = Path("data/folds.csv")
PRETRAINED = Path("data/pretrained")
PREDICTIONS = Path("data/predictions")
MEMBERS = Path("data/members")
RULES = Path("data/rules.json")
MODELS = Path("models")
TRAINED = PREDICTIONS, MEMBERS, MODELS  # where the maps of an ensemble lie, and what made the own ones
REPORTS = Path("reports")
GEOMETRY = Path("reports/geometry.csv")
PAGE = Path("reports/index.html")
PICTURES = Path("reports/page")
SUBMISSION = Path("submissions/submission.csv")
ANSWERED = Path("submissions/masks")
GUARD = Path("submissions/guard.csv")


def project() -> Path:
    """The project's own folder, even where DVC runs a copy of it: there are its experiments and its cache.

    Relative, as all paths here: to a worker on another machine the shared disk may have another name.
    """
    return Path(os.path.relpath(os.environ.get("DVC_ROOT", ".")))


def model(fold: int) -> Path:
    """The folder of the model that holds out `fold`."""
    return MODELS / f"fold_{fold}"


def pretrained(fold: int) -> Path:
    """The folder of what `fold`'s network learnt before its training."""
    return PRETRAINED / f"fold_{fold}"


def prediction(fold: int) -> Path:
    """The folder of the probabilities that fold `fold`'s model gave."""
    return PREDICTIONS / f"fold_{fold}"


def state(fold: int, key: str) -> Path:
    """The state of an unfinished training, in the project's own folder even where DVC runs a copy of it."""
    return project() / ".ftu" / "training" / f"fold_{fold}-{key}.state"


def items() -> Path:
    """What was made of single images, kept in the project's own folder even where DVC runs a copy of it."""
    return project() / ".ftu" / "items"


def leases() -> Path:
    """The leases of the cards and folds that are in training, and what each fold says."""
    return project() / ".ftu" / "leases"
