"""What a repository has besides its code: a README for a first look, CI, forms, an image."""

import json
import re
import tomllib

import pytest
from ruamel.yaml import YAML

import documents
from imports import ROOT

README = documents.text(ROOT / "README.md")
FIRST_SCREEN = 25  # lines
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
NOT_FOR_PATIENTS = re.compile(r"\b(not|nothing here is)\s+a\s+medical\s+device", re.IGNORECASE)


def yaml(name: str) -> dict:
    return YAML(typ="safe").load((ROOT / name).read_text(encoding="utf-8"))


CI = yaml(".github/workflows/ci.yml")


def pythons() -> list[str]:
    """The versions that pyproject.toml allows."""
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()  # pyright: ignore[reportOptionalMemberAccess]
    return [f"3.{minor}" for minor in range(int(low), int(high))]


# ------------------------------------------------------------------ README


def test_readme_is_short_and_shows_a_picture_and_the_command_for_slides_at_once():
    lines = README.splitlines()
    assert len(lines) <= 150
    first = "\n".join(lines[:FIRST_SCREEN])
    assert any(words[:2] == ["make", "segment"] and len(words) > 2 for words in documents.commands(first))
    assert any(link.shown for link in documents.links(first))


def test_readme_names_the_pythons_that_are_allowed():
    assert f"Python {pythons()[0]} to {pythons()[-1]}" in README


MEANT = (
    "README.md",
    "SECURITY.md",
    *(f"docs/{name}.md" for name in ("index", "slides", "faq", "kaggle", "models")),
)


@pytest.mark.parametrize("page", MEANT)
def test_that_it_is_not_for_patients_is_said(page):
    words = documents.text(ROOT / page)
    assert NOT_FOR_PATIENTS.search(words)
    assert "research" in words.lower()


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize(("page", "printed"), [("README.md", "**{}**"), ("docs/reproducibility.md", "{}")])
def test_a_number_in_a_table_of_claims_stands_on_the_page_that_it_links(page, printed):
    """README has the pages' own results alone, which these print in bold."""
    lines = documents.text(ROOT / page).splitlines()
    rows = [line for line in lines if line[:1] == "|" and "**" in line and documents.links(line)]
    assert rows
    for row in rows:
        pages = [(ROOT / page).parent / link.target.partition("#")[0] for link in documents.links(row)]
        told = "\n".join(map(documents.text, pages))
        for number in re.findall(r"\*\*(.*?)\*\*", row):
            assert printed.format(number) in told, f"{number} of {row[:60]}"


def test_the_second_papers_count_is_its_pages():
    page = documents.text(ROOT / "docs/second-paper.md")
    borne, open_ = page.count("| borne out |"), page.count("| open |")
    assert f"{borne} of {borne + open_}" in README


def test_every_row_of_claims_says_all_that_it_takes_to_check_it():
    rows = [line for line in documents.text(ROOT / "docs/reproducibility.md").splitlines() if line[:1] == "|"]
    assert {len(re.split(r"(?<!\\)\|", row)) - 2 for row in rows} == {6}
    for row in rows:
        cells = [cell.strip() for cell in row.split("|")[1:-1]]
        assert all(cells) or "not measured" in cells, row


# ------------------------------------------------------------------ CI and forms


def test_ci_tests_every_python_that_is_allowed():
    assert CI["jobs"]["test"]["strategy"]["matrix"]["python"] == pythons()


def test_every_job_has_an_end_and_may_only_read():
    assert CI["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job and "permissions" not in job for job in CI["jobs"].values())


def test_ci_takes_no_action_by_a_name_that_can_move_and_runs_targets_that_are_there():
    for job in CI["jobs"].values():
        for step in job["steps"]:
            if "uses" in step:
                assert re.search(r"@[0-9a-f]{40}$", step["uses"]), step["uses"]
            else:
                program, target, *_ = step["run"].split()
                assert (program, target in TARGETS) == ("make", True), step["run"]


def test_who_reports_a_fault_is_asked_for_the_doctors_words():
    asked = yaml(".github/ISSUE_TEMPLATE/bug.yml")["body"]
    (doctor,) = [each for each in asked if "make doctor" in each["attributes"].get("label", "")]
    assert doctor["validations"]["required"]


def test_what_is_pinned_for_a_reason_is_not_raised_by_a_robot():
    pinned = {name.split("==")[0] for name in PROJECT["dependencies"] if "==" in name}
    (python,) = [
        each for each in yaml(".github/dependabot.yml")["updates"] if each["package-ecosystem"] == "uv"
    ]
    assert {each["dependency-name"] for each in python["ignore"]} == pinned


# ------------------------------------------------------------------ containers


def test_the_image_runs_segment_and_not_as_root():
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE)[-1] == "ftu"
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    *_, module = json.loads(entry)
    assert (ROOT / "src" / module.replace(".", "/") / "__main__.py").is_file()


def test_what_the_image_copies_is_there_and_let_in():
    let_in = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line[:1] == "!"
    }
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for name in line.split()
    }
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)


def test_a_development_container_opens_a_part_of_the_dockerfile():
    told = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))["build"]
    assert (ROOT / ".devcontainer" / told["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert f" AS {told['target']}\n" in DOCKERFILE
