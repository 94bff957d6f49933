"""The checks of dashboards, rules and runbooks find faults that are planted into this repository's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import monitoring
from fixture import ROOT, Fixture
from repo import Repo

COPIED = ("charts/natter/monitoring", "docs/runbooks", *monitoring.FAMILY_TABLES, "scripts/dashboards", "tests/monitoring")
BUS = "charts/natter/monitoring/dashboards/natter-bus.json"
RULES = "charts/natter/monitoring/rules/gateway.yaml"
TESTS = "tests/monitoring/gateway_test.yaml"
PAGE = "docs/runbooks/NatterBusDown.md"


class Monitoring(Fixture):
    def repo(self, name: str = "", old: str = "", new: str = "") -> Repo:
        """A copy in which a text of one file is another one; without `old` the file is gone."""

        def change(root: Path) -> None:
            if old:
                self.replace(root / name, old, new)
            elif name:
                (root / name).unlink()

        return self.copied(COPIED, change)

    def finds(self, check: Callable[[Repo], list[str]], text: str, repo: Repo) -> None:
        """One planted fault may be found in several places."""
        violations = check(repo)
        self.assertTrue(any(text in violation for violation in violations), f"{text!r} is not among {violations}")

    def test_what_is_here_is_sound(self) -> None:
        repo = self.repo()
        checks = (monitoring.dashboard_model, monitoring.known_families, monitoring.scoped_rules, monitoring.alerts_have_runbooks)
        for check in checks:
            self.assertEqual(check(repo), [])
        self.assertGreater(len(list(monitoring.boards(repo))), 4)
        self.assertGreater(len(list(monitoring.rules(repo))), 20)

    def test_dashboard_model(self) -> None:
        faults = {
            ('"schemaVersion": 39', '"schemaVersion": "39"'): "'schemaVersion' is no int",
            ('"type": "timeseries"', '"type": "graph"'): "type 'graph' is not known",
            ('"refId": "B"', '"refId": "A"'): "share a name",
            ('"x": 8', '"x": 0'): "lies on",
            ('"unit": "cps"', '"unit": "cpm"'): "unit 'cpm' is not known",
            ('"uid": "natter-bus"', '"uid": "natter-gateway"'): "the uid of",
            ("$instance", "$gateway"): "uses $gateway, which is no variable",
        }
        for (old, new), fault in faults.items():
            self.finds(monitoring.dashboard_model, fault, self.repo(BUS, old, new))

    def test_stale_dashboards(self) -> None:
        # The generator is imported once for all, so only the repository itself can be compared.
        self.assertEqual(monitoring.fresh_dashboards(Repo(ROOT)), [])
        self.finds(monitoring.fresh_dashboards, "not what", self.repo(BUS, "NATS as the gateways see it", "NATS"))

    def test_unknown_families(self) -> None:
        self.finds(monitoring.known_families, "nobody counts natter_bus_gone", self.repo(BUS, "natter_bus_up", "natter_bus_gone"))
        self.finds(monitoring.known_families, "NatterBusDown: nobody counts natter_bus_gone", self.repo(RULES, "natter_bus_up", "natter_bus_gone"))
        awaited = self.repo(monitoring.AWAITED, "# ", "natter_bus_up  for this test\nnatter_nothing  nor this\n# ")
        self.finds(monitoring.known_families, "natter_bus_up is here", awaited)
        self.finds(monitoring.known_families, "nobody asks for natter_nothing", awaited)

    def test_rules_without_scope(self) -> None:
        self.finds(monitoring.scoped_rules, "NatterBusDown", self.repo(RULES, 'natter_bus_up{job=~".+"}', "natter_bus_up"))

    def test_alerts_and_their_pages(self) -> None:
        check = monitoring.alerts_have_runbooks
        self.finds(check, "NatterBusDown has no page", self.repo(PAGE))
        self.finds(check, "no heading 'What to do'", self.repo(PAGE, "## What to do", "## Cure"))
        self.finds(check, "no alert of that name", self.repo(RULES, "alert: NatterBusDown", "alert: NatterBusGone"))
        self.finds(check, "does not name its runbook", self.repo(RULES, "runbooks/NatterBusDown", "runbooks/NatterBusUp"))
        self.finds(check, "NatterBusDown is not tested", self.repo(TESTS, "alertname: NatterBusDown, exp_alerts: []", "alertname: NatterBusDown"))
