#!/usr/bin/env python3
"""Runs the self-tests of the checks, then every check on the repository. Exit code 1 when anything was found."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

import chart
import conformance
import docs
import machine
import monitoring
import provider
import selftest
import selftest_chart
import selftest_monitoring
import sources
from repo import Repo

CHECKS = (
    conformance.cells_have_tests,
    docs.paths,
    docs.links,
    docs.named_commands,
    docs.recipes_once,
    provider.one_rustls_provider,
    sources.module_files,
    sources.markers,
    sources.error_texts,
    sources.file_length,
    machine.local_paths,
    machine.registry_addresses,
    machine.crate_sources,
    chart.fresh_chart,
    chart.one_version,
    chart.role_of_operator,
    chart.schema_of_values,
    monitoring.dashboard_model,
    monitoring.fresh_dashboards,
    monitoring.known_families,
    monitoring.scoped_rules,
    monitoring.alerts_have_runbooks,
)


def main() -> int:
    load = unittest.defaultTestLoader.loadTestsFromModule
    suite = unittest.TestSuite([load(module) for module in (selftest, selftest_chart, selftest_monitoring)])
    sound = unittest.TextTestRunner(verbosity=0).run(suite).wasSuccessful()
    repo = Repo(Path(__file__).resolve().parents[2])
    found = 0
    for check in CHECKS:
        violations = check(repo)
        found += len(violations)
        print(f"{check.__module__}.{check.__name__}: {len(violations) or 'nothing'} found")
        for violation in violations:
            print(f"  {violation}")
    return 0 if sound and not found else 1


if __name__ == "__main__":
    sys.exit(main())
