"""README.md: the model card, with Hugging Face's header.

https://huggingface.co/docs/hub/model-cards and https://huggingface.co/docs/hub/model-card-annotated
"""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ftu.files.markdown import table
from ftu.preprocessing import normalization
from ftu_tools.export import network
from ftu_tools.export.about import About, Score
from ftu_tools.trained import licences


def text(about: About) -> str:
    """The document."""
    parts = [_first(about), _use(about), _input(about), _validation(about), _training(about), _publish(about)]
    return f"---\n{_header(about)}---\n\n" + "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _header(about: About) -> str:
    licence = (
        {"license": about.licence.lower()}
        if about.licence
        else {"license": "other", "license_name": "not-chosen"}
    )
    content: dict[str, Any] = {
        **licence,
        "license_link": "LICENSES.md",
        "library_name": "onnx",
        "pipeline_tag": "image-segmentation",
        "tags": ["medical", "histology", "segmentation", "onnx", "ftu"],
        "metrics": ["dice"],
    }
    if results := [each for each in about.scores if not math.isnan(each.dice)]:
        content["model-index"] = [{"name": about.name, "results": [_result(about, one) for one in results]}]
    stream = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.dump(content, stream)
    return stream.getvalue()


def _result(about: About, score: Score) -> dict[str, Any]:
    return {
        "task": {"type": "image-segmentation", "name": "Image segmentation"},
        "dataset": {
            "type": about.params.data.layout,
            "name": f"{about.data}: {score.of}",
            "split": score.part,
        },
        "metrics": [
            {"type": "dice", "name": f"mean Dice of {score.images} images", "value": round(score.dice, 6)}
        ],
    }


def _first(about: About) -> list[str]:
    kind, organs = about.architecture, ", ".join(about.params.data.organs)
    return [
        f"# {about.name}",
        "",
        f"Segments {', '.join(about.params.data.classes)} in images of {organs}: {kind['encoder']} with "
        f"{kind['decoder']}, the mean probability of {len(about.models)} folds. Made by ftu, from "
        f"{about.made_by}.",
    ]


def _use(about: About) -> list[str]:
    organs, sources = (", ".join(names) for names in (about.params.data.organs, about.params.data.sources))
    return [
        "## Intended use",
        "",
        "**Research only. This is not a medical device: no answer of it is to diagnose or treat anybody.**",
        "",
        f"It knows images of {organs} from {sources} alone. On other organs, stains, scanners and scales it "
        "answers as surely, and nobody has looked whether it is right: look at its answers on yours first.",
        "",
        "    python predict.py IMAGE.npy OUT.npy                    # numpy and onnxruntime alone",
        "    make segment MODEL=THIS_FOLDER IMAGES=slides ORGAN=... # slides, for QuPath; in a clone of ftu",
    ]


def _input(about: About) -> list[str]:
    sizes, data, classes = about.sizes, about.params.data, ", ".join(about.params.data.classes)
    colours = "red, green, blue" if data.channels == 3 else "grey"
    size = (
        f"{sizes.least} x {sizes.least} px" if sizes.one else f"sides that are multiples of {sizes.multiple}"
    )
    scale = " to ".join(f"{um:.4g}" for um in dict.fromkeys(about.scale or ())) or "not known"
    scaled = about.views.endswith("_scales")
    rows = [
        (
            f"`{network.INPUT}`",
            f"float32 (batch, {data.channels}, height, width), {colours}, 0..{about.full:g}",
        ),
        ("size", f"{size}; `predict.py` continues others (numpy.pad, {sizes.pad})"),
        ("scale", f"um per px that it learnt from: {scale}"),
        ("stain", _stain(about)),
        (f"`{network.OUTPUT}`", f"float32 (batch, {len(data.classes)}, height, width), 0..1: {classes}"),
        (
            "views",
            f"model.onnx sees an image once; `predict.py` averages the views `{about.views}`, as the project"
            + (", but those at other scales: `make segment` takes these, too" if scaled else ""),
        ),
        ("masks", "rules.json has the threshold and the sizes of each organ and data source"),
    ]
    return ["## What goes in, and what comes out", "", *table(["", ""], rows)]


def _stain(about: About) -> str:
    backend = about.params.stain.backend
    if backend == "none":
        return "as the images are"
    if backend in normalization.LEVELS:
        return f"grey levels changed before (stain.backend {backend})"
    return f"normalised before to that of target.png (stain.backend {backend}); `make segment` does it"


def _validation(about: About) -> list[str]:
    lines = ["## Validation", ""]  # so called for bioimage.io
    if not about.scores:
        return [*lines, "Not known: what was exported holds no reports."]
    rows = [
        (
            one.part,
            one.of,
            one.images,
            f"{one.dice:.3f}",
            f"{one.low:.3f} to {one.high:.3f}".replace("nan to nan", ""),
        )
        for one in about.scores
    ]
    lines += table(["images", "of", "number", "Dice", "95 % interval"], rows)
    lines += [
        "",
        "Mean Dice at native resolution. Out of fold, each image was predicted by the network that did not "
        "learn from it, with the project's views and rules: the mean of all folds was not scored on these. "
        "Intervals are for other images (of other patients, where these are known) of the same kind.",
    ]
    pictures = [f"![{Path(path).stem}]({Path(path).name})" for path in about.pictures]
    return [*lines, "", *pictures] if pictures else lines


def _training(about: About) -> list[str]:
    settings, data = about.params.train, about.params.data
    first = sorted({facts["encoder_weights"]["source"] for facts in about.models.values()})
    rows = [
        ("data", about.data),
        ("organs", ", ".join(data.organs)),
        ("data sources", ", ".join(data.sources)),
        ("first weights", f"{', '.join(first)} ([LICENSES.md](LICENSES.md))"),
        ("auxiliary loss", settings.aux_loss),
        ("epochs", settings.epochs),
        ("licence of the weights", about.licence or "not chosen yet"),
    ]
    lines = ["## Training, licence, citation", "", *table(["", ""], rows), ""]
    if bound := licences.bound(about.models):
        lines += [
            f"First weights of {', '.join(bound)} are for **non-commercial use only**, and so are these.",
            "",
        ]
    lines += ["Please cite ftu, and", ""]
    return lines + [f"- {cited(each)}" for each in about.cited]


def cited(reference: Mapping[str, Any]) -> str:
    """Title, year and place of what is to be cited, as far as they are known."""
    year = f" ({reference['year']})" if "year" in reference else ""
    place = reference.get("doi") or reference.get("url")
    return f"{reference['title']}{year}{f', {place}' if place else ''}"


def _publish(about: About) -> list[str]:
    licence = about.licence or "LICENCE"
    upload = f"kagglehub.model_upload('YOU/NAME/onnx/default', '.', '{licence}')"
    return [
        "## Publishing this folder",
        "",
        "    hf upload YOU/NAME .",
        f'    python -c "import kagglehub; {upload}"',
        '    zip -r ../NAME.zip . && curl -H "Authorization: Bearer $ZENODO_TOKEN" -T ../NAME.zip '
        "$BUCKET/NAME.zip",
        "",
        "BUCKET is `links.bucket` of a new deposition of [Zenodo](https://developers.zenodo.org).",
    ]
