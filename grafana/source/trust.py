"""How far to trust the numbers: what was measured and what was not, whether the books close, and what it costs to know."""

from __future__ import annotations

from model import (BLUE, BYTES, CLUSTER, COUNT, GREY, JOB, JOULE, KWH, ORANGE, RATIO, SECONDS, SKY, UIDS,
                   VERMILION, Column, Dashboard, Link, Query, Row, lines, now, ranked, ranking, stat, states, steps, table)
from recorded import ESTIMATED, ESTIMATED_SHARE, GRAMS, JOULES, MODELLED, MODELLED_SHARE, NO_RULES, by, clusters, hourly, total

ON = "cluster, job, instance"
HERE = 'cluster=~"$cluster",job=~"$job"'
NO_NODE = "No node answers"
WELL = steps((None, BLUE), (0.05, ORANGE), (0.5, VERMILION))

NOBODYS = total(hourly("team", "workload_energy_joules", ',workload_type="unattributed"'))
UNATTRIBUTED = f"{NOBODYS} / {total(hourly('team', 'workload_energy_joules'))}"


def share(part: str, whole: str) -> str:
    """Of each cluster, interval by interval."""
    return clusters(f"{by('cluster', part, '$__interval')} / {by('cluster', whole, '$__interval')}")


SCRAPED = f"count by ({ON}) (last_over_time(gramwatt_build_info{{{HERE}}}[1d]))"
NUMBERS = [
    stat("Modelled energy", "The part of the energy that no sensor measured, in the chosen time. A model is off by 10 to 50 %.",
         RATIO, NO_RULES, now(MODELLED_SHARE), decimals=1, limits=WELL),
    stat("Estimated CO₂e", "The part of the CO2e that was booked with a factor that was not live.", RATIO, NO_RULES,
         now(ESTIMATED_SHARE), decimals=1, limits=WELL),
    stat("Unattributed energy", "The part of the energy of which nobody knows who used it: downtimes, and devices whose users "
         "could not be listed.", RATIO, "No workload is looked for", now(UNATTRIBUTED), decimals=1, limits=WELL),
    stat("Closure error", "The largest difference at this moment between a node and its devices, or its devices and its "
         "workloads. The books close: more than rounding is a fault of Gramwatt.", JOULE, NO_NODE,
         now(f'max(label_replace(abs(gramwatt_ledger_residual_joules{{{HERE}}}), "of", "node", "", "") or '
             f'label_replace(abs(gramwatt_workload_residual_joules{{{HERE}}}), "of", "workloads", "", ""))'),
         width=3, limits=steps((None, BLUE), (1, VERMILION))),
    stat("Hours recorded", "Of the last 30 days, the share of hours whose totals are recorded: what is missing is in no total of a "
         "dashboard and in no budget. Less than 100 % also where the rules are younger than that, or Prometheus keeps less (15 "
         "days unless told otherwise).", RATIO, NO_RULES,
         now("clamp_max(count_over_time(lab:gramwatt_node_energy_joules:increase1h[30d]) / 719, 1)"), decimals=1, width=3,
         limits=steps((None, VERMILION), (0.95, ORANGE), (0.999, BLUE))),
    stat("Sensors down", "Sensors that do not answer at this moment.", COUNT, NO_NODE,
         now(f"count(gramwatt_sensor_up{{{HERE}}} == 0) or 0 * count(gramwatt_sensor_up{{{HERE}}})"), decimals=0, width=3,
         limits=steps((None, BLUE), (1, VERMILION))),
    stat("Targets down", "Gramwatts that were scraped in the last day and do not answer now.", COUNT,
         "No Gramwatt was scraped in the last day",
         now(f"count({SCRAPED} unless on ({ON}) (up{{{HERE}}} == 1)) or 0 * count({SCRAPED})"), decimals=0, width=3,
         limits=steps((None, BLUE), (1, VERMILION))),
]

METHODS = {"counter": BLUE, "integrated": SKY, "modelled": ORANGE}
HOW = [
    ranking("Energy by method", "Counter: the hardware counts joules. Integrated: power x time, some percent off where it "
            "changes quickly. Modelled: no sensor.", KWH, NO_RULES,
            now("sort_desc(sum by (method) (sum_over_time(device:gramwatt_device_energy_joules:increase1h"
                f"{{{HERE}}}[$__range]) * on ({ON}, device) group_left (method) topk by ({ON}, device) (1, last_over_time("
                f"gramwatt_device_info{{{HERE}}}[$__range]))) / 3.6e6)",
                "{{method}}"), colors=METHODS, height=7),
    lines("Modelled share of the energy", "By cluster, hour by hour; the eight largest.", RATIO, NO_RULES,
          ranked("cluster", share(MODELLED, JOULES), clusters(by("cluster", JOULES, at=" @ end()"))), by_rank=True, interval="1h",
          width=8, height=7),
    lines("Estimated share of the CO₂e", "By cluster, hour by hour; the eight largest.", RATIO, NO_RULES,
          ranked("cluster", share(ESTIMATED, GRAMS), clusters(by("cluster", GRAMS, at=" @ end()"))), by_rank=True, interval="1h",
          width=8, height=7),
]

KEY = "cluster, instance, sensor"
EVER_DOWN = f"(min_over_time(gramwatt_sensor_up{{{HERE}}}[$__range] @ end()) == 0)"
SENSORS = [
    states("Sensors that were down", "Those that did not answer at some time of the chosen one, and when.",
           "Every sensor answered all the time", Query(f"gramwatt_sensor_up{{{HERE}}} and on ({ON}, sensor) {EVER_DOWN}",
                                                       "{{instance}} {{sensor}}"),
           {0: ("down", VERMILION), 1: ("up", BLUE)}, width=12, height=8),
    table("Sensors", "Each source: how long a read takes, how old its last sample is; and in the chosen time its errors, "
          "counter wraps that were corrected (they are normal), and gaps whose energy is not known.", NO_NODE, [
              Column("Node", label="instance", link=Link("The node", "/d/gramwatt-node?${datasource:queryparam}"
                                                         "&${__url_time_range}&var-instance=${__value.raw}")),
              Column("Sensor", label="sensor", width=90),
              Column("Read", f"max by ({KEY}) (gramwatt_sensor_read_seconds{{{HERE}}})", unit=SECONDS, width=90),
              Column("Age", f"max by ({KEY}) (time() - gramwatt_sensor_last_sample_timestamp_seconds{{{HERE}}})",
                     unit=SECONDS, decimals=0, width=80),
              Column("Errors", f"sum by ({KEY}) (increase(gramwatt_sensor_errors_total{{{HERE}}}[$__range]))", unit=COUNT,
                     decimals=0, width=100),
              Column("Wraps", f"sum by ({KEY}) (increase(gramwatt_sensor_wraps_total{{{HERE}}}[$__range]))", unit=COUNT,
                     decimals=0, width=80),
              Column("Gaps", f"sum by ({KEY}) (increase(gramwatt_sensor_gaps_total{{{HERE}}}[$__range]))", unit=COUNT,
                     decimals=0, width=80)], width=12, height=8, sort="Errors"),
]

RUNNING = [
    table("Alerts that fire", "Of Gramwatt's rules, at this moment. The runbook has a section for each.", "No alert fires", [
        Column("Alert", label="alertname"), Column("Severity", label="severity", width=100),
        Column("Cluster", label="cluster", width=100), Column("Node", label="instance", width=140),
        Column("Workload", label="workload"), Column("Sensor", label="sensor", width=100),
        Column("Count", "count by (alertname, severity, cluster, instance, workload, sensor) "
               '(ALERTS{alertname=~"Gramwatt.*",alertstate="firing",cluster=~"$cluster"})', unit=COUNT, decimals=0,
               width=80)], width=12, height=7),
    lines("Energy that no workload's series shows", "Of all nodes: too young to be divided (pending), or of workloads that "
          "have left the page (ended). It is in the devices' books.", JOULE, "No workload is looked for",
          [Query(f"sum by (reason) (gramwatt_workload_unlisted_joules{{{HERE}}})", "{{reason}}")], stacked=True,
          colors={"pending": SKY, "ended": GREY}, height=7),
]


def nodes(series: str) -> str:
    """Of nodes alone: other jobs have such series too."""
    return f"({series} and on ({ON}) gramwatt_node_info{{{HERE}}})"


CPU = nodes(f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])")
MEMORY = nodes(f"process_resident_memory_bytes{{{HERE}}}")
SCRAPE, SAMPLES = nodes(f"scrape_duration_seconds{{{HERE}}}"), nodes(f"scrape_samples_scraped{{{HERE}}}")
COST = [
    lines("Processor of the exporter", "Share of one core, the mean and the largest of all nodes.", RATIO, NO_NODE,
          [Query(f"avg({CPU})", "mean"), Query(f"max({CPU})", "largest")],
          colors={"mean": BLUE, "largest": ORANGE}, width=6, height=7),
    lines("Memory of the exporter", "Resident, the mean and the largest of all nodes.", BYTES, NO_NODE,
          [Query(f"avg({MEMORY})", "mean"), Query(f"max({MEMORY})", "largest")], colors={"mean": BLUE, "largest": ORANGE},
          width=6, height=7),
    lines("Time of a scrape", "As Prometheus sees it, network and all.", SECONDS, NO_NODE,
          [Query(f"avg({SCRAPE})", "mean"), Query(f"max({SCRAPE})", "largest")],
          colors={"mean": BLUE, "largest": ORANGE}, width=6, height=7),
    lines("Series of a target", "Samples of each scrape.", COUNT, NO_NODE,
          [Query(f"avg({SAMPLES})", "mean"), Query(f"max({SAMPLES})", "largest")],
          colors={"mean": BLUE, "largest": ORANGE}, width=6, height=7),
]

DASHBOARD = Dashboard(
    UIDS["trust"], "Gramwatt / Trust", "How far to trust the numbers: what was measured, whether the books close, and what it "
    "costs to know.", [CLUSTER, JOB],
    [Row("", NUMBERS), Row("Measured, integrated, modelled", HOW), Row("Sensors", SENSORS), Row("Alerts and books", RUNNING),
     Row("What it costs to know", COST)])
