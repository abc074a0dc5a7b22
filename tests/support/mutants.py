"""What the tests of a module are worth: small changes of it, one at a time, and those that no test notices.

    python tests/support/mutants.py [--most 40] [--seed 0] [--limit 120] src/ftu/masks/metrics.py ...

Each change is made in a copy of the project. On it run the fast tests of the files that are named after the
module or import it (where there are none, those of the nearest folder of its name), until one fails. It
prints the changes that none noticed, FILE:LINE before -> after, each module's counts, and the share that was
noticed; one after which the tests take longer than `limit` seconds was, too. Not each survivor is a hole:
some change nothing. The exit status is 1 when the tests fail as they are.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from imports import ROOT, named_in_statements

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # as training sets it before the import
# Once, and not for each change.
PRELOADED = (
    "numpy", "pandas", "cv2", "rasterio", "hypothesis", "scipy.stats", "torch", "timm", "albumentations",
    "segmentation_models_pytorch",
)  # fmt: skip
OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "any": "all", "all": "any"}
DROPPED = ast.Expr, ast.AugAssign, ast.Raise, ast.Continue, ast.Break


class Mutant(NamedTuple):
    file: Path  # from the root of the project
    line: int
    before: str
    after: str
    code: str  # of the whole file


def mutants(file: Path, code: str) -> Iterator[Mutant]:
    """All changes of a file's code."""
    tree = ast.parse(code)
    kept = {id(inner) for outer in left_alone(tree) for inner in ast.walk(outer)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in kept:
            continue
        for after in changed(node):
            other = copy.deepcopy(tree)
            replace(other, list(ast.walk(other))[number], after)
            before, now = (ast.unparse(each).splitlines()[0] for each in (node, after))
            whole = ast.unparse(ast.fix_missing_locations(other))
            yield Mutant(file, getattr(node, "lineno", 0), before, now, whole)


def left_alone(tree: ast.AST) -> Iterator[ast.AST]:
    """What says nothing while the program runs: docstrings, types, what is for type checkers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield node
        if isinstance(node, ast.JoinedStr):
            yield node
        yield from filter(None, [getattr(node, "annotation", None), getattr(node, "returns", None)])


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """A node in other forms."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1 if isinstance(node.value, int) else node.value * 1.25 or 1.0)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, DROPPED):
        yield ast.Pass()
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield ast.Name(NAMES[node.id])
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield with_field(node, "attr", NAMES[node.attr])
    elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in OPERATORS:
        yield with_field(node, "op", OPERATORS[type(node.op)]())
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield with_field(node, "ops", [OPERATORS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.Call) and has_order(node):
        yield with_field(node, "args", [node.args[1], node.args[0], *node.args[2:]])


def has_order(call: ast.Call) -> bool:
    """Whether two arguments may be swapped, and it matters: the largest of two is that of either order."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    return name not in NAMES and len(call.args) > 1 and not isinstance(call.args[0], ast.Starred)


def with_field(node: ast.AST, field: str, value: object) -> ast.AST:
    other = copy.copy(node)
    setattr(other, field, value)
    return other


def replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list):
                setattr(parent, name, [new if each is old else each for each in value])


def tests_of(file: Path, root: Path) -> list[str]:
    """The files of tests that are named after a module or import it, else those of the folder of its name."""
    module = ".".join(file.with_suffix("").parts[1:])
    found = [
        path
        for path in sorted((root / "tests").rglob("test_*.py"))
        if path.stem == f"test_{file.stem}" or module in named_in_statements(ast.parse(path.read_text()))
    ]
    folder = root / "tests" / Path(*file.parts[2:-1])
    return [str(path.relative_to(root)) for path in found or sorted(folder.glob("test_*.py"))]


def passes(root: Path, tests: Sequence[str], limit: float) -> bool:
    """Whether the fast ones pass, in a process of its own, in time."""
    if not (pid := os.fork()):
        os.setsid()
        os.chdir(root)
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        import pytest
        from hypothesis import Phase, settings

        # one example that fails is enough: to look for the simplest takes longer than all the tests
        settings.register_profile("found", deadline=None, phases=[Phase.explicit, Phase.generate])
        sys.path[:0] = [str(root / "src"), str(root / "tests/support")]
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])
        words = ["-qx", "-n0", "-p", "no:randomly", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        os._exit(pytest.main([*words, "--hypothesis-profile=found", "-m", "not slow", *tests]))
    end = time.monotonic() + limit
    while not (done := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        time.sleep(0.05)
    return done[1] == 0


def copied(root: Path) -> None:
    """The project's files, as git lists them."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0"):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path, help="modules, src/ftu/...")
    parser.add_argument("--most", type=int, default=40, help="changes of a module, drawn from all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--limit", type=float, default=120, help="seconds for the tests after a change")
    settings = parser.parse_args(arguments)
    for module in PRELOADED:
        __import__(module)
    counts = Counter[str]()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        root = Path(folder)
        copied(root)
        for file in settings.files:
            code, tests = (root / file).read_text(), tests_of(file, root)
            (root / file).write_text(ast.unparse(ast.parse(code)))
            if not passes(root, tests, 10 * settings.limit):
                print(f"{file}: its tests fail as they are, or take too long: {' '.join(tests)}")
                return 1
            every = list(mutants(file, code))
            chosen = random.Random(settings.seed).sample(every, min(settings.most, len(every)))
            missed = 0
            for mutant in chosen:
                (root / file).write_text(mutant.code)
                if passes(root, tests, settings.limit):
                    missed += 1
                    print(f"{file}:{mutant.line} {mutant.before} -> {mutant.after}", flush=True)
            (root / file).write_text(code)
            counts.update(made=len(chosen), noticed=len(chosen) - missed)
            print(f"{file}: {len(chosen)} made, {len(chosen) - missed} noticed", flush=True)
    share = counts["noticed"] / max(counts["made"], 1)
    print(f"mutants: {counts['made']} made, {counts['noticed']} noticed ({share:.0%})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
