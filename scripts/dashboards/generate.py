#!/usr/bin/env python3
"""Writes the dashboards of charts/natter/monitoring/dashboards/; `scripts/checks/` compares them with what is committed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import backends  # noqa: E402
import bus  # noqa: E402
import gateway  # noqa: E402
import operator_board  # noqa: E402
import overview  # noqa: E402
import rooms  # noqa: E402

FOLDER = "charts/natter/monitoring/dashboards"
DASHBOARDS = (overview.DASHBOARD, gateway.DASHBOARD, rooms.DASHBOARD, backends.DASHBOARD, bus.DASHBOARD,
              operator_board.DASHBOARD)


def files() -> dict[str, str]:
    """Names from the root of the repository, and texts."""
    return {
        f"{FOLDER}/{board.uid}.json": json.dumps(board.json(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        for board in DASHBOARDS
    }


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
