"""Outputs are all or nothing: written beside their place, and moved there when they are complete."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftu.errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling to write; it takes the place of `path` when the block ends well.

    When the block raises, the sibling is removed and what `path` held before is left as it was. Raises
    InputError when the disk is full, as the other two do.
    """
    temporary = _sibling(path)
    try:
        with _room_for(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling folder; it takes the place of `path` when the block ends well."""
    temporary = _sibling(path)
    try:
        with _room_for(path):
            temporary.mkdir()
            yield temporary
            if path.exists():
                shutil.rmtree(path)
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; when the block ends well its files move into `folder`, one by one."""
    temporary = _sibling(folder)
    try:
        with _room_for(folder):
            temporary.mkdir()
            yield temporary
            folder.mkdir(exist_ok=True)
            for path in sorted(temporary.iterdir()):
                os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    """Turn a full disk into an InputError; libraries tell of it in their own ways."""
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise InputError(
            f"{path}: cannot be written, the disk is full; make room and run `dvc repro` again: it goes on "
            "where it was, and nothing is left by half"
        ) from error


def _sibling(path: Path) -> Path:
    """A free name beside `path`, ignored by git and DVC; leftovers of killed runs are removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f"{path.stem}.tmp-*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    return path.with_name(f"{path.stem}.tmp-{os.getpid()}{path.suffix}")
