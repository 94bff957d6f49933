"""Nothing of one machine in the repository: no local paths, no registry addresses, no foreign package sources."""

from __future__ import annotations

import re

from repo import Repo, line_of

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"

LOCAL_PATH = re.compile(r"(?<![\w.~$}/-])/(?:work|root|tmp|home/\w+|Users/\w+)/")
REGISTRY_ADDRESS = re.compile(r"https?://(?:registry|proxy|index|mirrors?|pypi|artifactory|nexus|deb)\.[\w.-]+")
CLIENT_SETTINGS = (".npmrc", "pip.conf", ".pypirc", ".yarnrc.yml", ".cargo/config.toml")
MACHINE_SETTING = re.compile(
    r"^[^#;\n]*(?:://|(?<![\w-])(?:registry|index(?:-url)?|proxy|cafile|cert|_auth\w*)\s*[=:])", re.MULTILINE
)


def local_paths(repo: Repo) -> list[str]:
    return [
        f"{name}:{line_of(text, found.start())}: path of one machine: '{found.group()}'"
        for name, text in repo.texts()
        for found in LOCAL_PATH.finditer(text)
    ]


def registry_addresses(repo: Repo) -> list[str]:
    violations = [
        f"{name}:{line_of(text, found.start())}: '{found.group()}' belongs to a machine's settings of a package client"
        for name, text in repo.texts(*CLIENT_SETTINGS)
        for found in MACHINE_SETTING.finditer(text)
    ]
    for name, text in repo.texts():
        violations += [
            f"{name}:{line_of(text, found.start())}: address of a package registry: '{found.group()}'"
            for found in REGISTRY_ADDRESS.finditer(text)
        ]
        if name.endswith("package-lock.json") and '"resolved":' in text:
            violations.append(
                f"{name}: holds \"resolved\" addresses; write it with npm install --omit-lockfile-registry-resolved"
            )
    return violations


def crate_sources(repo: Repo) -> list[str]:
    return [
        f"{name}:{line_of(text, found.start())}: crate from '{found.group(1)}'; crates come from crates.io only"
        for name, text in repo.texts("Cargo.lock")
        for found in re.finditer(r'^source = "([^"]*)"', text, re.MULTILINE)
        if found.group(1) != CRATES_IO
    ]
