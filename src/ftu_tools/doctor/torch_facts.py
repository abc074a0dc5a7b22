"""What only torch can tell, as JSON: GPUs, and the weights of an encoder (an argument) where one is named."""

import json
import os
import sys
from pathlib import Path


def gpus() -> list[dict[str, str | int]]:
    """Name and memory (bytes) of each GPU."""
    import torch

    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [{"name": one.name, "memory": one.total_memory} for one in found]


def imagenet(encoder: str) -> dict[str, str]:
    """Where an encoder's ImageNet weights lie on this machine, empty if nowhere, and their licence.

    It looks where huggingface_hub and torch.hub put what segmentation-models-pytorch and timm fetch.
    """
    import segmentation_models_pytorch as smp
    import torch
    from huggingface_hub import try_to_load_from_cache

    from ftu.networks.common.first_weights import licence, timm_facts

    if encoder in smp.encoders.encoders:
        settings = smp.encoders.encoders[encoder]["pretrained_settings"].get("imagenet")
        where, url = [(settings["repo_id"], settings["revision"])] if settings else [], ""
    else:
        facts = timm_facts(encoder)
        repository, _, revision = ((facts and facts.hf_hub_id) or "").partition("@")
        where = [(repository, revision or None)] if repository else []
        url = facts.url if facts and isinstance(facts.url, str) else ""
    names = ("model.safetensors", "pytorch_model.bin")
    cached = [try_to_load_from_cache(repo, name, revision=one) for repo, one in where for name in names]
    found = [path for path in cached if isinstance(path, str)]
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    found += [str(file)] if url and file.is_file() else []
    return {"encoder": encoder, "cached": next(iter(found), ""), "licence": licence(encoder)}


def main() -> None:
    """The command line."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched
    encoder = "".join(sys.argv[1:])
    told = {"gpus": gpus()} | ({"imagenet": imagenet(encoder)} if encoder else {})
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
