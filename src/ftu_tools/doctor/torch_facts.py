"""What only torch can tell, as JSON: GPUs, and the weights of an encoder (an argument) where one is named."""

import json
import os
import sys


def gpus() -> list[dict[str, str | int]]:
    """Name and memory (bytes) of each GPU."""
    import torch

    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [{"name": one.name, "memory": one.total_memory} for one in found]


def imagenet(encoder: str) -> dict[str, str]:
    """Where an encoder's ImageNet weights lie on this machine, empty if nowhere, and their licence."""
    from ftu.networks.common import hub
    from ftu.networks.common.first_weights import licence, timm_facts

    cached = hub.cached(encoder, timm_facts(encoder))
    return {"encoder": encoder, "cached": str(cached or ""), "licence": licence(encoder)}


def main() -> None:
    """The command line."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched
    encoder = "".join(sys.argv[1:])
    told = {"gpus": gpus()} | ({"imagenet": imagenet(encoder)} if encoder else {})
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
