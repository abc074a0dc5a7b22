"""A stage in a locale without letters beyond ASCII."""

import os
import subprocess
import sys

import pytest

from project import ROOT

SPEAKS = "from ftu.pipeline.stage import run, warn\n"
NARROW = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def said(code: str, **more: str) -> subprocess.CompletedProcess:
    settings = os.environ | NARROW | {"PYTHONPATH": str(ROOT / "src")} | more
    command = [sys.executable, "-c", SPEAKS + code]
    return subprocess.run(command, env=settings, capture_output=True, encoding="ascii", check=False)


@pytest.mark.parametrize("more", [{}, {"PYTHONIOENCODING": "ascii"}], ids=["locale", "streams"])
def test_words_with_other_letters_are_printed(more):
    code = "def main():\n warn('\\xe9\\u4e2d')\n print('\\xe9')\n return '\\u4e2d done'\nrun(main)"
    done = said(code, **more)
    assert (done.returncode, done.stdout) == (0, "\\xe9\n")
    assert done.stderr.startswith("warning: \\xe9\\u4e2d\n")
    assert "\\u4e2d done" in done.stderr


def test_a_file_that_the_locale_cannot_name_is_refused_in_a_line():
    done = said("from pathlib import Path\nrun(lambda: Path('data/\\xe9').stat())")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "'data/\\xe9': this locale" in done.stderr
    assert "set PYTHONUTF8=1" in done.stderr
