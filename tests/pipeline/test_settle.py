"""What the environment says to libraries is not obeyed, and is told."""

import os
import subprocess
import sys

import pytest

from imports import ROOT

SCRIPT = """
import os, sys
from ftu.pipeline.stage import run
def main():
    seen = sorted(name for name in os.environ if name.startswith(("GDAL", "FTU_")))
    return " ".join([*sys.argv[1:], *seen])
if __name__ == "__main__":
    run(main)
"""


@pytest.mark.parametrize("name", ["GTIFF_IGNORE_READ_ERRORS", "TIMM_FUSED_ATTN", "MPLBACKEND"])
def test_a_script_begins_anew_once_without_what_libraries_would_obey(tmp_path, name):
    told = run(tmp_path, **{name: "1"})
    assert told[0] == f"warning: {name} of the environment would change what is computed, and is not obeyed"
    assert told[1].startswith("script: one two GDAL_CONFIG_FILE, ")
    assert told[1].endswith(", 1 warning")


# Fonts, another project's repository, threads, layers, the compiler.
OTHERS = ("FREETYPE_PROPERTIES", "GIT_DIR", "OMP_DYNAMIC", "OMP_THREAD_LIMIT", "TIMM_FUSED_ATTN")
OTHERS += ("TORCHDYNAMO_DISABLE",)


def test_all_that_would_be_obeyed_is_left_out_at_once(tmp_path):
    told = run(tmp_path, **dict.fromkeys(OTHERS, "1"), TORCHINDUCTOR_CACHE_DIR="here")
    assert told[0].startswith(f"warning: {', '.join(OTHERS)} of the environment")


def test_what_no_result_hangs_on_is_kept(tmp_path):
    assert run(tmp_path, GDAL_DATA="here", OMP_NUM_THREADS="1")[0].startswith(
        "script: one two GDAL_CONFIG_FILE GDAL_DATA, "
    )


def run(folder, **variables) -> list[str]:
    (folder / "script.py").write_text(SCRIPT)
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("GDAL", "MPL", "DVC_", "FTU_"))
    }
    environment = kept | {"PYTHONPATH": str(ROOT / "src")} | variables
    done = subprocess.run(
        [sys.executable, "script.py", "one", "two"], cwd=folder, env=environment, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    return done.stderr.splitlines()
