"""Trained folds as one network in ONNX or TorchScript: pixels in, the mean of the folds' probabilities out.

Shapes: B images of C channels, h x w px; K classes; F folds.
"""

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from ftu.errors import InputError
from ftu.networks.common.build import takes_one_size
from ftu.networks.common.contract import Probabilities, Segmenter

INPUT, OUTPUT = "image", "probability"
OPSET = 18  # what torch's exporter writes at first hand; newer ones are converted from it
WITHIN = 1e-5  # of torch's probabilities
LARGEST = 2**31 - 2**20  # bytes: protobuf, which ONNX is written in, takes no more in one file

Folds = Mapping[int, tuple[Segmenter, dict[str, Any]]]  # fold -> network, and its model.json


class Fold(nn.Module):
    """(B, C, h, w) float32 in 0..`full` -> (B, K, h, w) float32 in 0..1, standardised as in training."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, segmenter: Segmenter, facts: Mapping[str, Any], full: float) -> None:
        super().__init__()
        self.network, self.full = Probabilities(segmenter), full
        for name in ("mean", "std"):  # not by these names: the exporter gives the result of a mean the same
            self.register_buffer(f"pixel_{name}", torch.tensor(facts[name])[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        return self.network((image / self.full - self.pixel_mean) / self.pixel_std)


class Exported(nn.Module):
    """(B, C, h, w) float32 in 0..`full` -> (B, K, h, w) float32 in 0..1, the mean over folds."""

    def __init__(self, folds: Folds, full: float) -> None:
        super().__init__()
        self.folds = nn.ModuleList(Fold(segmenter, facts, full) for segmenter, facts in folds.values())
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        return torch.stack([fold(image) for fold in self.folds]).mean(dim=0)


class Sizes(NamedTuple):
    """Which images the exported network takes, in px."""

    multiple: int  # of which each side is one
    least: int
    one: bool  # no other than `least`
    pad: str  # how an image is continued up to a multiple, as numpy.pad calls it


def check_alike(folds: Folds) -> None:
    """Raise InputError unless all folds are one network, which can be written to one file."""
    (first, (network, facts)), *others = folds.items()
    for fold, (_, its) in others:
        if its["architecture"] != facts["architecture"]:
            raise InputError(
                f"models/fold_{fold}: is another network than fold {first}, {its['architecture']} and not "
                f"{facts['architecture']}; run `dvc repro`, or export one with --fold"
            )
    size = sum(value.nbytes for value in network.state_dict().values()) * len(folds)
    if size > LARGEST:
        raise InputError(
            f"{len(folds)} folds are {size / 1e9:.1f} GB, and a file of ONNX holds 2 GB; export one with "
            "--fold"
        )


def sizes_of(folds: Folds, *, fixed: bool) -> Sizes:
    """The sizes that the network takes; with `fixed` that of training alone, padded as in training."""
    network, facts = next(iter(folds.values()))
    multiple = network.encoder.stride
    side = facts["architecture"]["size"]
    one = fixed or takes_one_size(facts["architecture"])
    least = side + -side % multiple if one else multiple
    continued = network.encoder.pad(torch.tensor([[[[0.0, 1.0, 2.0]]]]))[0, 0, 0, 3]
    return Sizes(least if one else multiple, least, one, "edge" if continued == 2 else "reflect")


def write_onnx(exported: Exported, sizes: Sizes, channels: int, path: Path) -> None:
    """Write the network; any batch, and any size that `sizes` allows.

    The exporter follows the first fold alone, which takes nearly all of the time: the others are the same
    steps with other weights. Raises InputError, with the exporter's first words, for a network that it cannot
    follow.
    """
    import onnx
    from onnxscript import optimizer

    shapes: dict[int, Any] = {0: Dim("batch")}
    if not sizes.one:
        shapes |= {axis: Dim(name, min=2) * sizes.multiple for axis, name in ((2, "y"), (3, "x"))}
    try:
        with _quiet(), _plain_attention(exported.folds[0]):
            program = torch.onnx.export(
                exported.eval().folds[0],
                (_example(sizes, channels),),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=(shapes,),
                opset_version=OPSET,
                optimize=False,  # or weights would lose their names
                verbose=False,
            )
        assert program is not None
        model = optimizer.optimize(_mean(program.model_proto, [fold.state_dict() for fold in exported.folds]))
    except Exception as error:  # the exporter raises what it likes
        told = next((line for line in str(error).splitlines() if "<class" in line), str(error))
        way = "" if sizes.one else "; --fixed exports the size of training alone"
        raise InputError(f"this network cannot be exported ({' '.join(told.split())[:200]}){way}") from error
    _without_places(model)
    onnx.save(model, path)


def _mean(one: Any, weights: Sequence[Mapping[str, Tensor]]) -> Any:  # noqa: ANN401 # onnx.ModelProto
    """A network whose output is the mean of those that `one` is with each of `weights`."""
    from onnx import compose, helper, numpy_helper

    nodes, tensors, answers = [], [], []
    for number, values in enumerate(weights):
        prefix = f"fold_{number}/"
        graph = compose.add_prefix(one, prefix).graph
        for tensor in graph.initializer:
            if (value := values.get(tensor.name.removeprefix(prefix))) is not None:
                tensor.CopyFrom(numpy_helper.from_array(value.numpy(), tensor.name))
        nodes += [helper.make_node("Identity", [INPUT], [prefix + INPUT]), *graph.node]
        tensors += graph.initializer
        answers.append(prefix + OUTPUT)
    nodes.append(helper.make_node("Mean", answers, [OUTPUT]))
    graph = helper.make_graph(nodes, "ftu", one.graph.input, one.graph.output, tensors)
    return helper.make_model(graph, opset_imports=one.opset_import, ir_version=one.ir_version)


def write_torchscript(exported: Exported, sizes: Sizes, channels: int, path: Path) -> None:
    """Write what torch.jit traced: its sizes hold for others where the network is made of convolutions.

    torch has deprecated it since 2.11.
    """
    with _quiet(), torch.no_grad():
        traced = torch.jit.trace(exported.eval(), _example(sizes, channels))
        torch.jit.save(traced, path)


def answer(exported: Exported, image: np.ndarray) -> np.ndarray:
    """torch's probabilities (B, K, h, w) of an image (B, C, h, w)."""
    with torch.inference_mode():
        return exported.eval()(torch.from_numpy(image)).numpy()


def check_parity(exported: Exported, images: Sequence[np.ndarray], path: Path) -> float:
    """The largest difference between ONNX Runtime's and torch's probabilities of `images` (B, C, h, w).

    Raises InputError where it is more than `WITHIN`.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = [session.run(None, {INPUT: image})[0] - answer(exported, image) for image in images]
    most = max(float(np.abs(difference).max()) for difference in found)
    if not most <= WITHIN:
        raise InputError(
            f"this network cannot be exported: ONNX Runtime's probabilities differ by {most:.1e} from "
            f"torch's, more than {WITHIN:.0e}; report it with the network's name"
        )
    return most


def _example(sizes: Sizes, channels: int) -> Tensor:
    """Two images; of unlike sides where others may be taken, so that the exporter takes no two for one."""
    height, width = (1, 1) if sizes.one else (2, 3)
    return torch.zeros(2, channels, height * sizes.multiple, width * sizes.multiple)


def _without_places(model: Any) -> None:  # noqa: ANN401 # onnx.ModelProto, of an extra
    """Take out where on this machine each line of code stood: the same network, the same bytes."""
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


@contextmanager
def _plain_attention(network: nn.Module) -> Iterator[None]:
    """With timm's attention in single steps: within windows its fused form has five axes, and ONNX four."""
    fused = [module for module in network.modules() if getattr(module, "fused_attn", False)]
    for module in fused:
        module.fused_attn = False  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        for module in fused:
            module.fused_attn = True  # pyright: ignore[reportArgumentType]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters print, log and warn of on their way."""
    logger, level = logging.getLogger("torch"), logging.getLogger("torch").level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
