"""Writes nvml.json, which the stand-in of NVML plays, and truth.json, which says who drew what.

Both come from what is said here once, so that they cannot disagree: run it again after a change.
"""

import json
import pathlib

END = 120.0
HERE = pathlib.Path(__file__).parent


def uuid(n):
    return f"GPU-da700000-0000-4000-8000-00000000000{n}"


def mig(n):
    return f"MIG-da700000-0000-5000-8000-00000000000{n}"


class Gpu:
    def __init__(self, n, idle, instances=()):
        self.n, self.idle, self.instances = n, idle, list(instances)
        self.active, self.holds, self.processes = [], [], []

    def hold(self, who, start=0.0, end=END, part=None, replica=None):
        """`who` holds all of it, an instance (`part`), or one of the replicas of a shared GPU."""
        device = mig(part) if part else uuid(self.n)
        kubelet = device if replica is None else f"{device}::{replica}"
        hold = {"who": who, "from": start, "until": end, "device": device, "kubelet_id": kubelet}
        self.holds.append(hold)

    def run(self, who, pid, start, end, watts, sm, part=None, kind="compute"):
        """A process of `who` draws so much beyond idle, and keeps so many percent busy."""
        process = {"pid": pid, "sm": sm, "from": start, "until": end, "memory_mb": 1024, "kind": kind}
        if part:
            process["gpu_instance"] = next(i["gpu_instance"] for i in self.instances if i["uuid"] == mig(part))
        self.processes.append(process)
        if watts:
            span = {"who": who, "pid": pid, "from": start, "until": end, "watts": watts, "sm": sm}
            if part:
                span["instance"] = mig(part)
            self.active.append(span)

    def waveform(self):
        times = sorted({0.0, END, *(t for s in self.active for t in (s["from"], s["until"]))})
        segments = []
        for begin, end in zip(times, times[1:]):
            watts = self.idle + sum(s["watts"] for s in self.active if s["from"] <= begin < s["until"])
            segments.append({"seconds": end - begin, "shape": {"constant": watts}})
        return segments + [{"seconds": 1, "shape": {"constant": self.idle}}]

    def scenario(self):
        return {
            "uuid": uuid(self.n),
            "name": "NVIDIA H100 80GB HBM3",
            "pci": f"00000000:{0x1A + self.n:02X}:00.0",
            "architecture": 9,
            "limit_watts": 700,
            "utilization_of_processes": True,
            "memory_mb": 81559,
            "tick_ms": 20,
            "waveform": self.waveform(),
            "mig": self.instances,
            "processes": self.processes,
        }

    def truth(self):
        return {
            "uuid": uuid(self.n),
            "index": self.n,
            "idle_watts": self.idle,
            "joules": sum(s["seconds"] * s["shape"]["constant"] for s in self.waveform()[:-1]),
            "instances": [{"uuid": i["uuid"], "slices": i["slices"], "of": 7} for i in self.instances],
            "holds": self.holds,
            "active": self.active,
        }


def instance(n, gpu_instance, slices):
    return {
        "uuid": mig(n),
        "gpu_instance": gpu_instance,
        "compute_instance": 0,
        "slices": slices,
        "memory_mb": 9728 * slices,
    }


def day():
    gpus = [Gpu(n, 70.0) for n in range(5)]
    # A training job on four GPUs: it loads, trains, writes a checkpoint each 30 s, and saves at its end.
    for gpu in gpus[:4]:
        who, pid, high = "research/train", 1000 + gpu.n, 550.0 + 5.0 * gpu.n
        gpu.hold(who, 5.0, 105.0)
        gpu.run(who, pid, 5.0, 10.0, 80.0, 10)
        for begin in (10.0, 40.0, 70.0):
            gpu.run(who, pid, begin, begin + 26.0, high, 99)
            gpu.run(who, pid, begin + 26.0, begin + 30.0, 130.0, 5)
        gpu.run(who, pid, 100.0, 105.0, 50.0, 2)
    # Two pods share a GPU in turns; the second is done earlier.
    shared = gpus[4]
    shared.hold("serve/chat", replica=0)
    shared.hold("serve/embed", replica=1)
    shared.run("serve/chat", 2000, 0.0, 10.0, 0.0, 0)
    shared.run("serve/embed", 2001, 0.0, 10.0, 0.0, 0)
    shared.run("serve/chat", 2000, 10.0, 110.0, 280.0, 70)
    shared.run("serve/embed", 2001, 10.0, 90.0, 120.0, 30)
    shared.run("serve/chat", 2000, 110.0, END, 0.0, 0)
    # A GPU in three instances and one slice over: one is busy, one for a while, one is held only. Idle is
    # 12 W a slice, a busy slice draws 50 W more.
    parts = Gpu(5, 84.0, [instance(1, 1, 3), instance(2, 5, 2), instance(3, 13, 1)])
    for part, who in enumerate(("lab/large", "lab/middle", "lab/small"), 1):
        parts.hold(who, part=part)
    parts.run("lab/large", 3000, 0.0, END, 150.0, 90, part=1)
    parts.run("lab/middle", 3001, 30.0, 90.0, 100.0, 90, part=2)
    # A notebook that nobody types into.
    reserved = Gpu(6, 75.0)
    reserved.hold("team/notebook")
    reserved.run("team/notebook", 4000, 0.0, END, 0.0, 0)
    # Jobs of two seconds, one that crashes and is started again, and a process of no pod.
    many = Gpu(7, 70.0)
    for number, begin in enumerate((10.0, 15.0, 20.0, 25.0, 30.0), 1):
        who = f"batch/short-{number}"
        many.hold(who, begin, begin + 2.0)
        # The fifth has the first's process number.
        many.run(who, 5000 + number % 4, begin, begin + 2.0, 230.0, 80)
    for number, begin in enumerate((40.0, 50.0, 60.0)):
        many.hold("batch/crash", begin, begin + 3.5)
        many.run("batch/crash", 6000 + number, begin, begin + 3.5, 180.0, 60)
    many.run("host", 7000, 70.0, 100.0, 180.0, 50)
    return [*gpus, parts, reserved, many]


def main():
    gpus = day()
    joules = {}
    for span in (span for gpu in gpus for span in gpu.active):
        joules[span["who"]] = joules.get(span["who"], 0.0) + span["watts"] * (span["until"] - span["from"])
    truth = {"seconds": END, "active_joules": joules, "gpus": [gpu.truth() for gpu in gpus]}
    scenario = {"driver": "570.124.06", "clock_file": "clock", "gpus": [gpu.scenario() for gpu in gpus]}
    for name, value in (("nvml.json", scenario), ("truth.json", truth)):
        (HERE / name).write_text(json.dumps(value, indent=1) + "\n")


main()
