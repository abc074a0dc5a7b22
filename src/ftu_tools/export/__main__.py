"""Write a trained model for use outside of its project: `python -m ftu_tools.export --model NAME --out DIR`.

The folder holds the network in ONNX, the weights, a description for bioimage.io, a model card, licences, and
a script that needs NumPy and ONNX Runtime alone. docs/export.md walks through it.
"""

import argparse
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ftu.errors import InputError
from ftu.pipeline.stage import run
from ftu_tools.trained import export_layout as layout

NEEDED = ("onnx", "onnxscript", "onnxruntime")
LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}")  # an identifier of https://spdx.org/licenses


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; InputError for values that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m ftu_tools.export", description=__doc__)
    add = parser.add_argument
    add("--model", default="", help="a trained project, a DVC experiment or a bundle; default: this project")
    add("--out", type=Path, default=Path("export"), help="the folder to write; an earlier export is replaced")
    add("--fold", default="", help="one fold alone; default: the mean of all")
    add("--range", default="255", choices=["255", "1"], help="of the pixels that go in: 0..255 or 0..1")
    add("--fixed", action="store_true", help="the size of training alone, for what takes no other")
    add("--torchscript", action="store_true", help="model.pt, too: deprecated in torch, and QuPath loads it")
    add("--name", default="", help="of the model, on its card; default: that of what is exported")
    add("--author", default="", help="whose model it is")
    add("--licence", default="", help="of the weights, by SPDX, such as CC-BY-4.0; default: none is chosen")
    arguments = parser.parse_args(words)
    if arguments.fold and not arguments.fold.isdecimal():
        raise InputError(f"--fold: {arguments.fold[:40]!r} is no number of a fold; give one, such as 0")
    if arguments.licence and not LICENCE.fullmatch(arguments.licence):
        raise InputError(
            f"--licence: {arguments.licence[:40]!r} is no identifier of SPDX; give one, such as CC-BY-4.0"
        )
    for option in ("name", "author"):
        if not getattr(arguments, option).isprintable():
            raise InputError(f"--{option}: {getattr(arguments, option)[:40]!r} holds what cannot be printed")
    return arguments


def check_installed() -> None:
    """Raise InputError where a package of the extra `export` is missing."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(f"{', '.join(missing)}: cannot be imported; install with `uv sync --extra export`")


def check_out(out: Path) -> None:
    """Raise InputError where `out` holds something else than an export."""
    if not out.exists() and not out.is_symlink():
        return
    if out.is_dir() and not any(out.iterdir()):
        return
    if not layout.is_export(out):
        raise InputError(f"--out: {out} is there, and is no export; give another folder, or remove it")


def main() -> str:
    """The command line."""
    arguments = parsed()
    check_installed()
    check_out(arguments.out)
    from ftu_tools.export import package

    return package.export(arguments)


if __name__ == "__main__":
    run(main)
