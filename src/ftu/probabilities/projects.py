"""A project's files: those of a folder, or of what DVC or git call one (an experiment, a branch, a commit).

DVC is imported for a name only: that takes a second.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from fsspec import AbstractFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem

from ftu.cache import hashes
from ftu.errors import InputError

LARGEST = 2**35  # bytes of any file of a project


class Source(NamedTuple):
    """A project, where DVC or a folder keeps it."""

    name: str
    files: AbstractFileSystem  # by their paths in the project
    commit: str  # empty for a folder
    failures: tuple[type[Exception], ...]  # by which it tells that a file is not there

    def check(self, path: str, most: int) -> None:
        """Raise InputError where a file is a pipe or a device, which may never end, or has more bytes."""
        try:
            facts = self.files.info(path)
        except self.failures:  # who reads it tells that
            return
        if facts["type"] == "other" or (facts["type"] == "file" and (facts.get("size") or 0) > most):
            what = f"has {facts['size']} bytes" if facts["type"] == "file" else "is no regular file"
            raise InputError(f"{self.name}: {path} {what}; put a file of the pipeline there")

    def get(self, path: str, to: Path) -> Path:
        """Copy a file; InputError when there is none."""
        self.check(path, LARGEST)
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.files.get_file(path, str(to))
        except self.failures as error:
            raise InputError(
                f"{self.name}: {path} is not there ({error}); run `dvc repro`, or `dvc fetch` what another "
                "machine made"
            ) from error
        return to

    def digest(self, path: str) -> str:
        """The sha256 of a file."""
        with TemporaryDirectory() as scratch:
            return hashes.sha256(self.get(path, Path(scratch) / "file"))


def find(name: str, project: Path) -> Source:
    """The project called `name`: a folder, seen from the folder `project`, or a revision that `project` has.

    An empty name is `project` itself. Raises InputError, with the value and the way out, for any other name.
    """
    if not name.isprintable() or name.startswith("-"):
        raise InputError(f"{name[:100]!r} is no name of an experiment or a folder; `dvc exp list` names them")
    folder = (project / name).expanduser()
    if folder.is_dir():
        files = DirFileSystem(str(folder), LocalFileSystem())
        return Source(name or "this project", files, "", (OSError,))
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    try:
        files = DVCFileSystem(str(project), rev=name)
        return Source(name, files, str(files.repo.get_rev()), (OSError, DvcException, DataIndexDirError))
    except DvcException as error:
        raise InputError(
            f"{name!r} is no folder, and no experiment or revision of this project ({error}); "
            "`dvc exp list --all-commits` names the experiments"
        ) from error
