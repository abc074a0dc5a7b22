"""The papers' networks, and what each costs: `make models`. Nothing is trained, no weights are fetched."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ftu.files import markdown
from ftu.networks.common import build, first_weights
from ftu.networks.common.contract import Probabilities, Segmenter
from ftu.pipeline.sections.networks import PRETRAINED, Model
from ftu.pipeline.stage import run
from ftu_tools.studies.grid import read_grid
from ftu_tools.studies.run_table2 import grid_file

# grid -> px and channels of its paper's images
PAPERS = {"table2": (768, 3), "em-networks": (256, 1), "ms-twins": (224, 1)}


class Numbers(NamedTuple):
    """How many there are in a network."""

    parameters: int  # which training changes, without those of the auxiliary heads
    auxiliary: int  # those of the heads, which no paper counts
    buffers: int  # running statistics, and other tables that training does not learn


def rows() -> Iterator[dict[str, Any]]:
    """What is known of each network of the grids, for one class."""
    for study, (size, channels) in PAPERS.items():
        for name, row in read_grid(grid_file(study)).items():
            yield {"network": name, **facts(row.model, size, channels)}


def facts(model: Model, size: int, channels: int) -> dict[str, Any]:
    """What is known of a network for images of `size` px."""
    architecture = build.described(model.model_dump(), size=size, channels=channels, classes=1)
    pretrained = isinstance(model, PRETRAINED)
    return {
        "family": model.family,
        "encoder": model.encoder,
        "decoder": model.decoder,
        "width": getattr(model, "width", None),
        **numbers(bare(architecture))._asdict(),
        "gmac": gmac(architecture, size),
        "side": size,
        "channels": channels,
        "weights_licence": first_weights.licence(model.encoder) if pretrained else None,
    }


def bare(architecture: Mapping[str, Any]) -> Segmenter:
    """The network without numbers in it, on the meta device; some encoders have to be built elsewhere."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build.build(architecture)
        except Exception:  # smp and timm raise what they like
            return build.build(architecture).to("meta")


def numbers(network: Segmenter) -> Numbers:
    parts = (network.encoder, network.decoder, network.head, network.reconstruction)
    kept = [value for name, value in network.named_buffers() if not name.endswith("num_batches_tracked")]
    return Numbers(
        sum(parameters(part) for part in parts if part),
        parameters(network.aux_heads),
        sum(value.numel() for value in kept),
    )


def parameters(part: nn.Module) -> int:
    return sum(each.numel() for each in part.parameters())


def gmac(architecture: Mapping[str, Any], size: int) -> float:
    """Multiplications of one image (size, size) that the network predicts, in 10^9.

    Those of convolutions and of products of matrices, attention included, as torch counts them.
    """
    network = Probabilities(bare(architecture)).eval()
    with FlopCounterMode(display=False) as counter, torch.device("meta"), torch.no_grad():
        network(torch.zeros(1, network.encoder.inputs, size, size))
    return counter.get_total_flops() / 2 / 1e9


def text(found: list[dict[str, Any]]) -> str:
    """A table in Markdown, a row for each network."""
    columns = ["network", "encoder", "decoder", "width", "parameters", "auxiliary heads", "buffers", "GMAC"]
    columns += ["image", "licence of the ImageNet weights"]
    cells = (
        [
            *(row[key] for key in ("network", "encoder", "decoder")),
            row["width"] or "",
            *(f"{row[key]:,}" for key in Numbers._fields),
            f"{row['gmac']:.1f}",
            f"{row['side']} x {row['side']} x {row['channels']}",
            row["weights_licence"] or "there are none",
        ]
        for row in found
    )
    return "\n".join(markdown.table(columns, cells))


def main() -> None:
    """Print the table, or with --json the same as data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="a list of objects instead of a table")
    as_json, found = parser.parse_args().json, list(rows())
    sys.stdout.write(f"{json.dumps(found, indent=2) if as_json else text(found)}\n")


if __name__ == "__main__":
    run(main)
