"""What git and DVC know of experiments: which are finished, how one is run, what one scored."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ftu.datasets.layouts import LAYOUTS
from ftu.errors import InputError, some
from ftu.files import csvfile

# What decides over a result, besides the parameters: what stages depend on, which is not how they run.
CODE = ("src/ftu", ":(exclude)src/ftu/pipeline", "stages", "dvc.yaml", "*.dvc")
SCORES = {
    "oof": "reports/dice.csv",
    "shifted": "reports/dice_shifted.csv",
    "test": "reports/dice_test.csv",
}
_REF = re.compile(r"(\w+) refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/([^/]+)")


def decisive(root: str) -> list[str]:
    """The paths in the repository that a result depends on: code, and the data set where git tracks it."""
    return list(CODE) if os.path.isabs(root) else [*CODE, root]


def check_visible(root: str, layout: str) -> None:
    """Raise InputError unless an experiment finds the data set: it sees a copy of what git and DVC track."""
    if os.path.isabs(root):
        return LAYOUTS[layout].check_root(Path(root))
    if os.path.normpath(root).startswith(".."):
        raise InputError(f"data.root: {root} is relative and outside the project; give the absolute path")
    trackers = [root, *(f"{folder}.dvc" for folder in (Path(root), *Path(root).parents))]
    if not _git("ls-files", "--", *trackers).stdout:
        raise InputError(
            f"data.root: {root} is tracked neither by git nor by DVC, and experiments see nothing else; "
            f"dvc add {root} && git add {root}.dvc && git commit"
        )


def check_committed(paths: Sequence[str]) -> None:
    """Raise InputError unless there is a commit, and `paths` are as it has them.

    Experiments hang on a commit: code that it does not hold would be taken for the committed one later.
    """
    if _git("rev-parse", "--verify", "--quiet", "HEAD").returncode:
        raise InputError("the project has no commit, and experiments hang on one; git add -A && git commit")
    changed = _git("status", "--porcelain", "--untracked-files=all", "--", *paths).stdout.splitlines()
    if changed:
        names = some(line[3:] for line in changed)
        raise InputError(
            f"{names}: changed and not committed, so a result could not be traced to its code; commit it"
        )


def finished(paths: Sequence[str]) -> dict[str, str]:
    """Name -> commit of each experiment on HEAD, or on a commit with the same `paths` as HEAD.

    So a commit of a report or of a document makes no result old.
    """
    found = [match.groups() for match in map(_REF.fullmatch, _refs()) if match]
    baselines = {start + rest for _, start, rest, _ in found}
    same = {baseline for baseline in baselines if _same(baseline, paths)}
    return {name: commit for commit, start, rest, name in found if start + rest in same}


def commit_of(name: str) -> str:
    """The commit of an experiment, or that git knows by this name.

    Raises InputError where there is none, or experiments of this name hang on several commits.
    """
    found = [match[1] for match in map(_REF.fullmatch, _refs()) if match and match[4] == name]
    if len(found) > 1:
        raise InputError(f"{name}: {len(found)} experiments are called so; name a commit: {', '.join(found)}")
    if found:
        return found[0]
    known = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if known.returncode:
        raise InputError(
            f"{name!r:.100} is neither an experiment nor a commit; `dvc exp list -A` lists experiments"
        )
    return known.stdout.strip()


def content(commit: str, file: str) -> bytes:
    """A file as git has it in a commit; InputError where that has none."""
    shown = subprocess.run(["git", "show", f"{commit}:{file}"], capture_output=True, check=False)
    if shown.returncode:
        raise InputError(f"{commit[:8]}: holds no {file}; name a commit of this project")
    return shown.stdout


def due() -> list[str]:
    """The stages whose results in the folder are not of the parameters, code and data that lie there."""
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, encoding="utf-8", check=False
    )
    if status.returncode:
        raise InputError(f"dvc status fails ({status.stderr.strip()[-200:]}); mend what it names")
    return list(json.loads(status.stdout))


def code_changed(commit: str, other: str | None = None) -> bool:
    """Whether code differs between two commits, or between a commit and what lies in the folder."""
    words = [commit, *([other] if other else [])]
    return _git("diff", "--quiet", *words, "--", *CODE).returncode != 0


def run(command: Sequence[str], log: Path) -> bool:
    """Run a command of this Python's environment, its output in `log`; say whether it ended well.

    It gets a process group of its own: when this process is stopped, the command and the training under it
    are interrupted too, and waited for.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": path},
            start_new_session=True,
        )
        try:
            return process.wait() == 0
        except BaseException:
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
            raise


def dice(name: str, commit: str, part: str = "oof") -> pd.DataFrame:
    """reports/dice.csv of an experiment, a row per held-out image: the columns that are compared; of the part
    test, dice_test.csv, a row per test image that came with a mask.

    These are id, organ, data_source, dice (0..1), and group where groups are known.
    """
    import dvc.api
    from dvc.exceptions import DvcException

    file = SCORES[part]
    try:
        text = dvc.api.read(file, rev=commit, encoding="utf-8")
    except (DvcException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"experiment {name}: its {file} is not in the cache; `dvc exp remove {name}`, and run it again"
        ) from error
    table = dice_table(text.encode(), f"experiment {name}: {file}")
    if table.empty:
        raise InputError(f"experiment {name}: no image of the {part} set came with a mask; use the part oof")
    return table


def dice_table(content: bytes, name: str) -> pd.DataFrame:
    """What `dice` gives, of the file's bytes, which messages call `name`."""
    table, columns = csvfile.parse(content, name), ["id", "organ", "data_source", "dice"]
    csvfile.check_columns(name, table, columns)
    csvfile.check_ids(name, table["id"])
    table = csvfile.measured(name, table, ["dice"])
    return table[[*columns, *(["group"] if "group" in table else [])]]


def _refs() -> list[str]:
    return _git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").stdout.splitlines()


def _same(commit: str, paths: Sequence[str]) -> bool:
    return _git("diff", "--quiet", commit, "HEAD", "--", *paths).returncode == 0


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], capture_output=True, encoding="utf-8", check=False)
