"""pyproject.toml, constraints.txt and environment.yml name the same packages in the same versions.

Also: the set-up names its failures, and `make help` lists every target.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORMS = {
    "linux x86_64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"},
    "linux aarch64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64", "os_name": "posix"},
    "macOS arm64": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64", "os_name": "posix"},
}
TARGETS = [
    "help", "setup", "figures", "test", "test-lax", "test-embedded", "lab",
    "notebooks", "gallery", "slides", "site", "bench", "lint", "pins", "clean", "distclean",
]


def marker_environment(python: str, platform: str) -> dict[str, str]:
    """The variables that markers see on that Python and platform."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        **PLATFORMS[platform],
    }


def constraint_lines() -> list[str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    return [line for line in lines if line]


def pins(python: str, platform: str) -> dict[str, list[Version]]:
    """Package name -> the versions that constraints.txt pins there (one, or the test below fails)."""
    environment = marker_environment(python, platform)
    found: dict[str, list[Version]] = {}
    for line in constraint_lines():
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(environment):
            (specifier,) = pin.specifier
            found.setdefault(canonicalize_name(pin.name), []).append(Version(specifier.version))
    return found


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def declared() -> dict[str, list[Requirement]]:
    """Package name -> what pyproject.toml says of it, in the dependencies and in every extra."""
    groups = [project()["dependencies"], *project()["optional-dependencies"].values()]
    found: dict[str, list[Requirement]] = {}
    for requirement in (Requirement(text) for group in groups for text in group):
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def conda() -> tuple[str, dict[str, Version], list[str]]:
    """environment.yml: its Python version, its pins, and its other pip lines."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (python,) = [entry.removeprefix("python=") for entry in entries if isinstance(entry, str) and entry.startswith("python=")]
    (pip,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    requirements = [Requirement(line) for line in pip if not line.startswith("-")]
    exact = {}
    for requirement in requirements:
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"environment.yml: {requirement} is not an exact pin"
        exact[canonicalize_name(requirement.name)] = Version(specifier.version)
    assert len(exact) == len(requirements), "environment.yml names a package twice"
    return python, exact, [line for line in pip if line.startswith("-")]


def test_constraints_are_plain_exact_pins():
    for line in constraint_lines():
        assert re.fullmatch(r"[a-z0-9-]+==[a-z0-9.!+]+( ; [a-z0-9_.*'<>=!() ]+)?", line, re.IGNORECASE), line


@pytest.mark.parametrize("name", ["constraints.txt", "environment.yml", "pyproject.toml", "Makefile", "tools/setup.sh"])
def test_no_package_index_is_written_down(name):
    # Where packages come from is the user's configuration, not ours.
    text = (ROOT / name).read_text()
    assert not re.search(r"://|index-url|find-links|--index\b|trusted-host", text)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_declared_package_is_pinned_once_and_within_range(python, platform):
    pinned = pins(python, platform)
    assert not [name for name, versions in pinned.items() if len(versions) > 1]
    for name, requirements in declared().items():
        assert name in pinned, f"constraints.txt has no pin for {name}; run make pins"
        for requirement in requirements:
            assert requirement.specifier.contains(pinned[name][0]), f"{name}: {pinned[name][0]} is outside {requirement}; run make pins"


def test_the_lowest_python_is_the_lowest_tested():
    assert project()["requires-python"] == f">={PYTHONS[0]}"
    assert sys.version_info >= tuple(int(part) for part in PYTHONS[0].split("."))


def test_environment_yml_equals_pyproject_and_constraints():
    python, exact, options = conda()
    assert python in PYTHONS
    assert set(options) == {"--constraint constraints.txt", "--editable ."}
    assert set(exact) == set(declared())
    for platform in PLATFORMS:
        pinned = pins(python, platform)
        different = {name: f"{version} here, {pinned[name][0]} there" for name, version in exact.items() if pinned[name] != [version]}
        assert not different, f"environment.yml and constraints.txt: {different}"


def test_what_the_installed_packages_need_is_pinned_too():
    # Walks from pyproject's packages as installed here. A package in another version than pinned
    # (make test-lax) may need other things, so the walk stops there.
    pinned = {name for line in constraint_lines() for name in [canonicalize_name(Requirement(line).name)]}
    versions = {(canonicalize_name(Requirement(line).name), line.split(";")[0].split("==")[1].strip()) for line in constraint_lines()}
    queue = [(name, extra) for name, requirements in declared().items() for r in requirements for extra in (r.extras or {""})]
    seen = set()
    while queue:
        name, extra = queue.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        assert name in pinned, f"{name} is needed but not pinned; run make pins"
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if (name, distribution.version.split("+")[0]) not in versions:
            continue
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                queue += [(canonicalize_name(requirement.name), wanted) for wanted in (requirement.extras or {""})]


def test_the_package_states_the_version_of_pyproject():
    text = (ROOT / "dfr_core" / "__init__.py").read_text()
    assert re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1) == project()["version"]


def test_citation_has_the_version_of_the_package_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == project()["version"]
    assert citation["license"] == project()["license"]
    assert "arXiv:2012.07122" in citation["preferred-citation"]["journal"]
    assert [author["family-names"] for author in citation["preferred-citation"]["authors"]] == ["Yang", "Shi", "Qi"]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize("arguments", [[], ["help"]])
def test_make_lists_every_target(arguments):
    text = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make ([a-z-]+) +\S", text, re.MULTILINE) == TARGETS
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1).split()
    assert set(phony) == {*TARGETS, "FORCE"}


STAND_INS = {
    "too old": ("exit 1", "no Python 3.10 or newer found"),
    # Debian's python3 without python3-venv: new enough, but its ensurepip is missing.
    "without venv": ('case "$2" in *ensurepip*) exit 1;; esac', "install python3-venv"),
}


@pytest.mark.skipif(os.name != "posix", reason="the set-up is a shell script")
@pytest.mark.parametrize("kind", STAND_INS)
def test_setup_names_what_is_wrong_with_a_python(kind, tmp_path):
    body, expected = STAND_INS[kind]
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\n{body}\n")
    stand_in.chmod(0o755)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    run = ["sh", "tools/setup.sh", ".venv", "default"]
    done = subprocess.run(run, cwd=tmp_path, env={**os.environ, "PYTHON": str(stand_in)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr and "make PYTHON=" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="the set-up is a shell script")
def test_setup_refuses_an_unknown_torch(tmp_path):
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    done = subprocess.run(["sh", "tools/setup.sh", ".venv", "gpu"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "set-up: TORCH=gpu is not known; use TORCH=cpu or TORCH=default\n"
    assert not (tmp_path / ".venv").exists()
