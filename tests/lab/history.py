"""Thirty days of a lab of forty nodes as their exporters would have told them, in OpenMetrics, and what is true of it.

    history.py END FOLDER     END is the last second, a full hour; writes history.om and truth.json

The counters are sums of what the model says was drawn, sampled every quarter of an hour, each node at a second of
its own. The truth is summed on its own way: power by step, not differences of counters.
"""

from __future__ import annotations

import csv
import json
import math
import pathlib
import sys
import zlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TextIO

import model
import runs
from model import DAY, HOUR, Job, Node

DAYS = 30
STEP = 900
# Gauges are told for this long before the end: nothing sums them, and they are most of the samples.
RECENT = 26 * HOUR
NOW = 2 * HOUR
# How long who has ended is still told.
LINGER = 3 * STEP
LIFETIME = 4 * 365.25 * DAY
DATA = pathlib.Path(__file__).resolve().parents[2] / "src" / "data"

Key = tuple[tuple[str, str], ...]


class Page:
    """The series of one target."""

    def __init__(self, times: list[float], labels: dict[str, str]):
        self.times, self.labels = times, labels
        self.values: dict[tuple[str, Key], list[float | None]] = {}
        self.sums: dict[tuple[str, Key], float] = {}

    def set(self, step: int, name: str, value: float, /, **labels: str) -> None:
        self._set(step, (name, tuple(labels.items())), value)

    def add(self, step: int, name: str, value: float, /, **labels: str) -> None:
        """What a counter rises by in this step."""
        key = (name, tuple(labels.items()))
        self.sums[key] = self.sums.get(key, 0.0) + value
        self._set(step, key, self.sums[key])

    def stand(self, step: int, names: tuple[str, ...], **labels: str) -> None:
        """Shows counters once more that do not rise."""
        for name in names:
            key = (name, tuple(labels.items()))
            if key in self.sums:
                self._set(step, key, self.sums[key])

    def _set(self, step: int, key: tuple[str, Key], value: float) -> None:
        if key not in self.values:
            self.values[key] = [None] * len(self.times)
        self.values[key][step] = value

    def write(self, out: TextIO) -> None:
        for (name, key), values in self.values.items():
            labels = ",".join(f'{k}="{v}"' for k, v in (*self.labels.items(), *key) if v != "")
            head = f"{name}{{{labels}}}"
            out.writelines(f"{head} {value:.10g} {at:.0f}\n"
                           for value, at in zip(values, self.times) if value is not None)


class Truth:
    """Sums that the counters have no part in."""

    def __init__(self) -> None:
        self.sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def add(self, joules: float, grams: float, **by: str) -> None:
        for what, value in by.items():
            self.sums[f"joules by {what}"][value] += joules
            self.sums[f"grams by {what}"][value] += grams


def running(node: Node, at: float) -> list[Job]:
    return [job for job in node.jobs if job.start <= at < job.end]


# Watts of each device, with its kind.
Watts = dict[str, tuple[str, float]]
# Watts of each workload (or of `idle`, ...) by kind, and what of it was held and idle.
Uses = dict[tuple[object, str], list[float]]


def use(node: Node, jobs: list[Job], step: int, at: float) -> tuple[Watts, Uses, dict[str, float]]:
    """Watts by device, (watts, reserved idle) by workload and kind, and utilisation by device."""
    watts: Watts = {}
    utilization: dict[str, float] = {}
    by_job: Uses = defaultdict(lambda: [0.0, 0.0])
    if node.gpus:
        by_job["idle", "gpu"] = [0.0, 0.0]
    for n in range(node.gpus):
        device = f"GPU-{node.name}-{n}"
        holder = next((job for job in jobs if n in job.gpus), None)
        duty = 0.0
        if holder:
            swing = 0.25 * (1 + math.cos((at % DAY / HOUR - 15) / 12 * math.pi)) if holder.diurnal else 0.0
            duty = min(1.0, max(0.0, holder.duty * (1 + 0.08 * model.wobble(device, step)) + swing))
        power = node.gpu_idle + (node.gpu_limit - node.gpu_idle) * duty
        watts[device], utilization[device] = ("gpu", power), duty
        account = by_job[holder or "idle", "gpu"]
        account[0] += power
        if holder and duty < 0.05:
            account[1] += power
    load = min(1.0, sum(job.load for job in jobs) + 0.03)
    for n in range(2):
        wobble = 1 + 0.05 * model.wobble(f"{node.name}{n}", step)
        for device, kind, rest, more in [(f"package-{n}", "cpu", 85.0, 230.0), (f"dram-{n}", "dram", 14.0, 22.0)]:
            if node.modelled and kind == "dram":
                continue
            used = more * load * wobble
            watts[device] = (kind, rest + used)
            if kind == "cpu":
                utilization[device] = load
            by_job["idle", kind][0] += rest
            by_job["system", kind][0] += used * 0.03 / load
            for job in jobs:
                by_job[job, kind][0] += used * job.load / load * (1 - 0.03 / load)
            rest_of = used - used * 0.03 / load - sum(used * j.load / load * (1 - 0.03 / load) for j in jobs)
            by_job["unattributed", kind][0] += rest_of
    if node.metered:
        other = 280 + 0.06 * sum(power for _, power in watts.values())
        watts["other"] = ("other", other)
        by_job["system", "other"][0] += other
    return watts, by_job, utilization


def identity(who: object) -> dict[str, str]:
    return who.identity() if isinstance(who, Job) else {"workload_type": str(who), "workload": str(who)}


def tell_node(node: Node, start: int, end: int, truth: Truth) -> Page:
    offset = 1 + zlib.crc32(node.name.encode()) % 58
    times = [float(at) for at in range(start + offset, end + 1, STEP)]
    page = Page(times, {"cluster": node.cluster, "job": "gramwatt", "instance": node.name})
    meter = runs.Meter(node, end - start)
    for step, at in enumerate(times):
        # A reboot: counters begin anew.
        if node.name == "fra-gpu-03" and step == len(times) // 2:
            page.sums.clear()
        now = Moment(page, step, at, at - start, 0 if step == 0 else STEP, at >= end - RECENT, node.grid.at(at),
                     live=not 12.2 * DAY < at - start < 12.6 * DAY)
        jobs = running(node, now.age - STEP / 2)
        watts, by_job, utilization = use(node, jobs, step, at)
        tell_devices(node, now, watts, utilization, truth)
        tell_workloads(node, now, jobs, by_job, truth)
        meter.tell(now, by_job, truth)
        tell_grid(node, now)
        if now.recent:
            tell_health(page, step, node, at)
        if at >= end - NOW:
            tell_outlook(node, now)
    return page


@dataclass(frozen=True)
class Moment:
    page: Page
    step: int
    at: float
    age: float
    length: float
    recent: bool
    intensity: float
    live: bool

    def set(self, name: str, value: float, /, **labels: str) -> None:
        self.page.set(self.step, name, value, **labels)

    def add(self, name: str, value: float, /, **labels: str) -> None:
        self.page.add(self.step, name, value, **labels)


def tell_devices(node: Node, now: Moment, watts: Watts, utilization: dict[str, float], truth: Truth) -> None:
    factor = node.pue * now.intensity / 3.6e6
    total = sum(power for _, power in watts.values())
    for device, (kind, power) in watts.items():
        joules, labels = power * now.length, {"device": device, "kind": kind}
        now.add("gramwatt_device_energy_joules_total", joules, **labels)
        now.add("gramwatt_device_co2e_grams_total", joules * factor, **labels)
        truth.add(joules, joules * factor, lab="", cluster=node.cluster, kind=kind, node=node.name)
        embodied = {"gpu": node.gpu_embodied, "cpu": 100e3, "dram": 1388 * 512}.get(kind, 0) / LIFETIME * now.length
        now.add("gramwatt_node_embodied_co2e_grams_total", embodied)
        truth.sums["embodied by cluster"][node.cluster] += embodied
        if now.recent:
            now.set("gramwatt_device_power_watts", power, **labels)
            now.set("gramwatt_device_co2e_grams_per_second", power * factor, **labels)
            now.add("gramwatt_device_embodied_co2e_grams_total", embodied, **labels)
            if kind == "cpu" and not node.modelled:
                now.add("gramwatt_domain_energy_joules_total", 0.8 * joules, device=device, domain="core")
            if device in utilization:
                now.set("gramwatt_device_utilization_ratio", utilization[device], **labels)
            if kind == "gpu":
                now.set("gramwatt_device_power_limit_watts", node.gpu_limit, **labels)
                now.set("gramwatt_device_idle_power_watts", node.gpu_idle, **labels)
            now.set("gramwatt_device_info", 1, **labels, **described(node, device, kind))
    joules, market = total * now.length, node.pue * node.market / 3.6e6
    now.add("gramwatt_node_energy_joules_total", joules)
    now.add("gramwatt_node_co2e_grams_total", joules * factor)
    now.add("gramwatt_node_market_co2e_grams_total", joules * market)
    now.add("gramwatt_node_modelled_energy_joules_total", joules if node.modelled else 0)
    now.add("gramwatt_node_estimated_co2e_grams_total", 0 if now.live else joules * factor)
    truth.sums["market by cluster"][node.cluster] += joules * market
    if now.recent:
        now.set("gramwatt_node_power_watts", total)
        now.set("gramwatt_node_info", 1, meter="psu" if node.metered else "devices",
                meter_sensor="redfish" if node.metered else "", grid_zone=node.grid.zone, pue="config", demo="false")
        if node.metered:
            now.set("gramwatt_meter_power_watts", total, meter="psu-1", scope="node")


def described(node: Node, device: str, kind: str) -> dict[str, str]:
    if node.modelled:
        return {"model": node.cpu_model if kind == "cpu" else "", "sensor": "model", "method": "modelled"}
    if kind == "gpu":
        return {"vendor": "NVIDIA", "model": node.gpu_model, "uuid": device, "sensor": "nvml", "method": "counter"}
    if kind == "other":
        return {"sensor": "redfish", "method": "integrated"}
    return {"model": node.cpu_model if kind == "cpu" else "", "sensor": "rapl", "method": "counter"}


JOULES, GRAMS, RESERVED = (f"gramwatt_workload_{name}_total" for name in
                           ("energy_joules", "co2e_grams", "reserved_idle_joules"))


def tell_workloads(node: Node, now: Moment, jobs: list[Job], by_job: Uses, truth: Truth) -> None:
    factor = node.pue * now.intensity / 3.6e6
    page, step = now.page, now.step
    for (who, kind), (power, idle) in by_job.items():
        job = who if isinstance(who, Job) else None
        joules, labels = power * now.length, {**identity(who), "kind": kind}
        now.add(JOULES, joules, **labels)
        now.add(GRAMS, joules * factor, **labels)
        if job and kind == "gpu":
            now.add(RESERVED, idle * now.length, **labels)
        if now.recent:
            now.set("gramwatt_workload_power_watts", power, **labels)
        team, phase = (job.team, job.phase) if job else ("", "")
        truth.add(joules, joules * factor, workload_type=labels["workload_type"], team=team, phase=phase,
                  workload=labels["workload"])
        truth.sums["reserved idle by team"][team] += idle * now.length
        if job and job.failed:
            truth.add(joules, joules * factor, failed="true")
    # Who has just begun is shown with 0 first.
    new = [job for job in running(node, now.age) if job not in jobs]
    for job in new:
        for kind in ("gpu", "cpu", "dram"):
            for name in (JOULES, GRAMS, RESERVED)[:3 if kind == "gpu" else 2]:
                now.add(name, 0, **job.identity(), kind=kind)
    gone = [job for job in node.jobs if job.end <= now.age < job.end + LINGER and job not in jobs]
    for job in new + jobs + gone:
        now.set("gramwatt_workload_info", 1, **job.identity(), owner_kind=job.owner_kind, owner=job.owner,
                user=job.user, label_team=job.team, label_project=job.project, label_phase=job.phase,
                gpu_split="whole" if job.gpus else "")
    for job in gone:
        for kind in ("gpu", "cpu", "dram"):
            page.stand(step, (JOULES, GRAMS, RESERVED), **job.identity(), kind=kind)


def tell_grid(node: Node, now: Moment) -> None:
    provider = node.grid.provider
    known = [("average", now.intensity, provider)]
    if node.grid.marginal:
        known.append(("marginal", node.grid.marginal + 0.2 * (now.intensity - node.grid.mean), "watttime"))
    for signal, value, source in known:
        grid = {"grid_zone": node.grid.zone, "signal": signal}
        now.set("gramwatt_grid_carbon_intensity_grams_per_kwh", value, **grid, scope="lifecycle")
        if not now.recent:
            continue
        now.set("gramwatt_grid_carbon_intensity_valid_timestamp_seconds", now.at - now.at % HOUR, **grid)
        now.set("gramwatt_grid_info", 1, **grid, provider=source, tier="live", estimated="false",
                forecast="provider" if signal == "average" else "")
    now.set("gramwatt_pue_ratio", node.pue)
    if not now.recent:
        return
    now.set("gramwatt_grid_provider_up", 1, provider=provider)
    now.add("gramwatt_grid_requests_total", 3, provider=provider)
    now.add("gramwatt_grid_request_failures_total", 0 if now.step % 50 else 1, provider=provider, reason="timeout")


def tell_outlook(node: Node, now: Moment) -> None:
    """What the model will say, hour by hour."""
    hour, zone = now.at - now.at % HOUR, {"grid_zone": node.grid.zone}
    ahead = [node.grid.at(hour + n * HOUR + HOUR / 2) for n in range(49)]
    for n, grams in enumerate(ahead[1:], 1):
        now.set("gramwatt_grid_forecast_grams_per_kwh", grams, **zone, horizon=f"{n}h")
    for length in (1, 4, 8, 24):
        mean, begin = min((sum(ahead[n:n + length]) / length, n) for n in range(49 - length))
        window = {**zone, "window": f"{length}h"}
        now.set("gramwatt_grid_greenest_window_grams_per_kwh", mean, **window)
        now.set("gramwatt_grid_greenest_window_start_timestamp_seconds", hour + begin * HOUR, **window)


def tell_health(page: Page, step: int, node: Node, at: float) -> None:
    page.set(step, "gramwatt_build_info", 1, version="0.1.0", target="x86_64-unknown-linux-gnu")
    page.set(step, "up", 1)
    for sensor in ["model"] if node.modelled else ["rapl", *(["nvml", "redfish"] if node.metered else [])]:
        lost = node.name == "sto-gpu-02" and sensor == "redfish" and 60 < step % 96 < 70
        page.set(step, "gramwatt_sensor_up", 0 if lost else 1, sensor=sensor)
        if not lost:
            page.set(step, "gramwatt_sensor_read_seconds", 0.0004 if sensor == "rapl" else 0.012, sensor=sensor)
            page.set(step, "gramwatt_sensor_last_sample_timestamp_seconds", at - 0.4, sensor=sensor)
        page.add(step, "gramwatt_sensor_errors_total", 1 if lost else 0, sensor=sensor, reason="timeout")
        page.add(step, "gramwatt_sensor_wraps_total", 1 if sensor == "rapl" and step % 40 == 0 else 0, sensor=sensor)
        page.add(step, "gramwatt_sensor_gaps_total", 1 if lost else 0, sensor=sensor)
    page.set(step, "gramwatt_workload_source_up", 1, source="kubelet" if node.gpus else "slurm")
    page.set(step, "gramwatt_ledger_residual_joules", 1e-7)
    page.set(step, "gramwatt_workload_residual_joules", 2e-7)
    page.set(step, "gramwatt_workload_unlisted_joules", 120, kind="cpu", reason="pending")
    tell_process(page, step, 0.002, 24e6)


def rows(table: str) -> list[dict[str, str]]:
    with open(DATA / table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tell_relay(page: Page, end: int) -> None:
    """What a relay shows of zones and of itself. It is no node, and its zones are not all the nodes'."""
    for step, at in enumerate(page.times):
        page.set(step, "up", 1)
        page.set(step, "gramwatt_build_info", 1, version="0.1.0", target="x86_64-unknown-linux-gnu")
        page.set(step, "gramwatt_pue_ratio", 1)
        for zone, grams in [("DE", model.DE.at(at)), ("PL", 615.0)]:
            grid = {"grid_zone": zone, "signal": "average"}
            page.set(step, "gramwatt_grid_carbon_intensity_grams_per_kwh", grams, **grid, scope="lifecycle")
            page.set(step, "gramwatt_grid_info", 1, **grid, provider="electricity-maps", tier="live", estimated="false")
        page.set(step, "gramwatt_grid_provider_up", 1, provider="electricity-maps")
        tell_process(page, step, 0.004, 31e6)


def tell_process(page: Page, step: int, cores: float, bytes_resident: float) -> None:
    page.add(step, "process_cpu_seconds_total", cores * STEP)
    page.set(step, "process_resident_memory_bytes", bytes_resident)
    page.set(step, "process_start_time_seconds", page.times[0])
    page.set(step, "scrape_duration_seconds", 0.0021)
    page.set(step, "scrape_samples_scraped", 310)


def tell_stranger(end: int) -> Page:
    """Another exporter: larger, and of no concern to us."""
    page = Page([float(at) for at in range(end - RECENT, end + 1, STEP)],
                {"cluster": "fra", "job": "kube-state-metrics", "instance": "ksm"})
    for step in range(len(page.times)):
        page.set(step, "up", 1)
        tell_process(page, step, 0.9, 9e9)
    return page


def tell_references(start: int, end: int) -> Page:
    """The bundled tables, as a relay shows them."""
    times = [float(at) for at in range(end - NOW, end + 1, STEP)]
    page = Page(times, {"cluster": "fra", "job": "gramwatt-grid", "instance": "relay"})
    tell_relay(page, end)
    zones = {row["zone"]: row for row in rows("zones.csv")}
    for step in range(len(times)):
        for zone in zones.values():
            page.set(step, "gramwatt_reference_zone_grams_per_kwh", float(zone["grams_per_kwh"]),
                     grid_zone=zone["zone"], name=zone["name"], scope=zone["scope"], year=zone["year"],
                     source=zone["source"])
        for region in rows("cloud_regions.csv"):
            zone, own = zones[region["zone"]], region["grams_per_kwh"] != ""
            known = region if own else zone
            named = {"provider": region["provider"], "cloud_region": region["region"], "name": region["name"],
                     "grid_zone": region["zone"], "scope": known["scope"], "source": known["source"]}
            page.set(step, "gramwatt_reference_cloud_grams_per_kwh", float(known["grams_per_kwh"]), **named)
            if region["pue"]:
                page.set(step, "gramwatt_reference_cloud_pue_ratio", float(region["pue"]), **named)
        for accelerator in rows("accelerators.csv"):
            named = {"accelerator": accelerator["name"], "source": "chien"}
            page.set(step, "gramwatt_reference_accelerator_rated_power_watts", float(accelerator["rated_watts"]),
                     **named)
            for bound, kilograms in [("", 318), ("low_", 150), ("high_", 568)]:
                page.set(step, f"gramwatt_reference_accelerator_embodied_{bound}co2e_grams", kilograms * 1e3, **named)
    return page


def tell_cluster(nodes: list[Node], start: int, end: int) -> Page:
    """What kube-state-metrics says of pods that have failed, and Prometheus of alerts, from a page without target."""
    times = [float(at) for at in range(start, end + 1, STEP)]
    page = Page(times, {})
    for step, at in enumerate(times):
        for node in nodes:
            for job in node.jobs:
                # Somebody deletes it a day later.
                if job.kind == "pod" and job.start <= at - start < job.end + DAY:
                    ended = at - start >= job.end
                    for phase in ("Running", "Failed", "Succeeded"):
                        now = "Running" if not ended else "Failed" if job.failed else "Succeeded"
                        if phase == now:
                            page.set(step, "kube_pod_status_phase", 1, cluster=node.cluster, job="kube-state-metrics",
                                     instance="kube-state-metrics", namespace=job.namespace, pod=job.name, phase=phase)
        if at >= end - 6 * HOUR:
            page.set(step, "ALERTS", 1, cluster="fra", job="gramwatt", alertname="GramwattGpuIdleAllocated",
                     alertstate="firing", severity="info", workload_type="pod", workload_namespace="notebooks",
                     workload="jupyter-ana")
        page.set(step, "lab:gramwatt_co2e_budget_grams:month", 14e6)
        page.set(step, "team:gramwatt_co2e_budget_grams:month", 6e6, label_team="language")
        page.set(step, "team:gramwatt_co2e_budget_grams:month", 5e6, label_team="vision")
    return page


def main(end: int, folder: pathlib.Path) -> None:
    assert end % HOUR == 0, "END is a full hour"
    start = end - DAYS * DAY
    truth = Truth()
    nodes = model.lab(DAYS * DAY)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "history.om", "w", encoding="utf-8") as out:
        for node in nodes:
            tell_node(node, start, end, truth).write(out)
        tell_references(start, end).write(out)
        tell_stranger(end).write(out)
        tell_cluster(nodes, start, end).write(out)
        out.write("# EOF\n")
    (folder / "truth.json").write_text(json.dumps(truth.sums, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
