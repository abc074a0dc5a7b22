"""Odd files of weights, as people have them: each is read exactly or refused in a line, in bounded time."""

import os
import zipfile

import pytest
import torch

from ftu.errors import InputError
from ftu.networks.common import weights_file

ONE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def save(content, path):
    torch.save(content, path)
    return path


def refused(path, pattern):
    with pytest.raises(InputError, match=pattern) as caught:
        weights_file.read(path)
    assert str(caught.value).startswith(f"train.weights: {path} ")
    assert "\n" not in str(caught.value)


def in_itself():
    table = {}
    table["state_dict"] = table
    return table


def in_turn():
    one, other = {}, {}
    one["model"], other["state_dict"] = other, one
    return one


def deep(levels):
    table = ONE
    for _ in range(levels):
        table = {"state_dict": table}
    return table


TABLES = {
    "itself": (in_itself(), "tables in tables"),
    "in turn": (in_turn(), "tables in tables"),
    "deep": (deep(4), "tables in tables"),
    "list": ([ONE], "a list"),
    "tensor": (torch.ones(3), "a Tensor"),
    "none": (None, "a NoneType"),
    "empty": ({}, "it is empty"),
    "two": ({"state_dict": ONE, "model": ONE}, "holds state_dict and model; save the one that is meant"),
    "number": ({0: torch.ones(1)}, "the name 0 is no text"),
    "line break": (ONE | {"a\nb": torch.ones(1)}, r"the name 'a\\nb' is empty or cannot be printed"),
    "no name": (ONE | {"": torch.ones(1)}, "the name '' is empty or cannot be printed"),
    "lists": ({"a": [torch.ones(1)]}, r"no tensors: a \(list\)"),
    "others": (ONE | {"epoch": 3, "args": {}}, r"no tensors: epoch \(int\), args \(dict\)"),
    "nan": (ONE | {"b": torch.tensor([0.0, torch.nan])}, "'b' holds numbers that are not finite"),
    "inf": (ONE | {"b": torch.tensor(-torch.inf)}, "'b' holds numbers that are not finite"),
    "half": (ONE | {"b": torch.tensor([torch.inf]).half()}, "'b' holds numbers that are not finite"),
    "complex": (
        ONE | {"b": torch.ones(2, dtype=torch.complex64)},
        "'b' is of torch.complex64, not of floating",
    ),
    "integer": (ONE | {"b": torch.ones(2, dtype=torch.int64)}, "'b' is of torch.int64"),
    "bool": (ONE | {"b": torch.ones(2, dtype=torch.bool)}, "'b' is of torch.bool"),
    "sparse": (ONE | {"b": torch.eye(3).to_sparse()}, "'b' is no dense tensor on the CPU: torch.sparse_coo"),
    "csr": (ONE | {"b": torch.eye(3).to_sparse_csr()}, "'b' is no dense tensor on the CPU: torch.sparse_csr"),
    "meta": (ONE | {"b": torch.empty(3, device="meta")}, "'b' is no dense tensor on the CPU: .* on meta"),
    "quantized": (
        ONE | {"b": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)},
        "'b' is no dense tensor on the CPU: quantized",
    ),
    "expanded": (ONE | {"b": torch.ones(1).expand(2**50)}, f"'b' has {2**50} numbers, of which not all are"),
    "overlapping": (
        ONE | {"b": torch.ones(9).as_strided((3, 8), (0, 1))},
        "'b' has 24 numbers, of which not",
    ),
    "module": (torch.nn.Linear(2, 3), r"cannot be read as weights \(UnpicklingError\)"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("content", "pattern"), TABLES.values(), ids=TABLES)
def test_what_is_no_table_of_weights_is_refused(tmp_path, content, pattern):
    refused(save(content, tmp_path / "w.pt"), pattern)


@pytest.mark.parametrize("levels", range(4))
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_a_table_in_tables_under_one_prefix_is_read_exactly_and_the_prefix_is_told(tmp_path, levels, prefix):
    table = {prefix + key: value for key, value in ONE.items()}
    for _ in range(levels):
        table = {"state_dict": table, "epoch": 3}
    found, left_out = weights_file.read(save(table, tmp_path / "w.pt"))
    assert left_out == prefix
    assert found.keys() == ONE.keys()
    assert all(torch.equal(found[key], ONE[key]) for key in ONE)


def test_a_prefix_of_some_names_alone_stays(tmp_path):
    table = {"module.a": torch.ones(1), "b": torch.ones(1)}
    assert weights_file.read(save(table, tmp_path / "w.pt"))[0].keys() == table.keys()


def packed(path):
    """A whole archive of torch's, its parts compressed."""
    with zipfile.ZipFile(save(ONE, path.with_name("plain"))) as plain, zipfile.ZipFile(path, "w", 8) as made:
        for name in plain.namelist():
            made.writestr(name, plain.read(name))


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("archive/data.pkl", bytes(2**28))


def foreign(path):
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("readme.txt", "hello")


def half(path):
    save(ONE, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("make", [packed, bomb, foreign, half], ids=lambda make: make.__name__)
def test_an_archive_that_torch_did_not_write_or_that_grows_is_refused(tmp_path, make):
    make(tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "cannot be read as weights")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_regular_file_or_too_large_is_refused_at_once(tmp_path, suffix):
    pipe, device, hole = (tmp_path / f"{name}{suffix}" for name in ("pipe", "device", "hole"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    hole.touch()
    os.truncate(hole, 2**35 + 1)
    for path, words in ((pipe, "Not a regular file"), (device, "Not a regular file"), (hole, "too large")):
        refused(path, rf"cannot be read \(.*{words}.*\); give none, imagenet or the path of a file")
