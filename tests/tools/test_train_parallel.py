"""Laws of leases and of folds side by side: none twice, one a card, and none lost by another's failure."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from ruamel.yaml import YAML

from ftu.errors import InputError
from ftu.pipeline import locks
from ftu.pipeline.params import load_params
from ftu.pipeline.sections.training import Train
from ftu_tools.maintenance import train_parallel
from imports import ROOT
from waiting import wait_until

WITHIN = 30  # s
CARDS = [train_parallel.Card(f"gpu {number}", {"CUDA_VISIBLE_DEVICES": str(number)}) for number in (3, 5)]


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "leases"


def shell(words: str, place: Path) -> Callable[[int], list[str]]:
    """A command for each fold: `words` in a shell, where $1 is the fold and `tell` adds to place/events."""
    tell = f'tell() {{ echo "$@" >> {place}/events; }}; cd {place}; '
    return lambda fold: ["bash", "-c", tell + words, "bash", str(fold)]


def events(place: Path) -> list[str]:
    path = place / "events"
    return path.read_text().splitlines() if path.exists() else []


def is_free(path: Path) -> bool:
    file = locks.take(path)
    if file:
        file.close()
    return file is not None


def test_a_lease_has_one_holder_and_ends_with_the_last_copy_of_its_descriptor(tmp_path):
    path = tmp_path / "new" / "card.lock"
    first = locks.take(path)
    assert first
    assert not is_free(path)
    copy = os.dup(first.fileno())
    first.close()
    assert not is_free(path)
    os.close(copy)
    assert is_free(path)
    assert path.exists()


def test_every_fold_is_trained_once_each_card_trains_one_at_a_time_and_says_so(folder, tmp_path, capsys):
    words = "tell + $CUDA_VISIBLE_DEVICES $1; echo epoch 1/1; sleep 0.1; tell - $CUDA_VISIBLE_DEVICES"
    command = shell(words, tmp_path)
    assert train_parallel.train([4, 0, 2, 1, 3], CARDS, folder, command) == dict.fromkeys(range(5), 0)
    lines = capsys.readouterr().err.splitlines()
    assert sorted(line[:6] for line in lines) == [f"fold {fold}" for fold in range(5)]
    assert all(re.fullmatch(r"fold \d \| gpu [35] \| epoch 1/1", line) for line in lines)
    assert sorted(line[-1] for line in events(tmp_path) if "+" in line) == list("01234")
    for card in "35":
        signs = [line[0] for line in events(tmp_path) if line.split()[1] == card]
        assert signs == ["+", "-"] * (len(signs) // 2)


def test_a_fold_that_fails_leaves_the_others_trained(folder, tmp_path, capsys):
    statuses = train_parallel.train(
        range(4), CARDS, folder, shell("echo no luck; exit $(($1 == 2 ? 7 : 0))", tmp_path)
    )
    assert statuses == {0: 0, 1: 0, 2: 7, 3: 0}
    with pytest.raises(SystemExit) as ended:
        train_parallel.report(statuses, folder)
    assert ended.value.code == 1
    *_, failed, way_out = capsys.readouterr().err.splitlines()
    assert failed == f"fold 2 failed with status 7; its log: {folder}/fold_2.log"
    assert way_out.startswith("3 of 4 folds are trained; the same command again trains the others")
    assert (folder / "fold_2.log").read_text() == "no luck\n"
    train_parallel.report({0: 0}, folder)  # no failure: no words, no end


ONCE = "if [ ! -e done$1 ]; then tell + $1 $CUDA_VISIBLE_DEVICES; sleep 0.2; touch done$1; tell - $1; fi"


def test_two_launchers_share_the_cards_and_train_no_fold_twice(folder, tmp_path):
    """What is trained is up to date for the second: as `dvc repro` has it, and as this shell has it."""
    found: list[dict[int, int]] = []

    def launch() -> None:
        found.append(train_parallel.train(range(5), CARDS, folder, shell(ONCE, tmp_path)))

    launchers = [Thread(target=launch) for _ in range(2)]
    for launcher in launchers:
        launcher.start()
    for launcher in launchers:
        launcher.join()
    assert found == [dict.fromkeys(range(5), 0)] * 2
    assert sorted(line.split()[1] for line in events(tmp_path) if "+" in line) == list("01234")
    open_now = [line[0] for line in events(tmp_path)]
    assert max(open_now[:end].count("+") - open_now[:end].count("-") for end in range(11)) <= len(CARDS)


LAUNCH = """
import sys
from pathlib import Path
from ftu.pipeline import stage
from ftu_tools.maintenance import train_parallel
card = train_parallel.Card("cpu 0", {})
command = ["bash", "-c", sys.argv[2]]
stage.run(lambda: train_parallel.train([0], [card], Path(sys.argv[1]), lambda fold: command) and "")
"""


def launched(folder: Path, words: str) -> subprocess.Popen:
    """A launcher of one fold; the shell that it runs stands for DVC, what that starts for the training."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, "-c", LAUNCH, str(folder), words], env=environment)


def test_a_training_that_outlives_its_launcher_and_dvc_keeps_its_leases_until_it_ends(folder, tmp_path):
    training = (
        f"for i in {{1..600}}; do [ -e {tmp_path}/stop ] && break; sleep 0.05; done; echo last words >&2"
    )
    dvc = f"({training}) <&0 & echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/dvc; wait"
    launcher = launched(folder, dvc)
    held = [train_parallel.Card("cpu 0", {}).lease(folder), folder / "fold_0.log"]
    wait_until((tmp_path / "dvc").exists, WITHIN)
    assert not any(map(is_free, held))
    launcher.kill()
    launcher.wait(WITHIN)
    assert not any(map(is_free, held))
    os.kill(int((tmp_path / "dvc").read_text()), signal.SIGKILL)
    time.sleep(0.1)
    assert not any(map(is_free, held))
    (tmp_path / "stop").touch()
    wait_until(lambda: all(map(is_free, held)), WITHIN)
    assert held[1].read_text() == "last words\n"  # not a broken pipe


@pytest.mark.usefixtures("interruptible")
def test_what_is_told_to_stop_interrupts_its_trainings_and_waits_for_them(folder, tmp_path):
    words = (
        f"trap 'sleep 0.2; touch {tmp_path}/saved; exit 130' INT; touch {tmp_path}/started; sleep 60 & wait"
    )
    launcher = launched(folder, words)
    wait_until((tmp_path / "started").exists, WITHIN)
    launcher.terminate()
    assert launcher.wait(WITHIN) == 128 + signal.SIGTERM
    assert (tmp_path / "saved").exists()


@pytest.fixture
def settings() -> Train:
    return load_params(ROOT / "params.yaml").train


def test_cards_are_gpus_by_name_or_places_on_the_cpu(settings):
    assert train_parallel.cards("", 2, settings) == [
        train_parallel.Card("cpu 0", {}),
        train_parallel.Card("cpu 1", {}),
    ]
    gpus = train_parallel.cards("0, 12", 7, settings.model_copy(update={"device": "cuda"}))
    assert [card.name for card in gpus] == ["gpu 0", "gpu 12"]
    assert [card.environment for card in gpus] == [{"CUDA_VISIBLE_DEVICES": number} for number in ("0", "12")]
    assert len({card.lease(Path()) for card in gpus}) == 2


@pytest.mark.parametrize(
    ("gpus", "jobs", "changes", "words"),
    [
        ("0,0", 1, {"device": "cuda"}, "GPUS=0,0: name each card once"),
        ("0,", 1, {"device": "cuda"}, "GPUS=0,: name each card once"),
        ("../x", 1, {"device": "cuda"}, "GPUS=../x: name each card once"),
        ("0", 1, {}, "train.device is cpu; set it to cuda"),
        ("", 1, {"device": "cuda"}, "train.device is cuda; name the cards"),
        ("", 0, {}, "JOBS=0: "),
        ("0,1", 1, {"device": "cuda", "processes": 2}, "train.processes is 2"),
    ],
)
def test_cards_that_do_not_go_with_the_parameters_are_refused_in_words(settings, gpus, jobs, changes, words):
    with pytest.raises(InputError, match=re.escape(words)):
        train_parallel.cards(gpus, jobs, settings.model_copy(update=changes))


def test_what_is_made_ready_is_what_train_reads():
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    read = [Path(dep) for dep in stages["train"]["deps"] if dep.startswith("data/")]
    makers = {
        name
        for name, stage in stages.items()
        for out in map(Path, filter(lambda out: isinstance(out, str), stage["outs"]))
        if any(out in (path, *path.parents) for path in read)
    }
    assert makers == {*train_parallel.NEEDS, "pretrain"}  # which runs with its fold
