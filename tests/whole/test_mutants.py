"""What is changed to see whether tests notice it, and which tests are asked."""

import ast
from pathlib import Path

import pytest

import mutants
from imports import ROOT

FILE = Path("src/ftu/masks/metrics.py")


def changes(code: str) -> set[tuple[str, str]]:
    found = list(mutants.mutants(FILE, code))
    assert all(ast.dump(ast.parse(each.code)) != ast.dump(ast.parse(code)) for each in found)
    assert len({each.code for each in found}) == len(found)
    return {(each.before, each.after) for each in found}


@pytest.mark.parametrize(
    ("code", "after"),
    [
        ("a < b", "a <= b"), ("a is b", "a is not b"), ("a and b", "a or b"), ("not a", "a"), ("-a", "a"),
        ("a + b", "a - b"), ("a // b", "a / b"), ("x = 3", "x = 4"), ("x = 0.5", "x = 0.625"),
        ("x = 0.0", "x = 1.0"),
        ("x = True", "x = False"),
        ("f(a, b, c)", "f(b, a, c)"), ("min(a)", "max(a)"), ("np.any(a)", "np.all(a)"), ("raise E", "pass"),
        ("a += b", "pass"),
    ],
)  # fmt: skip
def test_a_change_is_one_of_the_code(code, after):
    found = [each.code.strip() for each in mutants.mutants(FILE, code)]
    assert after in found


def test_what_does_not_run_is_left_alone():
    assert (
        changes('"""Words."""\nif TYPE_CHECKING:\n    f(1, 2)\ndef f(a: g[1]) -> g[2]:\n    """Words."""')
        == set()
    )


def test_the_order_of_what_the_largest_is_taken_of_is_left_alone():
    assert changes("x = max(a, b)") == {("max", "min")}


def test_a_line_is_the_one_of_the_change():
    (found,) = mutants.mutants(FILE, "\n\nx = 3")
    assert (found.file, found.line, found.before, found.after) == (FILE, 3, "3", "4")


def test_the_tests_of_a_module_are_those_that_import_it_or_have_its_name():
    found = mutants.tests_of(FILE, ROOT)
    assert "tests/masks/test_metrics.py" in found
    assert all("metrics" in (ROOT / path).read_text() for path in found)


def test_a_test_that_fails_or_takes_too_long_notices(tmp_path):
    for name, body in {"good": "pass", "bad": "assert False", "slow": "import time; time.sleep(60)"}.items():
        (tmp_path / f"test_{name}.py").write_text(f"def test_it():\n    {body}\n")
    assert mutants.passes(tmp_path, ["test_good.py"], 60)
    assert not mutants.passes(tmp_path, ["test_good.py", "test_bad.py"], 60)
    assert not mutants.passes(tmp_path, ["test_slow.py"], 1)
