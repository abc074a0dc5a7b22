"""Where ImageNet weights lie is found out without fetching any."""

import json
import sys

import huggingface_hub
import pytest
import torch

from ftu_tools.doctor import torch_facts

WHERE = {  # encoder: where its loader looks, and the licence
    "resnet101": ("smp-hub/resnet101.imagenet", "apache-2.0"),
    "mit_b2": ("smp-hub/mit_b2.imagenet", "NVIDIA Source Code License, non-commercial"),
    "tu-pvt_v2_b3": ("timm/pvt_v2_b3.in1k", "apache-2.0"),
    "coat_small": ("timm/coat_small.in1k", "apache-2.0"),
}


@pytest.mark.parametrize("encoder", WHERE)
def test_the_cache_of_the_hub_is_asked_for_the_file_that_would_be_fetched(monkeypatch, encoder):
    repository, licence = WHERE[encoder]
    cache = {(repository, "model.safetensors"): "/cache/file"}
    for name in ("hf_hub_download", "snapshot_download"):
        monkeypatch.setattr(huggingface_hub, name, lambda *_, **__: pytest.fail("fetched"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *at, **_: cache.get(at))
    assert torch_facts.imagenet(encoder) == {"encoder": encoder, "cached": "/cache/file", "licence": licence}
    cache.clear()
    assert torch_facts.imagenet(encoder)["cached"] == ""


def test_an_encoder_that_nobody_knows_is_not_there():
    assert torch_facts.imagenet("tu-no_such_net") == {
        "encoder": "tu-no_such_net", "cached": "", "licence": "unknown"
    }  # fmt: skip


def test_it_answers_in_json_with_the_gpus_that_torch_sees(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["probe"])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # as it sets itself, for this process and those after it
    torch_facts.main()
    assert len(json.loads(capsys.readouterr().out)["gpus"]) == torch.cuda.device_count()
