"""YAML that people wrote: plain values only, and no more of them than a file of parameters has."""

from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import ScalarEvent

from ftu.errors import InputError
from ftu.files import limits

LARGEST = 2**18  # bytes; params.yaml has 4,000
MOST_VALUES = 10_000  # once aliases are followed, which multiply: nine lines can stand for a billion values
DEEPEST = 20  # levels


def read(path: Path, remedy: str) -> object:
    """What the file at `path` holds; InputError, with the remedy when it cannot be read, or is not YAML."""
    try:
        content = limits.content(path, LARGEST)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    return parse(content, str(path))


def parse(content: bytes, name: str) -> object:
    """The values of YAML; InputError, which calls it `name`, where it is none, is too large, or too deep."""
    if len(content) > LARGEST:
        raise InputError(f"{name}: has more than {LARGEST} bytes, which no such file has")
    try:
        text = limits.text(content)
    except ValueError as error:
        raise InputError(f"{name}: is not valid YAML: {error}") from error
    try:
        _refuse_merges(text, name)
        value = YAML(typ="safe").load(text)
    except InputError:
        raise
    except YAMLError as error:
        raise InputError(f"{name}: is not valid YAML: {' '.join(str(error).split())}") from error
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError) as error:
        # what the constructors of numbers, dates, sets and orders let through
        raise InputError(f"{name}: is not valid YAML: {type(error).__name__}: {error}") from error
    _check_extent(value, name)
    return value


def _refuse_merges(text: str, name: str) -> None:
    """Raise InputError for a key `<<`: what it merges multiplies while the file is loaded."""
    for event in YAML(typ="safe").parse(text):
        if isinstance(event, ScalarEvent) and event.value == "<<":
            raise InputError(f"{name}: line {event.start_mark.line + 1}: has a key <<; write its values out")


def _check_extent(value: object, name: str) -> None:
    """Raise InputError where values are more, or lie deeper, than in any file of ours; also in a circle."""
    pending, seen = [(value, 1)], 0
    while pending:
        each, depth = pending.pop()
        seen += 1
        if seen > MOST_VALUES or depth > DEEPEST:
            raise InputError(
                f"{name}: holds more than {MOST_VALUES} values or {DEEPEST} levels once its aliases are "
                "followed; write fewer"
            )
        inner = [*each, *each.values()] if isinstance(each, Mapping) else each
        if isinstance(inner, list | tuple | set):
            pending += [(one, depth + 1) for one in inner]
