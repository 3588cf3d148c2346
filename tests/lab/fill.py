"""Fills the data of a Prometheus with thirty days of the lab, and with what the recording rules make of them.

    fill.py END FOLDER [--serve ADDRESS]     END is the last second, a full hour, or `now`

FOLDER gets data/ and truth.json. A rule that reads what another records sees it only when that one's blocks are there,
so the rules run in passes; at full hours, where promtool's own backfill takes times that fit nobody else's. With --serve the server goes on at ADDRESS until it is interrupted.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import history
from model import DAY, HOUR

RULES = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "rules" / "gramwatt-recording.yaml"
# promtool reads the whole history for each block.
BLOCKS = "--max-block-duration=360h"
# Samples are a quarter of an hour apart: an instant query has to look back that far. Who looks at the lab for a while looks
# back further: its last sample is of the last full hour.
LOOK_BACK, LOOK_BACK_LATER = "20m", "2h"


@dataclass(frozen=True)
class Rule:
    name: str
    query: str
    labels: dict[str, str]
    interval: int


def recording_rules(folder: pathlib.Path) -> list[Rule]:
    """The rules as a Prometheus reads them."""
    with prometheus(folder / "rules", f"rule_files: [{RULES}]") as url:
        groups = ask(url, "rules")["groups"]
    return [Rule(rule["name"], rule["query"], rule.get("labels", {}), int(max(group["interval"], history.STEP)))
            for group in groups for rule in group["rules"]]


def passes(rules: list[Rule]) -> list[list[Rule]]:
    """Rules in the order in which what they read is there."""
    by_name = {rule.name: rule for rule in rules}
    level: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in level:
            read = set(re.findall(r"[a-z_]+(?::\w+)+", by_name[name].query)) & by_name.keys() - {name}
            level[name] = 1 + max((depth(one) for one in read), default=0)
        return level[name]

    return [[rule for rule in rules if depth(rule.name) == wanted] for wanted in range(1, 1 + max(map(depth, by_name)))]


def ask(url: str, path: str, **parameters: object) -> Any:
    form = urllib.parse.urlencode(parameters).encode() if parameters else None
    with urllib.request.urlopen(f"{url}/api/v1/{path}", form) as answer:
        return json.load(answer)["data"]


def recorded(url: str, rule: Rule, start: int, end: int) -> Iterator[str]:
    """What the rule records at each of its times, in OpenMetrics; the first is when a whole interval has passed."""
    # Groups run at moments of their own. At full hours a range that both its ends belong to would have an hour too many.
    late = {HOUR: 137, DAY: 240}.get(rule.interval, 0)
    for series in ask(url, "query_range", query=rule.query, start=start + rule.interval + late, end=end + late,
                      step=rule.interval)["result"]:
        labels = {**series["metric"], **rule.labels}
        labels.pop("__name__", None)
        head = f"{rule.name}{{{','.join(f'{name}={json.dumps(value)}' for name, value in labels.items())}}}"
        yield from (f"{head} {value} {at}\n" for at, value in series["values"])


@contextmanager
def prometheus(folder: pathlib.Path, config: str = "", address: str = "127.0.0.1:0",
               look_back: str = LOOK_BACK) -> Iterator[str]:
    """A server over FOLDER's data, and its address."""
    folder.mkdir(exist_ok=True)
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    with open(folder / "prometheus.log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(
            ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address={address}", f"--query.lookback-delta={look_back}",
             "--storage.tsdb.retention.time=10y"], stderr=log)
    try:
        yield ready(server, folder / "prometheus.log")
    finally:
        server.terminate()
        server.wait()


def ready(server: subprocess.Popen[bytes], log: pathlib.Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        listening = re.search(r'Listening on" address=(\S+)', log.read_text(encoding="utf-8"))
        try:
            if listening:
                urllib.request.urlopen(f"http://{listening[1]}/-/ready").close()
                return f"http://{listening[1]}"
        except urllib.error.URLError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"prometheus does not start:\n{log.read_text(encoding='utf-8')}")


def create_blocks(samples: pathlib.Path, folder: pathlib.Path) -> None:
    command = ["promtool", "tsdb", "create-blocks-from", BLOCKS, "openmetrics", "--quiet"]
    subprocess.run([*command, samples, folder / "data"], check=True)
    samples.unlink()


def fill(end: int, folder: pathlib.Path) -> None:
    shutil.rmtree(folder / "data", ignore_errors=True)
    history.main(end, folder)
    create_blocks(folder / "history.om", folder)
    start = end - history.DAYS * DAY
    for rules in passes(recording_rules(folder)):
        samples = folder / "recorded.om"
        with prometheus(folder) as url, open(samples, "w", encoding="utf-8") as out:
            for rule in rules:
                out.writelines(recorded(url, rule, start, end))
            out.write("# EOF\n")
        create_blocks(samples, folder)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("end")
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--serve", metavar="ADDRESS")
    given = arguments.parse_args()
    end = int(time.time()) // HOUR * HOUR if given.end == "now" else int(given.end)
    fill(end, given.folder)
    if given.serve:
        # Whoever ends it ends the server too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with prometheus(given.folder, address=given.serve, look_back=LOOK_BACK_LATER) as url:
            print(f"the lab until {time.strftime('%F %H:%MZ', time.gmtime(end))}: {url}", flush=True)
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()
