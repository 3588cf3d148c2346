"""A node and its devices: what draws power there, by which sensor, for whom."""

from __future__ import annotations

from model import (BLUE, CLUSTER, GREEN, GREY, INTENSITY, JOB, KG, KINDS, KWH, ORANGE, PURPLE, RATIO, SKY, UIDS, VERMILION, WATT,
                   YELLOW, Column, Dashboard, Query, Row, Variable, annotation, lines, now, ranked,
                   ranked_whole, stat, states, steps,
                   table)

ON = "cluster, job, instance"
HERE = 'cluster=~"$cluster",job=~"$job",instance=~"$instance"'
# A relay tells of grids and PUE, and is no node.
NODES = f"and on ({ON}) gramwatt_node_info{{{HERE}}}"
RAW = "Read from the counters themselves, over the chosen time."

INSTANCE = Variable("instance", "Node", "The target, which is the node's name where the chart set it.",
                    'label_values(gramwatt_node_info{cluster=~"$cluster",job=~"$job"}, instance)', all=False)
SEEN = "No device tells watts: see `gramwatt doctor` on the node"


def increase(metric: str, labels: str = "") -> str:
    summed = f"sum by ({labels})" if labels else "sum"
    return f"{summed} (increase({metric}{{{HERE}}}[$__range]))"


def by_device(metric: str, where: str = "") -> list[Query]:
    series = f"{metric}{{{HERE}{where}}}"
    return ranked("device", f"sum by (device) ({series})", f"sum by (device) (avg_over_time({series}[$__range] @ end()))")


POWER = [
    stat("Power now", "The node's best meter, else the sum of its devices.", WATT, SEEN,
         now(f"sum(gramwatt_node_power_watts{{{HERE}}})"), color=ORANGE),
    stat("Energy", f"Of the IT equipment, without PUE. {RAW}", KWH, "No counter in the chosen time",
         now(f"{increase('gramwatt_node_energy_joules_total')} / 3.6e6"), decimals=1),
    stat("CO₂e", f"Operational, by location, PUE included. {RAW}", KG, "No grid zone is set: see `gramwatt doctor`",
         now(f"{increase('gramwatt_node_co2e_grams_total')} / 1e3"), color=VERMILION, decimals=2),
    stat("Embodied CO₂e", f"The share of the hardware's making that falls on the chosen time. {RAW} Published figures "
         "of one model differ by up to 3.5 times.", KG, "No figure for this hardware",
         now(f"{increase('gramwatt_node_embodied_co2e_grams_total')} / 1e3"), color=GREY, decimals=2),
    stat("Grid intensity now", "Average intensity in force, the mean of the chosen nodes. Its provenance is on the grid's "
         "dashboard.", INTENSITY, "No grid zone is set: see `gramwatt doctor`",
         now(f'avg(gramwatt_grid_carbon_intensity_grams_per_kwh{{{HERE},signal="average"}} {NODES})'), color=PURPLE, decimals=0),
    stat("PUE", "Facility power over IT power in force, the mean of the chosen nodes; 1 where nobody set it.", "none",
         "No node answers", now(f"avg(gramwatt_pue_ratio{{{HERE}}} {NODES})"), color=GREY, decimals=2),
]

COURSE = [
    lines("Power by kind", "Devices do not overlap: the stack is the node. `other` is what the meter saw beyond them.", WATT,
          SEEN, [Query(f"sum by (kind) (gramwatt_device_power_watts{{{HERE}}})", "{{kind}}")], stacked=True, colors=KINDS),
    lines("Meters and devices", "What each meter of the node reads, what is booked to the node, and what its devices draw "
          "without `other`. Meter and devices are read at different moments: jitter of some percent is normal.", WATT, SEEN,
          [Query(f"sum(gramwatt_node_power_watts{{{HERE}}})", "booked"),
           Query(f'sum(gramwatt_device_power_watts{{{HERE},kind!="other"}})', "devices"),
           Query(f'sum by (meter) (gramwatt_meter_power_watts{{{HERE},scope="node"}})', "meter {{meter}}")],
          colors={"booked": BLUE, "devices": ORANGE}, overrides=[{
              "matcher": {"id": "byRegexp", "options": "meter .*"},
              "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": GREEN}},
                             {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}}]}]),
    lines("Power of the accelerators", "The eight that drew most in the chosen time.", WATT,
          "No accelerator here", by_device("gramwatt_device_power_watts", ',kind="gpu"'), by_rank=True, width=8),
    lines("Utilization of the accelerators", "As the driver tells it: the share of time in which anything ran, which is not "
          "how much of the chip it filled.", RATIO, "No accelerator here, or it does not tell",
          by_device("gramwatt_device_utilization_ratio", ',kind="gpu"'), by_rank=True, width=8, most=1),
    lines("Power over power limit", "Power of each accelerator over the limit in force. Near 1 the limit slows it.", RATIO,
          "No device here tells a limit",
          ranked("device", f"max by (device) (gramwatt_device_power_watts{{{HERE}}} / on ({ON}, device) group_left () "
                 f"max by ({ON}, device) (gramwatt_device_power_limit_watts{{{HERE}}}))",
                 f"sum by (device) (avg_over_time(gramwatt_device_power_watts{{{HERE},kind=\"gpu\"}}[$__range] @ end()))"), by_rank=True, width=8),
]

KEY = "cluster, instance, device, kind"
DEVICES = table(
    "Devices", f"What each is, who reads it and how: counter, integrated (power x time) or modelled (no sensor). {RAW}", SEEN, [
        Column("Node", label="instance", width=130), Column("Device", label="device"), Column("Kind", label="kind", width=70),
        Column("Model", label="model"), Column("Sensor", label="sensor", width=90),
        Column("Method", label="method", width=100),
        Column("Power now", f"sum by ({KEY}, model, sensor, method) (gramwatt_device_power_watts{{{HERE}}} * on ({ON}, device) "
               f"group_left (model, sensor, method) group by ({ON}, device, model, sensor, method) "
               f"(gramwatt_device_info{{{HERE}}}))", unit=WATT, decimals=0, width=110),
        Column("Busy", f"sum by ({KEY}) (gramwatt_device_utilization_ratio{{{HERE}}})", unit=RATIO, decimals=0, width=80),
        Column("Limit", f"sum by ({KEY}) (gramwatt_device_power_limit_watts{{{HERE}}})", unit=WATT, decimals=0, width=90),
        Column("Energy", f"{increase('gramwatt_device_energy_joules_total', KEY)} / 3.6e6", unit=KWH, decimals=2, bar=BLUE,
               width=190),
        Column("CO₂e", f"{increase('gramwatt_device_co2e_grams_total', KEY)} / 1e3", unit=KG, decimals=2, width=110)],
    sort="Energy", height=11, alone="Energy")

WHO = "workload_type, workload_namespace, workload"
WORKLOADS = [
    lines("Power by workload", "Who uses the node: with idle (at rest and held by nobody), system and unattributed the stack "
          "is that of the devices. The seven largest, and the others together.", WATT,
          "No workload is looked for: is `workloads.source` off?",
          ranked_whole(WHO, f"sum by ({WHO}) (gramwatt_workload_power_watts{{{HERE}}})",
                       f"sum by ({WHO}) (avg_over_time(gramwatt_workload_power_watts{{{HERE}}}[$__range] @ end()))"),
          stacked=True, by_rank=True),
    table("Workloads", f"By name, on the chosen nodes. {RAW}", "No workload is looked for: is `workloads.source` off?", [
        Column("Workload", label="workload"), Column("Namespace", label="workload_namespace", width=120),
        Column("Type", label="workload_type", width=110),
        Column("Energy", f"{increase('gramwatt_workload_energy_joules_total', WHO)} / 3.6e6", unit=KWH, decimals=2,
               bar=BLUE, width=170),
        Column("CO₂e", f"{increase('gramwatt_workload_co2e_grams_total', WHO)} / 1e3", unit=KG, decimals=2, width=110)],
          width=12, height=8, sort="Energy"),
]

HEALTH = [
    states("Sensors", "Whether each sensor answers. While one is down the watts of its devices are absent and their joules "
           "stand still.", "No sensor here: see `gramwatt doctor`",
           Query(f"gramwatt_sensor_up{{{HERE}}}", "{{instance}} {{sensor}}"),
           {0: ("down", VERMILION), 1: ("up", BLUE)}, width=12),
    lines("Parts of devices", "Power of domains inside devices, such as the cores of a package: parts, never to be added to "
          "their devices.", WATT, "No sensor here tells parts",
          [Query(f"sum by (domain) (rate(gramwatt_domain_energy_joules_total{{{HERE}}}[$__rate_interval]))", "{{domain}}")],
          width=12, height=7, colors={"core": BLUE, "uncore": ORANGE, "memory": SKY}),
    table("What the totals rest on", "The meter in force (`devices`: their sum), who reads it, where the node stands, who set "
          "the PUE, and the version that runs.", "No node answers", [
              Column("Node", label="instance"), Column("Cluster", label="cluster"), Column("Meter", label="meter"),
              Column("Read by", label="meter_sensor"), Column("Grid zone", label="grid_zone"),
              Column("Cloud", label="provider"), Column("Region", label="cloud_region"), Column("PUE by", label="pue"),
              Column("Demo", label="demo"), Column("Version", label="version"),
              Column("PUE", f"gramwatt_pue_ratio{{{HERE}}} * on ({ON}) group_left (meter, meter_sensor, grid_zone, provider, "
                     f"cloud_region, pue, demo) group by ({ON}, meter, meter_sensor, grid_zone, provider, cloud_region, pue, demo) "
                     f"(gramwatt_node_info{{{HERE}}}) * on ({ON}) group_left (version) group by ({ON}, version) "
                     f"(gramwatt_build_info{{{HERE}}})", decimals=2)], height=6),
]

DASHBOARD = Dashboard(
    UIDS["node"], "Gramwatt / Node", "A node and its devices: what draws power there, by which sensor, for whom.",
    [CLUSTER, JOB, INSTANCE],
    [Row("", POWER), Row("Power", COURSE), Row("Devices", [DEVICES]), Row("Workloads", WORKLOADS),
     Row("Sensors and parts", HEALTH)],
    annotations=[annotation("Alerts", f'ALERTS{{alertname=~"Gramwatt.*",alertstate="firing",{HERE}}}', "{{alertname}}",
                            "{{instance}} {{device}}", YELLOW),
                 annotation("Restarts", f"changes(process_start_time_seconds{{{HERE}}}[$__rate_interval]) > 0 {NODES}",
                            "Gramwatt restarted", "{{instance}}", SKY)])
