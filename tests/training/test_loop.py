"""Laws of training: what the seed and the schedule decide, what the scheduler sees, and that it learns."""

import copy
import math
from collections.abc import Iterable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import toy
from ftu.errors import InputError
from ftu.masks import metrics
from ftu.networks.common import devices
from ftu.networks.common.contract import Segmentation, pad_to_stride
from ftu.training import accelerator, loop
from ftu.training.checkpoints import Checkpoints
from ftu.training.losses.schedules import AUX_TERMS, MAIN_TERMS
from toy import BCE, IDS, assert_same, assert_same_run, prepare, train

GRADIENTS = [f"gradient_{block}" for block in range(1, 5)]
COLUMNS = (
    ["epoch", "lr", "active_block", "train_total", "train_main"]
    + [f"train_{term}" for term in (*MAIN_TERMS, *AUX_TERMS)]
    + GRADIENTS
    + ["valid_main", "valid_dice", "ema_main", "ema_dice"]
)
EVERY_STEP = ["train_total", "train_main", "train_bce", *GRADIENTS, "valid_main", "valid_dice"]


@pytest.fixture(scope="module")
def switched(squares):
    return train(squares, "switched", epochs=4)


@pytest.fixture(scope="module")
def plain(squares):
    return train(squares, "none")


# ------------------------------------------------------------------ what decides a run


def test_two_runs_with_one_seed_are_bit_identical(squares, plain):
    assert_same_run(train(squares, "none"), plain)


def test_another_seed_is_another_run(squares, plain):
    states = train(squares, seed=1).states
    assert not torch.equal(states[-1]["head.0.weight"], plain.states[-1]["head.0.weight"])


@pytest.mark.parametrize("aux_loss", ["single", "switched"])
def test_weight_0_trains_bit_identically_to_none(squares, plain, aux_loss):
    assert_same_run(train(squares, aux_loss, weight=0.0), plain)


@pytest.mark.parametrize("cache", [True, False])
def test_loader_workers_change_nothing_where_dropout_draws_too(squares, cache):
    alone, helped = (
        train(squares, network=lambda: toy.resnet("daformer"), workers=workers, cache=cache)
        for workers in (0, 1)
    )
    assert_same_run(helped, alone)


def test_an_auxiliary_term_changes_the_run(squares, plain):
    states, name = train(squares, "single").states, "encoder.net.conv1.weight"
    assert not torch.equal(states[-1][name], plain.states[-1][name])


def test_heads_without_a_term_never_move(switched, plain):
    first, before, after, last = switched.states
    for state in switched.states:
        assert_same(*(pick(given, "aux_heads.2.") for given in (state, first)))
        assert_same(*(pick(given, "aux_heads.3.") for given in (state, first)))
    assert_same(*(pick(given, "aux_heads.0.") for given in (before, first)))  # head 1 waits for the switch
    assert_same(*(pick(given, "aux_heads.1.") for given in (last, before)))  # head 2 rests after it
    assert not torch.equal(after["aux_heads.0.weight"], before["aux_heads.0.weight"])
    assert not torch.equal(before["aux_heads.1.weight"], first["aux_heads.1.weight"])
    assert_same(*(pick(given, "aux_heads.") for given in (plain.states[0], plain.states[-1])))


def pick(state, prefix):
    picked = {key: value for key, value in state.items() if key.startswith(prefix)}
    assert picked
    return picked


# ------------------------------------------------------------------ the history


def test_the_history_of_a_switched_run_names_both_blocks(switched):
    history = switched.history
    assert list(history.columns) == COLUMNS
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert history["active_block"].tolist() == [2, 2, 1, 1]
    assert history["train_aux_1"].isna().tolist() == [True, True, False, False]
    assert history["train_aux_2"].isna().tolist() == [False, False, True, True]
    assert history[["train_aux_3", "train_aux_4", "ema_main", "ema_dice"]].isna().all(axis=None)
    assert np.isfinite(history[EVERY_STEP]).all(axis=None)


def test_the_total_of_the_history_is_main_plus_weighted_aux(switched):
    history = switched.history
    aux = history[["train_aux_1", "train_aux_2"]].sum(axis=1)
    np.testing.assert_allclose(history["train_total"], history["train_main"] + 0.2 * aux, rtol=1e-6)


def test_the_history_of_none_has_no_auxiliary_loss(plain):
    history = plain.history
    assert history["active_block"].tolist() == [0, 0]
    assert history[[f"train_{term}" for term in AUX_TERMS]].isna().all(axis=None)
    assert history["train_total"].equals(history["train_main"])


def test_a_row_is_in_the_run_when_it_is_yielded(squares):
    made = prepare(squares, network=toy.plain, epochs=3)
    for epoch, row in enumerate(made.epochs()):
        assert made.run.rows[-1] is row
        assert len(made.run.rows) == epoch + 1


def test_the_scheduler_sees_the_main_validation_loss_alone(squares, monkeypatch):
    made, seen = prepare(squares, "switched", epochs=4), []
    step = made.run.scheduler.step

    def spy(*shown) -> None:
        seen.append(shown)
        step(*shown)

    monkeypatch.setattr(made.run.scheduler, "step", spy)
    made.finish()
    assert [shown for (shown,) in seen] == made.history["valid_main"].tolist()


def test_the_learning_rate_of_the_history_is_the_one_in_force(squares):
    how = {"factor": 0.5, "patience": 0, "threshold": 10.0}  # nothing is good enough
    assert train(squares, epochs=3, scheduler=how).history["lr"].tolist() == [1e-3, 5e-4, 2.5e-4]


def test_the_loss_falls_and_dice_rises_on_an_easy_toy(squares):
    history = train(squares, "switched", network=lambda: toy.resnet("daformer"), epochs=8).history
    first, *_, last = history.to_dict("records")
    assert last["train_main"] < 0.8 * first["train_main"]
    assert last["valid_main"] < 0.9 * first["valid_main"]
    assert last["valid_dice"] > first["valid_dice"] + 0.1


# ------------------------------------------------------------------ divergence


def test_a_diverged_run_is_refused_with_the_epoch_and_the_rate_to_lower(squares):
    with pytest.raises(
        InputError, match=r"epoch 0.* at learning rate 1e\+30: the training has diverged.*train\.lr"
    ):
        train(squares, lr=1e30)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_divergence(loss):
    loop.refuse_divergence(1e9, 1e-3, "epoch 6: valid_main", "a lower train.lr")
    with pytest.raises(InputError, match=f"epoch 7: valid_main is {loss} at learning rate 0.5"):
        loop.refuse_divergence(loss, 0.5, "epoch 7: valid_main", "a lower train.lr")


def test_a_batch_without_a_loss_ends_the_run_at_once_and_is_named(squares):
    """Two batches an epoch: the fourth is batch 1 of epoch 1."""
    made, seen = prepare(squares, network=toy.plain, epochs=3, lr=0.25), []

    def spoil(head: nn.Module, _: object, logits: torch.Tensor) -> torch.Tensor:
        seen.append(head.training)
        return logits * math.nan if sum(seen) == 4 else logits

    made.run.segmenter.head.register_forward_hook(spoil)
    spoilt = ", ".join(IDS[index] for index in np.random.default_rng((0, 1)).permutation(8)[4:])
    where = rf"epoch 1, batch 1 \(images {spoilt}\): train_total is nan at learning rate 0\.25: .*train\.lr"
    with pytest.raises(InputError, match=where):
        made.finish()
    assert sum(seen) == 4
    assert seen[-1]
    assert len(made.run.rows) == 1


# ------------------------------------------------------------------ validation


class Given(nn.Module):
    """A network whose logits are the images' first channel."""

    outputs = 1
    encoder = SimpleNamespace(pad=pad_to_stride)

    def forward(self, images):
        return Segmentation(images[:, :1], [images[:, :1]] * 4)


class Dealt(list):
    """Batches that were dealt by hand, of so many images."""

    def __init__(self, parts: Iterable, count: int) -> None:
        super().__init__(parts)
        self.dataset = SimpleNamespace(ids=range(count))


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_validation_is_the_metric_and_the_loss_per_image(batch_size):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, 8, 8, generator=generator)
    masks = (torch.rand(5, 1, 8, 8, generator=generator) > 0.5).float()
    masks[0], logits[0] = 0, -1.0  # two empty masks
    masks[1] = 0  # an empty truth alone
    parts = zip(*(part.split(batch_size) for part in (logits, masks, torch.arange(5))), strict=True)
    row = loop.validate(Given(), Dealt(parts, 5), toy.cpu(), BCE)  # pyright: ignore[reportArgumentType]
    predicted, truth = (logits[:, 0] > 0).byte().numpy(), masks[:, 0].byte().numpy()
    dice = [metrics.dice(one, other) for one, other in zip(predicted, truth, strict=True)]
    assert row["valid_dice"] == pytest.approx(np.mean(dice), abs=1e-12)
    loss = nn.functional.binary_cross_entropy_with_logits(logits[:, :1], masks)
    assert row["valid_main"] == pytest.approx(loss.item(), abs=1e-6)


def test_validation_changes_no_weight_and_no_statistic(plain):
    model, (_, valid) = plain.run.segmenter, plain.loaders
    before = copy.deepcopy(model.state_dict())
    first, again = (loop.validate(model, valid, toy.cpu(), BCE) for _ in range(2))
    assert first == again
    assert_same(model.state_dict(), before)
    assert first["valid_dice"] == plain.history["valid_dice"].iloc[-1]


# ------------------------------------------------------------------ precision and device


def test_bfloat16_runs_on_a_cpu_and_keeps_weights_in_float32(squares):
    made = train(squares, "single", epochs=1, precision="bf16")
    assert np.isfinite(made.history[["train_total", "valid_main"]]).all(axis=None)
    assert {parameter.dtype for parameter in made.run.segmenter.parameters()} == {torch.float32}


def test_bfloat16_is_computed_in(squares):
    exact, rounded = (train(squares, epochs=1, precision=precision).history for precision in ("fp32", "bf16"))
    assert rounded["train_main"][0] != exact["train_main"][0]
    assert rounded["train_main"][0] == pytest.approx(exact["train_main"][0], rel=0.05)


def test_a_cpu_is_always_there():
    assert devices.choose_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"sees no GPU on this machine; set train\.device"):
        devices.choose_device("cuda")


def test_a_gpu_for_each_process_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.choose_device("cuda", 2) == torch.device("cuda")
    with pytest.raises(InputError, match=r"train\.processes: 3 processes .* torch sees 2"):
        devices.choose_device("cuda", 3)


def test_a_gpu_without_memory_is_explained_with_what_to_change():
    keys = ("train.batch_size", "train.accumulate", "train.valid_batch_size", "resize.side")
    refused = pytest.raises(InputError, match=r"48 images of 768 x 768 px.*; 1 or 3 at a time")
    with refused as caught, accelerator.explain_out_of_memory(48, 768, lambda: [1, 3]):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert [key for key in (*keys, "train.precision", "train.model") if key not in str(caught.value)] == []


def test_a_step_that_cannot_be_dealt_to_more_rounds_is_told_no_rounds():
    refused = pytest.raises(InputError, match=r"px a step: lower train\.batch_size")
    with refused as caught, accelerator.explain_out_of_memory(2, 768, list):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert "accumulate" not in str(caught.value)


def test_another_error_is_not_explained_as_a_lack_of_memory():
    explained = accelerator.explain_out_of_memory(1, 1, lambda: pytest.fail("asked without need"))
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2$"), explained:
        raise RuntimeError("mat1 and mat2")


# ------------------------------------------------------------------ which weights are kept


def offered(dices, switch_epoch, ships="best"):
    """Checkpoints after one epoch of each Dice; the weight of the model is the epoch."""
    model, checkpoints = nn.Linear(1, 1, bias=False), Checkpoints(switch_epoch, ships)
    for epoch, dice in enumerate(dices):
        nn.init.constant_(model.weight, epoch)
        checkpoints.offer(model, epoch, dice, dice)
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
def test_every_candidate_is_recorded_and_the_weights_of_the_one_that_ships_are_kept(dices, best, after):
    epochs = {"last": len(dices) - 1, "best": best, "best_after_switch": after}
    for choice, epoch in epochs.items():
        checkpoints = offered(dices, switch_epoch=2, ships=choice)
        assert checkpoints.scores() == {
            name: {"epoch": found, "dice": dices[found]} for name, found in epochs.items()
        }
        assert (checkpoints.shipped.epoch, checkpoints.shipped.dice) == (epoch, dices[epoch])
        copies = {name: kept.state["weight"].item() for name, kept in checkpoints.kept.items() if kept.state}
        assert copies == ({} if choice == "last" else {choice: epoch})


def test_the_last_epochs_weights_are_those_that_the_network_has_at_the_end():
    model = nn.Linear(1, 1)
    assert_same(offered([0.5, 0.1], 1, "last").weights(model), model.state_dict())
    assert offered([0.5, 0.1], 1).weights(model)["weight"].item() == 0


def test_what_was_kept_can_be_put_away_and_taken_up_again():
    dices = [0.1, 0.9, 0.5, 0.7]
    kept, again = offered(dices, switch_epoch=2), Checkpoints(2, "best")
    again.load_state_dict(kept.state_dict())
    assert again.scores() == kept.scores()
    for made in (kept, again):
        made.offer(nn.Linear(1, 1), 4, 0.8, 0.8)
    assert again.scores() == kept.scores()
    assert again.scores()["best_after_switch"] == {"epoch": 4, "dice": 0.8}


@pytest.mark.parametrize(("ema", "column"), [(0.0, "valid_main"), (0.5, "ema_main")])
def test_the_best_epoch_by_loss_is_that_of_the_lowest(squares, ema, column):
    made = prepare(squares, epochs=4, switch_epoch=1, watch="loss", ema=ema, lr=0.02).finish()
    losses = made.history[column].tolist()
    assert made.run.checkpoints.shipped.epoch == losses.index(min(losses))
    assert [made.run.score(row) for row in made.run.rows] == [-loss for loss in losses]


# ------------------------------------------------------------------ early stopping


@pytest.mark.parametrize(
    ("dices", "patience", "switch_epoch", "expected"),
    [
        ([0.5, 0.4, 0.3, 0.3], 2, 2, True),
        ([0.5, 0.4, 0.3], 2, 2, False),  # one epoch since the switch
        ([0.5, 0.4, 0.3, 0.5], 2, 2, True),  # equal is not better
        ([0.5, 0.4, 0.3, 0.51], 2, 2, False),
        ([0.5, 0.4, 0.51, 0.3], 2, 2, False),
        ([0.5, 0.4, 0.51, 0.3, 0.3], 2, 2, True),
        ([0.9] + [0.1] * 9, 3, 7, True),
        ([0.9] + [0.1] * 8, 3, 7, False),
        ([0.9] + [0.1] * 99, 0, 1, False),  # 0: never
        ([0.9, 0.1], 1, 1, True),
        ([0.9], 1, 1, False),
        ([], 1, 1, False),
    ],
)
def test_patience_ends_after_so_many_epochs_without_a_better_dice(dices, patience, switch_epoch, expected):
    assert loop.out_of_patience(dices, patience, switch_epoch) is expected


def scripted(monkeypatch, dices: Sequence[float]) -> None:
    """Validation gives these, one after the other."""
    left = iter(dices)
    monkeypatch.setattr(loop, "validate", lambda *_: {"valid_main": 1.0, "valid_dice": next(left)})


@pytest.mark.parametrize(
    ("dices", "patience", "epochs"),
    [
        ([0.1, 0.5, 0.4, 0.4, 0.4, 0.4], 2, 4),
        ([0.1, 0.5, 0.4, 0.6, 0.4, 0.4], 2, 6),
        ([0.1, 0.5, 0.4, 0.6, 0.4, 0.4], 1, 3),
        ([0.5, 0.4, 0.4, 0.4, 0.4, 0.4], 0, 6),
    ],
)
def test_a_run_out_of_patience_stops_early_and_keeps_its_best(squares, monkeypatch, dices, patience, epochs):
    scripted(monkeypatch, dices)
    made = train(squares, network=toy.plain, epochs=6, switch_epoch=2, patience=patience)
    assert made.history["epoch"].tolist() == list(range(epochs))
    best = int(np.argmax(dices[:epochs]))
    assert made.run.checkpoints.scores()["best"] == {"epoch": best, "dice": dices[best]}
    assert_same(made.run.checkpoints.kept["best"].state, made.states[best])


def test_the_last_epoch_of_a_run_out_of_patience_is_the_last_that_ran(squares, monkeypatch):
    scripted(monkeypatch, [0.1, 0.5, 0.4, 0.3, 0.9, 0.9])
    how = {"epochs": 6, "switch_epoch": 2, "patience": 2, "checkpoint": "last"}
    made = train(squares, network=toy.plain, **how)
    assert made.run.checkpoints.scores()["last"] == {"epoch": 3, "dice": 0.3}
    assert_same(made.run.checkpoints.weights(made.run.shipped), made.states[3])


def test_a_run_out_of_patience_does_not_go_on_when_it_is_taken_up_again(squares, monkeypatch):
    scripted(monkeypatch, [0.5, 0.4, 0.4, 0.4, 0.4])
    made = train(squares, network=toy.plain, epochs=5, switch_epoch=1, patience=2)
    assert len(made.run.rows) == 3
    assert list(made.epochs()) == []


def test_patience_watches_the_dice_of_the_average_where_there_is_one(squares, monkeypatch):
    """Validation of the network in training, then of the average: the one rises, the other falls."""
    scripted(monkeypatch, [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6])
    made = train(squares, network=toy.plain, epochs=4, switch_epoch=1, patience=2, ema=0.9)
    assert made.history["ema_dice"].tolist() == [0.9, 0.8, 0.7]
    assert made.run.checkpoints.scores()["best"] == {"epoch": 0, "dice": 0.9}
    assert made.run.checkpoints.scores()["best_after_switch"] == {"epoch": 1, "dice": 0.8}


def test_loss_terms_of_weight_0_train_as_if_they_were_not_there(squares):
    idle = BCE | dict.fromkeys(["dice", "focal", "lovasz"], 0.0)
    assert_same_run(train(squares, "switched"), train(squares, "switched", main=idle))


def test_each_main_term_has_its_column_and_train_main_is_their_weighted_sum(squares):
    weights = {"bce": 1.0, "dice": 0.5, "focal": 2.0, "lovasz": 0.25}
    history = train(squares, main=weights).history
    expected = sum(weight * history[f"train_{name}"] for name, weight in weights.items())
    np.testing.assert_allclose(history["train_main"], expected, rtol=1e-6)
    assert (history["valid_main"] > history["valid_main"].min() / 2).all()


def test_importance_of_1_is_none_and_of_0_learns_nothing_of_an_image(squares):
    plain = train(squares, "single").history
    equal = train(squares, "single", importance=dict.fromkeys(IDS, 1.0)).history
    np.testing.assert_allclose(equal["train_total"], plain["train_total"], rtol=1e-5)
    made = prepare(squares, importance=dict.fromkeys(IDS, 0.0), weight_decay=0.0)
    before = {name: parameter.clone() for name, parameter in made.run.segmenter.named_parameters()}
    loop.train_epoch(made.run, made.loaders[0], 0, BCE)
    for name, parameter in made.run.segmenter.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_every_epoch_is_told_in_a_line_of_its_own_that_a_log_can_hold(squares, capsys):
    made = train(squares, network=toy.plain, epochs=3, lr=0.01)
    said = capsys.readouterr().err
    assert "\r" not in said  # no bar where no terminal is
    lines, rows = said.splitlines(), made.history.to_dict("records")
    for number, (line, row) in enumerate(zip(lines, rows, strict=True), start=1):
        first, loss, dice, *left = line.split(" | ")
        assert first == f"epoch {number}/3"
        assert loss == f"loss {row['train_total']:.4f}"
        assert dice == f"mean Dice of 6 held-out images {row['valid_dice']:.4f}"
        assert len(left) == (number < 3)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5999, "100 min"), (6000, "1.7 h"), (36000, "10.0 h")],
)
def test_a_time_is_told_as_exactly_as_it_is_known(seconds, words):
    assert loop.duration(seconds) == words
