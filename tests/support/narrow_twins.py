"""Twins-SVT of a few thousand weights, in place of timm's: the same layers, fewer and narrower ones."""

from functools import partial

import pytest
import timm

from ftu.networks.ms_twins import twins

NARROW = {"embed_dims": (16, 32, 64, 128), "num_heads": (1, 2, 2, 4), "depths": (2, 2, 2, 2)}


class _Timm:
    create_model = staticmethod(partial(timm.create_model, **NARROW))


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the family ms_twins build such encoders."""
    monkeypatch.setattr(twins, "timm", _Timm)
