"""Some of the odd things of each file here; `make odd` tries all."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imports import ROOT

FILES = sorted(Path(__file__).parent.glob("*.yaml"))
TOLD = re.compile(r"odd: (\d+) tried, (\d+) held\n$")
RUNNER = str(ROOT / "tests/support/odd.py")
PACKAGES = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests/support")])
MOST = 5  # of a file, evenly


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_odd_is_refused_or_leaves_no_trace(file):
    every = -(-file.read_text().count("what: ") // MOST)
    program = [sys.executable, "-W", "ignore", RUNNER, str(file), "--every", str(every)]
    environment = os.environ | {"PYTHONPATH": PACKAGES}
    done = subprocess.run(
        program, env=environment, text=True, stdout=-1, stderr=subprocess.STDOUT, check=False
    )
    told = TOLD.search(done.stdout)
    assert told, done.stdout
    assert done.returncode == 0, done.stdout
    assert told[1] == told[2]
    assert int(told[1]) >= 1
