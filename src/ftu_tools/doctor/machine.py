"""What this machine offers: versions, processors, memory, GPUs. Nothing here needs the project's packages."""

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ftu.errors import some
from ftu.files import limits
from ftu_tools.doctor.findings import Finding, error, ok, size, warning

CGROUP = Path("/sys/fs/cgroup")
PER_WORKER = 400e6  # bytes that a process of the per-image stages takes
SHOWN = ("torch", "timm", "segmentation-models-pytorch", "albumentations", "numpy", "rasterio", "dvc")
LARGEST = 2**26  # bytes of uv.lock
WITHIN = 120  # s, for torch to be imported on a machine that is busy


def python() -> Iterator[Finding]:
    """The interpreter, and whether the stages, which call `python`, will have the same one."""
    yield ok("python", f"{platform.python_version()}, {sys.executable}")
    found = shutil.which("python")
    if not found:
        yield error("python", "no `python` on the PATH, and stages call it; . .venv/bin/activate")
    elif Path(found).parent.resolve() != Path(sys.executable).parent.resolve():
        yield warning("python", f"stages would run {found}; . .venv/bin/activate")


def packages(lock: Path, wanted: Path) -> Iterator[Finding]:
    """The packages that pyproject.toml, at `wanted`, asks for, against the versions of uv.lock, at `lock`."""
    try:
        asked = tomllib.loads(limits.content(wanted, LARGEST).decode())["project"]["dependencies"]
        listed = tomllib.loads(limits.content(lock, LARGEST).decode())["package"]
    except (OSError, ValueError, KeyError) as problem:
        yield error(
            "packages", f"{wanted} and {lock} cannot be read ({problem}); git checkout {wanted} {lock}"
        )
        return
    locked: dict[str, set[str]] = {}
    for package in listed:
        locked.setdefault(package["name"], set()).add(package.get("version", ""))
    names = [match[0].lower() for text in asked if (match := re.match(r"[A-Za-z0-9._-]+", text))]
    found = {name: installed(name) for name in names}
    if missing := [name for name, number in found.items() if not number]:
        yield error("packages", f"{some(missing)} not installed; make env")
    differ = [
        f"{name} {number} (uv.lock: {', '.join(sorted(locked[name]))})"
        for name, number in found.items()
        if number and number.split("+")[0] not in locked.get(name, {number.split("+")[0]})
    ]
    if differ:
        yield warning("packages", f"{some(differ)}; make env, or other bytes may come out")
    if not missing and not differ:
        yield ok(
            "packages",
            f"{len(found)} as in uv.lock: "
            + ", ".join(f"{name} {found[name]}" for name in SHOWN if name in found),
        )


def installed(name: str) -> str:
    """The version of a package in this environment, empty when there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def tools() -> Iterator[Finding]:
    """The programs that the README's commands call."""
    ways = {
        "git": (error, "install it"),
        "dvc": (error, "make env, then . .venv/bin/activate"),
        "uv": (ok, "make env gets one of its own"),
    }
    for name, (level, way) in ways.items():
        words = said(name, "--version") if shutil.which(name) else ""
        yield ok(name, words.removeprefix(f"{name} ")) if words else level(name, f"not on the PATH; {way}")


def repository(project: Path) -> Iterator[Finding]:
    """Whether git, which DVC asks, takes the folder for a repository of ours."""
    if not shutil.which("git"):
        return
    command = ["git", "-C", str(project), "rev-parse", "--show-toplevel"]
    english = os.environ | {"LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=english, check=False)
    if done.returncode == 0:
        return
    if "dubious ownership" in done.stderr:
        place = shlex.quote(str(project.resolve()))
        way = f"git config --global --add safe.directory {place}, if you trust its owner"
        yield error("git", f"{project.resolve()} is another user's, and git refuses it; {way}")
    else:
        way = "git init && git add -A && git commit -m start, or clone it in place of downloading a ZIP"
        yield error("git", f"{project.resolve()} is no git repository, which DVC needs; {way}")


def processors(params: dict[str, Any] | None) -> Iterator[Finding]:
    """Processors that may be used, beside what the parameters ask for."""
    usable, limit = len(os.sched_getaffinity(0)), cpu_limit()
    words = f"{usable} of {os.cpu_count()} usable" + (f", limited to {limit:g}" if limit else "")
    yield ok("processors", words)
    if not params:
        return
    if params["compute"]["executor"] == "dask" and not installed("distributed"):
        yield error("processors", "compute.executor is dask, which is not installed; uv sync --extra dask")
    most, train, compute = min(usable, limit or usable), params["train"], params["compute"]
    asked = {"compute.workers": compute["workers"] if compute["executor"] == "process" else 1}
    asked["train.processes x train.threads"] = train["threads"] * train["processes"]
    for key, count in asked.items():
        if count > max(most, 1) and not (train["device"] == "cuda" and key.startswith("train")):
            yield warning(
                "processors", f"{key} is {count}, which {most:g} serve slowly; use at most {most:g}"
            )


def cpu_limit(cgroup: Path = CGROUP) -> float | None:
    """Processors that a container may use, None for any. Both versions of control groups are read."""
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        try:
            quota, period = (
                (cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="utf-8").strip()
                for name in ("quota", "period")
            )
        except OSError:
            return None
    return None if quota in ("max", "-1") else int(quota) / int(period)


def memory(
    params: dict[str, Any] | None, table: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP
) -> Iterator[Finding]:
    """Memory in all and free, and whether it will do for the workers."""
    lines = dict(line.split(":", 1) for line in table.read_text(encoding="utf-8").splitlines())
    total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    if limit := memory_limit(cgroup):
        total, free = min(total, limit), min(free, max(limit - memory_used(cgroup), 0))
    workers = params["compute"]["workers"] if params else 1
    if free < workers * PER_WORKER:
        words = f"{size(free)} free for {workers} workers of up to {size(PER_WORKER)}"
        yield warning("memory", f"{words}; end other programs, or lower compute.workers")
    else:
        yield ok("memory", f"{size(free)} free of {size(total)}")


def memory_limit(cgroup: Path = CGROUP) -> int | None:
    """Bytes that a container may use, None for any."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (cgroup / name).read_text(encoding="utf-8").strip()
        except OSError:
            continue
        return None if text == "max" or int(text) >= 2**60 else int(text)
    return None


def memory_used(cgroup: Path = CGROUP) -> int:
    """Bytes that a container uses, without what it holds of files only for speed and drops when it must."""
    old = cgroup / "memory"
    for count, stat, droppable in (
        (cgroup / "memory.current", cgroup / "memory.stat", "inactive_file"),
        (old / "memory.usage_in_bytes", old / "memory.stat", "total_inactive_file"),
    ):
        try:
            parts = dict(line.split() for line in stat.read_text(encoding="utf-8").splitlines())
            return int(count.read_text(encoding="utf-8")) - int(parts.get(droppable, 0))
        except OSError:
            continue
    return 0


def ask_torch(encoder: str) -> subprocess.Popen[str]:
    """Let another process import torch, which takes seconds, and ask it what `answer` reads.

    It looks for the ImageNet weights of `encoder`; an empty name asks for none.
    """
    command = [sys.executable, "-B", "-m", "ftu_tools.doctor.torch_facts", encoder]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def answer(asked: subprocess.Popen[str]) -> dict[str, Any]:
    """What `ftu_tools.doctor.torch_facts` printed; where it failed its last words, as `failure`."""
    try:
        out, said = asked.communicate(timeout=WITHIN)
    except subprocess.TimeoutExpired:
        asked.kill()
        asked.communicate()
        return {"failure": f"no answer in {WITHIN} s"}
    if asked.returncode:
        return {"failure": (said.strip().splitlines() or ["it was killed"])[-1]}
    return json.loads(out.splitlines()[-1])


def gpus(told: dict[str, Any], params: dict[str, Any] | None) -> Iterator[Finding]:
    """The GPUs that torch sees, beside the devices that the parameters name."""
    if failure := told.get("failure"):
        yield error("gpus", f"torch cannot be used ({failure}); make env")
        return
    found = told["gpus"]
    names = some([f"{gpu['name']} ({size(gpu['memory'])})" for gpu in found])
    wanted = [part for part in ("train", "predict") if params and params[part]["device"] == "cuda"]
    keys = " and ".join(f"{part}.device" for part in wanted)
    if wanted and not found:
        yield error("gpus", f"torch sees none, and {keys} is cuda; set it to cpu, or look at `nvidia-smi`")
    elif params and "train" in wanted and params["train"]["processes"] > len(found):
        yield warning(
            "gpus",
            f"{names}: fewer than train.processes, {params['train']['processes']}; lower it, or launch "
            "training on several machines (docs/scaling.md)",
        )
    elif found and not wanted:
        yield ok("gpus", f"{names}; train.device is cpu, profiles/competition.yaml is for a GPU")
    else:
        yield ok("gpus", names or "none, and none is asked for")


def said(*command: str) -> str:
    """The first line of what a program says, empty when it fails."""
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    return done.stdout.strip().split("\n")[0] if done.returncode == 0 else ""
