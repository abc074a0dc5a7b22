"""How a slide is taken: whole, as the pipeline takes a test image, or in windows, and at which scale."""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from ftu.errors import InputError
from ftu.files import limits
from ftu.preprocessing import normalization
from ftu.preprocessing.resize import TOLERATED
from ftu_tools.segment.slides import files, scale
from ftu_tools.segment.slides.reduced import Grid
from ftu_tools.segment.slides.scale import Size
from ftu_tools.segment.slides.slide import Slide
from ftu_tools.trained import model as models
from ftu_tools.trained.model import Model

WHOLE = 2**24  # px: what is no larger, at the network's scale too, is cut as the pipeline cuts a test image


class Options(NamedTuple):
    """What is asked for, of every slide."""

    model: str
    organ: str
    source: str
    out: Path
    um: float | None = None  # of a pixel, where files do not say it
    network_um: float | None = None  # at which the network sees it, where the model does not say it
    find_tissue: bool = True
    formats: tuple[str, ...] = ()  # besides QuPath's and the tables: gz, labels, hubmap
    device: str = ""  # '': that of the model's parameters
    quiet: bool = False


class Plan(NamedTuple):
    """How a slide is taken."""

    um: Size
    network_um: float
    grid: Grid | None  # None: whole, as the pipeline takes a test image
    warnings: list[str]


@cache
def loaded(name: str, device: str) -> tuple[Model, Callable[[str], float]]:
    """A model, once in each process, and what gives the scale at which it learnt an organ."""
    scratch = TemporaryDirectory()
    folder = Path(scratch.name)
    model = models.load(name, device=device, scratch=folder)

    def scale_of(organ: str, _lasting: TemporaryDirectory = scratch) -> float:
        return models.trained_scale(name, organ, folder)

    return model, scale_of


def check(path: Path, options: Options) -> None:
    """Raise InputError where it can be told without work that a slide cannot be segmented."""
    with files.opened(path) as slide:
        of(slide, options)


def of(slide: Slide, options: Options) -> Plan:
    """How the slide is taken; InputError where its scale, its channels or the model do not allow it."""
    model, scale_of = loaded(options.model, options.device)
    _check_channels(slide, model)
    um = scale.agreed(str(slide.path), slide.stated, options.um)
    pixel, (height, width) = math.sqrt(um[0] * um[1]), slide.shape
    resize = model.params.resize
    squeezed = resize.mode == "fixed"
    network_um = options.network_um or (scale_of(options.organ) if squeezed else resize.microns)
    if math.isnan(network_um):
        raise InputError(
            f"--model: {options.model or 'this project'} does not say at which scale it learnt "
            f"{options.organ} ({models.GEOMETRY} has no training images of it); give --network-um, um per px"
        )
    grid = _grid(slide, um, network_um)
    magnified = []
    if pixel > network_um * TOLERATED:
        magnified.append(
            f"is magnified {pixel / network_um:.2g} times: the network learnt from finer detail than it has"
        )
    seen = pixel * math.sqrt(height * width) / resize.side if squeezed else resize.microns
    near = 1 / TOLERATED <= seen / network_um <= TOLERATED
    small = max(height * width, grid.height * grid.width) <= WHOLE
    if near and small and max(um) <= min(um) * scale.AGREE:
        return Plan(um, seen, None, magnified)
    _check_stains(slide, model)
    warnings = []
    if squeezed and not near:
        warnings.append(
            f"as one square it would be seen at {seen:.3g} um/px, {seen / network_um:.2g} times what the "
            f"network learnt; it is seen in windows at {network_um:.3g} um/px"
        )
    return Plan(um, network_um, grid, warnings + magnified)


def _grid(slide: Slide, um: Size, network_um: float) -> Grid:
    """The slide at the network's scale; InputError where a side of it is longer than any may be."""
    height, width = slide.shape
    rows, columns = (max(round(side / network_um), 1) for side in (height * um[1], width * um[0]))
    if max(rows, columns) > limits.LONGEST_SIDE:
        raise InputError(
            f"{slide.path}: of {um[0]:g} x {um[1]:g} um per px it would be {columns} x {rows} px (width x "
            f"height) at the network's {network_um:g}; correct --um or --network-um"
        )
    return Grid(rows, columns, slide.shape)


def _check_channels(slide: Slide, model: Model) -> None:
    _, facts = next(iter(model.trained.networks.values()))
    if slide.channels != len(facts["mean"]):
        raise InputError(
            f"{slide.path}: has {slide.channels} channels, and the model was trained on {len(facts['mean'])}"
            "; take a model of such images, or convert them"
        )


def _check_stains(slide: Slide, model: Model) -> None:
    if (backend := model.params.stain.backend) in normalization.LEVELS:
        raise InputError(
            f"{slide.path}: stain.backend {backend} looks at an image whole, and this one is seen in windows"
            "; cut it into parts, or take a model trained with exact or none"
        )
