"""What `make models` says of the networks: the papers' counts, and multiplications that one can count."""

import json
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ftu.networks.common import build
from ftu.networks.common.contract import Probabilities
from ftu_tools.studies import networks
from ftu_tools.studies.grid import read_grid
from ftu_tools.studies.run_table2 import grid_file
from imports import ROOT

GRIDS = {study: read_grid(grid_file(study)) for study in networks.PAPERS}

BASE = {
    "family": "unetr", "encoder": "vit-base", "decoder": "unetr", "width": 2, "norm": "batch",
    "activation": "relu", "dropout": "none", "init": "he", "size": 64, "channels": 1,
}  # fmt: skip


FEW = {
    "table2": ["Segformer"],
    "em-networks": ["Attention U-Net", "YNETR Mini"],
    "ms-twins": ["MS-Twins small"],
}  # all would take long


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "grid_file", lambda study: study)
        patch.setattr(networks, "read_grid", lambda study: {name: GRIDS[study][name] for name in FEW[study]})
        return {row["network"]: row for row in networks.rows()}


def test_networks_are_counted_for_their_papers_images(rows):
    assert list(rows) == ["Segformer", "Attention U-Net", "YNETR Mini", "MS-Twins small"]
    counts = [[row[key] for key in ("parameters", "buffers", "side", "channels")] for row in rows.values()]
    assert counts[1:3] == [[1_985_061, 0, 256, 1], [10_266_817, 7_424, 256, 1]]
    assert counts[3] == [33_934_340, 2_240, 224, 1]
    assert rows["MS-Twins small"]["weights_licence"] == "apache-2.0"
    assert counts[0][2:] == [768, 3]
    assert counts[0][0] + rows["Segformer"]["auxiliary"] == 24_938_120  # docs/models.md


def test_docs_models_has_the_second_papers_table():
    assert GRIDS["table2"].keys() == {"CoaT", "PVTv2", "Segformer"} | {
        f"{encoder} {decoder}" for encoder in ("Enet-b5", "Resnet101") for decoder in ("Unet", "DLv3+")
    }
    text = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    for name, row in GRIDS["em-networks"].items():
        model: Any = row.model
        architecture = build.described(model.model_dump(), size=256, channels=1, classes=1)
        found = networks.numbers(networks.bare(architecture))
        values = (
            f"{model.norm} | {model.activation} | {model.dropout} | {found.parameters:,} | {found.buffers:,}"
        )
        assert f"| {name} | `{model.encoder}` | {model.decoder} | {model.width} | {values} |" in text


def test_docs_models_has_the_third_papers_table():
    text = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    for name, row in GRIDS["ms-twins"].items():
        model: Any = row.model
        architecture = build.described(model.model_dump(), size=224, channels=1, classes=1)
        found = networks.numbers(networks.bare(architecture))
        values = f"{model.fuse} | {model.cascade} | {found.parameters:,} | {found.buffers:,}"
        cost = f"{networks.gmac(architecture, 224):.1f}"
        assert f"| {name} | `{model.encoder}` | {values} | {cost} |" in text


def test_multiplications_are_those_of_each_layer_by_hand():
    """A weight is used at every place; queries meet all keys, and their shares all values."""
    network, counted = Probabilities(build.build(BASE)).eval(), []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        weight: Tensor = layer.weight  # pyright: ignore[reportAssignmentType]
        if isinstance(layer, nn.ConvTranspose2d):
            counted.append(weight.numel() * inputs[0].shape[-1] ** 2)
        elif isinstance(layer, nn.Linear):
            counted.append(weight.numel() * outputs.shape[1])
        else:
            counted.append(weight.numel() * outputs.shape[-1] ** 2)

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.register_forward_hook(count)
    network(torch.zeros(1, 1, 64, 64))
    places, heads, hidden, layers = 16, 12, 256, 12
    attention = layers * heads * 2 * places**2 * hidden
    assert networks.gmac(BASE, 64) == pytest.approx((sum(counted) + attention) / 1e9, rel=1e-12)


def test_a_network_that_cannot_be_built_without_numbers_is_counted_all_the_same(monkeypatch):
    truly = networks.build.build

    def refusing(architecture):
        if torch.empty(0).device.type == "meta":
            raise NotImplementedError("no meta")
        return truly(architecture)

    expected = networks.numbers(networks.bare(BASE))
    monkeypatch.setattr(networks.build, "build", refusing)
    assert networks.numbers(networks.bare(BASE)) == expected


def test_nothing_is_drawn_from_the_random_numbers(rows):  # noqa: ARG001
    before = torch.get_rng_state()
    networks.bare(BASE)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_table_and_the_data_say_the_same(rows, monkeypatch, capsys):
    monkeypatch.setattr(networks, "rows", lambda: iter(rows.values()))
    monkeypatch.setattr(sys, "argv", ["networks", "--json"])
    networks.main()
    assert json.loads(capsys.readouterr().out) == list(rows.values())
    monkeypatch.setattr(sys, "argv", ["networks"])
    networks.main()
    head, rule, *lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(rows)
    assert {line.count("|") for line in (head, rule, *lines)} == {head.count("|")}
    (line,) = (line for line in lines if line.startswith("| Segformer |"))
    assert "24,937,092 | 1,028 | " in line
    assert line.endswith("768 x 768 x 3 | NVIDIA Source Code License, non-commercial |")
