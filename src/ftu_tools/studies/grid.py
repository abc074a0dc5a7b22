"""A sweep over models, auxiliary losses and seeds: its cells, their names, and the order of running.

A cell is one DVC experiment. Its name ends in a digest of every parameter that it runs with, so that a
changed parameter makes another cell and no old result is taken for a new one.
"""

import difflib
import hashlib
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from ftu.errors import InputError
from ftu.files import yamlfile
from ftu.pipeline.params import Params, load_params
from ftu.pipeline.sections.fields import Section
from ftu.pipeline.sections.networks import Model
from ftu_tools.studies.switched_aux import Kind

State = Literal["done", "cached", "failed", "not run"]
OWN_KEYS = ("train.model", "train.aux_loss", "train.seed", "split.run")  # what a cell itself sets
CHECKPOINT = "train.checkpoint"


class GridModel(Section):
    """One row of a grid: the network, and the side of the paper's comparison that it stands on."""

    kind: Kind
    model: Model  # train.model
    weights: str | None = None  # train.weights of this row, where they are not those of params.yaml


class Cell(NamedTuple):
    """One training of the grid: a DVC experiment of that name with these `-S` overrides of params.yaml."""

    model: str
    mode: str
    seed: int
    name: str
    overrides: tuple[str, ...]

    def command(self, how: str) -> list[str]:
        """The `dvc exp run` of this cell; `how` is --temp or --queue."""
        words = [word for override in self.overrides for word in ("-S", override)]
        return ["dvc", "exp", "run", how, "-n", self.name, *words]

    def __str__(self) -> str:
        return f"{self.model}, {self.mode}, seed {self.seed}"


def read_grid(path: Path) -> dict[str, GridModel]:
    """The models of a grid file by name; InputError names the row that is wrong."""
    rows = yamlfile.read(path, "GRID names table2, sample or a file")
    if not isinstance(rows, dict) or not rows:
        raise InputError(
            f"{path}: holds no models; write rows like those of src/ftu_tools/studies/grids/table2.yaml"
        )
    return {_name(path, name): _grid_model(path, name, row) for name, row in rows.items()}


def choose(what: str, asked: Sequence[str], known: Collection[str]) -> list[str]:
    """The names asked for, each once; all known ones when none is asked for. Raises InputError for others."""
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
            raise InputError(f"{what} {name!r} is not known; {hint}")
    return list(dict.fromkeys(asked or known))


def make_cells(
    params: Path,
    grid: Mapping[str, GridModel],
    *,
    models: Sequence[str],
    modes: Sequence[str],
    seeds: Sequence[int],
    folds: Sequence[int],
    settings: Sequence[str],
) -> list[Cell]:
    """Every model in every mode with every seed, on top of params.yaml and the `settings` (key=value).

    Raises InputError for settings that DVC or the parameters' own checks refuse, before anything runs.
    """
    check_settings(settings)
    present = load_params(params).train.model.model_dump()
    cells = []
    for model, mode, seed in itertools.product(models, modes, seeds):
        row = grid[model]
        overrides = (
            *settings,
            *model_overrides(present, row.model.model_dump()),
            *([f"train.weights={row.weights}"] if row.weights else []),
            f"train.aux_loss={mode}",
            f"train.seed={seed}",
            f"split.run=[{','.join(map(str, sorted(folds)))}]",  # in one order: they are a set
        )
        digest = digest_of(effective(params, overrides))
        cells.append(Cell(model, mode, seed, cell_name("table2", f"{model} {mode}", seed, digest), overrides))
    return cells


def model_overrides(present: Collection[str], model: Mapping[str, object]) -> Iterator[str]:
    """What makes `model` of a train.model with the keys `present`, which may be those of another family."""
    yield from (f"{'' if key in present else '+'}train.model.{key}={value}" for key, value in model.items())
    yield from (f"~train.model.{key}" for key in present if key not in model)


def with_last_epoch(settings: Sequence[str]) -> list[str]:
    """The settings, with the checkpoint of the last epoch unless they name another.

    What a best epoch adds by luck on the scored images is as large as the differences that the paper reports.
    """
    named = any(setting.startswith(f"{CHECKPOINT}=") for setting in settings)
    return [*settings] if named else [f"{CHECKPOINT}=last", *settings]


def check_settings(settings: Sequence[str]) -> None:
    """Raise InputError unless each is key=value with a key that the sweep does not set itself."""
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not value or not re.fullmatch(r"[A-Za-z_][\w.]*", key):
            raise InputError(f"SET: {setting!r} is not key=value; write for example SET='train.epochs=20'")
        if any(key == own or key.startswith(f"{own}.") for own in OWN_KEYS):
            raise InputError(f"SET: {key} is what the sweep varies; use MODELS, GRID, MODES, SEEDS or FOLDS")


def effective(path: Path, overrides: Sequence[str]) -> Params:
    """The parameters of the file at `path` with `-S` overrides, as DVC itself applies them, checked whole."""
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides, to_hydra_overrides

    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / path.name
        shutil.copyfile(path, changed)
        try:
            if any(each.is_sweep_override() for each in to_hydra_overrides(list(overrides))):
                raise ValueError("a key takes one value here, not several")
            apply_overrides(changed, list(overrides))
        except Exception as error:  # hydra's errors share no base, and DVC wraps some only
            reason = str(error.__cause__ if isinstance(error, DvcException) else error).splitlines()[0]
            raise InputError(
                f"SET: {' '.join(overrides)}: {reason}; correct it (a key that is not there yet takes a +)"
            ) from error
        try:
            return load_params(changed)
        except InputError as error:
            words = str(error).replace(str(changed), f"{path} with {' '.join(overrides)}")
            raise InputError(words) from error


def digest_of(params: Params) -> str:
    """Eight hex digits of all values, whatever the order and the spelling of the file."""
    canonical = json.dumps(params.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def cell_name(study: str, what: str, seed: int, digest: str) -> str:
    """The experiment's name: allowed by git and DVC, readable, and another for other parameters."""
    slug = re.sub(r"[^a-z0-9]+", "-", what.lower()).strip("-")
    return f"{study}-{slug}-s{seed}-{digest}"


def fill(
    cells: Sequence[Cell], finished: Collection[str], run: Callable[[Cell], bool]
) -> Iterator[tuple[Cell, State]]:
    """Run what is not finished, one after the other, come what may of the others; yield each with its state.

    `run` says whether the cell came to a good end.
    """
    for cell in cells:
        if cell.name in finished:
            yield cell, "cached"
        else:
            yield cell, "done" if run(cell) else "failed"


def _name(path: Path, name: object) -> str:
    if not isinstance(name, str) or not re.search(r"[A-Za-z0-9]", name) or re.search(r"[,|\n]", name):
        raise InputError(f"{path}: model {name!r}: a name is text without commas and bars; rename it")
    return name


def _grid_model(path: Path, name: str, row: object) -> GridModel:
    try:
        return GridModel.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{path}: model {name}: {key}: {first['msg']}, got {first['input']!r}; correct it"
        ) from error
