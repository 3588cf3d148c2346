"""The lab's runs: commands that people started under `gramwatt run` inside their jobs, as the exporter of the node tells them.

A run is within its job, so that its joules are a part of the job's. About one in seven fails, some are lost, some have a
budget, and most tell their progress, from which the exporter predicts what they will have used.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model import HOUR, Job, Node

if TYPE_CHECKING:
    from history import Moment, Truth, Uses

# What a workload's processes draw is the run's, but for the shell and the loader around it.
SHARE = 0.98
# How long one that has ended is still told: at least one sample of the lab's.
LINGER = 900
# From how much of the work on there is a prediction.
FIRST = 0.05
NAMES = {"segment-anything": "sam-finetune", "base-7b": "base-7b-pretrain", "grasping": "grasp-policy"}
USERS = {"vision": ["ines", "kofi"], "language": ["lea", "sam"], "robotics": ["ana", "bo"]}
BATCH = ["tokenise", "ablation-lr", "simulate"]


@dataclass(frozen=True)
class Run:
    """In seconds since the start of the lab. `planned` is when it would end if nothing happened."""

    job: Job
    name: str
    id: str
    user: str
    start: int
    end: int
    planned: int
    state: str
    progress: bool
    budget: float | None
    # What the prediction of its joules, and the forecast of the grid, are off by at first.
    error: float
    forecast: float

    def labels(self) -> dict[str, str]:
        return {"run": self.name, "run_id": self.id}


def run(node: Node, job: Job, until: int) -> Run | None:
    """The run in a job, where there is one; the same job has the same run each time."""
    dice = random.Random(zlib.crc32(f"{node.name} {job.name}".encode()))
    start, end = job.start + dice.randrange(900, 1700), job.end - dice.randrange(900, 1700)
    # One is too short, one serves and is no run, and counters of a machine do not outlive its start.
    reborn = node.name == "fra-gpu-03" and job.start <= until / 2 < job.end
    if end - start < HOUR or job.phase in ("inference", "development") or reborn:
        return None
    name = NAMES.get(job.project) or dice.choice(BATCH)
    if "-eval-" in job.name:
        name += "-eval"
    user = job.user or dice.choice(USERS[job.team])
    luck = dice.random()
    state = "failed" if job.failed or (job.kind == "slurm" and luck < 0.15) else "lost" if luck > 0.96 else "succeeded"
    planned = end if state == "succeeded" else start + round((end - start) * dice.uniform(1.2, 3))
    if job.end == until:
        state, end, planned = "running", until + HOUR, start + round((until - start) * dice.uniform(1.1, 2.5))
    watts = len(job.gpus) * (node.gpu_idle + (node.gpu_limit - node.gpu_idle) * job.duty) + 460 * job.load
    kilograms = watts * (planned - start) * node.pue * node.grid.mean / 3.6e9
    budget = float(f"{kilograms * dice.choice([0.75, 1.1, 1.3]):.2g}") if dice.random() < 0.4 else 0
    return Run(job, name, f"{dice.randrange(16**8):08x}", user, start, end, planned, state, dice.random() < 0.75,
               budget * 1e3 or None, dice.gauss(0, 0.05), dice.gauss(0, 0.06))


def runs(node: Node, until: int) -> list[Run]:
    """Of all jobs of accelerators; of a few nodes without any, or there would be too many samples."""
    if not node.gpus and int(node.name[-2:]) > 3:
        return []
    return [one for one in (run(node, job, until) for job in node.jobs) if one]


class Meter:
    """What the exporter remembers of the runs of a node."""

    def __init__(self, node: Node, until: int) -> None:
        self.node, self.runs = node, runs(node, until)
        self.used: dict[str, tuple[float, float]] = {}
        self.first: dict[str, tuple[float, float]] = {}

    def tell(self, now: Moment, uses: Uses, truth: Truth) -> None:
        for one in self.runs:
            if one.start <= now.age < one.end + LINGER:
                self.count(one, now, uses, truth)
                self.describe(one, now)

    def count(self, one: Run, now: Moment, uses: Uses, truth: Truth) -> None:
        seconds = max(0.0, min(now.age, one.end) - max(now.age - now.length, one.start))
        factor = self.node.pue * now.intensity / 3.6e6
        joules, grams = self.used.get(one.id, (0.0, 0.0))
        for kind in ("gpu", "cpu", "dram"):
            if (one.job, kind) not in uses:
                continue
            watts = uses[one.job, kind][0] * SHARE
            joules, grams = joules + watts * seconds, grams + watts * seconds * factor
            now.add("gramwatt_run_energy_joules_total", watts * seconds, **one.labels(), kind=kind)
            now.add("gramwatt_run_co2e_grams_total", watts * seconds * factor, **one.labels(), kind=kind)
            truth.add(watts * seconds, watts * seconds * factor, run=one.name, run_id=one.id, run_state=one.state)
            if now.recent and now.age < one.end:
                now.set("gramwatt_run_power_watts", watts, **one.labels(), kind=kind)
        self.used[one.id] = joules, grams

    def describe(self, one: Run, now: Moment) -> None:
        labels, ended = one.labels(), now.age >= one.end
        now.set("gramwatt_run_info", 1, **labels, user=one.user)
        now.set("gramwatt_run_state", 1, **labels, state=one.state if ended else "running")
        now.set("gramwatt_run_start_timestamp_seconds", now.at - now.age + one.start, **labels)
        if ended:
            now.set("gramwatt_run_end_timestamp_seconds", now.at - now.age + one.end, **labels)
        if one.budget:
            now.set("gramwatt_run_budget_co2e_grams", one.budget, **labels)
        if one.progress:
            self.predict(one, now, ended)

    def predict(self, one: Run, now: Moment, ended: bool) -> None:
        """What is used so far, and what the rest will need at the pace and on the grid that are foreseen."""
        labels = one.labels()
        progress = min(1.0, (min(now.age, one.end) - one.start) / (one.planned - one.start))
        rest = max(0.0, one.planned - now.age)
        hours = [self.node.grid.at(now.at + n * HOUR) for n in range(1 + int(rest / HOUR))]
        joules, grams = self.used[one.id]
        if not ended and progress >= FIRST:
            pace = joules / (now.age - one.start) * (1 + one.error * (1 - progress))
            intensity = sum(hours) / len(hours) * (1 + one.forecast * (1 - progress))
            foreseen = joules + pace * rest, grams + pace * rest * self.node.pue * intensity / 3.6e6
            self.first.setdefault(one.id, foreseen)
            if now.recent:
                tell_both(now, "gramwatt_run_predicted_", foreseen, labels)
                now.set("gramwatt_run_predicted_end_timestamp_seconds", now.at + rest * (1 + one.error), **labels)
        if one.id in self.first:
            tell_both(now, "gramwatt_run_first_predicted_", self.first[one.id], labels)
        if now.recent:
            now.set("gramwatt_run_progress_ratio", progress, **labels)


def tell_both(now: Moment, name: str, both: Sequence[float], labels: Mapping[str, str]) -> None:
    for what, value in zip(("energy_joules", "co2e_grams"), both):
        now.set(f"{name}{what}", value, **labels)
