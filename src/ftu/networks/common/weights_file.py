"""A file of weights that somebody brings: read without running anything in it, and checked before use."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from ftu.errors import InputError, some
from ftu.files import limits

LARGEST = 2**35  # bytes
TABLES = ("state_dict", "model")  # under which trainings put the weights beside other things
DEEPEST = 4  # levels of such tables; a table may hold itself
WRAPPERS = ("module.", "_orig_mod.")  # what torch's parallel and compiled networks put before every name
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file by name, and the prefix that all names had and have lost, '' if none.

    A .safetensors file is safetensors, any other what torch.save wrote. Raises InputError, with the way out,
    for a file that is missing, damaged, no regular one, too large, or that holds anything but tensors by
    their names: dense, on the CPU, of numbers that are finite.
    """
    table = _table(path, _content(path))
    if fault := _names_fault(table) or tensors_fault(table):
        raise InputError(f"train.weights: {path} holds no table of named tensors ({fault}); save it anew")
    prefix, common = "", next((each for each in WRAPPERS if _all_begin(table, each)), "")
    while common:
        table = {key.removeprefix(common): value for key, value in table.items()}
        prefix, common = prefix + common, next((each for each in WRAPPERS if _all_begin(table, each)), "")
    return table, prefix


def tensors_fault(table: Mapping[str, Tensor]) -> str:
    """What of the tensors cannot be a network's weights, '' if nothing."""
    for key, value in table.items():
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            kind = "quantized" if value.is_quantized else f"{value.layout}, on {value.device}"
            return f"{key!r:.100} is no dense tensor on the CPU: {kind}"
        if value.nbytes > value.untyped_storage().nbytes():  # as `expand` makes them: of any size
            return f"{key!r:.100} has {value.numel()} numbers, of which not all are stored"
        if value.dtype not in FLOATS and not key.endswith("num_batches_tracked"):
            return f"{key!r:.100} is of {value.dtype}, not of floating-point numbers"
        if value.dtype in FLOATS and not torch.isfinite(value.to(torch.float32)).all():
            return f"{key!r:.100} holds numbers that are not finite"
    return ""


def _content(path: Path) -> object:
    try:
        limits.opened(path, LARGEST).close()
    except FileNotFoundError as error:
        raise InputError(
            f"train.weights: {path} does not exist; give none, imagenet or the path of a file"
        ) from error
    except OSError as error:
        raise InputError(
            f"train.weights: {path} cannot be read ({error.strerror}); give none, imagenet or the path of a "
            "file"
        ) from error
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        _refuse_packed(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch's reader fail in any way (text: KeyError)
        raise InputError(
            f"train.weights: {path} cannot be read as weights ({type(error).__name__}); "
            "give a file that torch.save or safetensors wrote, of tensors alone"
        ) from error


def _refuse_packed(path: Path) -> None:
    """Raise ValueError for an archive with parts that grow when they are read: torch.save packs nothing."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("packed")
        if sum(part.file_size for part in parts) > path.stat().st_size:
            raise ValueError("overlapping")


def _table(path: Path, content: object) -> dict:
    """The innermost table under the names in TABLES."""
    for _ in range(DEEPEST):
        if not isinstance(content, dict):
            break
        inner = [key for key in TABLES if isinstance(content.get(key), dict)]
        if len(inner) > 1:
            raise InputError(f"train.weights: {path} holds {' and '.join(inner)}; save the one that is meant")
        if not inner:
            return content
        content = content[inner[0]]
    kind = "tables in tables" if isinstance(content, dict) else f"a {type(content).__name__}"
    raise InputError(f"train.weights: {path} holds no table of named tensors ({kind}); save it anew")


def _names_fault(table: dict) -> str:
    if odd := [key for key in table if not isinstance(key, str)]:
        return f"the name {odd[0]!r:.40} is no text"
    if odd := [key for key in table if not (key and key.isprintable())]:
        return f"the name {odd[0]!r:.40} is empty or cannot be printed"
    if odd := [key for key, value in table.items() if not isinstance(value, Tensor)]:
        return f"no tensors: {some((f'{key:.40} ({type(table[key]).__name__})' for key in odd), 3)}"
    return "" if table else "it is empty"


def _all_begin(table: Mapping[str, Tensor], prefix: str) -> bool:
    return all(key.startswith(prefix) for key in table)
