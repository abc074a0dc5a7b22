"""What a fold leaves behind says which epoch it is, and warns of one that saw the first phase alone."""

import pandas as pd
import pytest

import toy
from ftu.files import jsonfile
from ftu.networks.common import saved
from ftu.preprocessing import normalization
from ftu.training import fold
from ftu.training.checkpoints import CHOICES
from toy import assert_same, train

ARCHITECTURE = {"family": "encoder_decoder", "encoder": "resnet18", "decoder": "unet", "width": 16,
                "fuse": "conv1x1", "size": toy.SIZE}  # fmt: skip


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("choice", CHOICES)
def test_the_saved_weights_are_those_of_the_epoch_that_model_json_names(squares, tmp_path, choice, ema):
    made = train(squares, "switched", epochs=4, switch_epoch=1, lr=0.01, ema=ema, checkpoint=choice)
    shipped = made.shipped
    fold.save(tmp_path, made.run, ARCHITECTURE, {"fold": 0})
    model, facts = saved.load(tmp_path)
    scores = jsonfile.read(tmp_path / "metrics.json", "")
    assert list(scores) == list(CHOICES)
    assert (facts["checkpoint"], facts["switch_epoch"], facts["stopped_early"]) == (choice, 1, False)
    assert facts["epoch"] == scores[choice]["epoch"] == (3 if choice == "last" else facts["epoch"])
    assert_same(model.state_dict(), shipped[facts["epoch"]])
    history = pd.read_csv(tmp_path / "history.csv").set_index("epoch")[made.run.shown_dice]
    for score in scores.values():
        assert score["dice"] == pytest.approx(history[score["epoch"]])


def test_a_training_out_of_patience_says_that_it_stopped_early(squares, tmp_path):
    made = train(squares, epochs=6, switch_epoch=1, patience=1, lr=1e-6, checkpoint="last")
    fold.save(tmp_path, made.run, ARCHITECTURE, {"fold": 0})
    facts = jsonfile.read(tmp_path / "model.json", "")
    assert facts["stopped_early"]
    assert facts["epoch"] == len(made.run.rows) - 1 < 5


@pytest.mark.parametrize(
    ("choice", "dices", "warned"),
    [
        ("best", [0.9, 0.1, 0.2, 0.3], True),
        ("best", [0.1, 0.1, 0.9, 0.3], False),  # the first epoch after the switch
        ("best_after_switch", [0.9, 0.1, 0.2, 0.3], False),
        ("last", [0.9, 0.1, 0.2, 0.3], False),
    ],
)
def test_a_network_of_the_first_phase_is_warned_of(squares, choice, dices, warned):
    run = toy.prepare(squares, network=toy.plain, epochs=4, switch_epoch=2, checkpoint=choice).run
    for epoch, dice in enumerate(dices):
        run.record({"epoch": epoch, "valid_dice": dice})
    words = fold.phase_one(run)
    assert bool(words) is warned
    if warned:
        named = ("checkpoint best ships epoch 0,", "train.switch_epoch 2", "best_after_switch or last")
        assert [part for part in named if part not in words] == []


@pytest.mark.parametrize(
    ("test", "backend", "match", "said"),
    [(0, "histogram", True, 0), (4, "histogram", False, 4), (4, "none", False, 0), (4, "none", True, 4)],
)
def test_test_images_count_where_training_images_get_their_levels(tmp_path, test, backend, match, said):
    file = tmp_path / "histogram.json"
    levels = normalization.Levels([[0.5, 0.5]], [], test)
    jsonfile.write(file, normalization.levels_facts(levels, backend))
    assert fold.test_images_matched(file, match) == said
