"""Laws of the optimiser: the learning rate of each scheduler, rounds of a step, clipping, the average."""

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

import toy
from ftu.pipeline.sections.training import Scheduler
from ftu.training import loop
from ftu.training.optimizer import SCHEDULERS, build_optimizer, build_scheduler, by_epoch
from ftu.training.run import average
from toy import BCE, assert_same, assert_same_run, prepare, train

LR, MIN_LR = 1e-3, 1e-6
NUMBERS: dict[str, Any] = {"min_lr": MIN_LR, "factor": 0.5, "patience": 1, "threshold": 1e-3, "warmup": 0.25}
GRADIENTS = [f"gradient_{block}" for block in range(1, 5)]


def scheduled(kind: str, steps: int, **changes: float):
    optimizer = build_optimizer(nn.Linear(1, 1), lr=LR, weight_decay=0.01, decay_norms=True, lr_decoder=1.0)
    return optimizer, build_scheduler(optimizer, steps, kind=kind, **(NUMBERS | changes))


def rates(kind: str, steps: int, **changes: float) -> list[float]:
    """The learning rate of each of `steps` steps, and the one that is left behind."""
    optimizer, scheduler = scheduled(kind, steps, **changes)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return [*found, optimizer.param_groups[0]["lr"]]


# ------------------------------------------------------------------ the learning rate


def test_params_name_the_schedulers_that_there_are():
    assert set(get_args(Scheduler.model_fields["kind"].annotation)) == set(SCHEDULERS)


@pytest.mark.parametrize(
    ("kind", "expected"), [("plateau", True), ("cosine", False), ("onecycle", False), ("poly", False)]
)
def test_plateau_alone_waits_for_the_epoch(kind, expected):
    assert by_epoch(scheduled(kind, 8)[1]) is expected


def test_a_parameter_without_a_gradient_is_not_decayed():
    model = nn.Linear(1, 1)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = build_optimizer(model, lr=1.0, weight_decay=0.5, decay_norms=True, lr_decoder=1.0)
    model.weight.grad = torch.zeros_like(model.weight)
    optimizer.step()
    assert model.weight.item() == pytest.approx(before[0].item() / 2)
    assert torch.equal(model.bias, before[1])


@pytest.mark.parametrize("lr", [1e-1, 1e-6])
def test_a_fixed_decay_takes_the_same_share_whatever_the_rate(lr):
    """Without a gradient's pull, as TensorFlow Addons does it; over the paper's 106,920 steps to 0.343."""
    model = nn.Linear(1, 1)
    before = model.weight.item()
    how = {"weight_decay": 1e-5, "decay_norms": True, "lr_decoder": 1.0, "kind": "adamw_fixed"}
    optimizer = build_optimizer(model, lr=lr, **how)
    model.weight.grad = torch.zeros_like(model.weight)
    for _ in range(100):
        optimizer.step()
    assert model.weight.item() / before == pytest.approx((1 - 1e-5) ** 100, abs=2e-5)
    assert pytest.approx(0.343, abs=5e-4) == (1 - 1e-5) ** 106_920
    assert model.bias.grad is None


def test_the_fixed_decay_is_torchs_where_that_takes_the_rate_times_it():
    """At one rate, the paper's 1e-4, a fixed decay of 1e-5 is torch's of 0.1, the text's 1e-5 is next to
    none."""
    states = []
    for kind, decay in (("adamw_fixed", 1e-5), ("adamw", 0.1), ("adamw", 1e-5)):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        how = {"decay_norms": True, "lr_decoder": 1.0}
        optimizer = build_optimizer(model, lr=1e-4, weight_decay=decay, kind=kind, **how)
        for _ in range(50):
            model(torch.ones(1, 3)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        states.append(model.weight.detach())
    torch.testing.assert_close(states[0], states[1], rtol=1e-6, atol=1e-8)
    assert not torch.allclose(states[0], states[2], rtol=1e-5, atol=0)


@pytest.mark.parametrize(("kind", "torchs"), [("adam", Adam), ("sgd", SGD)])
def test_adam_and_sgd_are_torchs(kind, torchs):
    def last(make):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = make(model)
        for _ in range(20):
            (model(torch.ones(1, 3)) ** 2).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return model.weight.detach()

    settings = {"lr": 0.01, "weight_decay": 0.1}
    more = {"momentum": 0.8} if kind == "sgd" else {}
    ours = last(
        lambda model: build_optimizer(
            model, **settings, decay_norms=True, lr_decoder=1.0, kind=kind, momentum=0.8
        )
    )
    assert torch.equal(ours, last(lambda model: torchs(model.parameters(), **settings, **more)))


@given(st.lists(st.floats(0.01, 2), min_size=1, max_size=30), st.integers(0, 3), st.floats(0.1, 0.9))
def test_plateau_is_that_of_torch(losses, patience, factor):
    how = {"factor": factor, "patience": patience, "threshold": 0.01}
    optimizer, scheduler = scheduled("plateau", 1, **how)
    other = build_optimizer(nn.Linear(1, 1), lr=LR, weight_decay=0.01, decay_norms=True, lr_decoder=1.0)
    torchs = ReduceLROnPlateau(
        other, "min", factor, patience, threshold=0.01, threshold_mode="rel", cooldown=0, min_lr=MIN_LR
    )
    for loss in losses:
        scheduler.step(loss)  # pyright: ignore[reportArgumentType]
        torchs.step(loss)
        assert optimizer.param_groups[0]["lr"] == other.param_groups[0]["lr"]


def test_plateau_lowers_the_rate_after_more_than_patience_epochs_and_ends_at_min_lr():
    optimizer, scheduler = scheduled("plateau", 1, min_lr=2e-4)
    found = []
    for loss in (1.0, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4):
        scheduler.step(loss)  # pyright: ignore[reportArgumentType]
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1e-3] * 3 + [5e-4] * 3 + [2.5e-4] * 2 + [2e-4] * 3


@given(st.integers(1, 300))
def test_cosine_falls_from_the_rate_to_min_lr(steps):
    found = rates("cosine", steps)
    assert found[0] == LR
    assert found[-1] == pytest.approx(MIN_LR, abs=1e-9)
    assert (np.diff(found) < 0).all()


def test_cosine_is_half_way_after_half_of_the_steps():
    found = rates("cosine", 4, min_lr=1e-4)
    expected = [1e-4 + 9e-4 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(5)]
    assert found == pytest.approx(expected, rel=1e-9)
    assert found[2] == pytest.approx(5.5e-4, rel=1e-9)


def test_poly_falls_by_its_power_to_min_lr_and_stays_there():
    found = rates("poly", 4)
    shares = [(rate - MIN_LR) / (LR - MIN_LR) for rate in found]
    assert shares == pytest.approx([1, 0.75**0.9, 0.5**0.9, 0.25**0.9, 0], abs=1e-9)
    optimizer, scheduler = scheduled("poly", 1)
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(MIN_LR)


def test_poly_begins_each_group_at_its_own_rate_and_ends_all_at_min_lr():
    parts = nn.ModuleDict({"encoder": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    optimizer = build_optimizer(parts, lr=LR, weight_decay=0.0, decay_norms=True, lr_decoder=10.0)
    scheduler = build_scheduler(optimizer, 2, kind="poly", **NUMBERS)
    assert sorted(group["lr"] for group in optimizer.param_groups) == pytest.approx([LR, 10 * LR])
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([MIN_LR] * 2)


@given(st.integers(20, 300), st.floats(0.1, 0.7))
def test_onecycle_rises_from_a_25th_to_the_rate_and_falls_to_min_lr_in_the_last_step(steps, warmup):
    found = rates("onecycle", steps, warmup=warmup)[:steps]
    peak = int(np.argmax(found))
    assert abs(peak - (warmup * steps - 1)) <= 1
    assert found[0] == pytest.approx(LR / 25, rel=1e-9)
    assert found[peak] <= LR * (1 + 1e-9)
    assert found[-1] == pytest.approx(MIN_LR, abs=1e-9)
    assert (np.diff(found[: peak + 1]) > 0).all()
    assert (np.diff(found[peak:]) < 0).all()


def test_onecycle_reaches_the_rate_at_its_share_of_the_steps():
    found = rates("onecycle", 8)[:8]
    assert found[:2] == pytest.approx([LR / 25, LR], rel=1e-9)
    fall = [MIN_LR + (LR - MIN_LR) * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(7)]
    assert found[1:] == pytest.approx(fall, rel=1e-9)
    assert found[4] == pytest.approx((LR + MIN_LR) / 2, rel=1e-9)


def test_onecycle_leaves_momentum_alone():
    optimizer, scheduler = scheduled("onecycle", 8)
    for _ in range(8):
        optimizer.step()
        scheduler.step()
        assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


@pytest.mark.parametrize(("steps", "warmup"), [(10, 0.1), (4, 0.25), (20, 0.05)])
def test_a_warmup_of_one_step_is_a_schedule_too(steps, warmup):
    found = rates("onecycle", steps, warmup=warmup)[:steps]
    assert max(found) <= LR * (1 + 1e-9)
    assert found[-1] == pytest.approx(MIN_LR, abs=1e-9)


def test_two_steps_are_a_rise():
    assert rates("onecycle", 2, warmup=0.5)[:2] == pytest.approx([LR / 25, LR])


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(("kind", "last"), [("onecycle", MIN_LR), ("poly", None), ("cosine", None)])
def test_a_run_steps_its_scheduler_once_for_each_step_of_the_optimiser(squares, kind, last, accumulate):
    scheduler = NUMBERS | {"kind": kind}
    made = prepare(squares, network=toy.plain, epochs=5, accumulate=accumulate, scheduler=scheduler)
    used = []
    made.step.register_step_pre_hook(lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"]))
    made.finish()
    assert used == pytest.approx(rates(kind, 10)[:10], rel=1e-9)
    assert made.history["lr"].tolist() == used[::2]
    if last:
        assert used[-1] == pytest.approx(last, abs=1e-9)


# ------------------------------------------------------------------ rounds of a step


@pytest.mark.parametrize("rounds", [2, 4])
@pytest.mark.parametrize("aux_loss", ["none", "switched"])
def test_a_step_in_rounds_is_the_step_of_the_whole_batch(squares, aux_loss, rounds):
    whole, parts = (
        train(squares, aux_loss, network=toy.plain, epochs=4, accumulate=accumulate)
        for accumulate in (1, rounds)
    )
    columns = whole.history.columns
    np.testing.assert_allclose(parts.history[columns], whole.history[columns], atol=1e-5)
    for name, value in whole.states[-1].items():
        torch.testing.assert_close(parts.states[-1][name], value, rtol=1e-3, atol=1e-5)


def test_a_step_in_rounds_is_one_step(squares):
    made, steps = prepare(squares, network=toy.plain, epochs=3, accumulate=4), []
    made.step.register_step_pre_hook(lambda *_: steps.append(None))
    made.finish()
    assert len(steps) == 3 * 2


# ------------------------------------------------------------------ clipping


def norms_at_each_step(made: toy.Toy) -> list[float]:
    """The norm of the whole gradient that the optimiser sees; filled while the run goes on."""
    norms = []

    def look(*_) -> None:
        held = [parameter.grad for parameter in made.run.segmenter.parameters()]
        squares = [np.square(grad.double().numpy()).sum() for grad in held if grad is not None]
        norms.append(math.sqrt(sum(squares)))

    made.step.register_step_pre_hook(look)
    return norms


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("clip", [1e-3, 0.1])
def test_the_optimiser_sees_no_larger_gradient_than_clip(squares, clip, accumulate):
    made = prepare(squares, "single", network=toy.plain, clip=clip, accumulate=accumulate)
    norms = norms_at_each_step(made)
    made.finish()
    assert len(norms) == 4
    assert max(norms) <= clip * (1 + 1e-5)
    assert max(norms) == pytest.approx(clip, rel=1e-3)  # it was larger


def test_a_clip_that_is_never_reached_changes_no_bit(squares):
    free, clipped = (train(squares, "switched", network=toy.moody, clip=clip) for clip in (0.0, 1e9))
    assert_same_run(clipped, free)


def test_the_history_has_the_norms_before_clipping(squares):
    """One step in an epoch: the first norms are those of the same weights."""
    how = {"network": toy.plain, "batch_size": 8}
    free, clipped = (train(squares, **how, clip=clip).history[GRADIENTS] for clip in (0.0, 1e-3))
    assert free.iloc[0].equals(clipped.iloc[0])
    assert (clipped > 1e-3).any(axis=None)


# ------------------------------------------------------------------ the average


def averages(values: list[np.ndarray], decay: float) -> list[np.ndarray]:
    """By hand: the first value, then decays 2/11, 3/12, 4/13 ... up to `decay`."""
    found = [values[0].astype(float)]
    for count, value in enumerate(values[1:], start=1):
        share = min(decay, (1 + count) / (10 + count))
        found.append(share * found[-1] + (1 - share) * value)
    return found


@given(
    st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=40),
    st.sampled_from([0.1, 0.5, 0.9, 0.999]),
)
def test_the_average_is_the_recursion_whose_decay_rises(values, decay):
    model = nn.Linear(1, 1, bias=False)
    averaged = AveragedModel(model, multi_avg_fn=average(decay), use_buffers=True)
    expected = averages([np.array(value) for value in values], decay)
    for value, wanted in zip(values, expected, strict=True):
        nn.init.constant_(model.weight, value)
        averaged.update_parameters(model)
        assert averaged.module.weight.item() == pytest.approx(float(wanted), abs=1e-5)  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType, reportCallIssue]


def test_the_first_decays_are_2_of_11_and_3_of_12():
    model = nn.Linear(1, 1, bias=False)
    averaged = AveragedModel(model, multi_avg_fn=average(0.999), use_buffers=True)
    found = []
    for value in (3.0, 0.0, 1.0):
        nn.init.constant_(model.weight, value)
        averaged.update_parameters(model)
        found.append(averaged.module.weight.item())  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    assert found == pytest.approx([3, 6 / 11, 6 / 44 + 3 / 4], rel=1e-6)


@pytest.mark.parametrize("decay", [0.3, 0.99])
def test_weights_and_batch_statistics_are_averaged_after_every_step(squares, decay):
    made, seen = prepare(squares, network=toy.moody, epochs=3, ema=decay, accumulate=2), []
    after = made.run.after_step

    def look() -> None:
        after()
        seen.append({name: value.numpy().copy() for name, value in made.run.segmenter.state_dict().items()})

    made.run.after_step = look
    made.finish()
    assert len(seen) == 6
    statistics = 0
    for name, value in made.run.shipped.state_dict().items():
        if value.is_floating_point():
            expected = averages([state[name] for state in seen], decay)[-1]
            np.testing.assert_allclose(value.numpy(), expected, rtol=1e-4, atol=1e-6, err_msg=name)
            statistics += "running" in name
    assert statistics == 10  # two of each of the decoder's five batch norms


def test_an_average_of_hardly_any_decay_is_the_network_itself(squares):
    made = train(squares, network=toy.moody, ema=1e-9)
    for name, value in made.states[-1].items():
        if value.is_floating_point():
            torch.testing.assert_close(made.shipped[-1][name], value, rtol=1e-5, atol=1e-6)
    history = made.history
    np.testing.assert_allclose(history["ema_main"], history["valid_main"], rtol=1e-4)


def test_an_average_changes_no_bit_of_the_training(squares):
    without, averaged = (
        train(squares, "switched", network=toy.moody, epochs=4, ema=ema) for ema in (0.0, 0.9)
    )
    for state, expected in zip(averaged.states, without.states, strict=True):
        assert_same(state, expected)
    columns = ["ema_main", "ema_dice"]
    assert averaged.history.drop(columns=columns).equals(without.history.drop(columns=columns))
    assert without.history[columns].isna().all(axis=None)
    assert np.isfinite(averaged.history[columns]).all(axis=None)
    assert not torch.equal(averaged.shipped[-1]["head.0.weight"], averaged.states[-1]["head.0.weight"])


@pytest.mark.parametrize(("choice", "first"), [("last", 5), ("best", 0), ("best_after_switch", 3)])
def test_the_average_is_what_is_validated_and_kept(squares, choice, first):
    made = train(squares, network=toy.moody, epochs=6, ema=0.9, lr=0.01, checkpoint=choice)
    history, checkpoints = made.history, made.run.checkpoints
    epoch = first + int(np.argmax(history["ema_dice"][first:]))
    assert checkpoints.scores()[choice] == {"epoch": epoch, "dice": history["ema_dice"][epoch]}
    assert_same(checkpoints.weights(made.run.shipped), made.shipped[epoch])
    again = loop.validate(made.run.shipped, made.loaders[1], toy.cpu(), BCE)
    assert again == {"valid_main": history["ema_main"].iloc[-1], "valid_dice": history["ema_dice"].iloc[-1]}


def test_without_an_average_the_network_itself_is_kept(squares):
    made = train(squares, network=toy.moody)
    assert made.run.shipped is made.run.segmenter
    assert_same(made.shipped[-1], made.states[-1])


# ------------------------------------------------------------------ compiled


@pytest.mark.slow
def test_a_compiled_network_trains_as_the_plain_one_does(squares):
    eager, compiled = (
        train(squares, "switched", network=toy.plain, compile=how, ema=0.9) for how in (False, True)
    )
    for state, expected in (
        (compiled.states[-1], eager.states[-1]),
        (compiled.shipped[-1], eager.shipped[-1]),
    ):
        assert list(state) == list(expected)
    losses = ["train_total", "train_main", "valid_main", "ema_main"]
    np.testing.assert_allclose(compiled.history[losses], eager.history[losses], atol=1e-4)
    for idle in ("aux_heads.2.weight", "aux_heads.3.weight"):  # zeros for a gradient would let them decay
        assert torch.equal(compiled.states[-1][idle], compiled.states[0][idle])
        assert torch.equal(compiled.states[-1][idle], eager.states[-1][idle])


def groups_of(model, **changes):
    settings = {"lr": LR, "weight_decay": 0.5, "decay_norms": True, "lr_decoder": 1.0} | changes
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        ({names[id(parameter)] for parameter in group["params"]}, group["lr"], group["weight_decay"])
        for group in build_optimizer(model, **settings).param_groups
    ]


def test_with_the_papers_settings_all_parameters_are_one_group():
    model = toy.resnet()
    assert groups_of(model) == [({name for name, _ in model.named_parameters()}, LR, 0.5)]


def test_norms_and_biases_do_not_decay_and_what_is_not_the_encoders_has_its_own_rate():
    model = toy.resnet()
    matrices = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    for names, lr, decay in groups_of(model, decay_norms=False, lr_decoder=10.0):
        assert all((name in matrices) == (decay > 0) for name in names)
        assert all(name.startswith("encoder.") == (lr == LR) for name in names)
        assert lr in (LR, 10 * LR)
    norms = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert norms
    assert not norms & matrices
    assert not {name for name in matrices if name.endswith("bias")}


@pytest.mark.parametrize("kind", list(SCHEDULERS))
def test_every_schedule_keeps_the_ratio_of_the_rates(kind):
    """Down to the plateau's smallest rate, which is one for all."""
    settings = {"lr": LR, "weight_decay": 0.0, "decay_norms": True, "lr_decoder": 5.0}
    optimizer = build_optimizer(toy.plain(), **settings)
    scheduler = build_scheduler(
        optimizer, 20, kind=kind, min_lr=1e-9, factor=0.5, patience=1, threshold=0.0, warmup=0.2
    )
    encoder = LR
    for _ in range(19):
        optimizer.step()
        if by_epoch(scheduler):
            scheduler.step(1.0)  # pyright: ignore[reportArgumentType]
        else:
            scheduler.step()
        encoder, decoder = (group["lr"] for group in optimizer.param_groups)
        assert decoder == pytest.approx(5 * encoder, rel=1e-3)
    assert encoder < LR / 2


def test_a_decoders_rate_moves_it_further(squares):
    """Adam's first step moves each weight by the rate."""
    steps = {}
    for factor in (1.0, 5.0):
        made = prepare(squares, epochs=2, lr_decoder=factor, weight_decay=0.0, batch_size=8)
        before = {name: value.clone() for name, value in made.run.segmenter.state_dict().items()}
        loop.train_epoch(made.run, made.loaders[0], 0, BCE)
        after = made.run.segmenter.state_dict()
        steps[factor] = {
            part: max(
                float((after[name] - before[name]).abs().max())
                for name, _ in made.run.segmenter.named_parameters()
                if name.startswith(part)
            )
            for part in ("encoder", "decoder")
        }
    assert steps[5.0]["encoder"] == pytest.approx(steps[1.0]["encoder"], rel=1e-3)
    assert steps[5.0]["decoder"] == pytest.approx(5 * steps[1.0]["decoder"], rel=1e-3)


def test_a_run_of_three_steps_rises_and_ends_at_the_least_rate():
    found = rates("onecycle", 3)[:3]
    assert max(found) == pytest.approx(LR)
    assert found[-1] == pytest.approx(MIN_LR)
