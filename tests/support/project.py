"""A copy of the repository in which a test runs the user's own commands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from imports import ROOT


def environment() -> dict[str, str]:
    """That of a user who has activated the project's."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "PYTHONPATH"))}
    return kept | {"PATH": path}


def run(project: Path, *command: str, status: int = 0) -> str:
    """Run a command as the user would, the environment activated; return what it prints."""
    done = subprocess.run(
        command, cwd=project, env=environment(), text=True, stdout=-1, stderr=subprocess.STDOUT
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def stages_run(output: str) -> list[str]:
    return sorted(re.findall(r"Running stage '(.+)'", output))


def set_params(project: Path, changes: dict) -> None:
    yaml, path = YAML(), project / "params.yaml"
    params = yaml.load(path)
    for section, values in changes.items():
        params[section].update(values)
    yaml.dump(params, path)


def copy_repository(folder: Path) -> None:
    """The working tree's files, without results, in a git repository of their own."""
    listed = subprocess.check_output(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("dvc.lock", "models/fold_", "reports/metrics")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for words in (["init", "-q"], ["config", "user.name", "t"], ["config", "user.email", "t@example.org"]):
        run(folder, "git", *words)


def commit(folder: Path) -> None:
    """Commit everything that git does not ignore."""
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "run")
