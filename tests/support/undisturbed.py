"""A small project on its way through the pipeline, beside a run of it that nothing happened to."""

import difflib
import hashlib
import json
import random
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML

from commands import Command, wait_for
from project import commit, copy_repository, set_params

ENCODER = "tu-mobilenetv3_small_050"
STEP = {
    "name": "repair",
    "epochs": 2,
    "batch_size": 4,
    "crops": 1,
    "use": ["train", "test"],
    "corrupt": "noise",
    "match": 0.0,
    "terms": {"reconstruct": 1.0},
    "lr": 1e-3,
    "weight_decay": 0.0,
    "optimizer": {"kind": "adamw", "momentum": 0.9},
    "scheduler": {
        "kind": "plateau", "min_lr": 1e-6, "factor": 0.7, "patience": 5, "threshold": 1e-3, "warmup": 0.1,
    },
    "patience": 0,
    "freeze": [],
}  # fmt: skip
PARAMS = {
    "sample": {"train": 10, "test": 2},
    "compute": {"workers": 2},
    "resize": {"side": 64},
    "shift": {"enabled": True},
    "split": {"count": 2, "run": [0, 1]},
    "pretrain": {"steps": [STEP]},
    "train": {
        "model": {
            "family": "encoder_decoder",
            "encoder": ENCODER,
            "decoder": "daformer",
            "width": 16,
            "fuse": "conv1x1",
            "drop_path": 0.0,
        },
        "epochs": 2,
        "switch_epoch": 1,
        "threads": 1,
        "workers": 1,
    },
    "predict": {"tta": "none", "threads": 1},
}
STAGES = (
    "sample", "decode", "resize", "normalize", "shift", "split", "pretrain@0", "pretrain@1",
    "train@0", "train@1", "predict@0", "predict@1", "members", "calibrate", "evaluate", "submit",
    "report",
)  # fmt: skip
WRITTEN = ("data", "models", "reports", "submissions")
SMALL_DISK = "512m"


class Span(NamedTuple):
    """How long an undisturbed run of a stage lasted, in seconds after its script started."""

    script: float
    dvc: float  # which then stores the outputs
    workers: float  # from the first of its workers to the last; 0 when it has none


class NotSurvivedError(Exception):
    """A fault that did not survive."""


class Undisturbed(NamedTuple):
    """A stage before and after a run that nothing happened to."""

    before: Path  # the project just before it
    lock: bytes  # dvc.lock just after it
    span: Span


class Project:
    """A copy of the project just before one stage, to which something will happen."""

    hurry = (
        1.0  # the share of the undisturbed run in which something happens: the machine may be less busy now
    )

    def __init__(self, folder: Path, stage: str, undisturbed: Undisturbed, seeded: random.Random) -> None:
        self.folder, self.stage, self.undisturbed, self.random = folder, stage, undisturbed, seeded
        self.left: list[Command] = []  # commands that were run: none of their processes may stay
        subprocess.run(["cp", "-a", f"{undisturbed.before}/.", folder], check=True)

    def repro(self, **variables: str) -> Command:
        site = str(self.folder.parent / "site")
        command = Command(self.folder, "dvc", "repro", "-s", self.stage, DVC_SITE_CACHE_DIR=site, **variables)
        self.left.append(command)
        return command

    def finish(self) -> None:
        """The next `dvc repro`. Raises NotSurvivedError when it does not end as if nothing had happened."""
        status, output = self.repro().end()
        if status:
            raise NotSurvivedError(f"the next dvc repro failed:\n{output}")
        if (self.folder / "dvc.lock").read_bytes() != self.undisturbed.lock:
            raise NotSurvivedError(f"dvc.lock differs: {self.changes()}")
        for path, digest in self.outs().items():
            if md5(path) != digest:
                raise NotSurvivedError(f"{path.relative_to(self.folder)} is not what dvc.lock says")
        for command in self.left:
            wait_for(lambda command=command: not command.processes())
            command.output.close()
        self.left = []
        if temporaries := self.temporaries():
            raise NotSurvivedError(f"left over: {temporaries}")

    def changes(self) -> str:
        """The lines of dvc.lock that are others than undisturbed."""
        before, now = self.undisturbed.lock.decode(), (self.folder / "dvc.lock").read_text()
        both = difflib.ndiff(before.splitlines(), now.splitlines())
        found = [" ".join(line.split()) for line in both if line[0] in "+-"]
        return ", ".join(found[:5]) + ", ..." * (len(found) > 5)

    def temporaries(self) -> list[Path]:
        found = [path for name in (*WRITTEN, ".ftu") for path in (self.folder / name).rglob("*.tmp-*")]
        cache = self.folder / ".ftu/items"  # whose temporaries have names of their own, and go by prune-cache
        return [path for path in found if cache not in path.parents]

    def moment(self, lasts: float) -> float:
        """A random one of something that lasted so long undisturbed."""
        return self.random.uniform(0, lasts * self.hurry)

    def outs(self) -> dict[Path, str]:
        """What an undisturbed run writes, with the MD5 of each."""
        stages = YAML(typ="safe").load(self.undisturbed.lock)["stages"]
        return {self.folder / out["path"]: out["md5"] for out in stages[self.stage]["outs"]}

    def objects(self) -> list[Path]:
        """Where DVC keeps them: of a folder, its files and their list."""
        found = set()
        for digest in self.outs().values():
            listed = place_of(self.folder, digest)
            if listed.suffix == ".dir":
                found |= {place_of(self.folder, part["md5"]) for part in json.loads(listed.read_text())}
            if listed.exists():  # the others are tracked by git
                found.add(listed)
        return sorted(found)


def place_of(project: Path, digest: str) -> Path:
    return project / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def md5(path: Path) -> str:
    """As DVC reckons it: of a folder, of the list of its files."""
    if path.is_file():
        return hashlib.md5(path.read_bytes()).hexdigest()
    files = {str(each.relative_to(path)): md5(each) for each in path.rglob("*") if each.is_file()}
    parts = [{"md5": digest, "relpath": name} for name, digest in sorted(files.items())]
    return hashlib.md5(json.dumps(parts).encode()).hexdigest() + ".dir"


def run_undisturbed(folder: Path, stages: Sequence[str]) -> dict[str, Undisturbed]:
    """Run a new project up to the last of `stages`, and keep how it was before each of them."""
    project = folder / "undisturbed"
    project.mkdir()
    copy_repository(project)
    set_params(project, PARAMS)
    commit(project)
    found = {}
    for stage in STAGES[: max(map(STAGES.index, stages)) + 1]:
        before = folder / "before" / stage
        if stage in stages:
            shutil.copytree(project, before, symlinks=True)
        with Command(
            project, "dvc", "repro", "-s", stage, DVC_SITE_CACHE_DIR=str(folder / "site")
        ) as command:
            span = watch(command)
        found[stage] = Undisturbed(before, (project / "dvc.lock").read_bytes(), span)
    return found


def watch(command: Command) -> Span:
    """Let a command end, and see when its stage and workers did."""
    wait_for(lambda: command.stage() or command.ended())
    start, script, workers = time.monotonic(), 0.0, []
    while not command.ended():
        now = time.monotonic() - start
        script = now if command.stage() else script
        workers += [now] if command.workers() else []
        time.sleep(0.05)
    status, output = command.end()
    assert status == 0, output
    return Span(script, time.monotonic() - start, workers[-1] - workers[0] if workers else 0.0)


@contextmanager
def project_at(
    place: Path, stage: str, undisturbed: Undisturbed, seeded: random.Random, *, small: bool
) -> Iterator[Project]:
    """A project in a folder of its own, on a disk of its own where that is to be `small`."""
    place.mkdir()
    if small:
        mount("-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(place), folder=place)
    (place / "ftu").mkdir()
    project = Project(place / "ftu", stage, undisturbed, seeded)
    try:
        yield project
    finally:
        for command in project.left:
            command.kill_all()
        if small:
            subprocess.run(["umount", place], check=True)
        shutil.rmtree(place)


def mount(*words: str, folder: Path) -> None:
    subprocess.run(["mount", *words], cwd=folder, check=True)
