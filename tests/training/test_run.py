"""Laws of a run: what was put away after any epoch goes on bit by bit as if it had not been."""

import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import toy
from ftu.errors import InputError
from ftu.training import accelerator
from ftu.training.accelerator import accelerate, usable_precision
from ftu.training.resume import StateFile
from toy import Toy, assert_same, prepare

EPOCHS, SWITCH = 4, 2
RUNS: dict[str, dict[str, Any]] = {
    "plateau": {"scheduler": {"kind": "plateau", "patience": 0, "threshold": 10.0}, "ema": 0.9},
    "cosine": {"scheduler": {"kind": "cosine"}, "ema": 0.9},
    "onecycle": {"scheduler": {"kind": "onecycle"}, "ema": 0.9},
    "without an average": {},
    "in rounds, clipped": {"accumulate": 2, "clip": 0.05},
    "bfloat16": {"precision": "bf16", "ema": 0.5},
    "loader workers": {"workers": 1},
}


@pytest.fixture(scope="module", params=RUNS.values(), ids=list(RUNS))
def whole(request, squares) -> tuple[dict[str, Any], Toy]:
    """Settings, and the uninterrupted run: with dropout and batch statistics."""
    return request.param, built(squares, request.param).finish()


def built(squares, settings: dict[str, Any]) -> Toy:
    how = {"network": toy.moody, "epochs": EPOCHS, "switch_epoch": SWITCH, "lr": 0.01} | settings
    return prepare(squares, "switched", **how)


def disturb() -> None:
    """Draw from every generator, as another process would have."""
    random.random()
    np.random.random(7)
    torch.rand(7)


def assert_equal(value: Any, other: Any) -> None:
    """Bit by bit, in depth; nan is nan."""
    if isinstance(value, torch.Tensor):
        assert torch.equal(value, other)
    elif isinstance(value, dict):
        assert list(value) == list(other)
        for key in value:
            assert_equal(value[key], other[key])
    elif isinstance(value, (list, tuple)):
        assert len(value) == len(other)
        for one, another in zip(value, other, strict=True):
            assert_equal(one, another)
    else:
        assert value == other or (value != value and other != other)


@pytest.mark.parametrize("done", range(EPOCHS + 1))
def test_a_run_that_was_put_away_goes_on_bit_by_bit(squares, whole, tmp_path, done):
    """Before, at and after the switch; before the first epoch and after the last, too."""
    settings, uninterrupted = whole
    first, state = built(squares, settings), StateFile(tmp_path / "run.state", writes=True)
    for _, _ in zip(range(done), first.epochs(), strict=False):
        pass
    state.write(first.run.state_dict())
    disturb()
    again = built(squares, settings)
    disturb()
    again.run.resume(state)
    assert [row["epoch"] for row in again.run.rows] == list(range(done))
    again.finish()
    pd.testing.assert_frame_equal(again.history, uninterrupted.history, check_exact=True)
    for name in ("states", "shipped"):
        for made, expected in zip(getattr(again, name), getattr(uninterrupted, name)[done:], strict=True):
            assert_same(made, expected)
    assert again.run.checkpoints.scores() == uninterrupted.run.checkpoints.scores()
    assert_equal(again.run.state_dict(), uninterrupted.run.state_dict())


def test_a_run_without_a_state_begins_at_the_beginning(squares, tmp_path):
    made = built(squares, {})
    made.run.resume(StateFile(tmp_path / "run.state", writes=True))
    assert made.run.rows == []
    assert_equal(made.finish().run.state_dict(), built(squares, {}).finish().run.state_dict())


def test_a_state_is_a_copy_on_disk_that_training_on_does_not_change(squares, tmp_path):
    made, state = built(squares, {"ema": 0.9}), StateFile(tmp_path / "run.state", writes=True)
    epochs = made.epochs()
    next(epochs)
    state.write(made.run.state_dict())
    before = state.path.read_bytes()
    next(epochs)
    assert state.path.read_bytes() == before
    found = state.read()
    assert found is not None
    assert len(found["rows"]) == 1
    assert_same(found["model"], made.states[0])
    assert_same({key.removeprefix("module."): each for key, each in found["average"].items()
                 if key != "n_averaged"}, made.shipped[0])  # fmt: skip


def test_processes_that_would_go_on_from_different_epochs_are_refused(squares, tmp_path, monkeypatch):
    made = built(squares, {})
    monkeypatch.setattr("ftu.training.run.gather_object", lambda found: [*found, 3])
    with pytest.raises(InputError, match=r"run\.state: .*epochs \[0, 3\].*disk that all of them share"):
        made.run.resume(StateFile(tmp_path / "run.state", writes=True))


# ------------------------------------------------------------------ random numbers


def draw() -> list[Any]:
    return [random.random(), np.random.normal(size=3).tolist(), torch.randn(3).tolist()]


@pytest.mark.parametrize("warm", [0, 1, 5])
def test_the_random_state_comes_back_in_every_generator(warm):
    for _ in range(warm):
        draw()  # an odd number of normal values: numpy keeps one in stock
    state, expected = accelerator.random_state(), [draw(), draw()]
    disturb()
    accelerator.restore_random_state(state)
    assert [draw(), draw()] == expected


def test_the_random_state_can_be_put_away(tmp_path):
    file = StateFile(tmp_path / "run.state", writes=True)
    file.write({"random": accelerator.random_state()})
    expected, found = draw(), file.read()
    assert found is not None
    accelerator.restore_random_state(found["random"])
    assert draw() == expected


def test_a_run_begins_with_the_random_numbers_of_its_seed(squares):
    drawn = []
    for seed in (0, 0, 1):
        disturb()
        built(squares, {"seed": seed})
        drawn.append(draw())
    assert drawn[0] == drawn[1]
    assert all(one != other for one, other in zip(drawn[0], drawn[2], strict=True))


# ------------------------------------------------------------------ precision


def test_a_gpu_without_bfloat16_is_refused_with_what_to_use(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla T4")
    with pytest.raises(InputError, match=r"train\.precision: Tesla T4 has no bf16; use fp16 or fp32"):
        accelerate(torch.device("cuda"), "bf16", 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_MIXED_PRECISION", "bf16"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2"),
        ("ACCELERATE_DYNAMO_BACKEND", "eager"),
    ],
)
def test_no_variable_of_the_environment_decides(squares, monkeypatch, name, value):
    expected = built(squares, {}).finish()
    monkeypatch.setenv(name, value)
    made = built(squares, {})
    assert type(made.run.objective) is type(expected.run.objective)
    toy.assert_same_run(made.finish(), expected)


@pytest.mark.parametrize("capable", [True, False])
def test_bf16_is_fp32_on_a_cpu_without_it_and_nothing_else_changes(capable, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": capable})
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert usable_precision(cpu, "bf16") == ("bf16" if capable else "fp32")
    assert usable_precision(cpu, "fp32") == "fp32"
    for asked in ("fp32", "bf16", "fp16"):
        assert usable_precision(cuda, asked) == asked
