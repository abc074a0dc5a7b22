"""What pre-training leaves for the training of its fold: weights.safetensors, and pretrain.json about them.

Without steps the stage writes pretrain.json alone, of the same bytes for all parameters, and nobody reads it.
"""

from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from ftu.cache.hashes import sha256
from ftu.errors import InputError, some
from ftu.files import jsonfile
from ftu.networks.common import saved
from ftu.networks.common.contract import Segmenter
from ftu.networks.common.saved import WEIGHTS

FACTS = "pretrain.json"
AGAIN = "run `dvc repro` to pre-train again"
LEFT = "reconstruction."  # parts that training does not have
OWN = ("head.", "aux_heads.")  # parts that may have another shape, and then are drawn anew


def save(folder: Path, state: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write the weights, and `facts` with the weights' sha256."""
    saved.write_weights(folder / WEIGHTS, state)
    jsonfile.write(folder / FACTS, facts | {"weights_sha256": sha256(folder / WEIGHTS)})


def take_over(network: Segmenter, folder: Path) -> dict[str, Any]:
    """Fill `network` with the weights in `folder`; what model.json says of them.

    Heads of another shape keep their first weights, and so do those of several classes after a head for
    images, whose channels are no classes though they may be as many; `at_random` names them. Raises
    InputError for weights that are damaged, or of another network.
    """
    with jsonfile.facts(folder / FACTS, AGAIN) as facts:
        told = {key: facts[key] for key in ("steps", "images", "transductive", "weights_sha256")}
    path, own = folder / WEIGHTS, network.state_dict()
    try:
        if sha256(path) != told["weights_sha256"]:
            raise InputError(f"{path}: are not those that {FACTS} names; {AGAIN}")
        found = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be loaded ({error}); {AGAIN}") from error
    of_images = network.outputs > 1 and not any(name.startswith(LEFT) for name in found)
    found = {name: value for name, value in found.items() if not name.startswith(LEFT)}
    shared = [name for name in own if name.startswith(OWN) and name in found]
    anew = [name for name in shared if of_images or own[name].shape != found[name].shape]
    found |= {name: own[name] for name in anew}
    if wrong := saved.misfits(own, found):
        raise InputError(
            f"{path}: are of another network than train.model: {len(wrong)} tensors differ "
            f"({some(wrong)}); {AGAIN}"
        )
    network.load_state_dict(found)
    return told | {"at_random": sorted({name.partition(".")[0] for name in anew})}
