"""Known vulnerabilities of the packages that uv.lock pins, held against the ones that audit.toml accepts.

`make audit` asks uv, which asks the database at osv.dev. It fails on one that is not accepted. Where
the database cannot be asked it says so loudly, and fails only if it is `--required`.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftu.errors import InputError
from ftu.pipeline.stage import run

ACCEPTED = Path("audit.toml")
UV = ("uv", "audit", "--frozen", "--output-format", "json", "--preview-features", "audit-command,json-output")

Finding = Mapping[str, Any]  # one of uv's: id, aliases, summary, fix_versions, dependency (name, version)


def accepted(path: Path) -> dict[str, str]:
    """The identifiers that the file at `path` accepts, each with its reason; InputError for one without."""
    try:
        entries = tomllib.loads(path.read_text()).get("accepted", [])
        reasons = {entry["id"]: entry["reason"].strip() for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read as [[accepted]] with id and reason ({error!r})") from error
    if bare := [name for name, reason in reasons.items() if not reason]:
        raise InputError(f"{path}: {bare[0]} is accepted without a reason; write down why")
    return reasons


def ask(command: Sequence[str]) -> tuple[dict[str, Any] | None, str]:
    """What uv found; None, and why, where it could not find out."""
    patience = {"UV_HTTP_RETRIES": "1", "UV_HTTP_TIMEOUT": "20"}
    try:
        done = subprocess.run(
            command, env=patience | os.environ, capture_output=True, text=True, check=False, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = None
    if isinstance(report, dict) and isinstance(report.get("vulnerabilities"), list):
        return report, ""
    return None, f"status {done.returncode}: {' '.join(done.stderr.split())[-300:]}"


def judge(report: Mapping[str, Any], reasons: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Lines about what is not accepted, and notes on what is."""
    open_, notes, met = [], [], set()
    for finding in report["vulnerabilities"]:
        names, package = {finding["id"], *finding["aliases"]}, finding["dependency"]
        what = f"{package['name']} {package['version']}: {finding['id']}: {finding['summary']}"
        if known := names & set(reasons):
            met |= known
            notes.append(f"accepted: {what} ({reasons[min(known)]})")
        else:
            fixes = ", ".join(finding["fix_versions"]) or "no version yet"
            open_.append(f"{what}; fixed in {fixes}: `uv lock --upgrade-package {package['name']}`")
    open_ += [f"the index says of a package: {status}" for status in report.get("adverse_statuses", [])]
    notes += [f"no longer found, so take it out of {ACCEPTED}: {name}" for name in sorted(set(reasons) - met)]
    return open_, notes


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ftu_tools.maintenance.audit", description=__doc__)
    parser.add_argument("--required", action="store_true", help="fail where the database cannot be asked")
    words = parser.parse_args()
    reasons = accepted(ACCEPTED)
    report, why = ask(UV)
    if report is None:
        line = "*" * 72
        sys.stderr.write(f"{line}\nSKIPPED: no package was audited. {why}\n{line}\n")
        sys.exit(1 if words.required else 0)
    open_, notes = judge(report, reasons)
    sys.stdout.write("".join(f"{note}\n" for note in notes))
    if open_:
        raise InputError("\n".join([*open_, f"or accept it in {ACCEPTED}, with the reason"]))
    sys.stdout.write(
        f"audited: {report['summary']['audited_packages']} packages, nothing that is not accepted\n"
    )


if __name__ == "__main__":
    run(main)
