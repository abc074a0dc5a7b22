"""dvc.lock merged stage by stage, where git would merge it line by line: what several machines trained.

Called with BASE OURS THEIRS it writes the merge to OURS, as git asks of a merge driver
(docs/scaling.md).
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftu.errors import InputError
from ftu.files import limits
from ftu.pipeline.stage import run

LARGEST = 2**26  # bytes of a dvc.lock
Stages = Mapping[str, Any]  # the entry of each stage, by its name


def merge(base: Stages, ours: Stages, theirs: Stages) -> dict[str, Any]:
    """The entries that either side has changed, made or removed since `base`, and those that neither has.

    Raises InputError for a stage that both have changed, and not alike.
    """
    merged = {}
    for name in dict.fromkeys([*ours, *theirs]):
        before, one, other = (side.get(name) for side in (base, ours, theirs))
        if one != other and before not in (one, other):
            raise InputError(
                f"dvc.lock: both sides ran {name}, not alike; keep one side's dvc.lock and run `dvc repro`"
            )
        kept = other if one == before else one
        if kept is not None:
            merged[name] = kept
    return merged


def _text(path: Path) -> str:
    try:
        return limits.content(path, LARGEST).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give three dvc.lock") from error


def main() -> None:
    """The command line."""
    from dvc.utils.serialize import dump_yaml, parse_yaml  # writes what DVC would

    parser = argparse.ArgumentParser(
        prog="python -m ftu_tools.maintenance.merge_dvc_lock", description="Merge three dvc.lock."
    )
    for name in ("base", "ours", "theirs"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    base, ours, theirs = ((parse_yaml(_text(path), str(path)) or {}) for path in vars(arguments).values())
    stages = merge(*((side.get("stages") or {}) for side in (base, ours, theirs)))
    dump_yaml(arguments.ours, theirs | ours | {"stages": stages})


if __name__ == "__main__":
    run(main)
