"""Laws of rounds: a network is refused one image at a time where torch refuses it, and no other is."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ftu.errors import InputError
from ftu.networks.common import build
from ftu.training import rounds as rounds_module
from ftu.training.rounds import Rounds, takes_one_image
from imports import ROOT

NETWORKS = {"unet": True, "deeplabv3plus": False, "daformer": True}  # decoder -> takes one image of 64 px


def architecture(decoder: str, size: int = 64) -> dict[str, Any]:
    named = {"family": "encoder_decoder", "encoder": "resnet18", "decoder": decoder}
    return {**named, "width": 16, "fuse": "conv1x1", "drop_path": 0, "size": size}


class Known(Rounds):
    """Of a network of which it is known, under the name of one."""

    def takes_one(self) -> bool:
        return self.architecture["takes_one"]


def known(takes_one: bool, batch_size: int, accumulate: int = 1, processes: int = 1) -> Known:
    return Known({"takes_one": takes_one}, batch_size, accumulate, processes)


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("decoder", NETWORKS)
def test_one_image_is_refused_where_torch_refuses_to_train_on_it(decoder, size):
    rounds = Rounds(architecture(decoder, size), batch_size=4, accumulate=2, processes=2)
    network = build.build(rounds.architecture).train()
    try:
        output = network(torch.rand(1, 3, size, size))
        (output.logits.mean() + sum(aux.mean() for aux in output.aux_logits)).backward()
    except ValueError:
        refused = pytest.raises(
            InputError, match=r"batch_size 4, train\.accumulate 2, train\.processes 2: each"
        )
        with refused as told:
            rounds.check()
        assert "lower train.accumulate or train.processes" in str(told.value)
        assert not takes_one_image(network, size)
    else:
        rounds.check()
        assert takes_one_image(network, size)


@pytest.mark.parametrize(("decoder", "expected"), NETWORKS.items())
def test_deeplab_alone_does_not_train_on_one_image(decoder, expected):
    assert Rounds(architecture(decoder), 1, 1, 1).takes_one() is expected


def test_another_error_is_not_taken_for_a_lack_of_images():
    network = build.build(architecture("unet"))
    network.head = torch.nn.BatchNorm1d(7)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="expected 2D or 3D input"):
        takes_one_image(network, 64)


def test_two_images_are_never_refused_and_nobody_is_asked():
    Rounds({"family": "none such"}, batch_size=4, accumulate=2, processes=1).check()


@pytest.mark.parametrize(
    ("encoder", "decoder", "size", "words"),
    [
        ("tu-nest_tiny", "unet", 64, "cannot be built (list index out of range)"),
        ("tu-hiera_tiny_224", "deeplabv3plus", 64, "cannot be built (Hiera.__init__() got an unexpected"),
        ("tu-efficientformer_l1", "daformer", 64, "cannot train on images of 64 px (RuntimeError: "),
        pytest.param(
            "tu-inception_v3",
            "unet",
            32,
            "cannot train on images of 32 px (RuntimeError: ",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_network_that_fails_in_its_own_way_is_refused_in_words(encoder, decoder, size, words):
    network = architecture(decoder, size) | {"encoder": encoder}
    with pytest.raises(InputError) as told:
        Rounds(network, batch_size=2, accumulate=1, processes=1).try_step()
    assert words in str(told.value)
    assert f"'encoder': '{encoder}'" in str(told.value) or "cannot be built" in words
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("decoder", NETWORKS)
@pytest.mark.parametrize("encoder", ["resnet18", "mit_b0"])  # the second cannot be built without values
def test_trying_a_step_draws_no_random_number_and_computes_none(decoder, encoder, monkeypatch):
    if (encoder, decoder) == ("mit_b0", "deeplabv3plus"):
        pytest.skip("mit has no dilated last stage")
    places: list[str] = []
    real = torch.nn.Conv2d.forward

    def forward(self, images):
        places.append(images.device.type)
        return real(self, images)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", forward)
    before = torch.get_rng_state()
    Rounds(architecture(decoder) | {"encoder": encoder}, 4, 1, 1).try_step()
    assert torch.equal(torch.get_rng_state(), before)
    assert set(places) == {"meta"}


def test_where_the_meta_device_fails_the_cpu_decides(monkeypatch):
    tried = []

    def step(*words):
        tried.append(words[-1])
        if words[-1] == "meta":
            raise NotImplementedError("no such operator")

    monkeypatch.setattr(rounds_module, "_step", step)
    Rounds(architecture("unet"), 4, 1, 1).try_step()
    assert tried == ["meta", "meta", "cpu"]


@pytest.mark.parametrize(("images", "tried"), [(1, 1), (2, 2), (3, 2), (64, 2)])
def test_a_step_is_tried_with_as_many_images_as_a_round_has_but_two_at_most(images, tried, monkeypatch):
    counts = []
    monkeypatch.setattr(rounds_module, "_step", lambda _, count, *__: counts.append(count))
    Rounds(architecture("unet"), 2 * images, 2, 1).try_step()
    assert counts == [tried]


def test_a_side_that_is_no_multiple_of_the_strides_is_none_of_other_strides():
    Rounds(architecture("unet", size=60), 4, 1, 1).try_step()


def test_a_network_through_which_no_gradient_goes_back_is_refused(monkeypatch):
    network = build.build(architecture("unet"))
    real = type(network).forward

    def fails(_):
        raise NotImplementedError("no way back")

    def forward(self, images):
        output = real(self, images)
        output.aux_logits[3].register_hook(fails)
        return output

    monkeypatch.setattr(type(network), "forward", forward)
    with pytest.raises(
        InputError, match=r"cannot train on images of 64 px \(NotImplementedError: no way back\)"
    ):
        Rounds(architecture("unet"), 4, 1, 1).try_step()


def test_other_strides_are_refused(monkeypatch):
    network = build.build(architecture("unet"))
    real = type(network).forward

    def forward(self, images):
        output = real(self, images)
        return output._replace(aux_logits=output.aux_logits[1:] + output.aux_logits[-1:])

    monkeypatch.setattr(type(network), "forward", forward)
    with pytest.raises(InputError, match=r"strides \[8, 16, 32, 32\] at 64 px, and training needs 4, 8"):
        Rounds(architecture("unet"), 4, 1, 1).try_step()


@given(st.booleans(), st.integers(1, 64), st.integers(1, 4), st.integers(1, 4))
def test_what_is_advised_is_a_way_to_deal_the_same_step_that_is_not_refused(takes, images, rounds, processes):
    batch_size = images * rounds * processes
    smaller = known(takes, batch_size, rounds, processes).smaller()
    accepted = []
    for more in range(rounds + 1, batch_size + 1):
        if batch_size % (more * processes) == 0 and images % (batch_size // (more * processes)) == 0:
            other = known(takes, batch_size, more, processes)
            if takes or other.images > 1:
                other.check()
                accepted.append(other.images)
            else:
                with pytest.raises(InputError, match="one image a round"):
                    other.check()
    assert smaller == sorted(accepted)


@pytest.mark.parametrize(
    ("images", "takes", "expected"),
    [
        (6, True, [1, 2, 3]),
        (6, False, [2, 3]),
        (2, True, [1]),
        (2, False, []),
        (3, False, []),
        (1, True, []),
        (1, False, []),
    ],
)
def test_the_smaller_rounds_of_a_step(images, takes, expected):
    assert known(takes, images).smaller() == expected


@pytest.mark.slow
def test_the_stage_refuses_before_it_reads_an_image(new_project):
    model = architecture("deeplabv3plus")
    del model["size"]
    project = new_project(resize={"side": 64}, train={"model": model, "batch_size": 2, "accumulate": 2})
    done = subprocess.run(
        [sys.executable, str(ROOT / "stages" / "train.py"), "--fold", "0"],
        cwd=project.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "train: error: train.batch_size 2, train.accumulate 2, train.processes 1: each" in done.stderr
