"""Every network of docs/models.md gives ONNX Runtime the pipeline's probabilities, or is refused in words."""

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from exported import NETWORKS, by_pipeline, by_runtime, drawn, grown
from ftu.errors import InputError
from ftu.networks.common import build
from ftu_tools.export import network
from narrow_twins import narrow
from slides import Dark

STATISTICS = ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3])


def write(folds: dict, path: Path, *, full: float = 255.0, fixed: bool = False) -> network.Sizes:
    sizes = network.sizes_of(folds, fixed=fixed)
    network.write_onnx(network.Exported(folds, full), sizes, 3, path)
    return sizes


def facts(architecture: dict) -> dict:
    return {"architecture": architecture, "mean": STATISTICS[0], "std": STATISTICS[1]}


@pytest.mark.slow  # the fast test_export.py exports a U-Net
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_gives_the_pipelines_probabilities(name, tmp_path, monkeypatch):
    narrow(monkeypatch)
    architecture = NETWORKS[name]
    folds = {0: (grown(architecture), facts(architecture))}
    sizes = write(folds, tmp_path / "model.onnx")
    assert sizes.one == build.takes_one_size(architecture)
    step, least = sizes.multiple, sizes.least
    shapes = (
        [(1, least, least)] if sizes.one else [(1, step, step), (1, 3 * step, 2 * step), (3, 2 * step, step)]
    )
    for shape in shapes:
        images = drawn(*shape)
        expected = by_pipeline(folds, images)
        found = by_runtime(tmp_path / "model.onnx", images)
        assert np.ptp(expected) > 1e-4
        np.testing.assert_allclose(found, expected, rtol=0, atol=network.WITHIN)


def odd(module: nn.Module) -> network.Exported:
    """An export of one fold that is not of ours."""
    exported = network.Exported({}, 255.0)
    exported.folds.append(module)
    return exported


def test_attention_is_fused_again_after_the_export(tmp_path):
    class Fused(nn.Module):
        fused_attn = True

        def forward(self, image):
            return image * (2 if self.fused_attn else 3)

    module = Fused()
    sizes = network.Sizes(multiple=32, least=32, one=True, pad="edge")
    network.write_onnx(odd(module), sizes, 3, tmp_path / "model.onnx")
    assert module.fused_attn
    found = by_runtime(tmp_path / "model.onnx", drawn(1, 32, 32))
    np.testing.assert_array_equal(found, 3.0 * np.moveaxis(drawn(1, 32, 32), -1, 1))


def test_statistics_of_pixels_are_not_taken_for_steps_of_the_network(tmp_path):
    """The exporter calls the results of steps after these, such as mean, and weights by their names."""

    class Means(nn.Module):
        def forward(self, image):
            return image.mean((2, 3), keepdim=True) / image.std((2, 3), keepdim=True)

    known = {"mean": STATISTICS[0], "std": STATISTICS[1]}
    fold = network.Fold(Dark(), known, 255.0)  # pyright: ignore[reportArgumentType] # it is replaced
    fold.network = Means()  # pyright: ignore[reportAttributeAccessIssue]
    sizes = network.Sizes(multiple=32, least=32, one=True, pad="edge")
    network.write_onnx(odd(fold), sizes, 3, tmp_path / "model.onnx")
    pixels = (drawn(1, 32, 32) / 255 - STATISTICS[0]) / STATISTICS[1]
    expected = pixels.mean((1, 2)) / pixels.std((1, 2), ddof=1)
    found = by_runtime(tmp_path / "model.onnx", drawn(1, 32, 32))
    np.testing.assert_allclose(found.ravel(), expected.ravel(), rtol=1e-4)


def test_what_the_exporter_cannot_follow_is_refused_in_words(tmp_path):
    class Odd(nn.Module):
        def forward(self, image):
            return image if image.sum().item() > 0 else -image

    sizes = network.Sizes(multiple=32, least=32, one=False, pad="edge")
    with pytest.raises(InputError, match=r"^this network cannot be exported \(.*--fixed exports"):
        network.write_onnx(odd(Odd()), sizes, 3, tmp_path / "model.onnx")


def test_folds_of_different_networks_are_refused_by_name():
    one, other = (facts(NETWORKS["U-Net"] | {"width": width}) for width in (4, 8))
    segmenter = grown(one["architecture"])
    with pytest.raises(InputError, match=r"models/fold_3: is another network than fold 0, .*--fold"):
        network.check_alike({0: (segmenter, one), 3: (segmenter, other)})


def test_two_gigabytes_are_too_many_for_a_file(monkeypatch):
    architecture = NETWORKS["U-Net"]
    fold = (grown(architecture), facts(architecture))
    size = sum(value.nbytes for value in fold[0].state_dict().values())
    monkeypatch.setattr(network, "LARGEST", 2 * size)
    network.check_alike({0: fold, 1: fold})
    with pytest.raises(InputError, match=r"3 folds are .* GB, .*--fold"):
        network.check_alike({0: fold, 1: fold, 2: fold})


@pytest.mark.parametrize(
    ("name", "fixed", "expected"),
    [
        ("U-Net", False, network.Sizes(32, 32, False, "edge")),
        ("U-Net", True, network.Sizes(96, 96, True, "edge")),  # trained at 70 px, padded
        ("UNETR", False, network.Sizes(96, 96, True, "edge")),
        ("MS-Twins", False, network.Sizes(224, 224, False, "reflect")),
    ],
)
def test_which_sizes_a_network_takes(name, fixed, expected, monkeypatch):
    narrow(monkeypatch)
    architecture = NETWORKS[name] | {"size": 70}
    folds = {0: (grown(architecture), facts(architecture))}
    assert network.sizes_of(folds, fixed=fixed) == expected
