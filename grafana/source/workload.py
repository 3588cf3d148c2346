"""A workload, or those of a team: what they cost, and how much of it was waste. Made of recorded hours."""

from __future__ import annotations

from model import (BLUE, CLUSTER, GREY, INTENSITY, KG, KINDS, KWH, ORANGE, PURPLE, RATIO, SKY, UIDS, VERMILION, WATT, Column,
                   Dashboard, Link, Query, Row, Variable, lines, now, ranked_whole, stat, steps, table)
from recorded import HOURS

IDS = "cluster, job, instance, workload_type, workload_namespace, workload, workload_container"
WHO = 'cluster=~"$cluster",workload_type=~"$type",workload_namespace=~"$namespace",workload=~"$workload"'
WHOSE = 'label_team=~"$team",user=~"$user"'
ABOUT = "owner, user, label_team, label_project, label_phase"
# Of two descriptions of one name in the chosen time, one.
INFO = f"topk by ({IDS}) (1, last_over_time(workload:gramwatt_workload_info:last1h{{{WHO},{WHOSE}}}[$__range]))"

# All types of workloads that are somebody's.
MANAGERS = "pod|slurm|container|systemd|process"

NOTHING = "Nothing recorded of such workloads in the chosen time"


def hours(what: str, span: str = "$__range") -> str:
    """What the chosen workloads used, with their descriptions."""
    return (f"sum_over_time(workload:gramwatt_workload_{what}:increase1h{{{WHO}}}[{span}]) * on ({IDS}) "
            f"group_left ({ABOUT}) {INFO}")


ENERGY, GRAMS, RESERVED = hours("energy_joules"), hours("co2e_grams"), hours("reserved_idle_joules")

# Pods that have ended as Failed, as kube-state-metrics tells it, under our names.
FAILED = ('max by (cluster, workload_namespace, workload) (label_replace(label_replace('
          'max_over_time(kube_pod_status_phase{cluster=~"$cluster",phase="Failed"}[$__range]) == 1, '
          '"workload_namespace", "$1", "namespace", "(.*)"), "workload", "$1", "pod", "(.*)"))')
FAILED_AT_END = FAILED.replace("[$__range]", "[$__range] @ end()")
HOURLY = (f"sum_over_time(workload:gramwatt_workload_energy_joules:increase1h{{{WHO}}}[$__interval]) and on ({IDS}) "
          f"last_over_time(workload:gramwatt_workload_info:last1h{{{WHO},{WHOSE}}}[$__range] @ end())")
NO_FAILURE = "No pod has failed, or there is no kube-state-metrics"


def failed(what: str) -> str:
    return f"({hours(what)}) and on (cluster, workload_namespace, workload) {FAILED}"


def variable(name: str, label: str, about: str, of: str, where: str = "", every: str = ".*") -> Variable:
    series = f'workload:gramwatt_workload_info:last1h{{cluster=~"$cluster"{where}}}'
    return Variable(name, label, about, f"label_values({series}, {of})", every=every)


VARIABLES = [
    CLUSTER,
    variable("team", "Team", "The label `team` of the pods, where `workloads.labels` has it.", "label_team"),
    variable("user", "User", "Who submitted it, where that is told.", "user"),
    variable("type", "Type", "Who manages it. What is nobody's (idle, system, unattributed) is on the lab's and the node's "
             "dashboard.", "workload_type", f',workload_type=~"{MANAGERS}"', MANAGERS),
    variable("namespace", "Namespace", "Of pods.", "workload_namespace", ',workload_type=~"$type"'),
    variable("workload", "Workload", "The pod's name, the job's number, the unit.", "workload",
             ',workload_type=~"$type",workload_namespace=~"$namespace",label_team=~"$team",user=~"$user"', ".+"),
]

NUMBERS = [
    stat("Energy", f"Of the chosen workloads (IT equipment, without PUE). {HOURS}", KWH, NOTHING,
         now(f"sum({ENERGY}) / 3.6e6"), decimals=1),
    stat("CO₂e", f"Operational, by location, PUE included, each joule at the intensity of its moment. {HOURS}", KG, NOTHING,
         now(f"sum({GRAMS}) / 1e3"), color=VERMILION, decimals=1),
    stat("Grams for each kWh", "CO2e over energy, PUE in it: lower where the work ran in cleaner hours and places.", INTENSITY,
         NOTHING, now(f"sum({GRAMS}) / (sum({ENERGY}) / 3.6e6)"), color=PURPLE, decimals=0),
    stat("Held and idle", "The part of the energy that went into accelerators that were held and not used.", RATIO,
         "Nothing was held and idle", now(f"sum({RESERVED}) / sum({ENERGY})"), decimals=1,
         limits=steps((None, BLUE), (0.3, ORANGE), (0.8, VERMILION))),
    stat("Power now", "Of the chosen workloads that run at this moment.", WATT, "None of them runs now",
         now(f"sum(gramwatt_workload_power_watts{{{WHO}}} and on ({IDS}) gramwatt_workload_info{{{WHO},{WHOSE}}})"),
         color=ORANGE),
    stat("Cost of failures", "CO2e of pods that ended as Failed: what was tried and thrown away. Needs kube-state-metrics.",
         KG, NO_FAILURE, now(f"sum({failed('co2e_grams')}) / 1e3"), color=VERMILION, decimals=1),
]

RUNS = f"gramwatt_workload_power_watts{{{WHO}}} and on ({IDS}) gramwatt_workload_info{{{WHO},{WHOSE}}}"
NAME = "cluster, workload_type, workload_namespace, workload"
COURSE = [
    lines("Power by workload", "The seven that used most energy in the chosen time, and the others together.", WATT,
          "None of them ran in the chosen time",
          ranked_whole(NAME, f"sum by ({NAME}) ({RUNS})", f"sum by ({NAME}) (sum_over_time(workload:"
                       f"gramwatt_workload_energy_joules:increase1h{{{WHO}}}[$__range] @ end()) and on ({IDS}) last_over_time("
                       f"workload:gramwatt_workload_info:last1h{{{WHO},{WHOSE}}}[$__range] @ end()))"), stacked=True,
          by_rank=True,
          width=16, height=9),
    lines("Power by kind of device", "Where their watts go.", WATT, "None of them ran in the chosen time",
          [Query(f"sum by (kind) ({RUNS})", "{{kind}}")], stacked=True, colors=KINDS, width=8, height=9),
]

KEY = "cluster, workload_type, workload_namespace, workload, owner, user, label_team, label_project, label_phase"
WHAT = table("What each cost", f"{HOURS} One that shares an accelerator has its share by utilization; a `gpu_split` of "
             "`equal` or `mig` is an estimate.", NOTHING, [
                 Column("Workload", label="workload", link=Link("This one", "/d/gramwatt-workload?${datasource:queryparam}"
                                                              "&${__url_time_range}&var-workload=${__value.raw}")),
                 Column("Namespace", label="workload_namespace", width=110),
                 Column("Type", label="workload_type", width=80), Column("Owner", label="owner"),
                 Column("User", label="user", width=80), Column("Team", label="label_team", width=100),
                 Column("Project", label="label_project", width=150), Column("Phase", label="label_phase", width=110),
                 Column("Energy", f"sum by ({KEY}) ({ENERGY}) / 3.6e6", unit=KWH, decimals=2, width=110),
                 Column("CO₂e", f"sum by ({KEY}) ({GRAMS}) / 1e3", unit=KG, decimals=2, bar=VERMILION, width=190),
                 Column("Held and idle", f"sum by ({KEY}) ({RESERVED}) / sum by ({KEY}) ({ENERGY})", unit=RATIO, decimals=0,
                        width=130, limits=steps((None, GREY), (0.3, ORANGE), (0.8, VERMILION)))], sort="CO₂e", height=12, alone="Energy")

PODS = "workload_namespace, workload, owner, label_team"
RETRIES = [
    table("Pods that failed", "Energy and CO2e of pods that ended as Failed. A job that is tried again pays for each attempt; "
          "checkpoints make that less. Needs kube-state-metrics, and is as long as it remembers the pod.", NO_FAILURE, [
              Column("Pod", label="workload"), Column("Namespace", label="workload_namespace"),
              Column("Owner", label="owner"), Column("Team", label="label_team"),
              Column("Energy", f"sum by ({PODS}) ({failed('energy_joules')}) / 3.6e6", unit=KWH, decimals=2),
              Column("CO₂e", f"sum by ({PODS}) ({failed('co2e_grams')}) / 1e3", unit=KG, decimals=2, bar=VERMILION)],
          width=16, height=8, sort="CO₂e", alone="Energy"),
    lines("Failed share of the energy", "Energy of pods that have ended as Failed within the chosen time over that of all "
          "chosen workloads, hour by hour.", RATIO, NO_FAILURE, [Query(
              f"sum({HOURLY} and on (cluster, workload_namespace, workload) {FAILED_AT_END}) / sum({HOURLY})", "failed")],
          width=8, height=8, colors={"failed": VERMILION}, interval="1h"),
]

DASHBOARD = Dashboard(UIDS["workload"], "Gramwatt / Workload",
                      "A workload, or those of a team: what they cost, and how much of it was waste.", VARIABLES,
                      [Row("", NUMBERS), Row("When", COURSE), Row("What", [WHAT]), Row("Retries", RETRIES)])
