//! The grid and the facility.

use super::{Family, Kind, NONE, counted, family, single};
use crate::grid::forecast::Window;
use crate::snapshot::{Grid, Region, Snapshot};

/// The intensities in force, with the zone that each is of: the average one, and the marginal one where it
/// is known.
fn in_force(snapshot: &Snapshot, mut tell: impl FnMut(&Grid, &Region)) {
    for region in snapshot.zones() {
        tell(&region.grid, &region);
        if let Some(marginal) = &region.marginal {
            tell(marginal, &region);
        }
    }
}

/// The best windows, with the zone that they are of.
fn windows(snapshot: &Snapshot, mut tell: impl FnMut(&str, Window)) {
    for region in snapshot.zones() {
        let windows = region
            .outlook
            .iter()
            .flat_map(|outlook| outlook.forecast.windows());
        windows.for_each(|window| tell(&region.grid.zone, *window));
    }
}

pub(super) const FAMILIES: &[Family] = &[
    family(
        "gramwatt_grid_carbon_intensity_grams_per_kwh",
        None,
        Kind::Gauge,
        &["grid_zone", "signal", "scope"],
        "Grid carbon intensity in force, in grams of CO2e for each kWh.",
        |s, emit| {
            in_force(s, |g, _| {
                emit(&[&g.zone, g.signal, &g.scope], g.intensity.0)
            });
        },
    ),
    family(
        "gramwatt_grid_carbon_intensity_valid_timestamp",
        Some("seconds"),
        Kind::Gauge,
        &["grid_zone", "signal"],
        "The moment that the intensity in force is for.",
        |s, emit| {
            in_force(s, |g, _| {
                if let Some(valid) = g.valid {
                    emit(&[&g.zone, g.signal], valid);
                }
            });
        },
    ),
    family(
        "gramwatt_grid",
        None,
        Kind::Info,
        &[
            "grid_zone",
            "signal",
            "provider",
            "tier",
            "estimated",
            "vintage",
            "forecast",
        ],
        "Where the intensity in force comes from, and who forecasts it: provider, or seasonal (as the days \
         before).",
        |s, emit| {
            in_force(s, |g, region| {
                let estimated = if g.estimated { "true" } else { "false" };
                let outlook = region.outlook.as_ref().filter(|_| g.signal == "average");
                let forecast = outlook.map_or("", |outlook| outlook.forecast.origin.label());
                emit(
                    &[
                        &g.zone,
                        g.signal,
                        &g.provider,
                        g.tier,
                        estimated,
                        &g.vintage,
                        forecast,
                    ],
                    1.0,
                );
            });
        },
    ),
    family(
        "gramwatt_grid_forecast_grams_per_kwh",
        None,
        Kind::Gauge,
        &["grid_zone", "horizon"],
        "Forecast of the average intensity: the mean of the hour that begins so many hours after the full \
         hour that we are in.",
        |s, emit| {
            for region in s.zones() {
                let hours = region
                    .outlook
                    .iter()
                    .flat_map(|outlook| &outlook.forecast.hours);
                for (hour, grams) in hours.enumerate().skip(1) {
                    if let Some(grams) = grams {
                        emit(&[&region.grid.zone, &format!("{hour}h")], grams.0);
                    }
                }
            }
        },
    ),
    family(
        "gramwatt_grid_greenest_window_start_timestamp",
        Some("seconds"),
        Kind::Gauge,
        &["grid_zone", "window"],
        "When to start a job of so many hours for the least emissions, within the forecast.",
        |s, emit| {
            windows(s, |zone, window| {
                let start = window.start.as_duration().as_secs_f64();
                emit(&[zone, &format!("{}h", window.hours)], start);
            });
        },
    ),
    family(
        "gramwatt_grid_greenest_window_grams_per_kwh",
        None,
        Kind::Gauge,
        &["grid_zone", "window"],
        "The mean intensity of that window.",
        |s, emit| {
            windows(s, |zone, window| {
                emit(&[zone, &format!("{}h", window.hours)], window.mean.0);
            });
        },
    ),
    family(
        "gramwatt_grid_provider_up",
        None,
        Kind::Gauge,
        &["provider"],
        "Whether the provider's last answer was of use.",
        |s, emit| {
            for p in s.providers.iter() {
                emit(&[&p.name], f64::from(u8::from(p.up)));
            }
        },
    ),
    family(
        "gramwatt_grid_requests",
        None,
        Kind::Counter,
        &["provider"],
        "Requests made of the provider.",
        |s, emit| {
            for p in s.providers.iter() {
                emit(&[&p.name], counted(p.requests));
            }
        },
    ),
    family(
        "gramwatt_grid_request_failures",
        None,
        Kind::Counter,
        &["provider", "reason"],
        "Requests that failed, answers that could not be used, and values that cannot be.",
        |s, emit| {
            for p in s.providers.iter() {
                for (reason, count) in &p.failures {
                    emit(&[&p.name, reason], counted(*count));
                }
            }
        },
    ),
    family(
        "gramwatt_pue",
        Some("ratio"),
        Kind::Gauge,
        NONE,
        "Facility power / IT power in force; 1 where it is not set.",
        |s, emit| single(emit, s.at.map(|_| s.pue.ratio)),
    ),
];
