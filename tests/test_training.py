"""Laws of training: what the seed and the schedule decide, what the scheduler sees, and that it learns."""

import copy
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ftu import images, metrics, runtime, schedules, training
from ftu.checkpoints import Checkpoints
from ftu.dataset import Samples, batches
from ftu.errors import InputError
from ftu.schedules import AUX_TERMS
from ftu.segmenter import Segmentation, build_segmenter

SIZE = 32
IDS = [str(number) for number in range(8)]
COLUMNS = (
    ["epoch", "lr", "active_block", "train_total", "train_main"]
    + [f"train_{term}" for term in AUX_TERMS]
    + ["valid_main", "valid_dice"]
)


@pytest.fixture(autouse=True)
def _torch_as_before():
    """fix_randomness changes the whole process."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Bright squares on a dark ground: easy to learn."""
    folder, rng = tmp_path_factory.mktemp("toy"), np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for name in IDS:
        mask = np.zeros((SIZE, SIZE), np.uint8)
        row, column = rng.integers(0, SIZE // 2, 2)
        mask[row : row + 16, column : column + 16] = 1
        image = rng.integers(0, 60, (SIZE, SIZE, 3)) + 150 * mask[..., None]
        images.write_rgb(folder / "images" / f"{name}.png", image.astype(np.uint8))
        images.write_mask(folder / "masks" / f"{name}.png", mask)
    return folder


def loader(folder, ids, *, shuffle, workers=0):
    return batches(
        Samples(ids, folder / "images", folder / "masks", None, seed=0),
        batch_size=4,
        shuffle=shuffle,
        workers=workers,
    )


class Spy(torch.optim.lr_scheduler.ReduceLROnPlateau):
    """Records what it is shown."""

    def __init__(self, optimizer, **settings):
        super().__init__(optimizer, **settings)
        self.seen = []

    def step(self, metrics, epoch=None):  # noqa: ARG002
        self.seen.append(metrics)
        super().step(metrics)


def train(
    folder,
    aux_loss="none",
    *,
    decoder="unet",
    epochs=2,
    weight=0.2,
    lr=1e-3,
    seed=0,
    workers=0,
    precision: training.Precision = "fp32",
    **plateau,
):
    """The model, the history, the spy, and a copy of the weights after each epoch."""
    runtime.fix_randomness(seed, threads=1)
    model = build_segmenter(encoder="resnet18", decoder=decoder, width=16, fuse="conv1x1", size=SIZE)
    optimizer = torch.optim.AdamW(model.parameters(), lr)
    spy, rows, states = Spy(optimizer, **plateau), [], []
    for row in training.fit(
        model,
        loader(folder, IDS, shuffle=True, workers=workers),
        loader(folder, IDS[:6], shuffle=False, workers=workers),
        epochs=epochs,
        weights_at=partial(
            schedules.SCHEDULES[aux_loss], blocks=[2, 1], weight=weight, switch_epoch=epochs // 2
        ),
        optimizer=optimizer,
        scheduler=spy,
        device=torch.device("cpu"),
        precision=precision,
    ):
        rows.append(row)
        states.append(copy.deepcopy(model.state_dict()))
    return model, pd.DataFrame(rows), spy, states


def assert_same(state, other):
    for key, value in state.items():
        assert torch.equal(value, other[key]), key


@pytest.fixture(scope="module")
def switched(folder):
    return train(folder, "switched", epochs=4)


@pytest.fixture(scope="module")
def plain(folder):
    return train(folder, "none")


def test_two_runs_with_one_seed_are_bit_identical(folder, plain):
    _, history, _, states = train(folder, "none")
    assert_same(states[-1], plain[3][-1])
    pd.testing.assert_frame_equal(history, plain[1], check_exact=True)


def test_another_seed_is_another_run(folder, plain):
    states = train(folder, seed=1)[3]
    assert not torch.equal(states[-1]["head.0.weight"], plain[3][-1]["head.0.weight"])


@pytest.mark.parametrize("aux_loss", ["single", "switched"])
def test_weight_0_trains_bit_identically_to_none(folder, plain, aux_loss):
    _, history, _, states = train(folder, aux_loss, weight=0.0)
    for state, expected in zip(states, plain[3], strict=True):
        assert_same(state, expected)
    pd.testing.assert_frame_equal(history, plain[1], check_exact=True)


def test_loader_workers_change_nothing_where_dropout_draws_too(folder):
    alone, helped = (train(folder, decoder="daformer", workers=workers) for workers in (0, 1))
    for state, expected in zip(helped[3], alone[3], strict=True):
        assert_same(state, expected)
    pd.testing.assert_frame_equal(helped[1], alone[1], check_exact=True)


def test_an_auxiliary_term_changes_the_run(folder, plain):
    states = train(folder, "single")[3]
    assert not torch.equal(states[-1]["encoder.net.conv1.weight"], plain[3][-1]["encoder.net.conv1.weight"])


def test_heads_without_a_term_never_move(switched, plain):
    first, before, after, last = switched[3]
    for state in switched[3]:
        assert_same(*(pick(given, "aux_heads.2.") for given in (state, first)))
        assert_same(*(pick(given, "aux_heads.3.") for given in (state, first)))
    assert_same(*(pick(given, "aux_heads.0.") for given in (before, first)))  # head 1 waits for the switch
    assert_same(*(pick(given, "aux_heads.1.") for given in (last, before)))  # head 2 rests after it
    assert not torch.equal(after["aux_heads.0.weight"], before["aux_heads.0.weight"])
    assert not torch.equal(before["aux_heads.1.weight"], first["aux_heads.1.weight"])
    assert_same(*(pick(given, "aux_heads.") for given in (plain[3][0], plain[3][-1])))


def pick(state, prefix):
    picked = {key: value for key, value in state.items() if key.startswith(prefix)}
    assert picked
    return picked


def test_the_history_of_a_switched_run_names_both_blocks(switched):
    history = switched[1]
    assert list(history.columns) == COLUMNS
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert history["active_block"].tolist() == [2, 2, 1, 1]
    assert history["train_aux_1"].isna().tolist() == [True, True, False, False]
    assert history["train_aux_2"].isna().tolist() == [False, False, True, True]
    assert history[["train_aux_3", "train_aux_4"]].isna().all(axis=None)
    assert np.isfinite(history[["train_total", "train_main", "valid_main", "valid_dice"]]).all(axis=None)


def test_the_total_of_the_history_is_main_plus_weighted_aux(switched):
    history = switched[1]
    aux = history[["train_aux_1", "train_aux_2"]].sum(axis=1)
    np.testing.assert_allclose(history["train_total"], history["train_main"] + 0.2 * aux, rtol=1e-6)


def test_the_history_of_none_has_no_auxiliary_loss(plain):
    history = plain[1]
    assert history["active_block"].tolist() == [0, 0]
    assert history[[f"train_{term}" for term in AUX_TERMS]].isna().all(axis=None)
    assert history["train_total"].equals(history["train_main"])


def test_the_scheduler_sees_the_main_validation_loss_alone(switched):
    _, history, spy, _ = switched
    assert spy.seen == history["valid_main"].tolist()


def test_the_learning_rate_of_the_history_is_the_one_in_force(folder):
    history = train(folder, epochs=3, factor=0.5, patience=0, threshold=10.0)[1]  # nothing is good enough
    assert history["lr"].tolist() == [1e-3, 5e-4, 2.5e-4]


def test_the_loss_falls_and_dice_rises_on_an_easy_toy(folder):
    first, *_, last = train(folder, "switched", decoder="daformer", epochs=8)[1].to_dict("records")
    assert last["train_main"] < 0.8 * first["train_main"]
    assert last["valid_main"] < 0.9 * first["valid_main"]
    assert last["valid_dice"] > first["valid_dice"] + 0.1


def test_a_diverged_run_is_refused_with_the_epoch_and_the_rate_to_lower(folder):
    with pytest.raises(InputError, match=r"epoch 0: .*rate 1e\+30: the training has diverged.*train\.lr"):
        train(folder, lr=1e30)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_divergence(loss):
    training.refuse_divergence({"epoch": 6, "lr": 1e-3, "valid_main": 1e9})
    with pytest.raises(InputError, match=f"epoch 7: valid_main is {loss} at learning rate 0.5"):
        training.refuse_divergence({"epoch": 7, "lr": 0.5, "valid_main": loss})


class Given(nn.Module):
    """A network whose logits are the images' first channel."""

    def forward(self, images):
        return Segmentation(images[:, :1], [images[:, :1]] * 4)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_validation_is_the_metric_and_the_loss_per_image(batch_size):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, 8, 8, generator=generator)
    masks = (torch.rand(5, 1, 8, 8, generator=generator) > 0.5).float()
    masks[0], logits[0] = 0, -1.0  # two empty masks
    masks[1] = 0  # an empty truth alone
    pairs = [(logits[i : i + batch_size], masks[i : i + batch_size]) for i in range(0, 5, batch_size)]
    row = training.validate(Given(), pairs, torch.device("cpu"), "fp32")  # pyright: ignore[reportArgumentType]
    predicted, truth = (logits[:, 0] > 0).byte().numpy(), masks[:, 0].byte().numpy()
    dice = [metrics.dice(one, other) for one, other in zip(predicted, truth, strict=True)]
    assert row["valid_dice"] == pytest.approx(np.mean(dice), abs=1e-12)
    loss = nn.functional.binary_cross_entropy_with_logits(logits[:, :1], masks)
    assert row["valid_main"] == pytest.approx(loss.item(), abs=1e-6)


def test_validation_changes_no_weight_and_no_statistic(folder, plain):
    model = plain[0]
    before = copy.deepcopy(model.state_dict())
    valid = loader(folder, IDS[:6], shuffle=False)
    first, again = (training.validate(model, valid, torch.device("cpu"), "fp32") for _ in range(2))
    assert first == again
    assert_same(model.state_dict(), before)
    assert first["valid_dice"] == plain[1]["valid_dice"].iloc[-1]


def test_bfloat16_runs_on_a_cpu_and_keeps_weights_in_float32(folder):
    model, history, _, _ = train(folder, "single", epochs=1, precision="bf16")
    assert np.isfinite(history[["train_total", "valid_main"]]).all(axis=None)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_cpu_is_always_there():
    assert runtime.choose_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"sees no GPU on this machine; set train\.device"):
        runtime.choose_device("cuda")


def offered(dices, switch_epoch):
    """Checkpoints after one epoch of each Dice; the weight of the model is the epoch."""
    model, checkpoints = nn.Linear(1, 1, bias=False), Checkpoints(switch_epoch)
    for epoch, dice in enumerate(dices):
        nn.init.constant_(model.weight, epoch)
        checkpoints.offer(model, epoch, dice)
    nn.init.constant_(model.weight, math.inf)  # what is kept must be a copy
    return checkpoints


@pytest.mark.parametrize(
    ("dices", "best", "after"),
    [
        ([0.1, 0.9, 0.5, 0.7, 0.6], 1, 3),
        ([0.1, 0.2, 0.5, 0.7, 0.9], 4, 4),
        ([0.5, 0.5, 0.5, 0.5, 0.5], 0, 2),  # the first of equals stays
        ([0.0, 0.0, 0.0, 0.0, 0.0], 0, 2),
        ([0.9, 0.8, 0.1, 0.3, 0.3], 0, 3),
    ],
)
def test_the_best_epoch_of_all_and_the_best_from_the_switch_on_are_kept(dices, best, after):
    checkpoints = offered(dices, switch_epoch=2)
    assert checkpoints.scores() == {
        "best": {"epoch": best, "dice": dices[best]},
        "best_after_switch": {"epoch": after, "dice": dices[after]},
    }
    for choice, epoch in (("best", best), ("best_after_switch", after)):
        assert checkpoints.kept[choice].state["weight"].item() == epoch
