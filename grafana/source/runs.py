"""Runs: what each measured command cost, what those that run now will have cost, and what was lost with those that failed.

A run's counters begin at 0 and do not begin again, so what was seen of it last is the whole of it. The rules keep that by
the hour. Many runs are asked for by name, since each series costs; only the table of the largest asks for each run, and the
page's own series for those of the last hour.
"""

from __future__ import annotations

from model import (BLUE, CLUSTER, COUNT, GREY, KG, KWH, ORANGE, PURPLE, RATIO, SECONDS, TIME, UIDS, VERMILION, WATT,
                   YELLOW, Column, Dashboard, Link, Panel, Row, Variable, annotation, histogram, lines, now, ranked_whole,
                   ranking, stat, steps, table, words)
from recorded import HOURS, JOULES, NO_RULES, by, total

KEY = "cluster, run, run_id"
TARGET = "cluster, job, instance, run, run_id"
WHO = "instance, user, state"
WHICH = 'cluster=~"$cluster",run=~"$run"'
WHOSE = f'{WHICH},user=~"$run_user"'
ENDED, GOING = 'state!="running"', 'state="running"'

NO_RUN = "No run was seen: the last row says how one gets here"
NO_RUNNING = "No run is running now"
NO_END = "No run has ended in the chosen time, or nothing is recorded yet"
NO_GRAMS = "No run was seen, or no node has a grid zone"
NO_BUDGET = "No run was given a budget: gramwatt run --budget 2kg"
NO_PREDICTION = "No run that told its progress has succeeded, or nothing is recorded yet"

WHOLE = "Runs that ended in the chosen time, whole: also what they used before it. From the full hour after their end on."


def largest(series: str, labels: str = KEY) -> str:
    """One value for each run, whichever target it is scraped from."""
    return f"max by ({labels}) ({series})"


def kept(what: str, where: str = WHICH, labels: str = KEY) -> str:
    """What is recorded last of each run of the chosen time."""
    return largest(f"last_over_time(run:gramwatt_run_{what}{{{where}}}[$__range])", labels)


def page(what: str, where: str = WHICH) -> str:
    """What was seen last within two hours: one more than recorded hours may lack."""
    return f"last_over_time(gramwatt_run_{what}{{{where}}}[2h])"


def whole(what: str) -> str:
    """Each run of the chosen time, with who, where and how it ended. What is recorded last of it is the most of it."""
    known = (f"topk by ({KEY}) (1, (({page('state', f'{WHICH},{ENDED}')} == 1) or on ({KEY}) ({page('state', f'{WHICH},{GOING}')} == 1)) "
             f"* on ({TARGET}) group_left (user) {page('info', WHOSE)})")
    told = largest(f"sum without (kind) ({page(f'{what}_total')})")
    return (f"({told} * on ({KEY}) group_left ({WHO}) {known} or on ({KEY}) "
            f"topk by ({KEY}) (1, {kept(f'{what}:last1h', WHOSE, f'{KEY}, {WHO}')}))")


# Those that run at this moment.
RUNNING = (f"topk by ({KEY}) (1, (gramwatt_run_state{{{WHICH},{GOING}}} == 1) * on ({TARGET}) group_left (user) "
           f"gramwatt_run_info{{{WHOSE}}})")


def running(series: str) -> str:
    return f"({largest(series)} and on ({KEY}) {RUNNING})"


def gauge(what: str) -> str:
    return f"gramwatt_run_{what}{{{WHICH}}}"


SO_FAR = running(f"sum without (kind) ({gauge('co2e_grams_total')})")
PREDICTED = running(gauge("predicted_co2e_grams"))
WATTS = running(f"sum without (kind) ({gauge('power_watts')})")
START = gauge("start_timestamp_seconds")
# A prediction that is less than what is used already is none.
OF_BUDGET = f"((({PREDICTED} > on ({KEY}) {SO_FAR}) or on ({KEY}) {SO_FAR}) / on ({KEY}) {largest(gauge('budget_co2e_grams'))})"
BUDGETED = steps((None, BLUE), (0.9, ORANGE), (1, VERMILION))
WITH_BUDGET = (f"({OF_BUDGET} * on ({KEY}) group_left ({WHO}) {RUNNING} or on ({KEY}) "
               f"{kept('budget_used:ratio1h', f'{WHOSE},{ENDED}', f'{KEY}, {WHO}')})")
OVER = f"({WITH_BUDGET} > 1)"


def named(what: str, where: str = "") -> str:
    """What is recorded of the runs of a name each hour."""
    return f"run_name:gramwatt_run_{what}{{{WHOSE}{where}}}"


ENERGY, GRAMS = named("energy_joules:increase1h"), named("co2e_grams:increase1h")
RUNS, WHOLE_ENERGY, WHOLE_GRAMS = "ended:count1h", "ended_energy_joules:sum1h", "ended_co2e_grams:sum1h"
FAILED = ',state="failed"'


def share_failed(what: str) -> str:
    """0 where some ended and none failed."""
    return f"({total(named(what, FAILED))} or 0 * {total(named(what))}) / {total(named(what))}"


# Of runs that succeeded.
ACTUAL = {what: kept(f"{what}:last1h", f'{WHOSE},state="succeeded"') for what in ("energy_joules", "co2e_grams")}
FIRST = ("What was predicted first, after the first units of work, against what it was in the end. Of runs of the chosen time that "
         "succeeded, from the full hour after their end on.")


def error(what: str) -> str:
    """By how much the first prediction was too high."""
    return f"({kept(f'first_predicted_{what}:last1h')} / on ({KEY}) {ACTUAL[what]} - 1)"


MUCH = steps((None, BLUE), (0.1, ORANGE), (0.3, VERMILION))
AT_ONCE = [
    stat("Running now", "Runs that run at this moment.", COUNT, NO_RUNNING, now(f"count({RUNNING})"), color=GREY),
    stat("Power now", "Of the runs that run at this moment.", WATT, NO_RUNNING, now(f"sum({WATTS})"), color=ORANGE),
    stat("Still to come", "What those that run now and tell their progress are predicted to emit until they end.", KG,
         "No run tells its progress, so none is predicted", now(f"sum(clamp_min({PREDICTED} - {SO_FAR}, 0)) / 1e3"),
         color=PURPLE, decimals=1),
    stat("Runs ended", "In the chosen time, however. From the full hour after their end on.", COUNT, NO_END, now(total(named(RUNS))),
         color=GREY, decimals=0),
    stat("Over budget", "Of the runs with a budget, those that used more than it in the chosen time, or run now and are predicted to. "
         "They are listed below.", COUNT, NO_BUDGET, now(f"count({OVER}) or 0 * count({WITH_BUDGET})"),
         limits=steps((None, BLUE), (1, VERMILION))),
    stat("Prediction off", "The first prediction of the CO2e, too high or too low: half of the runs were off by less. " + FIRST,
         RATIO, NO_PREDICTION, now(f"quantile(0.5, abs({error('co2e_grams')}))"), decimals=1, limits=MUCH),
]
IN_TIME = [
    stat("Energy", f"Of runs in the chosen time (IT equipment, without PUE), also of those that began before it. {HOURS}", KWH,
         NO_RULES, now(f"{total(ENERGY)} / 3.6e6"), decimals=1),
    stat("CO₂e", "Of runs in the chosen time, also of those that began before it: operational, by location, PUE included, each joule at "
         f"the intensity of its moment. {HOURS}", KG, NO_RULES, now(f"{total(GRAMS)} / 1e3"), color=VERMILION, decimals=1),
    stat("Of all energy", "Energy of the chosen runs over the energy of all nodes, in the chosen time: how much of the lab this "
         "dashboard speaks of. What runs without `gramwatt run` is on the dashboard of workloads.", RATIO, NO_RULES,
         now(f"{total(ENERGY)} / {total(JOULES)}"), color=GREY, decimals=1),
    stat("Runs failed", f"Runs that failed, over all that ended. Those lost did not fail. {WHOLE}", RATIO, NO_END,
         now(share_failed(RUNS)), decimals=1, limits=MUCH),
    stat("Energy failed", f"Energy of runs that failed, over that of all that ended. Those lost did not fail. {WHOLE}", RATIO,
         NO_END, now(share_failed(WHOLE_ENERGY)), decimals=1, limits=MUCH),
    stat("CO₂e failed", f"CO2e of runs that failed, over that of all that ended. Those lost did not fail. {WHOLE}", RATIO, NO_END,
         now(share_failed(WHOLE_GRAMS)), decimals=1, limits=MUCH),
]

RUN = Column("Run", label="run", least=130, link=Link(
    "This name alone", "/d/gramwatt-runs?${datasource:queryparam}&${cluster:queryparam}&${__url_time_range}&var-run=${__value.raw}"))
ID = Column("Id", label="run_id", width=100)
USER = Column("User", label="user", width=90)
NODE = Column("Node", label="instance", width=110, link=Link(
    "This node", "/d/gramwatt-node?${datasource:queryparam}&${__url_time_range}&var-instance=${__value.raw}"))
OUTCOME = Column("Outcome", label="state", width=110)

USED = running(f"sum without (kind) ({gauge('energy_joules_total')})")
SHOWN = f"topk(200, {USED})"


def live(expr: str) -> str:
    return f"{expr} and on ({KEY}) {SHOWN}"


NOW = table(
    "What runs now", "The two hundred that used most energy so far. Progress is what the command tells. From it come the end and "
    "the whole CO2e that are predicted, with the forecast of the grid for the hours to come; a run that tells none has neither. Of "
    "the budget: what is predicted, or emitted already.",
    NO_RUNNING, [
        RUN, ID, USER, NODE,
        Column("Progress", live(running(gauge("progress_ratio"))), unit=RATIO, decimals=0, bar=BLUE, most=1, width=170),
        Column("Runs for", live(f"(time() - {largest(START)}) * on ({KEY}) group_left (user, instance) {RUNNING}"), unit=SECONDS,
               decimals=1, width=110),
        Column("Ends", live(f"{running(gauge('predicted_end_timestamp_seconds'))} * 1e3"), unit=TIME, width=160),
        Column("Power", live(WATTS), unit=WATT, width=100),
        Column("CO₂e so far", live(f"{SO_FAR} / 1e3"), unit=KG, decimals=2, width=130),
        Column("CO₂e predicted", live(f"{PREDICTED} / 1e3"), unit=KG, decimals=2, width=140),
        Column("Of the budget", live(OF_BUDGET), unit=RATIO, decimals=0, width=120, limits=BUDGETED)],
    sort="CO₂e predicted", height=12, alone="Runs for")

TOP = f"topk(100, {whole('co2e_grams')})"
ITS_END = largest(f"{page('end_timestamp_seconds')} - {page('start_timestamp_seconds')}")
DURATION = f"({ITS_END} or {largest(f'time() - {START}')} or {kept('duration_seconds:last1h')})"
LEADERS = table(
    "Runs by CO₂e", "The hundred with most, of all that ran in the chosen time, whole: also what they used before it. To the hour; "
    f"those of the last two hours as they are now. `running` is also who was, when it was heard of last.", NO_GRAMS, [
        RUN, ID, USER, NODE, OUTCOME,
        Column("CO₂e", f"{TOP} / 1e3", unit=KG, decimals=2, bar=VERMILION, width=220),
        Column("Energy", f"({whole('energy_joules')} and on ({KEY}) {TOP}) / 3.6e6", unit=KWH, decimals=2, width=130),
        Column("Duration", f"{DURATION} and on ({KEY}) {TOP}", unit=SECONDS, decimals=1, width=130)],
    sort="CO₂e", height=14, alone="CO₂e")

NAMES = [
    lines("CO₂e by name", "Runs of one name together: the seven with most in the chosen time, and the others. Each bar is one interval. "
          f"{HOURS}", KG, NO_RULES,
          ranked_whole("cluster, run", by("cluster, run", GRAMS, "$__interval"), by("cluster, run", GRAMS, at=" @ end()"), " / 1e3"),
          stacked=True, bars=True, interval="1h", by_rank=True, height=10),
    table("Runs of one name", f"CO2e in the chosen time, also of runs that began before it. {HOURS} The other columns: {WHOLE[0].lower()}"
          f"{WHOLE[1:]}", NO_RULES, [
              RUN, Column("CO₂e", f"{by('run', GRAMS)} / 1e3", unit=KG, decimals=1, bar=VERMILION, width=190),
              Column("Ended", by("run", named(RUNS)), decimals=0, width=80),
              Column("Failed", f"({by('run', named(RUNS, FAILED))} or 0 * {by('run', named(RUNS))}) / {by('run', named(RUNS))}",
                     unit=RATIO, decimals=0, width=80),
              Column("Mean of one", f"{by('run', named(WHOLE_GRAMS))} / {by('run', named(RUNS))} / 1e3", unit=KG, decimals=2, width=140)],
          width=12, height=10, sort="CO₂e", alone="CO₂e"),
]

OUTCOMES = {"succeeded": BLUE, "failed": VERMILION, "lost": ORANGE, "still running": GREY}
FAILURES = [
    ranking("CO₂e by outcome", f"{WHOLE} And, so far, of those that run now. Failed: the command's exit code was not 0. "
            "Lost: the exporter noticed that it was gone, and nobody told its end.", KG,
            NO_GRAMS, now(f"sort_desc({by('state', named(WHOLE_GRAMS))} / 1e3 or "
                          f'label_replace(sum({SO_FAR}) / 1e3, "state", "still running", "", ""))', "{{state}}"), colors=OUTCOMES,
            decimals=1),
    table("What failed", f"Runs that failed, by name and user. {WHOLE} A run that is tried again pays for each attempt; checkpoints "
          "make that less.", "No run has failed in the chosen time", [
              RUN, Column("User", label="user", width=110),
              Column("Failed", by("run, user", named(RUNS, FAILED)), decimals=0, width=90),
              Column("Energy", f"{by('run, user', named(WHOLE_ENERGY, FAILED))} / 3.6e6", unit=KWH, decimals=2, width=130),
              Column("CO₂e", f"{by('run, user', named(WHOLE_GRAMS, FAILED))} / 1e3", unit=KG, decimals=2, bar=VERMILION, width=220),
              Column("Of this name and user", f"{by('run, user', named(WHOLE_GRAMS, FAILED))} / {by('run, user', named(WHOLE_GRAMS))}",
                     unit=RATIO, decimals=0, width=170)],
          width=16, height=8, sort="CO₂e", alone="Energy"),
]


def spread(title: str, what: str, words: str) -> Panel:
    """Shares of 5 %; those that are off by half are with those that are off by more."""
    # A zero is added, or there would be a bar for -0 beside that for 0.
    off = f'count_values("off", round(clamp({error(what)} * 100, -50, 50), 5) + 0)'
    return histogram(title, "Number of runs by how far it was off, to 5 %: above 0 where more was predicted than was used; 50 is 50 "
                     f"or more. {FIRST}{words}", COUNT, NO_PREDICTION, off, "off", "Off by", "percent", "Runs", color=BLUE, width=6, height=10)


PREDICTABLE = f"({ACTUAL['co2e_grams']} and on ({KEY}) {kept('first_predicted_co2e_grams:last1h')})"
COMPARED = f"topk(100, {PREDICTABLE})"
PREDICTIONS = [
    spread("First prediction of energy", "energy_joules", ""),
    spread("First prediction of CO₂e", "co2e_grams", " It has the error of the energy, and that of the grid's forecast."),
    table("Predicted and actual", f"{FIRST} The hundred with most CO2e.", NO_PREDICTION, [
        RUN, ID, Column("Predicted", f"({kept('first_predicted_co2e_grams:last1h')} and on ({KEY}) {COMPARED}) / 1e3", unit=KG,
                        decimals=2, width=130),
        Column("CO₂e", f"{COMPARED} / 1e3", unit=KG, decimals=2, bar=VERMILION, width=160),
        Column("CO₂e off", f"{error('co2e_grams')} and on ({KEY}) {COMPARED}", unit=RATIO, decimals=0, width=90),
        Column("Energy off", f"{error('energy_joules')} and on ({KEY}) {COMPARED}", unit=RATIO, decimals=0, width=100)],
          width=12, height=10, sort="CO₂e", alone="CO₂e"),
]

WORST = f"topk(100, {OVER})"
BUDGETS = table(
    "Runs over budget", "The hundred furthest over. Runs with a budget that ran in the chosen time and emitted more than it, from the full hour after their end on; and "
    "those that run now and are predicted to, or have already.", "No run was over its budget, or none had one", [
        RUN, ID, USER, NODE, OUTCOME,
        Column("Of the budget", WORST, unit=RATIO, decimals=0, width=130, limits=BUDGETED),
        Column("Budget", f"(({largest(gauge('budget_co2e_grams'))} or {kept('budget_co2e_grams:last1h')}) and on ({KEY}) {WORST}) / 1e3",
               unit=KG, decimals=2, width=130),
        Column("CO₂e", f"(({SO_FAR} or {kept('co2e_grams:last1h')}) and on ({KEY}) {WORST}) / 1e3", unit=KG, decimals=2,
               bar=VERMILION, width=200),
        Column("Predicted", f"({PREDICTED} and on ({KEY}) {WORST}) / 1e3", unit=KG, decimals=2, width=130)],
    sort="Of the budget", height=8, alone="Of the budget")

HOW = words("""A run is one command that `gramwatt run` measures, on a node where the exporter runs:

```
gramwatt run --name base-7b-pretrain --progress 'epoch (\\d+)/(\\d+)' --budget 2kg -- python train.py
```

It needs no privilege: it tells the exporter over its local socket, which shows the run as `gramwatt_run_*`. **Progress** comes from the
command's output by a pattern, and from it the predictions; the **budget** is of CO₂e. A program can tell the socket itself, in a few
lines of Python or shell: see *Runs* in the README. Runs of one experiment share a name; each has an id of its own. Keep names few:
settings belong into your notebook, not into a name. A run lies inside a workload (a pod, a job, a unit): **never add the two**.""",
            height=6)

VARIABLES = [
    CLUSTER,
    Variable("run_user", "User", "Who started it.", 'label_values(gramwatt_run_info{cluster=~"$cluster"}, user)'),
    Variable("run", "Run", "The name of the run.", 'label_values(gramwatt_run_info{cluster=~"$cluster",user=~"$run_user"}, run)',
             every=".+"),
]

DASHBOARD = Dashboard(
    UIDS["runs"], "Gramwatt / Runs", "What each measured command cost, what those that run now will have cost, and what was lost "
    "with those that failed.", VARIABLES, [
        Row("", AT_ONCE), Row("", IN_TIME), Row("At this moment", [NOW]), Row("Leaderboard", [LEADERS, *NAMES]),
        Row("Failures", FAILURES), Row("Predicted and actual", PREDICTIONS), Row("Budgets", [BUDGETS]),
        Row("How a run gets here", [HOW])],
    since="now-7d", annotations=[
        annotation("Alerts", 'ALERTS{alertname="GramwattRunOverBudget",alertstate="firing"}', "{{alertname}}", "{{run}}", YELLOW)])
