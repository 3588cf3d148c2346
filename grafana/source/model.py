"""What a dashboard is made of, as values; `document` turns them into Grafana's JSON.

Only what our dashboards use is here. Every panel must say what it shows and how far to trust it (`about`), in which
unit, and why it may be empty (`empty`): there is no default for those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

# Okabe and Ito's palette, which people tell apart whatever their colour vision.
# https://jfly.uni-koeln.de/color/
ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE, GREY = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#8C8C8C")

WATT, KWH, RATIO, SECONDS, COUNT, BYTES, TIME = (
    "watt", "kwatth", "percentunit", "s", "none", "bytes", "dateTimeAsIso")
KG, KG_HOUR, INTENSITY, GRAMS, JOULE, PER_SECOND = (
    "suffix: kg CO₂e", "suffix: kg/h", "suffix: g/kWh", "suffix: g CO₂e", "joule", "suffix: /s")

# What devices are, in all pictures alike.
KINDS = {"gpu": ORANGE, "cpu": BLUE, "dram": SKY, "soc": PURPLE, "other": GREY}

SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}

# The dashboards, in the order of their links.
UIDS = {"lab": "gramwatt-lab", "node": "gramwatt-node", "workload": "gramwatt-workload", "runs": "gramwatt-runs",
        "grid": "gramwatt-grid", "whatif": "gramwatt-whatif", "trust": "gramwatt-trust"}


@dataclass(frozen=True)
class Query:
    """`instant` asks for the end of the range alone; `table` gives labels as columns."""

    expr: str
    legend: str = "__auto"
    instant: bool = False
    table: bool = False

    def json(self, ref: str) -> Json:
        return {"refId": ref, "datasource": SOURCE, "editorMode": "code", "expr": self.expr,
                "legendFormat": self.legend, "instant": self.instant, "range": not self.instant,
                "format": "table" if self.table else "time_series"}


def now(expr: str, legend: str = "__auto") -> Query:
    return Query(expr, legend, instant=True)


# By rank: the largest first.
RANKS = [BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY]


def ranked(labels: str, course: str, whole: str, scale: str = "", places: int = 8) -> list[Query]:
    """The courses of those that are largest by `whole`, by `labels`; the legend is the last two of them.

    Grafana cannot give a safe colour to a name that it does not know, but it can give one to a query: so each rank is a
    query. `whole` must be taken at the end of the range (`@ end()`), or ranks would change on the way.
    """
    names = " ".join(f"{{{{{name}}}}}" for name in labels.split(", ")[-2:])
    return [Query(f"({course} and on ({labels}) (topk({n}, {whole}){f' unless topk({n - 1}, {whole})' if n > 1 else ''}))"
                  f"{scale}", names) for n in range(1, places + 1)]


def ranked_whole(labels: str, course: str, whole: str, scale: str = "") -> list[Query]:
    """As `ranked`, for a stack: the seven largest, and all others together."""
    others = f"sum({course} unless on ({labels}) topk({len(RANKS) - 1}, {whole})){scale}"
    return [*ranked(labels, course, whole, scale, len(RANKS) - 1), Query(others, "others")]


@dataclass(frozen=True)
class Link:
    title: str
    url: str

    def json(self) -> Json:
        return {"title": self.title, "url": self.url, "targetBlank": False}


@dataclass(frozen=True)
class Panel:
    kind: str
    title: str
    about: str
    unit: str
    empty: str
    queries: Sequence[Query]
    width: int
    height: int
    defaults: Json = field(default_factory=dict)
    custom: Json = field(default_factory=dict)
    overrides: Sequence[Json] = ()
    options: Json = field(default_factory=dict)
    transformations: Sequence[Json] = ()
    time_from: str = ""
    interval: str = ""
    repeat: str = ""

    def json(self, number: int, x: int, y: int) -> Json:
        defaults = {"unit": self.unit, "noValue": self.empty, **self.defaults}
        if self.custom:
            defaults["custom"] = self.custom
        made: Json = {
            "id": number, "type": self.kind, "title": self.title, "description": self.about, "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [query.json(chr(ord("A") + n)) for n, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": defaults, "overrides": list(self.overrides)},
            "options": self.options, "transformations": list(self.transformations),
        }
        if self.time_from:
            made |= {"timeFrom": self.time_from, "hideTimeOverride": False}
        if self.repeat:
            made |= {"repeat": self.repeat, "repeatDirection": "h", "maxPerRow": 2}
        if self.interval:
            made["interval"] = self.interval
        return made


def fixed(color: str) -> Json:
    return {"mode": "fixed", "fixedColor": color}


def paint(colors: dict[str, str]) -> list[Json]:
    """A colour for each series by its name."""
    return [{"matcher": {"id": "byName", "options": name}, "properties": [{"id": "color", "value": fixed(color)}]}
            for name, color in colors.items()]


def steps(*limits: tuple[float | None, str]) -> Json:
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in limits]}


def shown(color: Json, limits: Json | None, decimals: int | None, least: float | None = None,
          most: float | None = None) -> Json:
    """How values look; what is not said is left to Grafana."""
    said = {"color": color, "thresholds": limits, "min": least, "max": most, "decimals": decimals}
    return {key: value for key, value in said.items() if value is not None}


def tinted(color: str, limits: Json | None) -> Json:
    return {"mode": "thresholds"} if limits else fixed(color)


def stat(title: str, about: str, unit: str, empty: str, query: Query, *, width: int = 4, height: int = 4,
         color: str = BLUE, decimals: int | None = None, time_from: str = "", limits: Json | None = None) -> Panel:
    """One number, of the end of the range."""
    return Panel("stat", title, about, unit, empty, [query], width, height, shown(tinted(color, limits), limits, decimals),
                 time_from=time_from, options={
        "graphMode": "none", "colorMode": "value", "justifyMode": "auto", "textMode": "value", "text": {"valueSize": 32}, "orientation": "auto", "wideLayout": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}})


def lines(title: str, about: str, unit: str, empty: str, queries: Sequence[Query], *, width: int = 12,
          height: int = 8, stacked: bool = False, bars: bool = False, colors: dict[str, str] | None = None,
          by_rank: bool = False, least: float | None = 0, most: float | None = None, limits: Json | None = None,
          overrides: Sequence[Json] = (), interval: str = "") -> Panel:
    """Courses over time. Stacked, or as bars of sums.

    Series have their `colors` by name, or `by_rank` (see `ranked`), so that the palette of Grafana, which is not safe,
    is not used.
    """
    defaults = shown({"mode": "palette-classic"}, limits, None, least, most)
    custom: Json = {
        "drawStyle": "bars" if bars else "line", "lineWidth": 0 if bars else 2, "lineInterpolation": "linear",
        "fillOpacity": 85 if bars else 60 if stacked else 0, "showPoints": "never", "spanNulls": False,
        "barAlignment": -1 if bars else 0,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"}, "axisBorderShow": False}
    if unit == RATIO:
        # Or a share that is always 0 gets an axis of thousands of percent.
        custom["axisSoftMax"] = 0.05
    if limits:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    ranks = [{"matcher": {"id": "byFrameRefID", "options": chr(ord("A") + n)},
              "properties": [{"id": "color", "value": fixed(color)}]} for n, color in enumerate(RANKS)]
    return Panel("timeseries", title, about, unit, empty, queries, width, height, defaults, custom,
                 [*paint(colors or {}), *(ranks if by_rank else []), *overrides],
                 {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                  "tooltip": {"mode": "multi", "sort": "desc"}}, interval=interval)


def ranking(title: str, about: str, unit: str, empty: str, query: Query, *, width: int = 8, height: int = 8,
            color: str = BLUE, colors: dict[str, str] | None = None, least: float | None = 0,
            most: float | None = None, limits: Json | None = None, decimals: int | None = None) -> Panel:
    """Bars with their names, longest first: `query` sorts."""
    defaults = shown(tinted(color, limits), limits, decimals, least, most)
    return Panel("bargauge", title, about, unit, empty, [query], width, height, defaults,
                 overrides=paint(colors or {}), options={
                     "orientation": "horizontal", "displayMode": "basic", "valueMode": "text", "namePlacement": "left", "text": {"titleSize": 12, "valueSize": 13},
                     "showUnfilled": False, "minVizWidth": 8, "minVizHeight": 14, "maxVizHeight": 30, "sizing": "manual",
                     "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
                     "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}})


@dataclass(frozen=True)
class Column:
    """A column: of a query's values, or of a label where there is no `expr`.

    It has its `width`, or what is left, but its `least`. A `bar` is full at `most`, or at the largest value of its column.
    """

    title: str
    expr: str = ""
    label: str = ""
    unit: str = "none"
    decimals: int | None = None
    width: int | None = None
    least: int | None = None
    bar: str = ""
    most: float | None = None
    link: Link | None = None
    limits: Json | None = None


def table(title: str, about: str, empty: str, columns: Sequence[Column], *, width: int = 24, height: int = 9,
          sort: str = "", alone: str = "") -> Panel:
    """Rows by labels: those of the columns, which all queries must have.

    Where only one of several queries finds anything, Grafana calls its values `Value`: they are then of the column `alone`.
    """
    valued = [column for column in columns if column.expr]
    refs = {column.title: chr(ord("A") + n) for n, column in enumerate(valued)}
    source = {column.title: f"Value #{refs[column.title]}" if column.expr else column.label for column in columns}
    if len(valued) == 1:
        source[valued[0].title] = "Value"
    overrides = []
    for column in columns:
        # A cell that has nothing is not a table that has nothing.
        properties: list[Json] = [{"id": "noValue", "value": "–"}]
        # Or a label that looks like a number is shown as one: job 007 as 7, run 1e6 as a million.
        properties.append({"id": "unit", "value": column.unit if column.expr else "string"})
        if column.decimals is not None:
            properties.append({"id": "decimals", "value": column.decimals})
        if column.width is not None:
            properties.append({"id": "custom.width", "value": column.width})
        if column.least is not None:
            properties.append({"id": "custom.minWidth", "value": column.least})
        if column.bar:
            properties += [{"id": "custom.cellOptions", "value": {"type": "gauge", "mode": "basic",
                                                                  "valueDisplayMode": "text"}},
                           {"id": "color", "value": fixed(column.bar)}, {"id": "min", "value": 0},
                           {"id": "fieldMinMax", "value": True} if column.most is None else {"id": "max", "value": column.most}]
        if column.limits:
            properties += [{"id": "thresholds", "value": column.limits}, {"id": "color", "value": {"mode": "thresholds"}},
                           {"id": "custom.cellOptions", "value": {"type": "color-text"}}]
        if column.link:
            properties.append({"id": "links", "value": [column.link.json()]})
        overrides.append({"matcher": {"id": "byName", "options": column.title}, "properties": properties})
    order = {source[column.title]: place for place, column in enumerate(columns)}
    names = {old: new for new, old in source.items()}
    if len(valued) > 1:
        alone = alone or valued[0].title
        order["Value"] = order[source[alone]]
        names["Value"] = alone
    organize = {"id": "organize", "options": {
        "indexByName": order, "renameByName": names,
        "includeByName": {name: True for name in order}, "excludeByName": {"Time": True}}}
    return Panel("table", title, about, "none", empty,
                 [Query(column.expr, "", instant=True, table=True) for column in valued], width, height,
                 {"color": fixed(GREY)}, {"align": "auto", "minWidth": 60}, overrides,
                 {"showHeader": True, "cellHeight": "sm",
                  "sortBy": [{"displayName": sort, "desc": True}] if sort else []},
                 [{"id": "merge", "options": {}}, organize])


def states(title: str, about: str, empty: str, query: Query, names: dict[int, tuple[str, str]], *,
           width: int = 24, height: int = 7) -> Panel:
    """What was when: bars of states by series."""
    mapping = {"type": "value", "options": {str(value): {"text": text, "color": color, "index": value}
                                            for value, (text, color) in names.items()}}
    return Panel("state-timeline", title, about, "none", empty, [query], width, height,
                 {"color": {"mode": "thresholds"}, "mappings": [mapping],
                  "thresholds": steps((None, GREY))}, {"fillOpacity": 80, "lineWidth": 0},
                 options={"mergeValues": True, "showValue": "never", "alignValue": "left", "rowHeight": 0.85,
                          "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                          "tooltip": {"mode": "single", "sort": "none"}})


def histogram(title: str, about: str, unit: str, empty: str, expr: str, label: str, axis: str, axis_unit: str, name: str, *,
              color: str, width: int = 24, height: int = 8, without: str = "", repeat: str = "") -> Panel:
    """Bars in the order of a label that is a number."""
    hidden = {"Time": True, **({without: True} if without else {})}
    return Panel("barchart", title, about, unit, empty, [Query(expr, "", instant=True, table=True)], width, height,
                 {"color": fixed(color), "min": 0, "displayName": name},
                 {"fillOpacity": 80, "lineWidth": 0, "axisPlacement": "auto", "axisLabel": ""}, [
                     {"matcher": {"id": "byName", "options": label}, "properties": [
                         {"id": "unit", "value": axis_unit}, {"id": "displayName", "value": axis}]}],
                 {"xField": label, "orientation": "auto", "barWidth": 0.9, "groupWidth": 0.8, "stacking": "none",
                  "showValue": "never", "xTickLabelRotation": 0, "xTickLabelSpacing": 100, "fullHighlight": False,
                  "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
                  "tooltip": {"mode": "multi", "sort": "none"}},
                 [{"id": "organize", "options": {"excludeByName": hidden, "indexByName": {}, "renameByName": {}}},
                  {"id": "convertFieldType", "options": {"fields": {}, "conversions": [
                      {"targetField": label, "destinationType": "number"}]}},
                  {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": label}]}}], repeat=repeat)


def words(text: str, *, height: int) -> Panel:
    """Text in Markdown."""
    return Panel("text", "", "How to read this dashboard.", "none", "", [], 24, height,
                 options={"mode": "markdown", "content": text,
                          "code": {"language": "plaintext", "showLineNumbers": False, "showMiniMap": False}})


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """`query` asks Prometheus for values; without one it is a text of the reader's."""

    name: str
    label: str
    about: str
    query: str = ""
    default: str = ""
    many: bool = True
    every: str = ".*"
    all: bool = True

    def json(self) -> Json:
        common: Json = {"name": self.name, "label": self.label, "description": self.about, "hide": 0,
                        "skipUrlSync": False}
        if not self.query:
            chosen = {"text": self.default, "value": self.default, "selected": True}
            return {**common, "type": "textbox", "query": self.default, "current": chosen, "options": [chosen]}
        all_of_them = self.many and self.all
        current: Json = ({"text": ["All"], "value": ["$__all"]} if all_of_them else
                         {"text": self.default, "value": self.default})
        made = {**common, "type": "query", "datasource": SOURCE,
                "query": {"query": self.query, "refId": self.name}, "refresh": 2, "regex": "", "sort": 1,
                "multi": self.many, "includeAll": all_of_them, "current": current, "options": []}
        if all_of_them:
            made["allValue"] = self.every
        return made


DATASOURCE: Json = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
                    "description": "The Prometheus that scrapes Gramwatt and has its recording rules.",
                    "regex": "", "refresh": 1, "hide": 0, "includeAll": False, "multi": False, "current": {"text": "", "value": ""},
                    "options": [], "skipUrlSync": False}

CLUSTER = Variable("cluster", "Cluster", "By the label `cluster`; everything where targets have none.",
                   "label_values(gramwatt_build_info, cluster)")
JOB = Variable("job", "Job", "The job of the scrape.", 'label_values(gramwatt_build_info{cluster=~"$cluster"}, job)',
               every=".+")


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    about: str
    variables: Sequence[Variable]
    rows: Sequence[Row]
    since: str = "now-24h"
    annotations: Sequence[Json] = ()


def annotation(name: str, expr: str, title: str, text: str, color: str) -> Json:
    return {"name": name, "datasource": SOURCE, "enable": False, "hide": False, "iconColor": color, "expr": expr,
            "titleFormat": title, "textFormat": text, "step": "60s", "useValueForTime": False}


def document(made: Dashboard) -> Json:
    """The JSON that Grafana imports."""
    panels: list[Json] = []
    y = 0
    for row in made.rows:
        if row.title:
            panels.append({"id": len(panels) + 1, "type": "row", "title": row.title, "collapsed": False,
                           "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}, "panels": []})
            y += 1
        x, tallest = 0, 0
        for panel in row.panels:
            if x + panel.width > 24:
                x, y, tallest = 0, y + tallest, 0
            panels.append(panel.json(len(panels) + 1, x, y))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    link = {"type": "dashboards", "tags": ["gramwatt"], "title": "Gramwatt", "asDropdown": False, "icon": "external link",
            "includeVars": True, "keepTime": True, "targetBlank": False, "tooltip": "", "url": ""}
    return {
        "uid": made.uid, "id": None, "title": made.title, "description": made.about, "tags": ["gramwatt"],
        "schemaVersion": 41, "version": 1, "editable": False, "graphTooltip": 1, "timezone": "browser",
        "refresh": "1m", "time": {"from": made.since, "to": "now"}, "timepicker": {}, "fiscalYearStartMonth": 0,
        "weekStart": "", "links": [link], "annotations": {"list": list(made.annotations)},
        "templating": {"list": [DATASOURCE, *(variable.json() for variable in made.variables)]}, "panels": panels,
    }
