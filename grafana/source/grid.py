"""The grid: what a kWh emits now, who says so, and when it will be less."""

from __future__ import annotations

from model import (BLUE, CLUSTER, COUNT, GREEN, INTENSITY, JOB, ORANGE, PER_SECOND, PURPLE, RATIO, SECONDS, SKY,
                   TIME, UIDS, VERMILION, YELLOW, Column, Dashboard, Query, Row, Variable, annotation,
                   histogram, lines, now, ranked, ranking, stat, states, steps, table)
from recorded import ESTIMATED_SHARE

HERE = 'cluster=~"$cluster",job=~"$job",grid_zone=~"$zone"'
ALL = 'cluster=~"$cluster",job=~"$job"'
NO_ZONE = "No node has a grid zone: set grid.zone, grid.cloud or grid.intensity"
NO_OUTLOOK = "Nobody tells the hours ahead: no provider here has a forecast"

ZONE = Variable("zone", "Grid zone", "Zones that nodes or the relay tell of.",
                'label_values(gramwatt_grid_carbon_intensity_grams_per_kwh{cluster=~"$cluster",job=~"$job"}, grid_zone)',
                every=".+")


def intensity(signal: str) -> str:
    return f'max by (grid_zone) (gramwatt_grid_carbon_intensity_grams_per_kwh{{{HERE},signal="{signal}"}})'


def mean(signal: str) -> str:
    return (f"max by (grid_zone) (avg_over_time(gramwatt_grid_carbon_intensity_grams_per_kwh{{{HERE},signal=\"{signal}\"}}"
            "[$__range] @ end()))")


AVERAGE = intensity("average")
WINDOW = f"min by (grid_zone, window) (gramwatt_grid_greenest_window_grams_per_kwh{{{HERE}}})"

NOW = [
    ranking("Intensity now", "Average intensity in force, of nodes and relay: what grams are booked with. It counts generation over its whole "
            "life or stacks alone, as the provider does: see below.", INTENSITY, NO_ZONE,
            now(f"sort_desc({AVERAGE})", "{{grid_zone}}"), color=PURPLE, width=8, height=6, decimals=0),
    ranking("Age of the intensity", "Time since the moment that the value in force is for. A fixed number has no age. Live "
            "providers are an hour or two behind; some are honest about days.", SECONDS,
            "A fixed number is in force everywhere", now(
                f"sort_desc(max by (grid_zone) (time() - gramwatt_grid_carbon_intensity_valid_timestamp_seconds{{{HERE},"
                'signal="average"}))', "{{grid_zone}}"), width=8, height=6,
            limits=steps((None, BLUE), (7200, ORANGE), (10800, VERMILION))),
    ranking("Saved by waiting for the greenest 4 hours", "How much less the same work would emit in the greenest four hours "
            "of the forecast than at the intensity of this moment. Below 0: now is better.", RATIO, NO_OUTLOOK,
            now(f'sort_desc(1 - min by (grid_zone) (gramwatt_grid_greenest_window_grams_per_kwh{{{HERE},window="4h"}}) / '
                f"{AVERAGE})", "{{grid_zone}}"), color=GREEN, width=8, height=6, least=None, decimals=0),
]

COURSE = [
    lines("Average intensity", "What grams were booked with, by zone; the eight highest.", INTENSITY, NO_ZONE,
          ranked("grid_zone", AVERAGE, mean("average")), by_rank=True),
    lines("Marginal intensity", "What one more kWh emits, where a provider tells it. No gram is booked with it: it says when "
          "to run, not what was emitted.", INTENSITY, "No provider here tells the marginal intensity (WattTime does)",
          ranked("grid_zone", intensity("marginal"), mean("marginal")), by_rank=True),
]

FORECAST = histogram(
    "The hours ahead: $zone", "Forecast of the average intensity for each hour ahead; seasonal (as the days before) "
    "where no provider forecasts: see Provenance. A day ahead it is off by 10 to 30 %.", INTENSITY, NO_OUTLOOK,
    f'label_replace(max by (horizon) (gramwatt_grid_forecast_grams_per_kwh{{{HERE}}}), "hour", "$1", "horizon", "(.*)h")',
    "hour", "Hours ahead", "suffix: h", "Forecast", color=PURPLE, without="horizon", repeat="zone")

AHEAD = [
    table("Greenest windows", "When to start a job of 1, 4, 8 or 24 hours for the least emissions within the forecast, and "
          "what that saves against starting at this moment's intensity.", NO_OUTLOOK, [
              Column("Zone", label="grid_zone"), Column("Hours", label="window"),
              Column("Start", "min by (grid_zone, window) (gramwatt_grid_greenest_window_start_timestamp_seconds"
                     f"{{{HERE}}}) * 1000", unit=TIME),
              Column("Mean", WINDOW, unit=INTENSITY, decimals=0),
              Column("Saved", f"1 - {WINDOW} / on (grid_zone) group_left () {AVERAGE}", unit=RATIO, decimals=0)],
          width=24, height=8),
    FORECAST,
]

ON = "cluster, job, instance, grid_zone, signal"
WHENCE = [
    table("Provenance", "Who says so. Tier: live, cached (the last live value, not older than grid.max_age), forecast, or static "
          "(a yearly mean of the vintage). Estimated: the provider itself had to estimate. Scope: over the life of plants, or "
          "direct, what leaves the stacks: the two are not comparable.", NO_ZONE, [
              Column("Zone", label="grid_zone"), Column("Signal", label="signal"), Column("Provider", label="provider"),
              Column("Tier", label="tier"), Column("Estimated", label="estimated"), Column("Forecast", label="forecast"),
              Column("Vintage", label="vintage"), Column("Scope", label="scope"),
              Column("Targets", "count by (grid_zone, signal, provider, tier, estimated, forecast, vintage, scope) "
                     f"(gramwatt_grid_carbon_intensity_grams_per_kwh{{{HERE}}} * on ({ON}) group_left (provider, tier, "
                     f"estimated, forecast, vintage) gramwatt_grid_info{{{HERE}}})", unit=COUNT, decimals=0)],
          width=16, height=7),
    stat("Estimated CO₂e", "The part of the CO2e of the chosen time that was booked with a factor that was not live.", RATIO,
         "Nothing recorded in the chosen time", now(ESTIMATED_SHARE),
         width=8, height=7, decimals=1, limits=steps((None, BLUE), (0.2, ORANGE), (0.5, VERMILION))),
]

HEALTH = [
    states("Providers", "Whether the last answer of each provider was of use, at the worst of the targets that ask it.",
           "No provider is configured: fixed numbers are in force",
           Query(f"min by (provider) (gramwatt_grid_provider_up{{{ALL}}})", "{{provider}}"),
           {0: ("failing", VERMILION), 1: ("up", BLUE)}, width=12),
    lines("Requests", "Requests made of providers, and those that failed, of all targets together. A relay asks once for the "
          "whole cluster.", PER_SECOND, "No provider is configured: fixed numbers are in force",
          [Query(f"sum(rate(gramwatt_grid_requests_total{{{ALL}}}[$__rate_interval]))", "requests"),
           Query(f"sum(rate(gramwatt_grid_request_failures_total{{{ALL}}}[$__rate_interval]))", "failed")],
          colors={"requests": SKY, "failed": VERMILION}, height=7),
]

DASHBOARD = Dashboard(
    UIDS["grid"], "Gramwatt / Grid", "What a kWh emits now, who says so, and when it will be less.", [CLUSTER, JOB, ZONE],
    [Row("", NOW), Row("Course", COURSE), Row("Ahead", AHEAD), Row("Provenance", WHENCE), Row("Providers", HEALTH)],
    annotations=[annotation("Tier changes", f"count by (grid_zone, tier) (gramwatt_grid_info{{{HERE}}}) unless count by "
                            f"(grid_zone, tier) (gramwatt_grid_info{{{HERE}}} offset $__interval)", "{{grid_zone}}", "{{tier}}",
                            YELLOW)])
