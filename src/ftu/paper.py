"""What the paper reports: its Table 2 and its claims.

Source: Barve, Hussain and Pakanati, "A switched auxiliary loss for robust training of transformer models for
histopathological image segmentation", arXiv:2308.10994 (2023). Dice (0..1) on the competition's public and
private test images; one training run each, without intervals. Private scores are given for the transformers
only.
"""

from typing import NamedTuple


class Dice(NamedTuple):
    """One row of Table 2; its columns are called normal, aux and switched there."""

    none: float
    single: float
    switched: float


PUBLIC = {
    "CoaT": Dice(0.78446, 0.77024, 0.79321),
    "PVTv2": Dice(0.74261, 0.75728, 0.75742),
    "Segformer": Dice(0.76105, 0.75931, 0.76628),
    "Enet-b5 Unet": Dice(0.77197, 0.76929, 0.75352),
    "Resnet101 Unet": Dice(0.69737, 0.70302, 0.67994),
    "Enet-b5 DLv3+": Dice(0.75404, 0.75438, 0.75921),
    "Resnet101 DLv3+": Dice(0.60265, 0.65143, 0.66397),
}
PRIVATE = {
    "CoaT": Dice(0.76127, 0.74223, 0.77805),
    "PVTv2": Dice(0.69732, 0.70284, 0.71199),
    "Segformer": Dice(0.70640, 0.69562, 0.72102),
}

# Its claims, in our words; `claims` judges each on other results.
CLAIMS = {
    "switched beats none": "On transformers, switched beats none.",
    "switched beats single": "On transformers, switched beats single.",
    "one percent": "On transformers, switched gains about 1 % over both baselines, consistently.",
    "single lowers": "A single auxiliary loss lowers the Dice slightly, for every model alike.",
    "cnns less sensitive": "CNNs are less sensitive to the auxiliary loss than transformers.",
}

# Where its text and its own Table 2 disagree.
CONTRADICTED = {
    "one percent": "PVTv2 gains 0.014 points over single on the public images (0.75728 to 0.75742).",
    "single lowers": "PVTv2 rises with single, by 1.47 points on the public images (0.74261 to 0.75728) "
    "and by 0.55 on the private ones (0.69732 to 0.70284).",
    "cnns less sensitive": "Resnet101 DLv3+, a CNN, moves by 6.13 points from none to switched "
    "(0.60265 to 0.66397), more than any transformer.",
}
