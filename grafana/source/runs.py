"""Runs: what each measured command cost, what those that run now will have cost, and what was lost with those that failed.

A run's counters begin at 0 and do not begin again, so what was seen of it last is the whole of it. The rules keep that by
the hour; of the hour that is not yet recorded the page's own series are asked, so that a run is here as soon as it has begun.
"""

from __future__ import annotations

from model import (BLUE, CLUSTER, COUNT, GREY, INTENSITY, KG, KWH, ORANGE, PURPLE, RATIO, SECONDS, TIME, UIDS, VERMILION, WATT,
                   YELLOW, Column, Dashboard, Link, Query, Row, Variable, annotation, lines, now, ranked_whole, ranking, stat,
                   steps, table, words)
from recorded import HOURS, JOULES, NO_RULES, by, total

KEY = "cluster, run, run_id"
TARGET = "cluster, job, instance, run, run_id"
WHICH = 'cluster=~"$cluster",run=~"$run"'
WHOSE = f'{WHICH},user=~"$run_user"'

NONE = "No run was seen: see the last row for how one gets here"
NONE_RUNS = "No run is running now"
SEEN = "Runs that ran in the chosen time, whole: also what they used before it. To the hour, and to the minute in the last hour."


def largest(series: str) -> str:
    """One value for each run, whichever target it is scraped from."""
    return f"max by ({KEY}) ({series})"


def kept(what: str) -> str:
    """What is recorded last of each run of the chosen time."""
    return largest(f"last_over_time(run:gramwatt_run_{what}:last1h{{{WHICH}}}[$__range])")


def whole(what: str) -> str:
    """The whole of each run of the chosen time."""
    return f"({largest(f'sum without (kind) (last_over_time(gramwatt_run_{what}_total{{{WHICH}}}[1h]))')} or {kept(what)})"


def state(which: str) -> str:
    """Those that were seen in such a state within the last hour."""
    return f"(last_over_time(gramwatt_run_state{{{WHICH},{which}}}[1h]) == 1)"


def told(which: str) -> str:
    """Descriptions that are recorded."""
    return f"topk by ({KEY}) (1, last_over_time(run:gramwatt_run_info:last1h{{{WHOSE},{which}}}[$__range]))"


# How it ended counts more than that it ran; and who was running and is not heard of any more is lost.
ENDED, GOING = 'state!="running"', 'state="running"'
FRESH = f"last_over_time(gramwatt_run_info{{{WHOSE}}}[1h])"
INFO = (f"(topk by ({KEY}) (1, ({state(ENDED)} or on ({KEY}) {state(GOING)}) * on ({TARGET}) group_left (user) {FRESH}) or on "
        f'({KEY}) {told(ENDED)} or on ({KEY}) label_replace({told(GOING)}, "state", "lost", "", ""))')


def ended(how: str) -> str:
    """Those that ended so."""
    which = f'state="{how}"'
    return f"({largest(f'{state(which)} and on ({KEY}) {FRESH}')} or {largest(told(which))})"


def chosen(expr: str) -> str:
    return f"({expr} and on ({KEY}) {INFO})"


def described(expr: str, labels: str = "user, instance, state") -> str:
    return f"{expr} * on ({KEY}) group_left ({labels}) {INFO}"


ENERGY, GRAMS = whole("energy_joules"), whole("co2e_grams")
NAME_ENERGY, NAME_GRAMS = (f"run_name:gramwatt_run_{what}:increase1h{{{WHOSE}}}" for what in ("energy_joules", "co2e_grams"))

# Those that run at this moment.
RUNNING = (f'topk by ({KEY}) (1, (gramwatt_run_state{{{WHICH},state="running"}} == 1) * on ({TARGET}) group_left (user) '
           f"gramwatt_run_info{{{WHOSE}}})")


def running(series: str) -> str:
    return f"({largest(series)} and on ({KEY}) {RUNNING})"


def gauge(what: str) -> str:
    return f"gramwatt_run_{what}{{{WHICH}}}"


SO_FAR = running(f"sum without (kind) ({gauge('co2e_grams_total')})")
PREDICTED = running(gauge("predicted_co2e_grams"))
START = gauge("start_timestamp_seconds")
WATTS = running(f"sum without (kind) ({gauge('power_watts')})")

BUDGET = (f"({largest(f'last_over_time(gramwatt_run_budget_co2e_grams{{{WHICH}}}[1h])')} or {kept('budget_co2e_grams')})")
# A prediction that is less than what is used already is none.
FORESEEN = f"(({PREDICTED} > on ({KEY}) {GRAMS}) or on ({KEY}) {GRAMS})"
OF_BUDGET = f"({FORESEEN} / on ({KEY}) {BUDGET})"
OVER = f"({chosen(OF_BUDGET)} > 1)"
BUDGETED = steps((None, BLUE), (0.9, ORANGE), (1, VERMILION))

NO_GRAMS = "No run was seen, or no node has a grid zone"
NO_BUDGET = "No run was given a budget: gramwatt run --budget 2kg"


def share_failed(what: str) -> str:
    """0 where runs were seen and none failed."""
    return f"(sum({chosen(what)} and on ({KEY}) {ended('failed')}) or 0 * sum({chosen(what)})) / sum({chosen(what)})"


SUCCEEDED = largest(told('state="succeeded"'))
NO_PREDICTION = "No run that told its progress has succeeded, or nothing is recorded yet"
FIRST = ("What was predicted first, after the first units of work, against what it was in the end. Of runs that succeeded, from the "
         "full hour after their end on.")


def error(what: str) -> str:
    """Of runs that succeeded, by how much the first prediction was too high."""
    return f"({kept(f'first_predicted_{what}')} / on ({KEY}) {kept(what)} - 1 and on ({KEY}) {SUCCEEDED})"


FAILED = steps((None, BLUE), (0.1, ORANGE), (0.3, VERMILION))
AT_ONCE = [
    stat("Running now", "Runs that run at this moment.", COUNT, NONE_RUNS, now(f"count({RUNNING})"), color=GREY),
    stat("Power now", "Of the runs that run at this moment.", WATT, NONE_RUNS, now(f"sum({WATTS})"), color=ORANGE),
    stat("Still to come", "What those that run now and tell their progress are predicted to emit until they end.", KG,
         "No run tells its progress, so none is predicted", now(f"sum(clamp_min({PREDICTED} - {SO_FAR}, 0)) / 1e3"), color=PURPLE,
         decimals=1),
    stat("Runs", "That ran in the chosen time, also those that began before it.", COUNT, NONE, now(f"count({chosen(ENERGY)})"), color=GREY),
    stat("Over budget", "Of the runs with a budget that ran in the chosen time, those that used more than it, or run now and are "
         "predicted to. They are listed below.", COUNT, NO_BUDGET, now(f"count({OVER}) or 0 * count({chosen(BUDGET)})"),
         limits=steps((None, BLUE), (1, VERMILION))),
    stat("Prediction off", f"The first prediction of the CO2e, too high or too low: half of the runs were off by less. {FIRST}", RATIO, NO_PREDICTION,
         now(f"quantile(0.5, abs({error('co2e_grams')}))"), decimals=1, limits=steps((None, BLUE), (0.1, ORANGE), (0.25, VERMILION))),
]
IN_TIME = [
    stat("Energy", f"In the chosen time (IT equipment, without PUE), also of runs that began before it. {HOURS}", KWH,
         NO_RULES, now(f"{total(NAME_ENERGY)} / 3.6e6"), decimals=1),
    stat("CO₂e", "In the chosen time: operational, by location, PUE included, each joule at the intensity of its moment. "
         f"Also of runs that began before it. {HOURS}", KG, NO_RULES, now(f"{total(NAME_GRAMS)} / 1e3"), color=VERMILION,
         decimals=1),
    stat("Grams for each kWh", "CO2e over energy of the runs that have both, PUE in it: lower where they ran in cleaner hours and "
         "places.", INTENSITY, NO_GRAMS,
         now(f"sum({chosen(GRAMS)}) / (sum({ENERGY} and on ({KEY}) {chosen(GRAMS)}) / 3.6e6)"), decimals=0, color=PURPLE),
    stat("Of all energy", "Energy of the chosen runs over the energy of all nodes, in the chosen time: how much of the lab this "
         "dashboard speaks of. What runs without `gramwatt run` is on the dashboards of workloads.", RATIO, NO_RULES,
         now(f"{total(NAME_ENERGY)} / {total(JOULES)}"), color=GREY, decimals=1),
    stat("Energy failed", f"Energy of runs that failed over that of all. {SEEN} Those lost are not in it.", RATIO, NONE,
         now(share_failed(ENERGY)), decimals=1, limits=FAILED),
    stat("CO₂e failed", f"CO2e of runs that failed over that of all. {SEEN} Those lost are not in it.", RATIO, NO_GRAMS,
         now(share_failed(GRAMS)), decimals=1, limits=FAILED),
]

NAME_LINK = Link("This name alone", "/d/gramwatt-runs?${datasource:queryparam}&${cluster:queryparam}&${__url_time_range}&var-run=${__value.raw}")
NODE_LINK = Link("This node", "/d/gramwatt-node?${datasource:queryparam}&${__url_time_range}&var-instance=${__value.raw}")
RUN = Column("Run", label="run", least=130, link=NAME_LINK)
ABOUT = [RUN, Column("Id", label="run_id", width=100),
         Column("User", label="user", width=90)]

NOW = table(
    "Running now", "Progress is what the command tells. From it come the end and the whole CO2e that are predicted, with the grid's "
    "forecast for the hours to come; a run that tells none has neither. Of the budget: what is predicted, or used already.",
    NONE_RUNS, [
        *ABOUT, Column("Node", label="instance", width=110, link=NODE_LINK),
        Column("Progress", running(gauge("progress_ratio")), unit=RATIO, decimals=0, bar=BLUE, most=1, width=170),
        Column("Runs for", f"(time() - {largest(START)}) * on ({KEY}) group_left (user, instance) "
               f"{RUNNING}", unit=SECONDS, decimals=1, width=110),
        Column("Ends", f"{running(gauge('predicted_end_timestamp_seconds'))} * 1e3", unit=TIME, width=160),
        Column("Power", WATTS, unit=WATT, width=100),
        Column("CO₂e so far", f"{SO_FAR} / 1e3", unit=KG, decimals=2, width=130),
        Column("CO₂e predicted", f"{PREDICTED} / 1e3", unit=KG, decimals=2, width=140),
        Column("Of the budget", f"{running(OF_BUDGET)}", unit=RATIO, decimals=0, width=120, limits=BUDGETED)],
    sort="CO₂e predicted", height=12, alone="Runs for")

ENDS = f"last_over_time(gramwatt_run_end_timestamp_seconds{{{WHICH}}}[1h]) - last_over_time({START}[1h])"
DURATION = f"({largest(ENDS)} or {largest(f'time() - {START}')} or {kept('duration_seconds')})"
# By energy where there are no grams.
TOP = f"topk(100, {chosen(f'({GRAMS} or on ({KEY}) 1e-9 * {ENERGY})')})"


def top(expr: str) -> str:
    return f"({expr} and on ({KEY}) {TOP})"


LEADERS = table(
    "Runs by CO₂e", f"The hundred with most. {SEEN} Outcome `lost`: it was running, and nobody told its end.", NONE, [
        *ABOUT, Column("Node", label="instance", width=110, link=NODE_LINK), Column("Outcome", label="state", width=110),
        Column("CO₂e", f"{top(GRAMS)} / 1e3", unit=KG, decimals=2, bar=VERMILION, width=220),
        Column("Energy", f"{top(described(ENERGY))} / 3.6e6", unit=KWH, decimals=2, width=120),
        Column("Duration", top(DURATION), unit=SECONDS, decimals=1, width=110),
        Column("Grams for each kWh", f"{top(GRAMS)} / on ({KEY}) ({ENERGY} / 3.6e6)", unit=INTENSITY, decimals=0, width=150)],
    sort="CO₂e", height=14, alone="Energy")

AT_END = f"sum by (cluster, run) (sum_over_time({NAME_GRAMS}[$__range] @ end()))"
COUNT_BY_NAME = f"count by (run) ({chosen(GRAMS)})"
NAMES = [
    lines("CO₂e by name", f"Runs of one name together: the seven with most in the chosen time, and the others. Each bar is one interval. {HOURS}",
          KG, NO_RULES, ranked_whole("cluster, run", by("cluster, run", NAME_GRAMS, "$__interval"), AT_END, " / 1e3"),
          stacked=True, bars=True, interval="1h", by_rank=True, height=10),
    table("Runs of one name", f"CO2e in the chosen time: {HOURS} The others: {SEEN[0].lower()}{SEEN[1:]}", NONE, [
        RUN,
        Column("CO₂e", f"{by('run', NAME_GRAMS)} / 1e3", unit=KG, decimals=1, bar=VERMILION, width=170),
        Column("Runs", COUNT_BY_NAME, decimals=0, width=70),
        Column("Failed", f"(count by (run) ({chosen(GRAMS)} and on ({KEY}) {ended('failed')}) or 0 * {COUNT_BY_NAME}) / "
               f"{COUNT_BY_NAME}", unit=RATIO, decimals=0, width=80),
        Column("Median", f"quantile by (run) (0.5, {chosen(GRAMS)}) / 1e3", unit=KG, decimals=2, width=130),
        Column("Largest", f"max by (run) ({chosen(GRAMS)}) / 1e3", unit=KG, decimals=2, width=120)],
          width=12, height=10, sort="CO₂e", alone="CO₂e"),
]

OUTCOMES = {"succeeded": BLUE, "failed": VERMILION, "lost": ORANGE, "running": GREY}


def failed_by_name(what: str) -> str:
    return f"sum by (run, user) ({described(what)} and on ({KEY}) {ended('failed')})"


FAILURES = [
    ranking("CO₂e by outcome", f"{SEEN} Failed: the command's exit code was not 0. Lost: it was running, and nobody told its end.", KG,
            NO_GRAMS, now(f"sort_desc(sum by (state) ({described(GRAMS)}) / 1e3)", "{{state}}"), colors=OUTCOMES, decimals=1),
    table("What failed", f"Runs that failed, by name and user. {SEEN} A run that is tried again pays for each attempt; checkpoints make "
          "that less.", "No run has failed", [
              RUN, Column("User", label="user", width=110),
              Column("Failed", f"count by (run, user) ({described(ENERGY)} and on ({KEY}) {ended('failed')})", decimals=0, width=90),
              Column("Energy", f"{failed_by_name(ENERGY)} / 3.6e6", unit=KWH, decimals=2, width=130),
              Column("CO₂e", f"{failed_by_name(GRAMS)} / 1e3", unit=KG, decimals=2, bar=VERMILION, width=220),
              Column("Of this name and user", f"{failed_by_name(GRAMS)} / sum by (run, user) ({described(GRAMS)})", unit=RATIO,
                     decimals=0, width=170)],
          width=16, height=8, sort="CO₂e", alone="Energy"),
]


BOUNDS: list[tuple[float | None, float | None, str]] = [
    (None, -0.25, "below −25 %"), (-0.25, -0.1, "−25 to −10 %"), (-0.1, -0.05, "−10 to −5 %"),
    (-0.05, 0.05, "within 5 %"), (0.05, 0.1, "+5 to +10 %"), (0.1, 0.25, "+10 to +25 %"),
    (0.25, None, "above +25 %")]
# The further off, the warmer.
OFF = dict(zip((name for _, _, name in BOUNDS), (VERMILION, ORANGE, YELLOW, BLUE, YELLOW, ORANGE, VERMILION)))


def spread(what: str) -> list[Query]:
    """How many runs were off by how much."""
    made = []
    for least, most, name in BOUNDS:
        part = error(what) + (f" >= {least}" if least is not None else "") + (f" < {most}" if most is not None else "")
        made.append(now(f"count({part}) or 0 * count({error(what)})", name))
    return made


PREDICTED_FIRST = f"{kept('first_predicted_co2e_grams')} and on ({KEY}) {SUCCEEDED}"
PREDICTIONS = [
    ranking("First prediction of energy", f"Number of runs by how far it was off: + where more was predicted than was used. {FIRST}", COUNT, NO_PREDICTION,
            spread("energy_joules"), colors=OFF, width=6, height=10, decimals=0),
    ranking("First prediction of CO₂e", f"Number of runs by how far it was off: + where more was predicted than was emitted. {FIRST} It has the error of the energy and that of "
            "the grid's forecast.", COUNT, NO_PREDICTION, spread("co2e_grams"), colors=OFF, width=6, height=10, decimals=0),
    table("Predicted and actual", FIRST, NO_PREDICTION, [
        RUN, Column("Id", label="run_id", width=100),
        Column("Predicted", f"({PREDICTED_FIRST}) / 1e3", unit=KG, decimals=2, width=130),
        Column("CO₂e", f"({kept('co2e_grams')} and on ({KEY}) ({PREDICTED_FIRST})) / 1e3", unit=KG, decimals=2, bar=VERMILION,
               width=150),
        Column("CO₂e off", error("co2e_grams"), unit=RATIO, decimals=0, width=90),
        Column("Energy off", error("energy_joules"), unit=RATIO, decimals=0, width=100)],
          width=12, height=10, sort="CO₂e", alone="CO₂e"),
]

BUDGETS = [
    table("Runs over budget", f"Runs with a budget that used more than it, or that run now and are predicted to. {SEEN}",
          "No run was over its budget, or none had one", [
              *ABOUT, Column("Outcome", label="state", width=110),
              Column("Of the budget", described(OVER), unit=RATIO, decimals=0, width=130, limits=BUDGETED),
              Column("Budget", f"({BUDGET} and on ({KEY}) {OVER}) / 1e3", unit=KG, decimals=2, width=130),
              Column("CO₂e", f"({GRAMS} and on ({KEY}) {OVER}) / 1e3", unit=KG, decimals=2, bar=VERMILION, width=220),
              Column("Predicted", f"({PREDICTED} and on ({KEY}) {OVER}) / 1e3", unit=KG, decimals=2, width=130)],
          sort="Of the budget", height=8, alone="Of the budget"),
]

HOW = words("""A run is one command that `gramwatt run` measures, on a node where the exporter runs:

```
gramwatt run --name base-7b-pretrain --progress 'epoch (\\d+)/(\\d+)' --budget 2kg -- python train.py
```

It needs no privilege: it tells the exporter over its local socket, which shows the run as `gramwatt_run_*`. **Progress** comes from the
command's output by a pattern, and from it the predictions; **budget** is in grams or kilograms of CO₂e. A program can tell the socket
itself, in a few lines of Python or shell: see *Runs* in the README. Runs of one experiment share a name; each has an id of its own. Keep
names few: settings belong into your notebook, not into a name. A run lies inside a workload (a pod, a job, a unit): **never add the two**.""",
            height=6)

VARIABLES = [
    CLUSTER,
    Variable("run_user", "User", "Who started it.", 'label_values(gramwatt_run_info{cluster=~"$cluster"}, user)'),
    Variable("run", "Run", "The name of the run.", 'label_values(gramwatt_run_info{cluster=~"$cluster",user=~"$run_user"}, run)',
             every=".+"),
]

DASHBOARD = Dashboard(
    UIDS["runs"], "Gramwatt / Runs", "What each measured command cost, what those that run now will have cost, and what was lost with "
    "those that failed.", VARIABLES, [
        Row("", AT_ONCE), Row("", IN_TIME), Row("At this moment", [NOW]), Row("Leaderboard", [LEADERS, *NAMES]),
        Row("Failures", FAILURES), Row("Predicted and actual", PREDICTIONS), Row("Budgets", BUDGETS),
        Row("How a run gets here", [HOW])],
    since="now-7d", annotations=[
        annotation("Alerts", 'ALERTS{alertname="GramwattRunOverBudget",alertstate="firing"}', "{{alertname}}", "{{run}}", YELLOW)])
