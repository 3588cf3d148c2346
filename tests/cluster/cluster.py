"""Installs the chart in a real cluster and looks whether it does what it says: `make test-cluster`.

    KUBECONFIG    the cluster: kind, k3s, a real one. It gets a namespace, and loses it again
    IMAGE         Gramwatt's image as that cluster pulls it, REPOSITORY:TAG
    BUSY_IMAGE    an image with a shell (busybox:1.36 where it is not given)
    TEST_URL      what `helm test` scrapes, where the cluster has no DNS: http://POD:10061/metrics with POD in its place
    HELM, KUBECTL the programs (those of `make setup` where they are not given)

A Prometheus on this machine scrapes through the API server, so that pods need not be reachable from here. One node is enough, and
only one is used: the first that is ready.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "target" / "tools" / "bin"
CHART = ROOT / "helm" / "gramwatt"
NAMESPACE, RELEASE = "gramwatt-test", "trial"
KUBECTL = os.environ.get("KUBECTL", str(BIN / "kubectl"))
HELM = os.environ.get("HELM", str(BIN / "helm4"))
PATIENCE = 180.0
JOULES = "gramwatt_node_energy_joules_total"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def run(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*arguments: str, given: str = "") -> str:
    return run(KUBECTL, "--namespace", NAMESPACE, *arguments, given=given)


def helm(*arguments: str) -> str:
    return run(HELM, "--namespace", NAMESPACE, *arguments)


def until(what: str, look: Callable[[], Any]) -> Any:
    """Waits for something that is true, and says what was waited for in vain."""
    end, last = time.monotonic() + PATIENCE, None
    while time.monotonic() < end:
        last = look()
        if last:
            return last
        time.sleep(1)
    raise SystemExit(f"not within {PATIENCE:.0f} s: {what}; at last {last!r}")


def check(what: str, holds: bool, seen: object) -> None:
    if not holds:
        raise SystemExit(f"NOT TRUE: {what}: {seen!r}")
    say(f"true: {what} ({seen})")


@contextmanager
def started(command: list[str], ready: str, log: pathlib.Path) -> Iterator[str]:
    """A program that runs meanwhile, and what it says of where it listens."""
    with open(log, "w", encoding="utf-8") as out:
        child = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield until(f"{command[0]} listens", lambda: (found := re.search(ready, log.read_text())) and found[1])
    finally:
        child.terminate()
        child.wait()


class Prometheus:
    def __init__(self, address: str) -> None:
        self.address = address

    def value(self, query: str) -> float | None:
        url = f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(url) as answer:
            result = json.load(answer)["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def goes_on(self) -> None:
        """Waits for three scrapes of whoever serves now."""
        began = time.time()
        until("three new scrapes", lambda: (self.value(f"count_over_time(({JOULES} > 0)[1h:1s]) and on () "
                                                       f"timestamp({JOULES}) > {began + 3}")))


def pod() -> str:
    """The name of the pod that is ready, when there is one and no other."""
    pods = json.loads(kubectl("get", "pods", "-l", "app.kubernetes.io/component=node", "-o", "json"))["items"]
    ready = [one["metadata"]["name"] for one in pods if "deletionTimestamp" not in one["metadata"]
             and any(c["type"] == "Ready" and c["status"] == "True" for c in one["status"].get("conditions", []))]
    return ready[0] if len(ready) == len(pods) == 1 else ""


BUSY = """
apiVersion: v1
kind: Pod
metadata: {name: busy, labels: {team: vision}}
spec:
  nodeName: NODE
  terminationGracePeriodSeconds: 0
  tolerations: [{operator: Exists}]
  containers:
    - name: burn
      image: IMAGE
      command: [sh, -c, "while :; do :; done"]
      resources: {limits: {cpu: "1"}}
"""


def install(node: str, *more: str) -> None:
    repository, tag = os.environ["IMAGE"].rsplit(":", 1)
    helm("upgrade", "--install", RELEASE, str(CHART), "--wait", "--timeout=3m", "--set", f"image.repository={repository}",
         "--set", f"image.tag={tag}", "--set", "image.registry=", "--set", "config.grid.zone=DE", "--set",
         "config.workloads.labels={team}", "--set", f"nodeSelector.kubernetes\\.io/hostname={node}", *more)
    kubectl("rollout", "status", f"daemonset/{RELEASE}-gramwatt", "--timeout=3m")


def trial(folder: pathlib.Path) -> None:
    nodes = json.loads(run(KUBECTL, "get", "nodes", "-o", "json"))["items"]
    node = nodes[0]["metadata"]["name"]
    say(f"Kubernetes {nodes[0]['status']['nodeInfo']['kubeletVersion']}, node {node}")
    install(node)
    first = until("one pod is ready", pod)
    status = run(KUBECTL, "--namespace", NAMESPACE, "exec", first, "--", "/usr/bin/gramwatt", "probe", "--wait=30")
    say(status.strip())
    kubectl("apply", "-f", "-", given=BUSY.replace("NODE", node).replace("IMAGE", os.environ.get("BUSY_IMAGE", "busybox:1.36")))
    kubectl("wait", "--for=condition=Ready", "pod/busy", "--timeout=2m")

    proxy = [KUBECTL, "proxy", "--port=0"]
    with started(proxy, r"127\.0\.0\.1:(\d+)", folder / "proxy.log") as port:
        service = f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}-gramwatt:metrics/proxy/metrics"
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            f"scrape_configs: [{{job_name: gramwatt, metrics_path: '{service}', static_configs: [{{targets: "
            f"['127.0.0.1:{port}'], labels: {{instance: {node}}}}}]}}]\n")
        server = [os.environ.get("PROMETHEUS", str(BIN / "prometheus")), f"--config.file={folder / 'prometheus.yml'}",
                  f"--storage.tsdb.path={folder / 'data'}", "--web.listen-address=127.0.0.1:0"]
        with started(server, r'Listening on" address=(\S+)', folder / "prometheus.log") as address:
            look(Prometheus(address), node, first)


def look(prometheus: Prometheus, node: str, first: str) -> None:
    busy = 'workload="busy",workload_type="pod",workload_container="burn",workload_namespace="' + NAMESPACE + '"'
    watts = until("the busy pod has watts under its name", lambda: prometheus.value(
        f'sum(gramwatt_workload_power_watts{{{busy}}}) > 1'))
    whole = prometheus.value("gramwatt_node_power_watts")
    check("the busy pod's power is known and no more than the node's", bool(whole and 0 < watts <= whole), (watts, whole))
    check("its label is known", prometheus.value(f'gramwatt_workload_info{{workload="busy",label_team="vision"}}') == 1, "vision")
    check("there are grams", bool(until("grams", lambda: prometheus.value("gramwatt_node_co2e_grams_total"))), "DE")

    prometheus.goes_on()
    install(node, "--set", "config.node.pue=1.5")
    second = until("the new pod is ready", lambda: pod() != first and pod())
    prometheus.goes_on()
    check("an upgrade rolled the pod", second != first, second)
    check("its configuration is in force", until("the new PUE", lambda: prometheus.value("gramwatt_pue_ratio == 1.5")) == 1.5, 1.5)
    helm("rollback", RELEASE, "--wait", "--timeout=3m")
    third = until("the old configuration's pod is ready", lambda: pod() not in ("", second) and pod())
    prometheus.goes_on()
    kubectl("delete", "pod", third, "--grace-period=0", "--force")
    until("a pod after the kill", lambda: pod() not in ("", third) and pod())
    prometheus.goes_on()
    for metric in [JOULES, "gramwatt_node_co2e_grams_total", "sum(gramwatt_workload_energy_joules_total)"]:
        query = f"resets(({metric})[1h:1s])" if "(" in metric else f"resets({metric}[1h])"
        check(f"{metric} never fell, over upgrade, rollback and kill", prometheus.value(query) == 0, 0)
    last, gone = prometheus.value(JOULES), prometheus.value(f"increase({JOULES}[1h])")
    check("increase() is no more than the counter", bool(last and gone and gone <= last * 1.01), (gone, last))

    url = os.environ.get("TEST_URL", "")
    if url:
        address = kubectl("get", "pod", pod(), "-o", "jsonpath={.status.podIP}")
        helm("upgrade", RELEASE, str(CHART), "--reuse-values", "--wait", "--set", "test.url=" + url.replace("POD", address))
        until("ready again", pod)
    # Its pod goes when it has succeeded, so that nothing is left; Helm 3 then finds no log of it.
    check("helm test succeeds", "Succeeded" in helm("test", RELEASE), "Succeeded")


def main() -> None:
    if "IMAGE" not in os.environ:
        raise SystemExit("IMAGE is not set: which image, as the cluster pulls it? See tests/cluster/cluster.py")
    subprocess.run([KUBECTL, "delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait"], check=True)
    run(KUBECTL, "create", "namespace", NAMESPACE)
    run(KUBECTL, "label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=privileged")
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            trial(pathlib.Path(folder))
        helm("uninstall", RELEASE, "--wait")
        mine = ["-l", f"app.kubernetes.io/instance={RELEASE}", "-o", "name"]
        until("nothing is left", lambda: not (
            kubectl("get", "all,configmap,serviceaccount,secret", *mine).strip()
            + run(KUBECTL, "get", "clusterrole,clusterrolebinding", *mine).strip()))
        say("true: nothing is left")
    finally:
        subprocess.run([KUBECTL, "delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false"], check=True)
    say(f"all of it in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
