"""rdf.yaml, by which bioimage.io's tools run the model: format 0.5.

https://github.com/bioimage-io/spec-bioimage-io
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from ftu.cache import hashes
from ftu_tools.export import network
from ftu_tools.export.about import About
from ftu_tools.trained import export_layout as layout

FORMAT = "0.5.3"
PLACES = ("doi", "url")  # of what is cited: the format wants one
COLOURS = {1: ["grey"], 3: ["red", "green", "blue"]}


def write(folder: Path, about: About, *, torchscript: bool) -> None:
    """Describe the network whose files lie in `folder`, TorchScript's where it is there, too."""
    content = {
        "format_version": FORMAT,
        "type": "model",
        "name": "ftu " + re.sub(r"[^\w\- ()]", "-", about.name)[:120],  # of 5 to 128 letters and such
        "description": f"Probabilities of {', '.join(about.params.data.classes)} in images of "
        f"{', '.join(about.params.data.organs)}. Research only, not a medical device."[:1024],
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "authors": [{"name": about.author}] if about.author else [],
        "cite": [_cited(each) for each in about.cited if not each.keys().isdisjoint(PLACES)],
        **({"license": about.licence} if about.licence else {}),
        "documentation": layout.CARD,
        "attachments": [{"source": name} for name in (layout.FACTS, layout.LICENCES, layout.PREDICT)],
        "tags": ["segmentation", "histology", about.architecture["encoder"], about.architecture["decoder"]],
        "inputs": [_input(folder, about)],
        "outputs": [_output(folder, about)],
        "weights": _weights(folder, torchscript=torchscript),
    }
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.representer.ignore_aliases = lambda *_: True
    with (folder / "rdf.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(content, file)


def _weights(folder: Path, *, torchscript: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"onnx": _file(folder, layout.ONNX) | {"opset_version": network.OPSET}}
    if torchscript:
        version = torch.__version__.partition("+")[0]
        found["torchscript"] = _file(folder, layout.TORCHSCRIPT) | {
            "pytorch_version": version,
            "parent": "onnx",
        }
    return found


def _file(folder: Path, name: str) -> dict[str, Any]:
    return {"source": name, "sha256": hashes.sha256(folder / name)}


def _cited(reference: Mapping[str, Any]) -> dict[str, str]:
    names = ", ".join(each.get("family-names") or each["name"] for each in reference["authors"])
    text = f"{names}: {reference['title']}, {reference['year']}"
    where = next(place for place in PLACES if place in reference)
    return {"text": text, where: reference[where]}


def _input(folder: Path, about: About) -> dict[str, Any]:
    sizes = about.sizes
    size = sizes.least if sizes.one else {"min": sizes.least, "step": sizes.multiple}
    um = {"unit": "micrometer", "scale": round(sum(about.scale) / 2, 4)} if about.scale else {}
    return {
        "id": network.INPUT,
        "description": f"Pixels in 0..{about.full:g}; standardised inside.",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": COLOURS[about.params.data.channels]},
            *({"type": "space", "id": axis, "size": size, **um} for axis in "yx"),
        ],
        "data": {"type": "float32", "range": [0.0, about.full]},
        "test_tensor": _file(folder, layout.TESTED[0]),
    }


def _output(folder: Path, about: About) -> dict[str, Any]:
    def same(axis: str) -> int | dict[str, str]:
        return about.sizes.least if about.sizes.one else {"tensor_id": network.INPUT, "axis_id": axis}

    um = {"unit": "micrometer", "scale": round(sum(about.scale) / 2, 4)} if about.scale else {}
    return {
        "id": network.OUTPUT,
        "description": "The mean of the folds' probabilities.",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": list(about.params.data.classes)},
            *({"type": "space", "id": axis, "size": same(axis), **um} for axis in "yx"),
        ],
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "test_tensor": _file(folder, layout.TESTED[1]),
    }
