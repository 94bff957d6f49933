"""The checks of the chart find faults that are planted into this repository's own."""

from __future__ import annotations

import chart
from fixture import Fixture
from repo import Repo

COPIED = ("charts/natter", "scripts/chart", "Cargo.toml", "crds", "operator/src/kinds.rs")
CHECKS = (chart.fresh_chart, chart.one_version, chart.role_of_operator, chart.schema_of_values)


class Chart(Fixture):
    def repo(self, name: str = "", old: str = "", new: str = "") -> Repo:
        """A copy in which a text of one file is another one. A file that is not there yet is written."""
        return self.copied(COPIED, lambda root: self.replace(root / name, old, new) if name else None)

    def test_what_is_here_is_sound(self) -> None:
        repo = self.repo()
        for check in CHECKS:
            self.assertEqual(check(repo), [])

    def test_stale_files(self) -> None:
        self.finds(chart.fresh_chart, "README.md: not what", self.repo("charts/natter/README.md", "| `crds.keep` |", "| `crds.kept` |"))
        self.finds(chart.fresh_chart, "files/chatclusters", self.repo("crds/chatclusters.natter.dev.yaml", new="another: one\n"))

    def test_versions(self) -> None:
        self.finds(chart.one_version, "9.9.9, and the workspace is", self.repo("charts/natter/Chart.yaml", "appVersion: 0.1.0", "appVersion: 9.9.9"))

    def test_role(self) -> None:
        role, kinds = chart.ROLE, chart.KINDS
        self.finds(chart.role_of_operator, "a rule without a reason", self.repo(role, "# spec.monitoring.\n", ""))
        self.finds(chart.role_of_operator, "lists Secrets", self.repo(role, "resources: [pods]", "resources: [pods, secrets]"))
        self.finds(chart.role_of_operator, "everything of something", self.repo(role, "verbs: [create, patch]", 'verbs: ["*"]'))
        made = 'Self::CronJob => ("batch", "v1", "CronJob", "cronjobs"),\n'
        self.finds(chart.role_of_operator, "makes cronjobs.batch and may not", self.repo(kinds, new=made))

    def test_schema(self) -> None:
        self.finds(chart.schema_of_values, "no crds.adopt", self.repo("charts/natter/values.yaml", "crds:\n", "crds:\n  # -- Adopt it.\n  adopt: true\n"))
        self.finds(chart.schema_of_values, "crds.keep, which", self.repo("charts/natter/values.yaml", "  # -- Keep it when", "  # Keep it when"))

    def test_values_are_read(self) -> None:
        text = "a:\n  # -- One.\n  b: 1 \n  # -- Two.\n  c:\n    d: x\n    e:\n      f: 2\n# -- Three.\ng: []\n"
        found = [(value.path, value.default.strip(), value.description) for value in chart.generator(self.repo()).values(text)]
        self.assertEqual(found, [("a.b", "1", "One."), ("a.c", "{d: x, e: {…}}", "Two."), ("g", "[]", "Three.")])
