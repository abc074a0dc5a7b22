"""What of params.yaml differs from the last commit: a failed `dvc exp run -S` leaves its values there."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from ftu.errors import InputError, some
from ftu.files import yamlfile
from ftu.pipeline import paths

PATIENCE = 10  # s, for git
MISSING = object()


def changed_keys() -> list[str]:
    """The dotted keys of params.yaml whose values differ; none where git, a commit or a valid file lacks.

    None either in the copies that `dvc exp run --temp` makes: they are meant to differ.
    """
    if paths.project().resolve() != Path.cwd():
        return []
    command = ["git", "show", f"HEAD:./{paths.PARAMS}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=True)
        before, now = yamlfile.parse(done.stdout, "HEAD"), yamlfile.read(paths.PARAMS, "")
    except (OSError, subprocess.SubprocessError, InputError):
        return []
    old, new = dict(flat(before)), dict(flat(now))
    return [key for key in old | new if old.get(key, MISSING) != new.get(key, MISSING)]


def in_words() -> str:
    """The keys and the way back, empty where nothing differs."""
    keys = changed_keys()
    if not keys:
        return ""
    return (
        f"{paths.PARAMS} differs from the last commit in {some(keys)} (a failed `dvc exp run -S` leaves its "
        f"values there); if that is not meant: git checkout {paths.PARAMS} && dvc checkout"
    )


def flat(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Dotted key and value of each leaf; an empty table is a leaf, too."""
    if not isinstance(value, Mapping) or not value:
        yield key, value
        return
    for name, inner in value.items():
        yield from flat(inner, f"{key}.{name}" if key else str(name))
