"""A project folder of its own for a test: parameters, a small data set, and the real stage scripts."""

import copy
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from matplotlib.figure import Figure
from ruamel.yaml import YAML

from ftu.datasets.sample import write_histology
from imports import ROOT

if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as cores: their threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

settings.register_profile("untimed", deadline=None)  # the machine may be busy
settings.load_profile("untimed")
os.environ["PATH"] = os.pathsep.join([str(ROOT / ".uv" / "bin"), os.environ["PATH"]])  # as in the Makefile

# The first stages work where torch cannot be imported, and they take no time to import it.
UNUSABLE_TORCH = 'raise RuntimeError("torch was imported")\n'


@cache
def committed_params() -> dict[str, Any]:
    return YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))


class Project:
    """A folder as a user's clone has it, outputs of stages included; the scripts are the repository's."""

    def __init__(self, folder: Path, **sections: dict[str, Any]) -> None:
        self.folder, self.first = folder, folder.with_name("first")
        self.first.mkdir()
        self.shadow("torch", UNUSABLE_TORCH)
        self.params = copy.deepcopy(committed_params())
        self.set(**sections)

    def shadow(self, module: str, code: str) -> None:
        """Put a module where the scripts look for one first."""
        (self.first / f"{module}.py").write_text(code)

    def set(self, **sections: dict[str, Any]) -> None:
        """Change values of params.yaml, section by section."""
        for section, values in sections.items():
            self.params[section].update(values)
        YAML(typ="safe").dump(self.params, self.folder / "params.yaml")

    def run(self, stage: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run stages/`stage`.py here, where torch cannot be used."""
        return subprocess.run(
            [sys.executable, str(ROOT / "stages" / f"{stage}.py"), *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(self.first), str(ROOT / "src")])},
            capture_output=True,
            text=True,
            check=False,
        )

    def prepared(self, *stages: str) -> Path:
        """The folder, after these stages have run."""
        for stage in stages:
            done = self.run(stage)
            assert done.returncode == 0, done.stderr
        return self.folder

    def contents(self) -> dict[str, bytes | None]:
        """Every path under the folder with its bytes, None for a folder; .ftu, which saves time, aside."""
        found = {path.relative_to(self.folder): path for path in sorted(self.folder.rglob("*"))}
        return {
            str(name): path.read_bytes() if path.is_file() else None
            for name, path in found.items()
            if name.parts[0] != ".ftu"
        }


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A job that a shell runs in the background ignores Ctrl-C, and so do the processes that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="module")
def _torch_as_before() -> Iterator[None]:
    """What the tests and fixtures of a file set for the whole process of torch ends with the file."""
    with ExitStack() as stack:
        if "torch" in sys.modules:
            import toy

            stack.enter_context(toy.torch_as_before())
        yield


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    figures, save = [], Figure.savefig

    def keep(figure: Figure, *arguments: Any, **settings: Any) -> None:
        figures.append(figure)
        save(figure, *arguments, **settings)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of toy images and masks; do not write into it."""
    import toy

    return toy.write_squares(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def small_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the competition's layout, six training and two test images; do not write into it."""
    folder = tmp_path_factory.mktemp("sample")
    write_histology(folder, train=6, test=2, seed=0)
    return folder


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """Makes a project with changed sections of params.yaml, on a copy of `dataset` when that is given."""

    def make(dataset: Path | None = None, **sections: dict[str, Any]) -> Project:
        folder = tmp_path_factory.mktemp("project") / "ftu"
        folder.mkdir()
        if dataset:
            shutil.copytree(dataset, folder / "data" / "raw")
            sections["data"] = {"root": "data/raw"}
        return Project(folder, **sections)

    return make
