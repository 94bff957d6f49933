"""One rustls provider. With both ring and aws-lc-rs in the tree rustls panics at its first use."""

from __future__ import annotations

import re
import subprocess

from repo import Repo


def judge(tree: str) -> list[str]:
    """Violations in the output of `cargo tree --prefix none -e features`."""
    crates = {found.group(1) for found in re.finditer(r"^([\w-]+) v\d", tree, re.MULTILINE)}
    violations = [
        f"cargo tree: {crate} is in the tree; ring is the one provider (turn off the feature that brings it in: "
        f"cargo tree -e features -i {crate})"
        for crate in ("aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys")
        if crate in crates
    ]
    if "ring" not in crates:
        violations.append("cargo tree: ring is not in the tree, so rustls has no provider")
    return violations


def one_rustls_provider(repo: Repo) -> list[str]:
    command = ["cargo", "tree", "--locked", "--workspace", "--all-features", "-e", "features", "--prefix", "none"]
    return judge(subprocess.run(command, cwd=repo.root, check=True, capture_output=True, text=True).stdout)
