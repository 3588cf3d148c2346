"""Totals of recorded hours, in the words and queries that dashboards share."""

from __future__ import annotations

HERE = 'cluster=~"$cluster"'
HOURS = "Sums of whole hours that the rules have recorded; the hour that runs is not in them."
NO_RULES = "Nothing recorded yet: load gramwatt-recording.yaml and wait for a full hour"


def hourly(level: str, what: str, where: str = "") -> str:
    """What the rules record of a level each hour, of the chosen clusters."""
    return f"{level}:gramwatt_{what}:increase1h{{{HERE}{where}}}"


def by(labels: str, series: str, span: str = "$__range", at: str = "") -> str:
    return f"sum by ({labels}) (sum_over_time({series}[{span}]{at}))"


def total(series: str, span: str = "$__range") -> str:
    return f"sum(sum_over_time({series}[{span}]))"


def clusters(course: str) -> str:
    """Who has no label has a name in the legend all the same."""
    return f'label_replace({course}, "cluster", "all", "cluster", "")'


GRAMS, JOULES = hourly("cluster", "node_co2e_grams"), hourly("cluster", "node_energy_joules")
# Of nodes that know their grid zone.
BOOKED = hourly("cluster", "node_co2e_energy_joules")
MODELLED, ESTIMATED = hourly("cluster", "node_modelled_energy_joules"), hourly("cluster", "node_estimated_co2e_grams")
MODELLED_SHARE = f"{total(MODELLED)} / {total(JOULES)}"
ESTIMATED_SHARE = f"{total(ESTIMATED)} / {total(GRAMS)}"
