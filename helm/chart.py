"""Writes what the chart takes from elsewhere: rules and dashboards, the schema of its values and the table of its README;
and its versions from Cargo.toml. With --check it says which of them are stale.

    chart.py [--check]     needs PyYAML
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
CHART = ROOT / "helm" / "gramwatt"
Json = dict[str, Any]

SWITCH: Json = {"enum": ["auto", True, False]}
# What a default does not tell.
KNOWN: dict[str, Json] = {
    "config": {"type": "object"},
    "onConfigChange": {"enum": ["roll", "none"]},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "host.kubeletDirectory": {"type": "string", "pattern": "^/"},
    "host.stateDirectory": {"type": "string", "pattern": "^/"},
    "nvidia.access": {"enum": ["none", "runtimeClass", "default"]},
    "service.port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "monitor.enabled": SWITCH,
    "monitor.kind": {"enum": ["ServiceMonitor", "PodMonitor"]},
    "monitor.interval": {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"},
    "monitor.scheme": {"enum": ["http", "https"]},
    "scrapeAnnotations": SWITCH,
    "rules.enabled": SWITCH,
    "rules.overrides": {"type": "object", "additionalProperties": {
        "type": "object", "additionalProperties": False, "properties": {
            "enabled": {"type": "boolean"}, "severity": {"enum": ["critical", "warning", "info"]},
            "for": {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"},
            "keepFiringFor": {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"},
            "thresholds": {"type": "object", "additionalProperties": {"type": "number"}}}}},
    "budgets.labGrams": {"type": "number", "minimum": 0},
    "budgets.teamGrams": {"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}},
    "relay.providers": {"type": "array", "items": {"type": "object", "required": ["type"]}},
    "relay.zones": {"type": "array", "items": {"type": "string"}},
    "relay.replicas": {"type": "integer", "minimum": 1},
    "networkPolicy.apiServerPorts": {"type": "array", "items": {"type": "integer"}},
    # A parent chart may have globals of its own.
    "global": {"type": "object"},
    "affinity": {"type": "object"},
    **{name: {"type": "object", "additionalProperties": {"type": "string"}} for name in [
        "commonLabels", "podLabels", "podAnnotations", "nodeSelector", "relay.nodeSelector", "relay.podAnnotations",
        "service.annotations", "serviceAccount.annotations", "monitor.labels", "rules.labels", "dashboards.annotations"]},
    "updateStrategy": {"type": "object"}, "resources": {"type": "object"}, "relay.resources": {"type": "object"},
    "dashboards.grafanaOperator.instanceSelector": {"type": "object"},
}


def comments(text: str) -> dict[str, str]:
    """What `# --` says of each key, by its path."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    said: list[str] = []
    for line in text.splitlines():
        key = re.match(r"( *)([A-Za-z][A-Za-z0-9]*):", line)
        comment = re.match(r" *# ?(-- )?(.*)", line)
        if comment and not key:
            if comment[1]:
                said = [comment[2]]
            elif said:
                said.append(comment[2])
        elif key:
            indent = len(key[1])
            path = [*[one for one in path if one[0] < indent], (indent, key[2])]
            if said:
                found[".".join(name for _, name in path)] = " ".join(said)
            said = []
        else:
            said = []
    return found


def schema(value: Any, path: str, said: dict[str, str]) -> Json:
    about: Json = {"description": said[path]} if path in said else {}
    if path in KNOWN:
        return {**about, **KNOWN[path]}
    if isinstance(value, dict) and value:
        return {**about, "type": "object", "additionalProperties": False, "properties": {
            key: schema(one, f"{path}.{key}".lstrip("."), said) for key, one in value.items()}}
    kinds = [(bool, "boolean"), (int, "integer"), (str, "string"), (dict, "object"), (list, "array")]
    return {**about, "type": next(name for kind, name in kinds if isinstance(value, kind))}


def rows(value: Any, path: str, said: dict[str, str]) -> list[str]:
    if isinstance(value, dict) and value and path not in said:
        return [row for key, one in value.items() for row in rows(one, f"{path}.{key}".lstrip("."), said)]
    default = json.dumps(value, ensure_ascii=False)
    about = said[path].replace("|", "\\|")
    return [f"| `{path}` | `{default}` | {about} |"]


def alerts() -> str:
    """A table of the alerts, with what can be changed of each."""
    rules = yaml.safe_load((ROOT / "deploy" / "rules" / "gramwatt-alerts.yaml").read_text(encoding="utf-8"))
    made = ["| alert | severity | for | thresholds |", "|---|---|---|---|"]
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        limits = dict((name, value) for value, name in re.findall(r"([-+0-9.e]+)\s+# (\w+)", rule["expr"]))
        told = ", ".join(f"`{name}: {value}`" for name, value in limits.items())
        made.append(f"| {rule['alert']} | {rule['labels']['severity']} | {rule['for']} | {told} |")
    return "\n".join(made)


def block(text: str, name: str, content: str) -> str:
    """The text with what is generated between two marks."""
    begin, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
    before, rest = text.split(begin)
    return f"{before}{begin}{content}\n{end}{rest.split(end, 1)[1]}"


def wanted() -> dict[pathlib.Path, str]:
    """The text of every file that is made."""
    made: dict[pathlib.Path, str] = {}
    for rules in ["gramwatt-alerts.yaml", "gramwatt-recording.yaml"]:
        made[CHART / "files" / "rules" / rules] = (ROOT / "deploy" / "rules" / rules).read_text(encoding="utf-8")
    for board in sorted((ROOT / "grafana").glob("*.json")):
        made[CHART / "files" / "dashboards" / board.name] = board.read_text(encoding="utf-8")
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values, said = yaml.safe_load(text), comments(text)
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart gramwatt",
             **schema(values, "", said)}
    # The condition of a parent chart (gramwatt.enabled) reaches us too.
    whole["properties"]["enabled"] = {"type": "boolean", "description": "For a parent chart; not used here."}
    made[CHART / "values.schema.json"] = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    table = "\n".join(["| value | default | meaning |", "|---|---|---|", *rows(values, "", said)])
    made[CHART / "README.md"] = block(block(readme, "alerts", alerts()), "values", table)
    version = re.search(r'(?m)^version = "(.+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    assert version
    chart = (CHART / "Chart.yaml").read_text(encoding="utf-8")
    made[CHART / "Chart.yaml"] = re.sub(r"(?m)^(version|appVersion): .*", rf"\1: {version[1]}", chart)
    return made


def main(arguments: list[str]) -> int:
    stale = []
    for file, text in wanted().items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(str(file.relative_to(ROOT)))
            if "--check" not in arguments:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
    if "--check" in arguments and stale:
        print(f"stale, run `make chart`: {', '.join(stale)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
