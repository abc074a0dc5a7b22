"""Fuzzes what reads text, guided by coverage, for SECONDS (`make fuzz`; needs atheris).

Any error but our own ends it, and leaves the input that caused it in a file `crash-...`.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false, reportAttributeAccessIssue=false
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ftu"]):
    from ftu.datasets import competition
    from ftu.files import folds, jsonfile, rle
    from ftu.files.index import read_index
    from ftu.masks import rules
    from ftu.pipeline import params

import numpy as np

from ftu.errors import InputError
from imports import ROOT

SCRATCH = Path(tempfile.mkdtemp())
KNOWN = {"organs": ["kidney", "lung"], "sources": ["HPA", "Hubmap"]}
TABLE = (
    b"id,organ,data_source,img_height,img_width,pixel_size,rle,set,fold\n8,kidney,HPA,3,4,0.4,2 1,train,0\n"
)


def mask(path: Path) -> None:
    """A text is refused, or is its mask: encoded and decoded again it is the same."""
    data = path.read_bytes()
    height, width = 1 + data[0] % 40, 1 + data[-1] % 40
    try:
        decoded = rle.decode(data[1:-1].decode(errors="surrogateescape"), height=height, width=width)
    except ValueError:
        return
    assert decoded.shape == (height, width)
    assert np.array_equal(rle.decode(rle.encode(decoded), height=height, width=width), decoded)


READERS = {
    mask: b"\x07 1 3 5 1 9 2 \x07",
    lambda path: competition.read_train(path, **KNOWN): TABLE,
    read_index: TABLE,
    folds.read_folds: TABLE,
    params.load_params: (ROOT / "params.yaml").read_bytes(),
    lambda path: jsonfile.read(path, "again"): b'{"a": [1, 0.5, null, "x"]}',
    lambda path: rules.read(
        path, **KNOWN
    ): b'{"tta": "none", "own": 1, "members": {}, "method": "table", "rules": {}}',
}


def one_input(data: bytes) -> None:
    """The first byte says what the others are read as; a file is refused in our words."""
    if len(data) < 3:
        return
    path = SCRATCH / "file"
    path.write_bytes(data[1:])
    try:
        list(READERS)[data[0] % len(READERS)](path)
    except InputError:
        return


def main(seconds: str) -> None:
    corpus = SCRATCH / "corpus"
    corpus.mkdir()
    for number, example in enumerate(READERS.values()):
        (corpus / str(number)).write_bytes(bytes([number]) + example)
    limits = ["-timeout=10", "-rss_limit_mb=3000", f"-max_total_time={seconds}", "-max_len=8192"]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
