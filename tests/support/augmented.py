"""The section `augment` of params.yaml, for tests that change a part of it."""

from typing import Any

from ruamel.yaml import YAML

from imports import ROOT

PLAIN: dict[str, Any] = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))["augment"]
