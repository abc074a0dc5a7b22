"""Which stages `dvc repro` would run, and why: as DVC's own index says, without taking its locks."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ftu.errors import some
from ftu_tools.doctor.findings import Finding, error, ok

if TYPE_CHECKING:
    from dvc.stage import Stage

REASONS = 3  # that are named of a stage


def stages(project: Path) -> Iterator[Finding]:
    """A line for each stage, or several alike, that has a reason of its own, one for those that follow."""
    from dvc.exceptions import DvcException

    noted = project / ".dvc" / "tmp" / "btime"  # DVC makes this file, where there is none, by being asked
    fresh = not noted.exists()
    try:
        changed, following, whole = due(project)
    except DvcException as problem:
        yield error(
            "stages", f"DVC cannot read the project ({problem}); run from its folder, or mend what it names"
        )
        return
    finally:
        if fresh:
            noted.unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                noted.parent.rmdir()
    count = len(changed) + len(following)
    yield ok("stages", f"dvc repro would run {count} of {whole}" if count else "dvc repro has nothing to do")
    alike: dict[str, list[str]] = {}  # as the folds of a stage often are
    for name, reasons in changed.items():
        alike.setdefault(some(reasons, REASONS), []).append(name)
    for words, names in alike.items():
        yield ok("stages", f"  {', '.join(names)}: {words}")
    if following:
        yield ok("stages", f"  what follows: {', '.join(following)}")


def due(project: Path) -> tuple[dict[str, list[str]], list[str], int]:
    """The stages with their reasons, those that follow from them, and how many there are in all.

    Both are in the order in which they would run. Raises DvcException when the project cannot be read.
    """
    import networkx
    from dvc.repo import Repo

    with Repo(str(project)) as repo:
        graph = repo.index.graph  # from a stage to those that it needs
        order = list(networkx.lexicographical_topological_sort(graph.reverse(), key=_name))
        reasons = {stage: list(_reasons(stage)) for stage in order}
    changed = [stage for stage in order if reasons[stage]]
    reached = {other for stage in changed for other in networkx.ancestors(graph, stage)}
    following = [stage.addressing for stage in order if stage in reached and not reasons[stage]]
    return {stage.addressing: reasons[stage] for stage in changed}, following, len(order)


def _name(stage: "Stage") -> str:
    return stage.addressing


def _reasons(stage: "Stage") -> Iterator[str]:
    if not any(out.hash_info for out in stage.outs):
        yield "not in dvc.lock"
        return
    if stage.changed_stage():
        yield "its command"
    for part in (*stage.deps, *stage.outs):
        yield from _flat(part.status())


def _flat(status: Mapping[str, str | Mapping[str, str]]) -> Iterable[str]:
    """`path modified` for a file, `key modified` for the keys of a params file.

    DVC says `deleted` of what dvc.lock names and is not here, although in a fresh clone nobody has made it.
    """
    for name, found in status.items():
        words = "missing" if found == "deleted" else found
        yield from [f"{name} {words}"] if isinstance(words, str) else _flat(words)
