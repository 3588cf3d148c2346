"""What a large lab costs one Prometheus: thirty days of recorded series of a thousand nodes of eight accelerators, the time
that each dashboard's queries take, and the time that the rules take on the raw series of the last hour.

    scale.py FOLDER [NODES]     FOLDER needs 10 GB for a while; the server gets two processors

Values are made up, their number and their names are not: that is what costs.
"""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import fill
from model import DAY, HOUR

END = 1_793_210_400
DAYS = 30
SCRAPE = 30
GRAFANA = pathlib.Path(__file__).resolve().parents[2] / "grafana"
# Grafana asks over HTTP/1.1: a browser has six connections to it.
CONNECTIONS = 6

DEVICES = [(f"gpu-{n}", "gpu") for n in range(8)] + [("package-0", "cpu"), ("package-1", "cpu"), ("dram-0", "dram"),
                                                     ("other", "other")]
PER_NODE = ["energy_joules", "co2e_grams", "market_co2e_grams", "embodied_co2e_grams", "modelled_energy_joules",
            "estimated_co2e_grams"]
TEAMS = [f"team-{n}" for n in range(12)]


def target(node: int) -> str:
    return f'cluster="c{node % 4}",job="gramwatt",instance="node-{node:04}"'


def series(name: str, labels: str, times: range, value: float, rises: bool = False) -> Iterator[str]:
    head = f"{name}{{{labels}}}"
    if rises:
        return (f"{head} {value * n:.1f} {at}\n" for n, at in enumerate(times))
    return (f"{head} {value * (1 + (at // HOUR * 7 + len(labels)) % 11 / 40):.1f} {at}\n" for at in times)


def pods(node: int) -> Iterator[tuple[str, str, range]]:
    """Two a day on each node, one after the other: identity, description, the hours recorded."""
    for number in range(2 * DAYS):
        start = END - DAYS * DAY + number * DAY // 2 + 137
        identity = (f'{target(node)},workload_type="pod",workload_namespace="ns-{node % 40}",workload='
                    f'"job-{node}-{number}",workload_container="main"')
        about = (f'label_team="{TEAMS[(node + number) % len(TEAMS)]}",label_project="p{node % 60}",label_phase="training",'
                 f'owner="job-{node}-{number}"')
        yield identity, about, range(start + HOUR, start + DAY // 2 + 1, HOUR)


def commands(node: int) -> Iterator[tuple[str, str, str, int, int]]:
    """Four runs a day on each node, one after the other: identity, user, outcome, start and end."""
    for number in range(4 * DAYS):
        start = END - DAYS * DAY + number * DAY // 4 + 137
        identity = f'run="experiment-{(node + number) % 300}",run_id="{node:04x}{number:04x}"'
        yield identity, f'user="user-{node % 60}"', "failed" if number % 7 == 0 else "succeeded", start, start + DAY // 4 - 600


def runs(node: int) -> Iterator[str]:
    """What is recorded of a node's runs, and what its page has told of the last of them."""
    cluster, own = f'cluster="c{node % 4}"', ""
    for number, (identity, user, outcome, start, end) in enumerate(commands(node)):
        for state, hours in (("running", range(start + HOUR, end, HOUR)), (outcome, range(end, end + HOUR, HOUR))):
            about = f'{identity},{user},state="{state}"'
            yield from series("run:gramwatt_run_info:last1h", f"{target(node)},{about}", hours, 1)
            for what in ("energy_joules:last1h", "co2e_grams:last1h", *(["budget_used:ratio1h"] if number % 5 == 0 else [])):
                yield from series(f"run:gramwatt_run_{what}", f'{cluster},instance="node-{node:04}",{about}', hours, 1e6)
        for what in ("duration_seconds", "first_predicted_energy_joules", "first_predicted_co2e_grams",
                     *(["budget_co2e_grams"] if number % 5 == 0 else [])):
            yield from series(f"run:gramwatt_run_{what}:last1h", f"{cluster},{identity}", range(start + HOUR, end + 1, HOUR), 1e6)
        own = f"{target(node)},{identity}"
    times = range(END - 2 * HOUR - 5 * SCRAPE, END + 1, SCRAPE)
    yield from (f'{name}{{{own},{about}}} 1 {at}\n' for name, about in [("gramwatt_run_info", user), ("gramwatt_run_state", 'state="running"')]
                for at in times)
    for what in ("start_timestamp_seconds", "progress_ratio", "predicted_energy_joules", "predicted_co2e_grams",
                 "predicted_end_timestamp_seconds", "first_predicted_energy_joules", "first_predicted_co2e_grams", "budget_co2e_grams"):
        yield from series(f"gramwatt_run_{what}", own, times, 1e6)
    for kind in ("gpu", "cpu", "dram"):
        yield from series("gramwatt_run_power_watts", f'{own},kind="{kind}"', times, 2000)
        for what in ("energy_joules", "co2e_grams"):
            yield from series(f"gramwatt_run_{what}_total", f'{own},kind="{kind}"', times, 1e4, True)


def names() -> Iterator[str]:
    """What is recorded of runs by name: each has been run in each cluster by three users."""
    times = range(END - DAYS * DAY + HOUR + 137, END + 138, HOUR)
    for number in range(300 * 4 * 3):
        labels = f'cluster="c{number // 300 % 4}",run="experiment-{number % 300}",user="user-{number // 1200}"'
        for what in ("energy_joules", "co2e_grams"):
            yield from series(f"run_name:gramwatt_run_{what}:increase1h", labels, times, 1e6)
        for state, pace in (("succeeded", 7), ("failed", 49)):
            for what in ("ended:count1h", "ended_energy_joules:sum1h", "ended_co2e_grams:sum1h"):
                yield from series(f"run_name:gramwatt_run_{what}", f'{labels},state="{state}"', times[::pace], 1)


def recorded(nodes: int) -> Iterator[str]:
    """What the rules have recorded of thirty days, but for the levels above the node."""
    times = range(END - DAYS * DAY + HOUR + 137, END + 138, HOUR)
    for node in range(nodes):
        for device, kind in DEVICES:
            labels = f'{target(node)},device="{device}",kind="{kind}"'
            yield from series("device:gramwatt_device_energy_joules:increase1h", labels, times, 2e6)
            yield from series("device:gramwatt_device_co2e_grams:increase1h", labels, times, 200)
        for what in PER_NODE:
            yield from series(f"node:gramwatt_node_{what}:increase1h", target(node), times, 2e7)
        for identity, about, hours in pods(node):
            yield from series("workload:gramwatt_workload_info:last1h", f"{identity},{about}", hours, 1)
            for what in ("energy_joules", "co2e_grams", "reserved_idle_joules"):
                yield from series(f"workload:gramwatt_workload_{what}:increase1h", identity, hours, 1e7)


def raw(nodes: int) -> Iterator[str]:
    """What exporters have told in the last hour."""
    times = range(END - HOUR - 5 * SCRAPE, END + 1, SCRAPE)
    for node in range(nodes):
        own = target(node)
        yield from series("up", own, times, 1)
        yield from series("gramwatt_build_info", own, times, 1)
        yield from series("gramwatt_node_info", f'{own},grid_zone="DE",meter="psu"', times, 1)
        yield from series("gramwatt_pue_ratio", own, times, 1.2)
        yield from series("gramwatt_grid_carbon_intensity_grams_per_kwh", f'{own},grid_zone="DE",signal="average"', times, 300)
        yield from series("gramwatt_node_power_watts", own, times, 6000)
        for what in PER_NODE:
            yield from series(f"gramwatt_node_{what}_total", own, times, 1e4, True)
        for device, kind in DEVICES:
            labels = f'{own},device="{device}",kind="{kind}"'
            yield from series("gramwatt_device_power_watts", labels, times, 600)
            yield from series("gramwatt_device_co2e_grams_per_second", labels, times, 0.05)
            yield from series("gramwatt_device_energy_joules_total", labels, times, 18000, True)
            yield from series("gramwatt_device_co2e_grams_total", labels, times, 2, True)
            yield from series("gramwatt_device_info", f'{labels},method="counter",sensor="nvml"', times, 1)
            if kind == "gpu":
                yield from series("gramwatt_device_power_limit_watts", labels, times, 700)
                yield from series("gramwatt_device_utilization_ratio", labels, times, 0.8)
        identity, about, _ = list(pods(node))[-1]
        yield from series("gramwatt_workload_info", f"{identity},{about}", times, 1)
        nobody = f'{own},workload_type="idle",workload="idle"'
        for who in (identity, nobody):
            for kind in ("gpu", "cpu", "dram"):
                yield from series("gramwatt_workload_power_watts", f'{who},kind="{kind}"', times, 2000)
                for what in ("energy_joules", "co2e_grams", "reserved_idle_joules"):
                    yield from series(f"gramwatt_workload_{what}_total", f'{who},kind="{kind}"', times, 1e4, True)


def history(nodes: int, file: pathlib.Path) -> int:
    lines = 0
    with open(file, "w", encoding="utf-8") as out:
        for line in itertools.chain(recorded(nodes), raw(nodes), names(), *map(runs, range(nodes))):
            out.write(line)
            lines += 1
        out.write("# EOF\n")
    return lines


def expressions(uid: str, span: str) -> list[tuple[str, bool]]:
    """The queries of a dashboard when it is opened over a span, and whether each is instant."""
    board = json.loads((GRAFANA / f"{uid}.json").read_text(encoding="utf-8"))
    values = {f"${one['name']}": str(one.get("allValue") or one["current"].get("value", ""))
              for one in board["templating"]["list"]}
    # A node is looked at alone.
    values["$instance"] = "node-0007"
    values |= {"$__range": span, "$__rate_interval": "2m", "$__interval": "1h"}
    made = []
    for target in (target for panel in board["panels"] for target in panel.get("targets", [])):
        expr = target["expr"]
        for name in sorted(values, key=len, reverse=True):
            expr = expr.replace(name, values[name])
        made.append((expr, target["instant"]))
    return made


def load(url: str, uid: str, span: str) -> tuple[float, float, int]:
    """Seconds until all of a dashboard's queries are answered, those of the slowest, and the series answered."""
    start = {"24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}[span]

    def one(query: tuple[str, bool]) -> tuple[float, int]:
        expr, instant = query
        began = time.monotonic()
        if instant:
            answer = fill.ask(url, "query", query=expr, time=END + 200)
        else:
            answer = fill.ask(url, "query_range", query=expr, start=END + 200 - start, end=END + 200,
                              step=max(HOUR, start // 700))
        return time.monotonic() - began, len(answer["result"])

    began = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        each = list(pool.map(one, expressions(uid, span)))
    return time.monotonic() - began, max(took for took, _ in each), sum(series for _, series in each)


def upper_levels(url: str, rules: list[fill.Rule], out: pathlib.Path) -> int:
    """Records what is made of the nodes' and workloads' hours."""
    lines = 0
    with open(out, "w", encoding="utf-8") as file:
        for rule in rules:
            for line in fill.recorded(url, rule, END - DAYS * DAY, END):
                file.write(line)
                lines += 1
        file.write("# EOF\n")
    return lines


def main() -> None:
    folder, nodes = pathlib.Path(sys.argv[1]), int((sys.argv[2:] or ["1000"])[0])
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["GOMAXPROCS"] = "2"
    rules = fill.recording_rules(folder)
    # What reads a counter, or many runs, is timed below; its hours are made up above.
    raw_ones = [rule for rule in rules if re.search(r"_total\[|last_over_time\(gramwatt|run:", rule.query)]
    above = [[rule for rule in level if rule not in raw_ones and rule.interval == HOUR] for level in fill.passes(rules)]
    lines = history(nodes, folder / "history.om")
    print(f"{nodes} nodes, {lines / 1e6:.1f} million samples made up; loading", flush=True)
    fill.create_blocks(folder / "history.om", folder)
    for level in [level for level in above if level]:
        with fill.prometheus(folder) as url:
            upper_levels(url, level, folder / "above.om")
        fill.create_blocks(folder / "above.om", folder)
    with fill.prometheus(folder) as url:
        print(f"\n| {'dashboard':<18} | span | queries | series | seconds, cold | warm | slowest query |\n|-|-|-|-|-|-|-|")
        for uid, span in [("gramwatt-lab", "7d"), ("gramwatt-lab", "30d"), ("gramwatt-whatif", "7d"), ("gramwatt-node", "24h"),
                          ("gramwatt-workload", "24h"), ("gramwatt-runs", "24h"), ("gramwatt-runs", "7d"), ("gramwatt-grid", "24h"), ("gramwatt-trust", "24h")]:
            cold, _, _ = load(url, uid, span)
            warm, slowest, answered = load(url, uid, span)
            print(f"| {uid:<18} | {span:<4} | {len(expressions(uid, span)):>7} | {answered:>6} | {cold:>13.2f} | {warm:.2f} | {slowest:.2f} |",
                  flush=True)
        print(f"\n| {'rules':<18} | number | seconds for one evaluation |\n|-|-|-|")
        for name, interval in [("gramwatt-now", None), ("gramwatt-hourly", HOUR), ("gramwatt-daily", DAY)]:
            chosen = [rule for rule in rules if (rule.interval if rule.interval >= HOUR else None) == interval]
            began = time.monotonic()
            for rule in chosen:
                fill.ask(url, "query", query=rule.query, time=END)
            print(f"| {name:<18} | {len(chosen):>6} | {time.monotonic() - began:.2f} |", flush=True)
        with urllib.request.urlopen(f"{url}/metrics") as page:
            memory = re.findall(r"(?m)^process_resident_memory_bytes (\S+)", page.read().decode())
    size = sum(file.stat().st_size for file in (folder / "data").rglob("*") if file.is_file())
    print(f"\n{size / 1024**3:.2f} GiB on disk, {float(memory[0]) / 1024**3:.2f} GiB of memory after that.")


if __name__ == "__main__":
    main()
