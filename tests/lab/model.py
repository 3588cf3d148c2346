"""The lab: two clusters, who runs what on their nodes, and the watts of it. Nothing here is random: the same
start gives the same lab.

    fra  Frankfurt, DE:      6 nodes of eight H100, 18 nodes without accelerator; PUE 1.31
    sto  Stockholm, SE-SE3:  4 nodes of eight A100, 12 nodes without accelerator; PUE 1.12
"""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import dataclass, field, replace

HOUR = 3600
DAY = 24 * HOUR


@dataclass(frozen=True)
class Grid:
    zone: str
    provider: str
    mean: float
    daily: float
    solar: float
    weather: float
    marginal: float | None

    def at(self, seconds: float) -> float:
        """Grams of CO2e for each kWh: an evening's peak, the sun at noon, and days of wind."""
        hour = seconds % DAY / HOUR
        sun = max(0.0, math.cos((hour - 12) / 12 * math.pi)) ** 2
        evening = math.cos((hour - 19) / 12 * math.pi)
        wind = math.sin(seconds / (4.3 * DAY) * 2 * math.pi) + 0.4 * math.sin(seconds / (1.7 * DAY) * 2 * math.pi)
        return self.mean + self.daily * evening - self.solar * sun + self.weather * wind


@dataclass(frozen=True)
class Job:
    """What runs on a node from one moment to another, in seconds since the start of the lab."""

    kind: str
    namespace: str
    name: str
    start: int
    end: int
    gpus: tuple[int, ...]
    duty: float
    load: float
    team: str = ""
    project: str = ""
    phase: str = ""
    user: str = ""
    owner_kind: str = ""
    owner: str = ""
    diurnal: bool = False
    failed: bool = False

    @property
    def container(self) -> str:
        return "main" if self.kind == "pod" else ""

    def identity(self) -> dict[str, str]:
        return {"workload_type": self.kind, "workload_namespace": self.namespace, "workload": self.name,
                "workload_container": self.container}


@dataclass(frozen=True)
class Node:
    name: str
    cluster: str
    grid: Grid
    pue: float
    market: float
    gpus: int
    gpu_model: str
    gpu_limit: float
    gpu_idle: float
    gpu_embodied: float
    cpu_model: str
    metered: bool
    modelled: bool
    jobs: list[Job] = field(default_factory=list)


DE = Grid("DE", "electricity-maps", 355, 55, 90, 60, 610)
SE = Grid("SE-SE3", "energy-charts", 27, 4, 3, 5, None)

TEAMS = [("vision", "segment-anything", "research"), ("language", "base-7b", "research"),
         ("robotics", "grasping", "research")]


def wobble(name: str, step: int) -> float:
    """Something between -1 and 1 that looks irregular."""
    phase = zlib.crc32(name.encode()) / 2**32 * 2 * math.pi
    return 0.6 * math.sin(step / 5.3 + phase) + 0.4 * math.sin(step / 1.7 + 2.9 * phase)


def training(node: str, seed: int, until: int) -> list[Job]:
    """One training after another, with pauses; one in seven ends as Failed."""
    dice = random.Random(seed)
    jobs, at, number = [], dice.randrange(0, 6) * HOUR, 0
    while at < until:
        team, project, namespace = dice.choice(TEAMS)
        length = dice.choice([5, 9, 14, 22, 30, 46]) * HOUR
        gpus = dice.choice([8, 8, 8, 4])
        number += 1
        failed = dice.random() < 1 / 7
        if failed:
            length = dice.choice([2, 4, 7]) * HOUR
        owner = f"{project}-{node}-{number}"
        job = Job("pod", namespace, f"{owner}-0", at, min(at + length, until), tuple(range(gpus)), dice.uniform(0.6, 0.95),
                  0.25, team, project, "training", owner_kind="Job", owner=owner, failed=failed)
        jobs.append(job)
        if gpus == 4 and dice.random() < 0.6:
            jobs.append(replace(job, name=f"{owner}-eval-0", gpus=(4, 5, 6, 7), duty=dice.uniform(0.3, 0.6), load=0.1,
                                failed=False))
        at += length + dice.choice([0, 1, 1, 3, 8]) * HOUR
    return jobs


def serving(until: int) -> list[Job]:
    return [Job("pod", "serving", f"chat-7b-{n}", 0, until, tuple(range(4 * n, 4 * n + 4)), 0.45, 0.2, "language",
                "chat", "inference", owner_kind="ReplicaSet", owner="chat-7b", diurnal=True) for n in range(2)]


def notebooks(until: int) -> list[Job]:
    """Four accelerators that are held and hardly used."""
    return [Job("pod", "notebooks", f"jupyter-{who}", 0, until, gpus, 0.02, 0.05, "robotics", "sandbox",
                "development", user=who, owner_kind="StatefulSet", owner=f"jupyter-{who}")
            for who, gpus in [("ana", (0, 1)), ("bo", (2, 3))]]


def batch(node: str, seed: int, until: int) -> list[Job]:
    """Jobs of Slurm on the nodes without accelerators."""
    dice = random.Random(seed)
    jobs, at = [], dice.randrange(0, 10) * HOUR
    number = 10_000 * seed
    while at < until:
        length = dice.choice([3, 8, 12, 20, 36]) * HOUR
        number += 1
        jobs.append(Job("slurm", "", str(number), at, min(at + length, until), (), 0, dice.uniform(0.4, 0.95),
                        user=dice.choice(["mira", "tomas", "yuki", "ola"])))
        at += length + dice.choice([0, 2, 5]) * HOUR
    return jobs


def lab(until: int) -> list[Node]:
    nodes: list[Node] = []
    for cluster, grid, pue, market, gpu_nodes, cpu_nodes, gpu in [
        ("fra", DE, 1.31, 120.0, 6, 18, ("NVIDIA H100 80GB HBM3", 700.0, 68.0, 164e3)),
        ("sto", SE, 1.12, 0.0, 4, 12, ("NVIDIA A100-SXM4-80GB", 400.0, 52.0, 318e3)),
    ]:
        model, limit, idle, embodied = gpu
        for n in range(1, gpu_nodes + 1):
            name = f"{cluster}-gpu-{n:02}"
            seed = n + 100 * len(nodes)
            jobs = (serving(until) if n == 1 else
                    notebooks(until) + [j for j in training(name, seed, until) if j.gpus == (4, 5, 6, 7)] if n == 2
                    else training(name, seed, until))
            nodes.append(Node(name, cluster, grid, pue, market, 8, model, limit, idle, embodied,
                              "Intel(R) Xeon(R) Platinum 8480+", True, False, jobs))
        for n in range(1, cpu_nodes + 1):
            name = f"{cluster}-cpu-{n:02}"
            nodes.append(Node(name, cluster, grid, pue, market, 0, "", 0, 0, 0, "AMD EPYC 9654 96-Core Processor",
                              False, n == cpu_nodes, batch(name, n + 100 * len(nodes), until)))
    return nodes
