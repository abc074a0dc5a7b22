"""Whatever goes wrong, a run ends with one line that says what, and how to go on; never with a traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ftu.pipeline import failures
from imports import ROOT

SCRIPT = """
import errno, os, sys
from ftu.pipeline.stage import run
from ftu.pipeline.workers.pool import Pool

def main():
    {}
    return "ended well"

if __name__ == "__main__":
    run(main)
"""


@pytest.fixture
def started(tmp_path):
    """Runs a main of these words as a stage, in a shell that redirects; what became of it."""

    def start(
        body: str, redirected: str = "", *options: str, **more: str
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "stage.py").write_text(SCRIPT.replace("{}", body, 1))
        words = ["sh", "-c", f'"$0" "$@" {redirected}', sys.executable, *options, "stage.py"]
        variables = os.environ | {"PYTHONPATH": str(ROOT / "src")} | more
        return subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)

    return start


SCRIPTS = [path for name in ("stages", "src") for path in sorted((ROOT / name).rglob("*.py"))]
ASKED = "torch_facts.py"  # by doctor, which tells why it got no answer
ALONE = "ftu_tools/export/predict.py"  # travels with an export, without ftu


def test_every_script_has_the_last_line_of_defence():
    ends = [path.read_text().partition('\nif __name__ == "__main__":\n')[2] for path in SCRIPTS]
    assert sum(map(bool, ends)) >= 20
    for path, end in zip(SCRIPTS, ends, strict=True):
        defended = "    run(" in end or "failures.told(" in end
        assert not end or defended or path.name == ASKED or path.match(ALONE), path


def logs(folder: Path) -> list[Path]:
    return sorted((folder / ".ftu/logs").glob("*"))


def test_an_error_of_ours_is_a_line_with_the_kind_and_the_file_of_its_traceback(started, tmp_path):
    done = started("{}['x']")
    (log,) = logs(tmp_path)
    place = log.relative_to(tmp_path)
    line = f"stage: error: KeyError: 'x': a fault of the program; the traceback is in {place}\n"
    assert (done.returncode, done.stderr) == (70, line)
    assert "in main" in log.read_text()
    assert started("{}['x']").stderr == line  # the same error, the same file
    assert logs(tmp_path) == [log]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_item_that_was_worked_on_is_named(started, workers):
    done = started(f'Pool("process", {workers}, "").each(int, ["1", "two", "3"], doing="x")')
    assert done.returncode == 70
    assert "'two' (two): a fault of the program" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("options", "more"), [(["-X", "dev"], {}), ([], {"FTU_TRACEBACK": "1"})])
def test_who_asks_for_the_traceback_sees_it(started, options, more):
    done = started("{}['x']", "", *options, **more)
    assert done.returncode == 70
    assert "Traceback" in done.stderr
    assert "the traceback is above\n" in done.stderr


def test_logs_are_few_and_the_newest_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(20 + 3):
        assert failures.told("stage", ValueError(str(number))) == 70
        for log in logs(tmp_path):
            os.utime(log, ns=(0, log.stat().st_mtime_ns - 10**9))  # each is older than the next
    texts = [log.read_text() for log in logs(tmp_path)]
    assert len(texts) == 20
    assert {f"ValueError: {number}\n" for number in range(3, 20 + 3)} == set(texts)


def test_of_an_errors_own_words_300_characters_are_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    failures.told("stage", ValueError("x" * 999))
    kind = f"ValueError: {'x' * 999}"[:300]
    assert capsys.readouterr().err.startswith(f"stage: error: {kind}: a fault of the program; ")


def test_where_no_log_can_be_written_the_traceback_is_printed(tmp_path, monkeypatch, capsys):
    (tmp_path / ".ftu").touch()
    monkeypatch.chdir(tmp_path)
    assert failures.told("stage", ValueError("x")) == 70
    assert capsys.readouterr().err == (
        "ValueError: x\nstage: error: ValueError: x: a fault of the program; the traceback is above\n"
    )


@pytest.mark.parametrize("number", failures.WORDS)
def test_what_the_machine_refuses_is_told_with_the_way_out(number, capsys):
    words = failures.WORDS[number]
    assert failures.told("stage", OSError(number, os.strerror(number), "a/b")) == 2
    assert capsys.readouterr().err == f"stage: error: a/b: {words}\n"
    assert failures.in_words(RuntimeError(f"torch says: {os.strerror(number)}")) == words  # a library's own
    outer = ValueError("what follows")
    outer.__cause__ = OSError(number, os.strerror(number))
    assert failures.in_words(outer) == words


WORKERS = {
    "DataLoader worker (pid 9) is killed by signal: Bus error. It is possible that": failures.SHARED,
    "unable to write to file </torch_9_1>: No space left on device (28)": failures.SHARED,
    "DataLoader worker (pid 9) is killed by signal: Killed.": failures.KILLED,
    "DataLoader worker (pid(s) 9) exited unexpectedly": failures.KILLED,
    "DefaultCPUAllocator: can't allocate memory: you tried": failures.WORDS[errno.ENOMEM],
}


@pytest.mark.parametrize("said", WORKERS)
def test_what_torch_says_of_its_workers_is_told_with_the_way_out(said):
    assert failures.in_words(RuntimeError(said)) == WORKERS[said]


def test_other_errors_are_nothing_that_the_machine_refuses():
    for error in (KeyError("x"), FileNotFoundError(errno.ENOENT, "x"), ValueError("no space left")):
        assert failures.in_words(error) == ""


@pytest.mark.parametrize("redirected", [">/dev/full", "2>/dev/full >/dev/full", "| true"])
def test_output_that_nobody_takes_fails_in_words_or_silence(started, redirected):
    done = started('print("x" * 10**6)', redirected)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if "|" in redirected:
        assert failures.WORDS[errno.EPIPE] in done.stderr
    else:
        assert done.returncode == 2
        assert done.stderr in ("", f"stage: error: {failures.WORDS[errno.ENOSPC]}\n")


@pytest.mark.parametrize("redirected", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_file_that_is_closed_is_no_file_of_ours(started, tmp_path, redirected):
    body = 'print("out"); f = open("file", "w"); os.write(1, b"c"); f.write(str(f.fileno() > 2)); f.close()'
    assert started(body, redirected).returncode == 0
    assert (tmp_path / "file").read_text() == "True"
