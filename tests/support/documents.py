"""The project's documents: links, headings, pictures, and the commands that they tell a reader to type."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from imports import ROOT

PATTERNS = ("*.md", "docs/*.md", "benchmarks/*/*.md", ".github/**/*.md")
PAGES = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^()\s]+)\)")
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
SHELLS = ("", "bash", "sh", "console")
BETWEEN = {"&&", "||", "|", ";", "&"}


class Link(NamedTuple):
    """What a page leads to, or shows."""

    shown: bool  # a picture
    words: str
    target: str


def text(page: Path) -> str:
    """A page's words."""
    return page.read_text(encoding="utf-8")


def links(page: str) -> list[Link]:
    """Every link and picture of a page; what stands in code is none."""
    prose = SPAN.sub("code", _prose(page))
    found = [Link(bool(mark), words, target) for mark, words, target in LINK.findall(prose)]
    inner = [each for link in found for each in links(link.words)]  # a picture that is a link
    return found + inner


def anchors(page: str) -> set[str]:
    """The names of a page's headings in links, as GitHub makes them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.+?)\s*$", FENCE.sub("", page), re.MULTILINE):
        plain = LINK.sub(r"\2", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found[name] = found.get(name, -1) + 1
        if found[name]:
            found[f"{name}-{found[name]}"] = 0
    return set(found)


def commands(page: str) -> Iterator[list[str]]:
    """The words of each command in a page's code, without variables before it and what follows a pipe."""
    for code in _code(page):
        try:
            words = shlex.split(code, comments=True)
        except ValueError:  # no shell's: an apostrophe in a program's output, say
            continue
        while words:
            command = list(takewhile(lambda word: word not in BETWEEN, words))
            del words[: len(command) + 1]
            while command and re.fullmatch(r"[A-Z_0-9]+=.*", command[0]):
                del command[0]
            if command:
                command[0] = command[0].removeprefix("(").rpartition("/")[2]
                yield [command[0], *(word.rstrip(";") for word in command[1:])]


def _code(page: str) -> Iterator[str]:
    """Lines of a page's blocks of code, joined where a backslash ends them, and its code within sentences."""
    blocks = [block for language, block in FENCE.findall(page) if language in SHELLS]
    blocks += re.findall(r"(?:^ {4,}\S.*\n?)+", FENCE.sub("", page), re.MULTILINE)
    for block in blocks:
        yield from (line.strip().removeprefix("$ ") for line in block.replace("\\\n", " ").splitlines())
    for span in SPAN.findall(_prose(page)):
        yield " ".join(span.replace("\\|", "|").split())


def _prose(page: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^ {4,}\S.*$", "", FENCE.sub("", page), flags=re.MULTILINE)
