"""One image through a trained experiment, as the stages resize, normalize and predict take all of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ftu.files import png
from ftu.files.index import ImageRow, um_of_pixels
from ftu.networks.common import devices
from ftu.networks.common.contract import Segmenter
from ftu.networks.common.devices import Precision
from ftu.prediction import sliding_window, views
from ftu.preprocessing import resize
from ftu.preprocessing.normalization import Work
from ftu.probabilities import fold_maps
from ftu.probabilities.ensemble import Experiment


class Trained(NamedTuple):
    """An experiment that is ready to predict."""

    name: str
    weight: float
    shape: Callable[[int, int, float], tuple[int, int]]  # (height, width, um) -> the network's size
    normalize: Work
    networks: Mapping[int, tuple[Segmenter, dict]]  # fold -> network, and the facts of its model.json
    scales: Sequence[float]
    window: Mapping[str, Any]  # side, overlap, blend
    batch_size: int
    threads: int
    precision: Precision


def predict(each: Trained, row: ImageRow, image: Path, to: Path, *, tta: str, device: str) -> Experiment:
    """The maps of one image by all folds of one experiment, under the folder `to`."""
    normalized = prepare(each, row, image, to)
    # An experiment's bytes depend on its number of threads; nothing is drawn.
    devices.fix_randomness(0, each.threads, device)
    place = devices.choose_device(device)
    precision = devices.usable_precision(place, each.precision, "predict.precision")
    for fold, (network, facts) in each.networks.items():
        target = fold_maps.map_path(to / f"fold_{fold}", "test", tta, row.id)
        target.parent.mkdir(parents=True)
        sliding_window.predict_files(
            network,
            facts,
            [normalized],
            [[target]],
            sets={tta: views.groups(tta, each.scales)},
            **each.window,
            batch_size=each.batch_size,
            device=place,
            precision=precision,
            um=[um_of_pixels(row, *png.image_shape(normalized))],
        )
    return Experiment(each.name, to, tuple(each.networks), each.weight, tta)


def prepare(each: Trained, row: ImageRow, image: Path, folder: Path) -> Path:
    """The image resized and normalised as the experiment's own were, a file under `folder`."""
    resized, normalized = folder / "resized" / row.set, folder / "normalized"
    for part in (resized, normalized):
        part.mkdir(parents=True)
    name, shape = f"{row.id}.png", each.shape(row.img_height, row.img_width, row.pixel_size)
    resize.resize_image_file(image, resized / name, shape)
    each.normalize(resized / name, normalized / name)
    return normalized / name
