"""Where ImageNet weights that smp and timm fetch lie on this machine, and whether the hub can be reached."""

import socket
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import huggingface_hub
import segmentation_models_pytorch as smp
import torch
from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name
from timm.models import PretrainedCfg

from ftu.files import limits

WITHIN = 2.0  # s, for the hub, or the proxy before it, to take a connection
NAMES = ("model.safetensors", "pytorch_model.bin")


def cached(name: str, facts: PretrainedCfg | None) -> Path | None:
    """The file of an encoder's ImageNet weights on this machine; `facts` are timm's of one that is its own.

    It looks where huggingface_hub and torch.hub put what segmentation-models-pytorch and timm fetch.
    """
    url = facts.url if name not in smp.encoders.encoders and facts and isinstance(facts.url, str) else ""
    places = [
        huggingface_hub.try_to_load_from_cache(repo, name, revision=one)
        for repo, one in _repositories(name, facts)
        for name in NAMES
    ]
    found = [Path(place) for place in places if isinstance(place, str)]
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    return next(iter([*found, *([file] if url and file.is_file() else [])]), None)


def odd_file(name: str, facts: PretrainedCfg | None) -> Path | None:
    """What lies in place of such a file in the hub's folder and may never end, such as a pipe."""
    for repo, _ in _repositories(name, facts):
        folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
        for path in folder.glob("snapshots/*/*"):
            if path.exists() and limits.file_fault(path):
                return path
    return None


def _repositories(name: str, facts: PretrainedCfg | None) -> list[tuple[str, str | None]]:
    """Where on the hub the weights of an encoder lie, and at which revision."""
    if name in smp.encoders.encoders:
        settings = smp.encoders.encoders[name]["pretrained_settings"].get("imagenet")
        return [(settings["repo_id"], settings["revision"])] if settings else []
    repository, _, revision = ((facts and facts.hf_hub_id) or "").partition("@")
    return [(repository, revision or None)] if repository else []


def offline_unless_reached() -> None:
    """Let the hub's client not try again and again for a minute where nobody answers.

    HF_HUB_OFFLINE=1 in the environment asks nobody at all.
    """
    if not constants.HF_HUB_OFFLINE and not _reached():
        constants.HF_HUB_OFFLINE = True


def _reached() -> bool:
    """Whether the hub's address, or that of the proxy in the environment, takes a connection."""
    asked = urlsplit(constants.ENDPOINT)
    proxy = getproxies().get(asked.scheme)
    if proxy and not proxy_bypass(asked.hostname or ""):
        asked = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    answered = []

    def connect() -> None:
        port = asked.port or (443 if asked.scheme == "https" else 80)
        try:
            socket.create_connection((asked.hostname or "", port), timeout=WITHIN).close()
        except OSError:
            return
        answered.append(True)

    trying = Thread(target=connect, daemon=True)  # a name may take longer to be looked up than any timeout
    trying.start()
    trying.join(WITHIN)
    return bool(answered)
