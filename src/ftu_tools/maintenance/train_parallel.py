"""Folds trained side by side, one on each card, by a `dvc repro` of its own.

`--gpus 0,1` takes these GPUs, `--jobs 2` two folds at a time on CPUs. Several
launchers may run on one project folder, on one machine or on several: a card and a fold are each lent to
one (ftu.pipeline.locks).

DVC closes every descriptor but the standard three before it starts a stage. So the card's lease is standard
input and the fold's is standard output and error: the training holds both as long as it lives, whatever
becomes of this process and of DVC. What it says is in the fold's file, which this process follows.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from ftu.errors import InputError
from ftu.pipeline import locks, paths
from ftu.pipeline.params import load_params
from ftu.pipeline.sections.training import Train
from ftu.pipeline.stage import run

NEEDS = ("resize", "normalize", "split")  # whose outputs pretrain and train read
INTERVAL = 0.2  # s
DVC = ("dvc", "--wait-for-lock", "repro")
STATUS = ("dvc", "--wait-for-lock", "status", "--quiet", "--with-deps")


class Card(NamedTuple):
    """What trains one fold at a time: a GPU of this machine, or a place on its CPUs."""

    name: str  # as its lease and the lines of progress call it: gpu 0, cpu 1
    environment: dict[str, str]  # that makes a training use it, and no other

    def lease(self, folder: Path) -> Path:
        """The file of its lease: cards of other machines that share the folder have other names."""
        return folder / f"{socket.gethostname()}-{self.name.replace(' ', '')}.lock"


class Training:
    """A fold that trains on a card."""

    def __init__(self, fold: int, card: Card, command: Sequence[str], lease: TextIO, log: TextIO) -> None:
        """Start `command`; it has the leases of card and fold then, and the caller may close its own."""
        self.fold, self.card = fold, card
        self.log, self.read = Path(log.name), log.seek(0, os.SEEK_END)
        environment = os.environ | card.environment
        self.process = subprocess.Popen(
            command, stdin=lease, stdout=log, stderr=log, env=environment, start_new_session=True
        )

    def follow(self) -> int | None:
        """Pass on the lines that it has written since; its exit status once it has ended."""
        status = self.process.poll()  # before its last words are read
        with self.log.open("rb") as said:
            said.seek(self.read)
            new = said.read()
        if status is None:
            new = new[: new.rfind(b"\n") + 1]  # whole lines
        self.read += len(new)
        for line in filter(str.strip, new.decode(errors="replace").splitlines()):
            say(f"fold {self.fold} | {self.card.name} | {line}")
        return status


def cards(gpus: str, jobs: int, train: Train) -> list[Card]:
    """The GPUs that `gpus` names ("0,1"), where it names none `jobs` places on the CPUs.

    Raises InputError when they do not go with the parameters of the training.
    """
    if not gpus:
        if train.device != "cpu":
            raise InputError(f"train.device is {train.device}; name the cards, as in GPUS=0,1")
        if jobs < 1:
            raise InputError(f"JOBS={jobs}: nothing can be trained so many at a time; use 1 or more")
        return [Card(f"cpu {number}", {}) for number in range(jobs)]
    names = [name.strip() for name in gpus.split(",")]
    if not all(re.fullmatch(r"\w[\w-]*", name) for name in names) or len(set(names)) < len(names):
        raise InputError(f"GPUS={gpus}: name each card once, by its number, as in GPUS=0,1")
    if train.device != "cuda":
        raise InputError(f"GPUS={gpus}: train.device is {train.device}; set it to cuda, or leave GPUS out")
    if train.processes > 1:
        raise InputError(
            f"GPUS={gpus}: train.processes is {train.processes}, so that a fold takes several cards by "
            "itself; set it to 1, or run `dvc repro`, which trains fold after fold"
        )
    return [Card(f"gpu {name}", {"CUDA_VISIBLE_DEVICES": name}) for name in names]


def train(
    folds: Iterable[int], cards: Sequence[Card], folder: Path, command: Callable[[int], Sequence[str]]
) -> dict[int, int]:
    """Run `command(fold)` for each fold, on each card one at a time; the exit status of each fold.

    Leases lie in `folder`, with the log of each fold. A fold or a card that another launcher holds is waited
    for. One that fails stops no other. When this process is interrupted or told to stop, all are.
    """
    waiting, running, statuses, told = list(folds), [], {}, False
    try:
        while waiting or running:
            while waiting and (started := start(waiting, cards, folder, command)):
                waiting.remove(started.fold)
                running.append(started)
            if waiting and not running and not told:
                say(f"waiting: others hold fold {', '.join(map(str, waiting))}, or every card")
                told = True
            time.sleep(INTERVAL)
            for training in list(running):
                status = training.follow()
                if status is not None:
                    running.remove(training)
                    statuses[training.fold] = status
    except BaseException:
        interrupt(running)
        raise
    return statuses


def start(
    folds: Iterable[int], cards: Iterable[Card], folder: Path, command: Callable[[int], Sequence[str]]
) -> Training | None:
    """Start the first of `folds` that is free on the first card that is; None where there is none."""
    for card in cards:
        lease = locks.take(card.lease(folder))
        if not lease:
            continue
        with lease:
            for fold in folds:
                log = locks.take(folder / f"fold_{fold}.log")
                if log:
                    with log:
                        return Training(fold, card, command(fold), lease, log)
    return None


def interrupt(running: Sequence[Training]) -> None:
    """Stop trainings as Ctrl-C would, and wait until they have ended."""
    for training in running:
        if training.process.poll() is None:
            os.killpg(training.process.pid, signal.SIGINT)
    for training in running:
        training.process.wait()
        training.follow()


def prepare(folder: Path) -> None:
    """Bring up to date what every fold needs, one launcher at a time; InputError when that fails.

    Nothing is run where nothing is to do: while a fold of another launcher trains, DVC refuses to run what it
    reads, even to find that it is up to date. To ask is allowed.
    """
    with locks.take(folder / "prepare.lock", wait=True) as lease:  # pyright: ignore[reportOptionalContextManager]
        if not subprocess.run([*STATUS, *NEEDS], stdin=lease, check=False).returncode:
            return
        done = subprocess.run([*DVC, *NEEDS], stdin=lease, check=False)
    if done.returncode:
        raise InputError(f"{', '.join(NEEDS)}: one of them failed, as said above; no fold was trained")


def report(statuses: Mapping[int, int], folder: Path) -> None:
    """Say which folds failed and how to go on, and end with status 1, unless none did."""
    failed = {fold: status for fold, status in sorted(statuses.items()) if status}
    for fold, status in failed.items():
        say(f"fold {fold} failed with status {status}; its log: {folder / f'fold_{fold}.log'}")
    if failed:
        say(
            f"{len(statuses) - len(failed)} of {len(statuses)} folds are trained; the same command again "
            "trains the others, each from its last whole epoch"
        )
        sys.exit(1)


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> str:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ftu_tools.maintenance.train_parallel", description="Train folds side by side."
    )
    parser.add_argument("--gpus", default="", help="numbers of cards, as in 0,1; empty: CPUs")
    parser.add_argument("--jobs", type=int, default=1, help="folds at a time, on CPUs")
    arguments = parser.parse_args()
    params, folder = load_params(paths.PARAMS), paths.leases()
    chosen = cards(arguments.gpus, arguments.jobs, params.train)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # for what a shell starts in the background
    try:
        prepare(folder)
        statuses = train(
            params.split.run, chosen, folder, lambda fold: [*DVC, "-s", f"pretrain@{fold}", f"train@{fold}"]
        )
    except KeyboardInterrupt:
        say("interrupted; the same command goes on, each fold from its last whole epoch")
        sys.exit(128 + signal.SIGINT)
    report(statuses, folder)
    count = len(params.split.run)
    return f"{count} {'fold is' if count == 1 else 'folds are'} trained; `dvc repro` goes on"


if __name__ == "__main__":
    run(main)
