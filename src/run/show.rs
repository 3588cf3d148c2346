//! A snapshot in the words of the socket.

use super::api::{self, Used};
use super::book::Shown;
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};

/// A run.
#[must_use]
pub fn run(shown: &Shown) -> api::Run {
    let kinds = shown.uses.iter().map(|used| {
        let figures = Used {
            watts: used.watts.map(|watts| watts.0),
            joules: used.joules.0,
            grams: used.grams.map(|grams| grams.0),
        };
        (used.kind.label().to_owned(), figures)
    });
    api::Run {
        id: shown.id.to_string(),
        name: shown.name.to_string(),
        user: shown.user.to_string(),
        state: shown.state,
        began: shown.began.wall.to_string(),
        ended: shown.ended.map(|ended| ended.wall.to_string()),
        seconds: shown.elapsed.as_secs_f64(),
        settled: shown.settled,
        processes: shown.processes,
        watts: shown.watts().map(|watts| watts.0),
        joules: shown.joules().0,
        grams: shown.grams().map(|grams| grams.0),
        kinds: kinds.collect(),
        progress: shown.told,
        prediction: shown.prediction,
        first_prediction: shown.first,
        budget_grams: shown.budget.map(|grams| grams.0),
    }
}

/// What its figures rest on, for somebody whose process is seen or not.
#[must_use]
pub fn node(snapshot: &Snapshot, sees_you: bool) -> api::Node {
    let mut methods: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for device in &snapshot.devices {
        let of = methods.entry(device.kind.label().to_owned()).or_default();
        of.insert(device.method.label());
    }
    let methods = methods.into_iter().map(|(kind, all)| {
        let all: Vec<&str> = all.into_iter().collect();
        (kind, all.join(", "))
    });
    let hours = snapshot.outlook.iter().flat_map(|o| o.forecast.known());
    api::Node {
        host: snapshot.host.to_string(),
        at_seconds: snapshot.at.map_or(0.0, |at| at.boot.as_secs_f64()),
        ready: snapshot.ready,
        sees_you,
        methods: methods.collect(),
        watts: snapshot.node.watts.map(|watts| watts.0),
        joules: snapshot.node.joules.map(|joules| joules.0),
        embodied_grams: snapshot.node.embodied.map(|grams| grams.0),
        pue: snapshot.pue.ratio,
        pue_origin: snapshot.pue.origin.to_owned(),
        grid: snapshot.grid.as_ref().map(|grid| api::Grid {
            zone: grid.zone.clone(),
            intensity: grid.intensity.0,
            provider: grid.provider.clone(),
            tier: grid.tier.to_owned(),
            vintage: grid.vintage.clone(),
        }),
        forecast: hours
            .map(|(start, grams, _)| api::Hour {
                start: start.to_string(),
                intensity: grams.0,
            })
            .collect(),
        notes: snapshot.notes.iter().map(ToString::to_string).collect(),
    }
}
