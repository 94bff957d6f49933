"""The chart: what is generated is fresh, versions move together, the role covers every kind, the schema knows every value."""

from __future__ import annotations

import json
import re
import sys

from repo import Repo

CHART = "charts/natter/"
GENERATOR = "scripts/chart/readme.py"
ROLE = CHART + "templates/_rules.tpl"
KINDS = "operator/src/kinds.rs"
WRITTEN = {"get", "list", "watch", "create", "patch", "delete"}
# Kinds that are never deleted: every ChatCluster wants one as long as it is there.
KEPT = {"serviceaccounts"}


def generator(repo: Repo):
    folder = str(repo.root / GENERATOR.rsplit("/", 1)[0])
    sys.path.insert(0, folder)
    try:
        import readme
    finally:
        sys.path.remove(folder)
    return readme


def fresh_chart(repo: Repo) -> list[str]:
    """The table of values, and the copy of the definition, are what the generator would write."""
    if GENERATOR not in repo.files:
        return []
    wanted = generator(repo).files(repo.root)
    return [f"{name}: not what {GENERATOR} writes; run it" for name, text in wanted.items() if repo.read(name) != text]


def one_version(repo: Repo) -> list[str]:
    """Chart, application, images and workspace have one version."""
    if CHART + "Chart.yaml" not in repo.files:
        return []
    workspace = re.search(r'^version = "(.+)"', repo.read("Cargo.toml") or "", re.MULTILINE).group(1)
    text = repo.read(CHART + "Chart.yaml") or ""
    versions = re.findall(r"^(?:version|appVersion): (\S+)|image: \S+:(\S+)", text, re.MULTILINE)
    found = ["".join(version) for version in versions]
    if len(found) != 4:
        return [f"{CHART}Chart.yaml: version, appVersion and two images are due, not {found}"]
    return [f"{CHART}Chart.yaml: {version}, and the workspace is {workspace}" for version in found if version != workspace]


def role_of_operator(repo: Repo) -> list[str]:
    """Every rule says what needs it, and every kind that the operator makes is in one with the verbs to make it."""
    if ROLE not in repo.files:
        return []
    lines = (repo.read(ROLE) or "").splitlines()
    violations, granted = [], {}
    for number, line in enumerate(lines):
        if not line.startswith("- apiGroups:"):
            continue
        if not lines[number - 1].startswith("# "):
            violations.append(f"{ROLE}:{number + 1}: a rule without a reason")
        group, resources, verbs = (listed(lines[number + offset]) for offset in range(3))
        for resource in resources:
            granted.setdefault((group[0], resource), set()).update(verbs)
        if "secrets" in resources and {"list", "watch", "*"} & set(verbs):
            violations.append(f"{ROLE}:{number + 1}: lists Secrets")
        if "*" in group + resources + verbs:
            violations.append(f"{ROLE}:{number + 1}: grants everything of something")
    made = re.findall(r'=> \("([\w.]*)", "\w+", "\w+", "(\w+)"\)', repo.read(KINDS) or "") if KINDS in repo.files else []
    for group, plural in made:
        wanted = WRITTEN - ({"delete"} if plural in KEPT else set())
        if missing := wanted - granted.get((group, plural), set()):
            violations.append(f"{ROLE}: the operator makes {plural}.{group} and may not {', '.join(sorted(missing))}")
    return violations


def listed(line: str) -> list[str]:
    inner = re.search(r"\[(.*)\]", line)
    return [item.strip().strip('"') for item in inner.group(1).split(",")] if inner else []


def schema_of_values(repo: Repo) -> list[str]:
    """Each described value is in the schema, and the schema knows no other."""
    name = CHART + "values.schema.json"
    if name not in repo.files:
        return []
    described = {value.path for value in generator(repo).values(repo.read(CHART + "values.yaml") or "")}
    known = set(leaves(json.loads(repo.read(name) or "{}"))) - {"global"}
    missing = [f"{name}: no {path}, which values.yaml describes" for path in sorted(described - known)]
    return missing + [f"{name}: {path}, which values.yaml does not describe" for path in sorted(known - described)]


def leaves(schema: dict, path: str = "") -> list[str]:
    """Paths of values without a section of fixed keys below."""
    found = []
    for key, below in schema["properties"].items():
        here = f"{path}.{key}" if path else key
        found += leaves(below, here) if "properties" in below else [here]
    return found
