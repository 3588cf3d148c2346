"""What if the same load ran elsewhere, at another hour, in another building, on other accelerators."""

from __future__ import annotations

import recorded
from model import (BLUE, CLUSTER, GREY, INTENSITY, KG, KWH, ORANGE, PURPLE, RATIO, UIDS, VERMILION, WATT,
                   Column, Dashboard, Row, Variable, now, ranking, stat, table, words)
from recorded import HERE, HOURS, NO_RULES, by

NO_RELAY = "No relay is scraped: it tells the figures of other places (gramwatt grid)"
YEARLY = "With the yearly mean that is bundled, not with hours: its source and vintage are in the label `source` of the series."


# Of nodes that know their grid zone: the others have no grams to compare with.
ENERGY, GRAMS = by("cluster", recorded.BOOKED), by("cluster", recorded.GRAMS)
PUE = f"avg by (cluster) (avg_over_time(cluster:gramwatt_pue_ratio:avg{{{HERE}}}[$__range]))"
KWH_IT = f"sum({ENERGY}) / 3.6e6"
# Energy at the meter of the building, as it was.
KWH_SITE = f"sum({ENERGY} * on (cluster) {PUE}) / 3.6e6"
# What a kWh of the building emitted.
MEAN = f"(sum({GRAMS}) / ({KWH_SITE}))"


def scalar(expr: str) -> str:
    return f"scalar({expr})"


AS_IT_WAS = [
    stat("Energy", f"Of all nodes that know their grid zone, in the chosen time (IT equipment). {HOURS}", KWH, NO_RULES, now(KWH_IT), decimals=1, width=6),
    stat("CO₂e as it was", f"Operational, by location. {HOURS}", KG, NO_RULES, now(f"sum({GRAMS}) / 1e3"), color=VERMILION,
         decimals=1, width=6),
    stat("PUE as it was", "Energy of the building over energy of the IT equipment, each cluster's mean weighted by its energy.", "none", NO_RULES,
         now(f"({KWH_SITE}) / ({KWH_IT})"), color=GREY, decimals=2, width=6),
    stat("Intensity as it was", "Grams over kWh of the building: the grid's intensity, weighted by when and where the energy was "
         "used.", INTENSITY, NO_RULES, now(MEAN), color=PURPLE, decimals=0, width=6),
]

# Places where much is computed, from the cleanest to the dirtiest grid.
PLACES = ("NO|SE|CH|CA-QC|FR|FI|BR|AT|ES|CA|BE|NZ|DK|GB|IT|NL|IE|PT|US-WA|US-OR|US-CA|US-NY|US-TX|US-VA|US|DE|AE|KR|JP|SG|"
          "AU|CN|TW|PL|IN|ZA|WORLD")
REFERENCE = "max by (grid_zone, name) (gramwatt_reference_zone_grams_per_kwh{grid_zone=~\"%s\"})"
CLOUD = "max by (cloud_region, name) (gramwatt_reference_cloud_grams_per_kwh{provider=~\"$provider\",cloud_region=~\"%s\"})"
CLOUD_PUE = "max by (cloud_region, name) (gramwatt_reference_cloud_pue_ratio{provider=~\"$provider\",cloud_region=~\"%s\"})"
SITE = scalar(KWH_SITE)

PLACE = [
    stat("In the zone $other_zone", f"The same energy with the same PUE on the grid of the chosen zone. {YEARLY}", KG, NO_RELAY,
         now(f"sum({REFERENCE % '$other_zone'}) * {SITE} / 1e3"), color=VERMILION, decimals=1, width=6, height=5),
    stat("That is, of what it was", "1 is as much, 0.1 a tenth.", RATIO, NO_RELAY,
         now(f"sum({REFERENCE % '$other_zone'}) / {scalar(MEAN)}"), color=BLUE, decimals=0, width=6, height=5),
    stat("In $provider $region", "The same energy of the IT equipment in the chosen cloud region: its intensity and its PUE, as "
         "its provider publishes them, else its zone's yearly mean and the PUE as it was.", KG, NO_RELAY,
         now(f"sum({CLOUD % '$region'} * on (cloud_region, name) ({CLOUD_PUE % '$region'} or {CLOUD % '$region'} * 0 + "
             f"{scalar(f'({KWH_SITE}) / ({KWH_IT})')})) * {scalar(KWH_IT)} / 1e3"), color=VERMILION, decimals=1, width=6,
         height=5),
    stat("That is, of what it was", "1 is as much, 0.1 a tenth. Of operational CO2e: to move hardware, or to rent other, has a "
         "footprint of its own.", RATIO, NO_RELAY,
         now(f"sum({CLOUD % '$region'} * on (cloud_region, name) ({CLOUD_PUE % '$region'} or {CLOUD % '$region'} * 0 + "
             f"{scalar(f'({KWH_SITE}) / ({KWH_IT})')})) * {scalar(KWH_IT)} / {scalar(f'sum({GRAMS})')}"), color=BLUE,
         decimals=0, width=6, height=5),
    ranking("The same load in other countries and states", "The same energy with the same PUE, from the dirtiest to the "
            f"cleanest of some places where much is computed. {YEARLY}", KG, NO_RELAY,
            now(f"sort_desc({REFERENCE % PLACES} * {SITE} / 1e3)", "{{name}}"), color=VERMILION, width=12, height=24,
            decimals=0),
    ranking("The same load in regions of $provider", "The same energy of the IT equipment, with intensity and PUE of each region "
            "where the provider publishes both; the 36 least. Published intensities are of different years and scopes.", KG, NO_RELAY,
            now(f"sort_desc(bottomk(36, {CLOUD % '.+'} * on (cloud_region, name) {CLOUD_PUE % '.+'} * {scalar(KWH_IT)} / 1e3))",
                "{{cloud_region}} ({{name}})"), color=ORANGE, width=12, height=24, decimals=0),
]

# Uptime Institute, Global Data Center Survey (2019: 1.67, 2025: 1.54), https://uptimeinstitute.com/resources/research-and-reports;
# fleets of 2024: AWS 1.15, https://sustainability.aboutamazon.com, Google 1.09, https://datacenters.google/efficiency/
BUILDINGS = [(1.67, "1.67 (industry, 2019)"), (1.54, "1.54 (industry, 2025)"),
             (1.3, "1.30"), (1.15, "1.15 (fleet of AWS, 2024)"), (1.1, "1.10 (among the best)"),
             (1.09, "1.09 (fleet of Google, 2024)")]
PUES = " or ".join(f'label_replace(vector({scalar(MEAN)} * {scalar(KWH_IT)} * {pue} / 1e3), "pue", "{name}", "", "")'
                   for pue, name in [*BUILDINGS, ("$pue", "chosen above")])
BUILDING = [
    ranking("The same load at another PUE", "The same energy of the IT equipment at the same intensity, in a building of another "
            "PUE. From 1.67 to 1.1 a third of the emissions goes.", KG, NO_RULES,
            now(f'sort_desc({PUES} or label_replace(vector(scalar(sum({GRAMS})) / 1e3), "pue", "as it was", "", ""))',
                "{{pue}}"), color=GREY, colors={"as it was": VERMILION, "chosen above": BLUE}, width=12, height=9,
            decimals=1),
]

INTENSITIES = f"cluster:gramwatt_grid_carbon_intensity_grams_per_kwh:avg{{{HERE}}}[$__range]"


def at_quantile(quantile: float) -> str:
    return f"sum({ENERGY} * on (cluster) {PUE} * on (cluster) quantile_over_time({quantile}, {INTENSITIES})) / 3.6e9"


MOMENTS = [("as it was", f"sum({GRAMS}) / 1e3"), ("cleanest tenth of the hours", at_quantile(0.05)),
           ("cleanest quarter", at_quantile(0.125)), ("middle", at_quantile(0.5)), ("dirtiest quarter", at_quantile(0.875)),
           ("dirtiest tenth", at_quantile(0.95))]
HOUR = [
    ranking("The same load at other hours", "The same energy in the same place, had it all been used in the cleanest or the "
            "dirtiest hours of the chosen time: the middle of that tenth or quarter by the recorded intensity. What can wait "
            "can come near the first.", KG, NO_RULES,
            now("sort_desc(" + " or ".join(f'label_replace({expr}, "when", "{name}", "", "")' for name, expr in MOMENTS) + ")",
                "{{when}}"), color=PURPLE, colors={"as it was": VERMILION}, width=12, height=9, decimals=1),
]

GPU_POWER = ('sum(gramwatt_device_power_watts{cluster=~"$cluster",kind="gpu"} and on (cluster, job, instance, device) '
             'gramwatt_device_power_limit_watts)')
GPU_LIMIT = 'sum(gramwatt_device_power_limit_watts{cluster=~"$cluster",kind="gpu"})'
SHARE = f"({GPU_POWER} / {GPU_LIMIT})"
RATED = "max by (accelerator) (gramwatt_reference_accelerator_rated_power_watts)"
MADE = "max by (accelerator) (gramwatt_reference_accelerator_embodied%s_co2e_grams)"
# Four years, as in the embodied series.
LIFE = "(4 * 8766)"
WORK = f"{RATED} * {scalar(f'max({SHARE})')}"
SITE_GRAMS = f"{scalar(f'sum({GRAMS}) / ({KWH_IT})')}"
HARDWARE = [
    stat("Power over limit", "Power of all accelerators over their limits at this moment: how hard they work.", RATIO,
         "No accelerator tells its limit", now(SHARE), color=ORANGE, decimals=0, width=4, height=12),
    table("1,000 hours on another accelerator", "At the share of the rated power that the accelerators here draw now, at the "
          "grams for each kWh of the chosen time (PUE in it). It says nothing of how much work an hour does: a faster one "
          "needs fewer. Embodied: the making, spread over four years, and the span of what is published.", NO_RELAY, [
              Column("Accelerator", label="accelerator", width=220), Column("Rated", RATED, unit=WATT, decimals=0, width=90),
              Column("Energy", f"{WORK}", unit=KWH, decimals=0, width=100),
              Column("Operational", f"{WORK} * {SITE_GRAMS} / 1e3", unit=KG, decimals=1, bar=VERMILION, width=200),
              Column("Embodied", f"{MADE % ''} / {LIFE}", unit=KG, decimals=1, width=120),
              Column("at least", f"{MADE % '_low'} / {LIFE}", unit=KG, decimals=1, width=110),
              Column("at most", f"{MADE % '_high'} / {LIFE}", unit=KG, decimals=1, width=110)], width=20, height=12,
          sort="Operational"),
]

VARIABLES = [
    CLUSTER,
    Variable("other_zone", "Zone", "A grid zone whose yearly mean is bundled.",
             "label_values(gramwatt_reference_zone_grams_per_kwh, grid_zone)", default="SE", many=False),
    Variable("provider", "Cloud", "A provider of clouds.", "label_values(gramwatt_reference_cloud_grams_per_kwh, provider)",
             default="aws", many=False),
    Variable("region", "Region", "A region of it.",
             'label_values(gramwatt_reference_cloud_grams_per_kwh{provider="$provider"}, cloud_region)', default="eu-north-1",
             many=False),
    Variable("pue", "PUE", "Facility power over IT power of another building, 1 or more.", default="1.2"),
]

DASHBOARD = Dashboard(
    UIDS["whatif"], "Gramwatt / What if", "What the same load would emit elsewhere, at another hour, in another building, on "
    "other accelerators.", VARIABLES,
    [Row("", [words("The load of the chosen time, computed again. **Where** is the largest lever: grids differ tenfold and more. "
                    "Then **when**, **in which building** and **on what**. Only operational CO₂e moves; hardware that stands "
                    "unused elsewhere has been made all the same.", height=2), *AS_IT_WAS]),
     Row("Another place", PLACE), Row("Another building, another hour", [*BUILDING, *HOUR]),
     Row("Another accelerator", HARDWARE)], since="now-7d")
