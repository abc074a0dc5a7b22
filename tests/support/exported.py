"""Networks to export, and two ways to their probabilities: the pipeline's, and ONNX Runtime's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from ftu.networks.common import build, devices
from ftu.networks.common.contract import Probabilities, Segmenter
from ftu.prediction import views
from ftu.prediction.predictor import Predictor

ENCODER_DECODER = {"family": "encoder_decoder", "width": 16, "fuse": "conv1x1", "size": 64}
SECOND = {"norm": "batch", "activation": "relu", "dropout": "plain", "init": "he", "width": 4, "size": 64}
TWINS = {"family": "ms_twins", "decoder": "mstwins", "cascade": "residual", "drop_path": 0.0, "size": 64}
NETWORKS = {
    "U-Net": SECOND | {"family": "unet", "encoder": "plain", "decoder": "unet2d", "fuse": "skip"},
    "Attention U-Net": SECOND | {"family": "unet", "encoder": "plain", "decoder": "attunet", "fuse": "skip"},
    "Attention Y-Net": SECOND
    | {"family": "unet", "encoder": "plain", "decoder": "attunet", "fuse": "skip", "reconstruct": True},
    "UNETR": SECOND | {"family": "unetr", "encoder": "vit-mini", "decoder": "unetr"},
    "YNETR": SECOND | {"family": "unetr", "encoder": "yvit-mini", "decoder": "ynetr"},
    "ResNet U-Net": ENCODER_DECODER | {"encoder": "tu-resnet10t", "decoder": "unet"},
    "ResNet DLv3+": ENCODER_DECODER | {"encoder": "resnet18", "decoder": "deeplabv3plus"},
    "ResNet aspp": ENCODER_DECODER | {"encoder": "resnet18", "decoder": "daformer", "fuse": "aspp"},
    "Enet U-Net": ENCODER_DECODER | {"encoder": "efficientnet-b0", "decoder": "unet"},
    "Enet DLv3+": ENCODER_DECODER | {"encoder": "efficientnet-b0", "decoder": "deeplabv3plus"},
    "MobileNet U-Net": ENCODER_DECODER | {"encoder": "tu-mobilenetv3_small_050", "decoder": "unet"},
    "SegFormer": ENCODER_DECODER | {"encoder": "mit_b0", "decoder": "daformer"},
    "PVTv2": ENCODER_DECODER | {"encoder": "tu-pvt_v2_b0", "decoder": "daformer", "fuse": "conv3x3"},
    "CoaT-lite": ENCODER_DECODER | {"encoder": "coat_lite_tiny", "decoder": "daformer"},
    "CoaT": ENCODER_DECODER | {"encoder": "coat_tiny", "decoder": "daformer"},
    "CoaT, five scales": ENCODER_DECODER | {"encoder": "coat_small_plus1", "decoder": "daformer"},
    "Swin": ENCODER_DECODER
    | {"encoder": "tu-swin_tiny_patch4_window7_224", "decoder": "daformer", "size": 224},
    "MS-Twins": TWINS | {"encoder": "tu-twins_svt_small", "fuse": "ms_fif"},
}

Folds = Mapping[int, tuple[Segmenter, dict[str, Any]]]


def grown(architecture: dict) -> Segmenter:
    """The network with random weights, and statistics of batches as a training leaves them."""
    devices.fix_randomness(0, threads=1)
    segmenter = build.build(architecture).eval()
    for module in segmenter.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)  # pyright: ignore[reportArgumentType]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # pyright: ignore[reportArgumentType]
    return segmenter


def drawn(count: int, height: int, width: int) -> np.ndarray:
    """(count, h, w, 3) uint8"""
    return np.random.default_rng(height).integers(0, 256, (count, height, width, 3), np.uint8)


def by_pipeline(folds: Folds, images: np.ndarray, tta: str = "none") -> np.ndarray:
    """What predict gives of images (B, h, w, 3) uint8, the mean of folds and views: (B, K, h, w)."""
    maps = []
    for segmenter, facts in folds.values():
        predictor = Predictor(
            Probabilities(segmenter),
            {tta: views.groups(tta, [])},
            batch_size=1,
            mean=facts["mean"],
            std=facts["std"],
            device=torch.device("cpu"),
            classes=max(segmenter.outputs - 1, 1),
        )
        maps.append(next(predictor.run([images])))
    return np.mean(maps, axis=0)


def by_runtime(path: Path, images: np.ndarray, full: float = 255.0) -> np.ndarray:
    pixels = np.moveaxis(images, -1, 1).astype(np.float32) * np.float32(full / 255)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": pixels})[0])
