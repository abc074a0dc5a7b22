"""What the documents lead to is there, and what they tell a reader to type is understood."""

import ast
import io
import re
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from dvc.cli import DvcParserError
from dvc.cli.parser import DvcParser, get_main_parser
from ruamel.yaml import YAML

import documents
from documents import PAGES
from ftu.pipeline.sections.networks import FAMILIES
from imports import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = {*re.findall(r"^export (\w+)", MAKEFILE, re.MULTILINE), *re.findall(r"\$\$\{(\w+):\+", MAKEFILE)}
NAMES_OF_DATA = ("thresholds.", "shift.pixel_size.", "train.organ_weights.")  # keys of no fixed name
PICTURE = 2**20  # bytes at most
OF_NETWORKS = {f"train.model.{key}" for family in FAMILIES.values() for key in family.model_fields}

PLACES = r"(?<![\w/.-])(?:src|stages|tests|benchmarks|profiles|docs)/[\w./-]*\w"
EXAMPLES = {"profiles/mine.yaml", "profiles/hearts.yaml", "tests/test_x.py"}  # which a reader writes
MADE = {ROOT / "export/predict.py"}  # which a command of the page writes


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


everywhere = pytest.mark.parametrize("page", PAGES, ids=named)
today = [page for page in PAGES if page.name != "CHANGELOG.md"]  # which tells of names that were
in_use = pytest.mark.parametrize("page", today, ids=named)


def commands(page: Path, *programs: str) -> list[list[str]]:
    """The commands of a page that begin with one of these words."""
    return [words for words in documents.commands(documents.text(page)) if words[0] in programs]


# ------------------------------------------------------------------ how a page is read

SEEN = """\
# A `b` (c), d's
## Twice
## Twice
[x](a.md#b) and `[no](code.md)` and [![alt](a.png)](b.md)

    $ PYTHONPATH=src .venv/bin/python -m a.b --one 1 && dvc repro   # [no](c.md)
    make \\
      x Y="1 2"

Say `make
y | cat` and `it's`.
"""
IN_WORDS = [["b"], ["[no](code.md)"], ["make", "y"], ["cat"]]


def test_links_and_pictures_are_found_and_code_is_none():
    assert [tuple(link) for link in documents.links(SEEN)] == [
        (False, "x", "a.md#b"),
        (False, "![alt](a.png)", "b.md"),
        (True, "alt", "a.png"),
    ]


def test_headings_have_the_names_that_github_gives_them():
    assert documents.anchors(SEEN) == {"a-b-c-ds", "twice", "twice-1"}


def test_commands_are_taken_out_of_blocks_and_sentences():
    assert list(documents.commands(SEEN)) == [
        ["python", "-m", "a.b", "--one", "1"],
        ["dvc", "repro"],
        ["make", "x", "Y=1 2"],
        *IN_WORDS,
    ]


# ------------------------------------------------------------------ links


@everywhere
def test_every_link_leads_somewhere(page):
    for link in documents.links(documents.text(page)):
        if re.match(r"[a-z]+:", link.target):
            continue
        name, _, anchor = link.target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), f"{link.target} is not there"
        assert place.is_relative_to(ROOT), f"{link.target} lies outside of the project"
        if anchor:
            assert anchor in documents.anchors(documents.text(place)), f"{link.target}: no such heading"


@everywhere
def test_every_picture_is_small_and_has_words_for_those_who_do_not_see_it(page):
    for link in documents.links(documents.text(page)):
        if link.shown and not re.match(r"[a-z]+:", link.target):
            assert len(link.words.split()) > 2, f"{link.target}: say what it shows"
            assert (page.parent / link.target).stat().st_size < PICTURE, link.target


def test_every_page_is_found_from_the_index():
    index = documents.text(ROOT / "docs/index.md")
    led = {link.target.partition("#")[0] for link in documents.links(index)}
    assert {path.name for path in ROOT.glob("docs/*.md")} - {"index.md"} <= led


@in_use
def test_files_of_the_project_that_are_named_are_there(page):
    for name in sorted(set(re.findall(PLACES, documents.text(page))) - EXAMPLES):
        assert (ROOT / name).exists() or list(ROOT.glob(f"{name}.*")), f"{name} is not there"


def test_pages_that_the_code_names_are_there():
    """Messages and comments lead to pages, and to their headings."""
    files = [ROOT / "Makefile", ROOT / "params.yaml", *ROOT.glob("profiles/*.yaml")]
    files += [path for part in ("src", "stages", "benchmarks") for path in (ROOT / part).rglob("*.py")]
    for file in files:
        named = re.findall(r"(?<!\w/)(docs/[\w-]+\.md)(?:#([\w-]+))?", file.read_text(encoding="utf-8"))
        for name, anchor in named:
            assert (ROOT / name).is_file(), f"{file}: {name} is not there"
            assert not anchor or anchor in documents.anchors(documents.text(ROOT / name)), (
                f"{file}: #{anchor}"
            )


@in_use
def test_tests_that_are_named_are_there(page):
    for file, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", documents.text(page)):
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {name}"


# ------------------------------------------------------------------ commands


@in_use
def test_make_knows_its_targets_and_variables(page):
    for words in commands(page, "make"):
        for word in words[1:]:
            name, given, _ = word.partition("=")
            assert name in (VARIABLES if given else TARGETS), f"{' '.join(words)}: make knows no {name}"


@in_use
def test_python_finds_its_modules_and_they_know_their_options(page):
    for words in commands(page, "python", "python3", "torchrun", "accelerate"):
        asked = script(words)
        if not asked:
            continue
        file, rest = asked
        if file in MADE:
            continue
        assert file.is_file(), f"{' '.join(words)}: {file} is not there"
        known = {"--help", *options(file)}
        told = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert told <= known, f"{' '.join(words)}: {file.name} knows no {sorted(told - known)}"


def script(words: list[str]) -> tuple[Path, list[str]] | None:
    """The file of ours that a command runs, and the words that it gets; None where it runs none."""
    for place, word in enumerate(words[1:], start=1):
        if words[place - 1] == "-m" and word.startswith(("ftu.", "ftu_tools.")):
            module = ROOT / "src" / word.replace(".", "/")
            file = module / "__main__.py" if module.is_dir() else module.with_suffix(".py")
            return file, words[place + 1 :]
        if word.endswith(".py"):
            return ROOT / word, words[place + 1 :]
    return None


@cache
def options(file: Path) -> set[str]:
    """The options that a script hands to argparse."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    words = [each.value for call in calls for each in call.args if isinstance(each, ast.Constant)]
    if any("fold_argument" in ast.dump(call) for call in calls):
        words.append("--fold")  # ftu.pipeline.stage
    return {word for word in words if isinstance(word, str) and re.fullmatch(r"--[a-z0-9-]+", word)}


@in_use
def test_dvc_understands_its_commands(page):
    for words in commands(page, "dvc"):
        asked = [word for word in words[1:] if word != "..."]
        if asked[-1:] == ["-S"] or not re.search(r"[^a-z ]", " ".join(asked)):  # the command's name alone
            asked = [*asked[:-1], "--help"] if asked[-1:] == ["-S"] else [*asked, "--help"]
        assert understood(asked), f"{' '.join(words)}: dvc does not know that"


@cache
def dvc() -> DvcParser:
    """dvc's own command line."""
    return get_main_parser()


def understood(words: list[str]) -> bool:
    """Whether dvc's parser takes the words, or prints the help that they ask for."""
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        try:
            dvc().parse_args(words)
        except (DvcParserError, SystemExit) as end:
            return getattr(end, "code", 1) == 0
    return True


@cache
def values() -> dict[str, object]:
    """Each key of params.yaml, dotted, those of tables too."""
    found: dict[str, object] = {}

    def walk(tree: dict, prefix: str) -> None:
        for key, value in tree.items():
            found[prefix + key] = value
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")

    walk(YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8")), "")
    return found


@in_use
def test_parameters_that_are_set_are_parameters(page):
    for words in commands(page, "dvc", "make", "-S"):
        given = [word for before, word in pairwise(words) if before in ("-S", "--set-param")]
        for word in words:
            given += word.removeprefix("SET=").split() if word.startswith("SET=") else []
        for one in given:
            if one == "...":
                continue
            key, equals, _ = one.removeprefix("+").partition("=")
            assert equals, f"{' '.join(words)}: {one} sets nothing"
            known = key in values() or key in OF_NETWORKS or key.startswith(NAMES_OF_DATA)
            assert known, f"no parameter {key}"


@in_use
def test_extras_that_are_asked_for_are_there(page):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for words in commands(page, "uv"):
        asked = [word for before, word in pairwise(words) if before == "--extra"]
        assert set(asked) <= set(extras["optional-dependencies"]), words
