"""What the second paper reports, and which of its claims its own numbers bear: docs/second-paper.md.

Source: A. Gonzalez Marfil, "Transformer-based architecture for 2D semantic segmentation of mitochondria",
master's thesis (2022). Foreground IoU on test images, mean and standard deviation of ten trainings; tables
5.1, 5.2, 5.4, 5.5 and A.1. Two means are compared by Welch's t (Biometrika 34, 1947); a difference that a
two-sided test at 5 % does not tell from none is called open.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from scipy import stats

from ftu.files import markdown
from ftu.pipeline.stage import run
from ftu_tools.studies import networks
from ftu_tools.studies.grid import read_grid
from ftu_tools.studies.run_table2 import grid_file

PAGE = Path("docs/second-paper.md")
RUNS = 10  # trainings behind each mean
LEVEL = 0.05
STEPS, BATCH, SIDE = 106_920, 6, 256  # of the paper on Lucchi++: 360 epochs of 297 steps
PASSES = 3  # forward, and twice as much back
SPEED = 10e12  # FLOP a second that a training is reckoned to reach on one GPU: not measured


class Score(NamedTuple):
    """Foreground IoU over RUNS trainings."""

    mean: float
    sd: float


Table = Mapping[str, Score]

LUCCHI: Table = {
    "U-Net": Score(0.903, 0.007),
    "Attention U-Net": Score(0.906, 0.003),
    "UNETR Mini": Score(0.861, 0.008),
    "UNETR Small": Score(0.857, 0.010),
    "UNETR Base": Score(0.853, 0.010),
    "YNETR Mini": Score(0.880, 0.024),
    "YNETR Small": Score(0.894, 0.009),
    "YNETR Base": Score(0.892, 0.013),
}
KASTHURI: Table = {
    "U-Net": Score(0.910, 0.002),
    "Attention U-Net": Score(0.910, 0.001),
    "UNETR Mini": Score(0.886, 0.004),
    "UNETR Small": Score(0.888, 0.003),
    "UNETR Base": Score(0.887, 0.004),
    "YNETR Mini": Score(0.917, 0.003),
    "YNETR Small": Score(0.916, 0.001),
    "YNETR Base": Score(0.915, 0.002),
}
WIDTHS: Table = {  # UNETR Base
    "8": Score(0.822, 0.022),
    "16": Score(0.846, 0.008),
    "32": Score(0.853, 0.010),
    "64": Score(0.850, 0.014),
}
PRETRAINED: Table = {  # UNETR Base
    "none": Score(0.852, 0.015),
    "pixel_dropout": Score(0.861, 0.011),
    "cutout": Score(0.867, 0.010),
    "defocus": Score(0.867, 0.008),
    "noise": Score(0.871, 0.012),
    "salt_pepper": Score(0.872, 0.008),
    "blur": Score(0.873, 0.009),
    "motion_blur": Score(0.874, 0.005),
    "low_resolution": Score(0.876, 0.007),
}
TO_KASTHURI: Table = {
    "UNETR": Score(0.023, 0.025),
    "Attention U-Net": Score(0.017, 0.008),
    "Attention U-Net, CLAHE": Score(0.620, 0.051),
    "Attention U-Net, matching": Score(0.679, 0.043),
    "Attention Y-Net, matching": Score(0.668, 0.020),
    "DAMT-Net": Score(0.279, 0.078),
}
TO_LUCCHI: Table = {
    "UNETR": Score(0.060, 0.027),
    "Attention U-Net": Score(0.000, 0.000),
    "Attention U-Net, CLAHE": Score(0.433, 0.085),
    "Attention U-Net, matching": Score(0.268, 0.048),
    "Attention Y-Net, matching": Score(0.704, 0.045),
    "DAMT-Net": Score(0.569, 0.088),
}
PARTS = {  # U-Net, UNETR Base
    "as it begins": (Score(0.739, 0.002), Score(0.462, 0.024)),
    "augmentation": (Score(0.871, 0.004), Score(0.774, 0.012)),
    "batch norm": (Score(0.869, 0.002), Score(0.824, 0.011)),
    "dropout": (Score(0.881, 0.002), Score(0.819, 0.008)),
    "ELU": (Score(0.881, 0.002), Score(0.813, 0.010)),
    "He": (Score(0.881, 0.003), Score(0.829, 0.017)),
    "attention gates": (Score(0.884, 0.002), Score(0.788, 0.014)),
}
UNETR_PARTS: Table = {name: unetr for name, (_, unetr) in PARTS.items()}


class Claim(NamedTuple):
    """One row of a table is above another."""

    where: str
    table: Table
    better: str
    worse: str


CLAIMS = (
    Claim("Lucchi++", LUCCHI, "Attention U-Net", "U-Net"),
    Claim("Lucchi++", LUCCHI, "Attention U-Net", "UNETR Mini"),
    Claim("Lucchi++", LUCCHI, "Attention U-Net", "YNETR Small"),
    Claim("Kasthuri++", KASTHURI, "YNETR Mini", "U-Net"),
    Claim("width of UNETR Base", WIDTHS, "32", "16"),
    Claim("width of UNETR Base", WIDTHS, "32", "64"),
    Claim("parts of UNETR Base", UNETR_PARTS, "He", "batch norm"),
    *(Claim("pre-training of UNETR Base", PRETRAINED, task, "none") for task in PRETRAINED if task != "none"),
    Claim("pre-training of UNETR Base", PRETRAINED, "low_resolution", "noise"),
    Claim("pre-training of UNETR Base", PRETRAINED, "low_resolution", "pixel_dropout"),
    Claim("Lucchi++ to Kasthuri++", TO_KASTHURI, "Attention U-Net, matching", "Attention U-Net"),
    Claim("Lucchi++ to Kasthuri++", TO_KASTHURI, "Attention U-Net, matching", "Attention U-Net, CLAHE"),
    Claim("Lucchi++ to Kasthuri++", TO_KASTHURI, "Attention U-Net, matching", "Attention Y-Net, matching"),
    Claim("Kasthuri++ to Lucchi++", TO_LUCCHI, "Attention U-Net, matching", "Attention U-Net"),
    Claim("Kasthuri++ to Lucchi++", TO_LUCCHI, "Attention U-Net, CLAHE", "Attention U-Net, matching"),
    Claim("Kasthuri++ to Lucchi++", TO_LUCCHI, "Attention Y-Net, matching", "DAMT-Net"),
)

# Where text, code and tables of the paper disagree, and what is built here.
CONTRADICTIONS = {
    "weight decay": (
        "Text: AdamW, 1e-5. Code: TensorFlow Addons' AdamW, whose decay does not fall with the "
        "learning rate: over the run it takes 66 % of a weight that has no gradient. profiles/em-"
        "text.yaml and em-code.yaml."
    ),
    "U-Net's parameters": (
        "1.95 M are printed. Without batch norm, which Table 5.1 discards, there are 1,940,817; with "
        "it 1,946,705, as Keras counts. Without it here."
    ),
    "UNETR Base of width 64": (
        "60.2 M are printed; there are 60,267,841, or 60,274,753 with running statistics."
    ),
    "pre-training is better in every case": ("By its own numbers pixel dropout is not told from none."),
    "matching alone is best to Kasthuri++": ("By its own numbers it is not told from the Attention Y-Net."),
    "validation": (
        "Text: a tenth at random. Code: the last tenth of the patches, which are neighbours of the "
        "others. Here whole blocks of slices are held out (`split.by: z`)."
    ),
    "IoU": (
        "Text: of the whole set. Code: the mean over slices, where an empty slice counts 0. "
        "scores.json has both, and the second as `iou_paper`."
    ),
    "rotation of masks": (
        "The code interpolates them and trains on what lies between; here they stay 0 and 1."
    ),
    "gates": (
        "Text and figure: of the skip. Code: of what comes up, and the skip enters through the shares"
        " alone. `train.model.fuse: skip | upsampled`."
    ),
    "Tables 5.1 and 5.4": ("They use different masks (Lucchi and Lucchi++) and must not be compared."),
}


def welch(one: Score, other: Score) -> tuple[float, float]:
    """Welch's t of the difference, and the probability of one as large where there is none."""
    found = stats.ttest_ind_from_stats(*one, RUNS, *other, RUNS, equal_var=False)
    return float(found.statistic), float(found.pvalue)  # pyright: ignore[reportAttributeAccessIssue]


def verdict(claim: Claim) -> str:
    """Whether its own numbers bear the claim."""
    t, chance = welch(claim.table[claim.better], claim.table[claim.worse])
    return "open" if chance > LEVEL else "borne out" if t > 0 else "contradicted"


def hours(gmac: float) -> float:
    """Of one training of the paper's length, for a network of so many 10^9 multiplications an image."""
    return STEPS * BATCH * PASSES * 2 * gmac * 1e9 / SPEED / 3600


def page() -> str:
    """The whole page."""
    return "\n".join([*HEAD, *_claims(), *_tables(), *_contradictions(), *_runs(), ""])


HEAD = (
    "# The second paper, and what its own numbers say",
    "",
    "`make docs` writes this page from src/ftu_tools/studies/second_paper.py. The paper is A. Gonzalez "
    'Marfil, "Transformer-based architecture for 2D semantic segmentation of mitochondria" (2022). Its '
    "scores are foreground IoU, mean and standard deviation of ten trainings. Our networks have its "
    "counts of parameters ([models.md](models.md)); pre-training is in [pretraining.md](pretraining.md), "
    "other microscopes in [adaptation.md](adaptation.md).",
)


def _claims() -> Iterator[str]:
    yield from (
        "",
        "## Claims",
        "",
        "Welch's t of the two means. A claim is open where a two-sided test at 5 % cannot tell the "
        "difference from none.",
        "",
    )
    rows = []
    for claim in CLAIMS:
        one, other = claim.table[claim.better], claim.table[claim.worse]
        t, _ = welch(one, other)
        words = f"{claim.better} above {claim.worse}"
        rows.append([claim.where, words, _score(one), _score(other), f"{t:.1f}", verdict(claim)])
    yield from markdown.table(["where", "claim", "first", "second", "t", "its own numbers"], rows)


def _tables() -> Iterator[str]:
    yield from ("", "## Its tables", "", "The networks (Table 5.4):", "")
    rows = [[name, _score(LUCCHI[name]), _score(KASTHURI[name])] for name in LUCCHI]
    yield from markdown.table(["network", "Lucchi++", "Kasthuri++"], rows)
    yield from ("", "Pre-training of UNETR Base (5.5), and its width (5.2):", "")
    found = [("pre-training", PRETRAINED), ("width", WIDTHS)]
    rows = [[what, name, _score(score)] for what, table in found for name, score in table.items()]
    yield from markdown.table(["what", "value", "IoU"], rows)
    yield from (
        "",
        "One part after the other, on Lucchi's older masks (5.1); what did not help was taken out:",
        "",
    )
    rows = [[name, *map(_score, scores)] for name, scores in PARTS.items()]
    yield from markdown.table(["part", "U-Net", "UNETR Base"], rows)
    yield from ("", "Trained on one data set, tested on the other (A.1):", "")
    rows = [[name, _score(TO_KASTHURI[name]), _score(TO_LUCCHI[name])] for name in TO_KASTHURI]
    yield from markdown.table(["way", "Lucchi++ to Kasthuri++", "Kasthuri++ to Lucchi++"], rows)


def _contradictions() -> Iterator[str]:
    yield from ("", "## Where it contradicts itself", "")
    yield from markdown.table(
        ["point", "what, and what is built"], [[*item] for item in CONTRADICTIONS.items()]
    )


def _runs() -> Iterator[str]:
    yield from (
        "",
        "## To run it",
        "",
        "    cp profiles/em-text.yaml params.yaml     # or em-code",
        "    dvc repro",
        "    make effects EFFECTS=benchmarks/em/networks.yaml CLAIMS=em-networks SEEDS=42 PART=test",
        "",
        "Slices lie in data/lucchi/train and test, each with images and masks ([own-data.md](own-data.md)), "
        "and their names tell volume and place: `lucchi_train_z012.png`, in both folders. "
        "The last command compares networks, and says of each claim above whether it holds on these images; "
        "pretraining.yaml (em-ssl), ablation.yaml (em-ablation) and adaptation.yaml (em-adapt) beside it do "
        "the same for the other tables. A difference is paired by image and seed, with its interval; where "
        "that spans 0, it cannot be told.",
        "",
        "None of the paper's runs was made here: not its 165 slices, not Kasthuri++, not ten trainings. One "
        f"training has {STEPS:,} steps of {BATCH} images of {SIDE} px. Reckoned from the multiplications, at "
        f"{SPEED / 1e12:.0f} TFLOP a second on one GPU (a guess, not a measurement):",
        "",
    )
    rows = []
    for name, row in read_grid(grid_file("em-networks")).items():
        gmac = networks.facts(row.model, SIDE, 1)["gmac"]
        rows.append([name, f"{gmac:.1f}", f"{hours(gmac):.1f}"])
    yield from markdown.table(["network", "GMAC an image", "hours a training"], rows)


def _score(score: Score) -> str:
    return f"{score.mean:.3f} ± {score.sd:.3f}"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    run(main)
