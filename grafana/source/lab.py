"""The lab: what it emits, who, and whether that is within the budget. Made of recorded totals alone."""

from __future__ import annotations

import csv
from pathlib import Path

from model import (BLUE, CLUSTER, COUNT, GREEN, GREY, INTENSITY, KG, KG_HOUR, KINDS, KWH, ORANGE, PURPLE, RATIO, SKY, UIDS,
                   VERMILION, WATT, YELLOW, Column, Dashboard, Panel, Query, Row, annotation, lines, now, ranked,
                   ranked_whole, ranking, stat, steps, table)
from recorded import (BOOKED, ESTIMATED_SHARE, GRAMS, HERE, HOURS, JOULES, MODELLED_SHARE, NO_RULES, by, clusters, hourly,
                      total)

MARKET, EMBODIED = hourly("cluster", "node_market_co2e_grams"), hourly("cluster", "node_embodied_co2e_grams")
TEAM_GRAMS, TEAM_JOULES = hourly("team", "workload_co2e_grams"), hourly("team", "workload_energy_joules")
TEAM_IDLE = hourly("team", "workload_reserved_idle_joules")
PAYER = "label_team, label_project, label_phase, user, workload_namespace, workload_type"
NOBODY = "idle|system|unattributed|other"

LOCATION = "Operational CO2e by location: joules x PUE x grid intensity of their moment."


# To rank them by.
AT_END = clusters(by("cluster", GRAMS, at=" @ end()"))


def named(label: str, series: str) -> str:
    """By a label of workloads; what is nobody's under what it is, and `(none)` where the label is not set."""
    whose = by(f"{label}, workload_type", series)
    whose = f'label_replace({whose}, "{label}", "($1)", "workload_type", "({NOBODY})")'
    return f'sum by ({label}) (label_replace({whose}, "{label}", "(none)", "{label}", ""))'


def period(title: str, since: str, words: str) -> list[Panel]:
    first = f"The first hour of {words} is not recorded yet"
    return [
        stat(f"CO₂e, {title}", f"{LOCATION} {HOURS} From the start of {words}; where an absolute time is chosen, of that time instead. Needs a retention as long.", KG,
             first, now(f"{total(GRAMS)} / 1e3"), time_from=since, color=VERMILION),
        stat(f"Energy, {title}", f"Energy of all nodes (IT equipment, without PUE). {HOURS} From the start of {words}; where an absolute time is "
             "chosen, of that time instead. Needs a retention as long.", KWH, first,
             now(f"{total(JOULES)} / 3.6e6"), time_from=since, decimals=1),
    ]


def periods() -> list[Panel]:
    day, month, year = (period(*words) for words in [("day", "now/d", "the day"), ("month", "now/M", "the month"),
                                                     ("year", "now/y", "the year")])
    return [day[0], month[0], year[0], day[1], month[1], year[1]]


NOW = [
    stat("Power now", "Power of all nodes: the best meter of each, else the sum of its devices.", WATT,
         "No node tells watts", now(f"sum(cluster:gramwatt_node_power_watts:sum{{{HERE}}})"), color=ORANGE),
    stat("Emissions now", "Power x PUE x grid intensity at this moment, for an hour.", KG_HOUR,
         "No node has a grid zone", now(f"sum(cluster:gramwatt_device_co2e_grams_per_second:sum{{{HERE}}}) * 3.6"),
         color=VERMILION, decimals=2),
    stat("Nodes", "Nodes that tell watts at this moment.", COUNT, "No node tells watts",
         now(f"sum(cluster:gramwatt_node_power_watts:count{{{HERE}}})"), color=GREY),
    stat("7 days against the 7 before", f"CO2e of the last 7 days over that of the 7 days before, less one. {HOURS}",
         RATIO, "Not yet 14 days recorded", now(f"{total(GRAMS, '7d')} / (sum(sum_over_time({GRAMS}[7d] offset 7d)) > 0) - 1 and "
             "count_over_time(lab:gramwatt_node_co2e_grams:increase1h[7d] offset 7d) >= 160"),
         decimals=1, limits=steps((None, BLUE), (0.05, ORANGE), (0.25, VERMILION))),
    stat("Budget left", "Of the lab's budget for 30 days (budgets.example.yaml), what the last 30 days have left. All "
         "clusters together, whatever is chosen above. Needs a retention of 31 days: Prometheus keeps 15 unless told otherwise.", RATIO, "No budget is loaded: see budgets.example.yaml",
         now("1 - sum_over_time(lab:gramwatt_node_co2e_grams:increase1h[30d]) / lab:gramwatt_co2e_budget_grams:month"),
         decimals=0, limits=steps((None, VERMILION), (0, ORANGE), (0.2, BLUE))),
    stat("Grams for each kWh", "CO2e over energy in the chosen time, PUE in it: what a kWh at the socket of a machine "
         "has meant, on nodes that know their grid zone. Falls when work moves to cleaner hours and places.", INTENSITY, NO_RULES,
         now(f"{total(GRAMS)} / ({total(BOOKED)} / 3.6e6)"), decimals=0, color=PURPLE),
]

WHERE = [
    lines("CO₂e by cluster", f"{LOCATION} Each bar is one interval. {HOURS}", KG, NO_RULES,
          ranked_whole("cluster", clusters(by("cluster", GRAMS, "$__interval")), AT_END, " / 1e3"), stacked=True, bars=True,
          interval="1h", by_rank=True),
    lines("Energy by kind of device", f"Energy of devices; `other` is what a meter of the node saw beyond them. {HOURS}",
          KWH, NO_RULES,
          [Query(f"{by('kind', hourly('cluster_kind', 'device_energy_joules'), '$__interval')} / 3.6e6", "{{kind}}")], stacked=True, bars=True, interval="1h",
          colors=KINDS),
    ranking("CO₂e by team", "By the label `team` of workloads, in the chosen time. In brackets what is nobody's: (idle) is "
            "power at rest that nobody holds, (system) the machine itself, (none) workloads without the label. "
            f"{HOURS}", KG, "No workload has been seen: is `workloads.source` off?",
            now(f"sort_desc({named('label_team', TEAM_GRAMS)} / 1e3)", "{{label_team}}"), color=VERMILION),
    ranking("Training or inference", "By the label `phase` of workloads, in the chosen time; in brackets what is "
            f"nobody's. {HOURS}", KG, "No workload has been seen: is `workloads.source` off?",
            now(f"sort_desc({named('label_phase', TEAM_GRAMS)} / 1e3)", "{{label_phase}}"), color=PURPLE),
    ranking("Budgets of teams", "CO2e of a team's workloads in the last 30 days over its budget. Above 100 % it is spent.",
            RATIO, "No budget of a team is loaded: see budgets.example.yaml",
            now("sort_desc(sum by (label_team) (sum_over_time(team:gramwatt_workload_co2e_grams:increase1h[30d])) / on "
                "(label_team) max by (label_team) (team:gramwatt_co2e_budget_grams:month))", "{{label_team}}"),
            most=1.2, limits=steps((None, BLUE), (0.8, ORANGE), (1, VERMILION)), decimals=0),
    table("Who used it", f"Workloads by who pays, in the chosen time. Idle is what went into accelerators that they held "
          f"and did not use. {HOURS}", "No workload has been seen: is `workloads.source` off?", [
              Column("Team", label="label_team"),
              Column("Project", label="label_project"), Column("Phase", label="label_phase"),
              Column("User", label="user"), Column("Namespace", label="workload_namespace"),
              Column("Type", label="workload_type"),
              Column("CO₂e", f"{by(PAYER, TEAM_GRAMS)} / 1e3", unit=KG, decimals=1, bar=VERMILION, width=180),
              Column("Energy", f"{by(PAYER, TEAM_JOULES)} / 3.6e6", unit=KWH, decimals=1),
              Column("Of it idle", f"{by(PAYER, TEAM_IDLE)} / {by(PAYER, TEAM_JOULES)}", unit=RATIO, decimals=0,
                     limits=steps((None, GREY), (0.3, ORANGE), (0.8, VERMILION)))], sort="CO₂e", height=11, alone="Energy"),
]

WASTE = [
    lines("Idle share of the energy", "Power at rest that nobody held, over all energy, hour by hour and by cluster. A "
          "machine that runs and waits is in it; so are the CPUs' rest beside a busy GPU.", RATIO, NO_RULES,
          ranked("cluster", clusters(f"cluster:gramwatt_workload_idle_energy:ratio1h{{{HERE}}}"), AT_END), interval="1h", width=8,
          by_rank=True),
    lines("Held and idle", "Energy of accelerators that a workload held and did not use, over all energy, by cluster.",
          RATIO, "Nothing was held and idle",
          ranked("cluster", clusters(f"cluster:gramwatt_workload_reserved_idle_energy:ratio1h{{{HERE}}}"), AT_END), interval="1h",
          width=8, by_rank=True),
    lines("Budget burn", "How many times faster than its budget allows the lab emits: over 6 hours and over 3 days. At 1 "
          "the budget of 30 days lasts 30 days. All clusters together. The alerts are at 1.5 and 6.", COUNT,
          "No budget is loaded: see budgets.example.yaml",
          [Query("(sum_over_time(lab:gramwatt_node_co2e_grams:increase1h[6h]) / 6) / (lab:gramwatt_co2e_budget_grams:month"
                 " / 720)", "6 hours"),
           Query("(sum_over_time(lab:gramwatt_node_co2e_grams:increase1h[3d]) / 72) / (lab:gramwatt_co2e_budget_grams:month"
                 " / 720)", "3 days")], interval="1h", width=8, colors={"6 hours": SKY, "3 days": BLUE},
          limits=steps((None, "transparent"), (1, GREY), (1.5, ORANGE))),
]

KINDS_OF_CO2E = [
    ranking("By location, by contract, by making", "Of the chosen time: operational CO2e by location (the grid where the "
            "machines stand), by market (the contract's factor, GHG Protocol scope 2; of nodes where `grid.market` is set), and embodied: the hardware's making, "
            "spread over its life. Location and market are two views of the same kWh: never add them. Embodied figures of "
            "one model differ by up to 3.5 times between publishers.", KG, NO_RULES,
            now(f'label_replace({total(GRAMS)}, "what", "by location", "", "") / 1e3 or label_replace({total(MARKET)}, '
                f'"what", "by market", "", "") / 1e3 or label_replace({total(EMBODIED)}, "what", "embodied", "", "") / 1e3',
                "{{what}}"), colors={"by location": VERMILION, "by market": BLUE, "embodied": GREY}, width=9, height=7),
    stat("Embodied share", "Embodied over embodied and operational by location. It grows as the grid gets cleaner: then "
         "the longest use of hardware matters most.", RATIO, NO_RULES,
         now(f"{total(EMBODIED)} / ({total(EMBODIED)} + {total(GRAMS)})"), color=GREY, decimals=1, width=5, height=7),
    stat("Modelled energy", "The part of the energy that no sensor measured, in the chosen time.", RATIO, NO_RULES,
         now(MODELLED_SHARE),
         color=GREY, decimals=1, width=5, height=7),
    stat("Estimated CO₂e", "The part of the CO2e that was booked with a factor that was not live: cached, forecast, or a "
         "yearly average.", RATIO, NO_RULES,
         now(ESTIMATED_SHARE),
         color=GREY, decimals=1, width=5, height=7),
]

# What is shown of the bundled equivalents, and how.
EQUIVALENTS = {
    "car-km-us": ("suffix: km", ORANGE, 0), "flight-ny-sf": (COUNT, SKY, 1), "phone-charge": ("short", PURPLE, 1),
    "tree-decade": (COUNT, GREEN, 1),
}


def equivalents() -> list[Panel]:
    """The chosen time's grams in things that people know."""
    data = Path(__file__).parents[2] / "src/data"
    with (data / "equivalents.csv").open(encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    with (data / "sources.csv").open(encoding="utf-8") as file:
        sources = {row["id"]: row["title"].split(":")[0] for row in csv.DictReader(file)}
    return [stat(row["name"].capitalize(),
                 f"{row['meaning'].capitalize()}: {float(row['kilograms']):g} kg ({sources[row['source']]}). "
                 "Operational CO2e by location of the chosen time.", unit, NO_RULES,
                 now(f"{total(GRAMS)} / {float(row['kilograms']) * 1000:.6g}"), width=6, color=color, decimals=places)
            for row, (unit, color, places) in ((rows[name], how) for name, how in EQUIVALENTS.items())]


DASHBOARD = Dashboard(
    UIDS["lab"], "Gramwatt / Lab", "What the lab emits, who, when, and whether that is within the budget.", [CLUSTER], [
        Row("", periods()),
        Row("", NOW),
        Row("Where it goes", WHERE),
        Row("Waste and budget", WASTE),
        Row("Which CO₂e", KINDS_OF_CO2E),
        Row("The chosen time's CO₂e is as much as", equivalents()),
    ], since="now-7d", annotations=[
        annotation("Alerts", 'ALERTS{alertname=~"GramwattLabBudget.*|GramwattTeamBudget.*",alertstate="firing"}',
                   "{{alertname}}", "{{label_team}}", YELLOW)])
