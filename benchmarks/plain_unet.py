"""A plain smp U-Net of the same budget, scored on the same test images by the same scores.

PYTHONPATH=src python benchmarks/plain_unet.py     # in a project of an own data set after `dvc repro`

The peer is what one writes in an afternoon: `smp.Unet` with the encoder and the first weights of params.yaml,
cross-entropy, Adam at 1e-3, windows and flips at random, the last step's weights, the whole image read at
once. It learns from the training images of the same fold, at their native resolution, with as many steps of
as many windows of the same size; it validates nothing. Printed beside the pipeline's own scores
(reports/scores.json), and written to plain_unet.json.
"""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad
from tqdm import tqdm

from ftu.datasets import image_files
from ftu.files import folds, png
from ftu.files.index import ImageRow, image_file, image_rows, read_index
from ftu.networks.common import build
from ftu.networks.common.contract import Encoder
from ftu.pipeline import paths
from ftu.pipeline.params import Params, load_params
from ftu.reports import class_scores
from ftu.training import fold

STRIDE = 32  # px: what an image's sides have to be multiples of


def main() -> None:
    params = load_params(paths.PARAMS)
    index = read_index(paths.IMAGES)
    learnt, _ = folds.divide(folds.read_dealt(paths.FOLDS, index), params.split.run[0])
    root, rows = Path(params.data.root), {row.id: row for row in image_rows(index)}
    begun = time.monotonic()
    pairs = [(read(root, rows[name]), png.read_mask(paths.MASKS / f"{name}.png")) for name in learnt]
    model = train(pairs, params)
    spent = time.monotonic() - begun
    scored = []
    for path in sorted(paths.TEST_MASKS.glob("*.png")):
        row = rows[path.stem]
        each = class_scores.of_image(
            predict(model, read(root, row)), png.read_mask(path), params.data.classes,
            pixel_size=row.pixel_size, tolerance=params.evaluate.tolerance,
        )  # fmt: skip
        scored += [{"id": row.id} | one for one in each]
    table = pd.DataFrame(scored, columns=class_scores.COLUMNS)
    detail = class_scores.Detail(params.data.classes, index, {"test": table})
    print(f"plain U-Net: {len(pairs)} images, {spent / 60:.1f} minutes\n\n{detail.words()}")
    ours = json.loads((paths.REPORTS / "scores.json").read_text(encoding="utf-8"))["test"]
    print("ftu:\n", *class_scores.lines(ours, params.data.classes), sep="\n")
    both = {"plain": detail.facts["test"], "ftu": ours}
    Path("plain_unet.json").write_text(json.dumps(both, indent=2) + "\n", encoding="utf-8")


def read(root: Path, row: ImageRow) -> np.ndarray:
    """(3, H, W) float32, standardised; a grey image three times."""
    with image_files.pixel_rows(image_file(root, row)) as pixels:
        image = pixels(0, row.img_height)
    image = np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.float32) / 255
    return np.moveaxis((image - 0.449) / 0.226, -1, 0)  # ImageNet's, over its channels


def train(pairs: list[tuple[np.ndarray, np.ndarray]], params: Params) -> nn.Module:
    settings = params.train
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    rng = np.random.default_rng(settings.seed)
    outputs = len(params.data.classes) + 1
    model = smp.Unet(settings.model.encoder, encoder_weights=None, in_channels=3, classes=outputs)
    model.encoder.load_state_dict(first_encoder(params).net.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    steps = settings.epochs * (len(pairs) * settings.crops // settings.batch_size)
    for _ in tqdm(range(steps), disable=None):
        chosen = rng.integers(len(pairs), size=settings.batch_size)
        drawn = [window(*pairs[k], side=params.resize.side, rng=rng) for k in chosen]
        images, masks = (torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
            logits = model(images)
        optimizer.zero_grad()
        cross_entropy(logits.float(), masks.long()).backward()
        optimizer.step()
    return model.eval()


def first_encoder(params: Params) -> Encoder:
    """The encoder with the weights that the pipeline begins with, for images of three channels."""
    settings = params.train
    described = build.described(settings.model.model_dump(), size=params.resize.side, channels=3, classes=1)
    names = {"encoder": settings.model.encoder, "weights": settings.weights}
    return fold.network(described, **names, aux_source=settings.aux_source)[0].encoder


def window(
    image: np.ndarray, mask: np.ndarray, *, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """A window of image and mask at random, mirrored where they are smaller, flipped or not."""
    short = [max(side - length, 0) for length in mask.shape]
    image = np.pad(image, [(0, 0), (0, short[0]), (0, short[1])], mode="reflect")
    mask = np.pad(mask, [(0, short[0]), (0, short[1])], mode="reflect")
    top, left = (rng.integers(length - side + 1) for length in mask.shape)
    both = [part[..., top : top + side, left : left + side] for part in (image, mask)]
    for axis in (-1, -2):
        if rng.random() < 0.5:
            both = [np.flip(part, axis) for part in both]
    return tuple(np.ascontiguousarray(part) for part in both)


@torch.no_grad()
def predict(model: nn.Module, image: np.ndarray) -> np.ndarray:
    """(H, W) uint8: the likeliest class of each pixel."""
    height, width = image.shape[1:]
    whole: Tensor = torch.from_numpy(image[None])
    wide = pad(whole, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
    return model(wide)[0, :, :height, :width].argmax(0).numpy().astype(np.uint8)


if __name__ == "__main__":
    main()
