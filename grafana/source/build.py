"""Writes the dashboards beside this folder, or with --check says which of them are stale.

    build.py [--check]
"""

from __future__ import annotations

import json
import pathlib
import sys

import grid
import lab
import node
import runs
import trust
import whatif
import workload
from model import document

FOLDER = pathlib.Path(__file__).resolve().parents[1]
DASHBOARDS = [lab.DASHBOARD, node.DASHBOARD, workload.DASHBOARD, runs.DASHBOARD, grid.DASHBOARD,
              whatif.DASHBOARD, trust.DASHBOARD]


def main(arguments: list[str]) -> int:
    stale = []
    for dashboard in DASHBOARDS:
        file = FOLDER / f"{dashboard.uid}.json"
        text = json.dumps(document(dashboard), indent=2, ensure_ascii=False) + "\n"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(file.name)
            if "--check" not in arguments:
                file.write_text(text, encoding="utf-8")
    if "--check" in arguments and stale:
        print(f"stale, run `make dashboards`: {', '.join(stale)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
