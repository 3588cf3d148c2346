//! Starts all that tells the engine something, each with where to tell it.

use super::station::Order;
use crate::grid::conditions::Conditions;
use crate::grid::facility;
use crate::grid::schedule::Doors;
use crate::grid::service::{self, Moments, Running, Service};
use crate::sampler::Samplers;
use crate::setup::Setup;
use crate::snapshot::Snapshot;
use crate::workload::runs::Roster;
use crate::workload::watch::Lookout;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use tokio::sync::watch;

/// Starts to read the sensors.
pub(super) fn start(setup: &mut Setup, orders: &SyncSender<Order>) -> io::Result<Samplers> {
    let orders = orders.clone();
    let deliver = move |batch| orders.send(Order::Batch(batch)).is_ok();
    Samplers::start(std::mem::take(&mut setup.sensors), &deliver)
}

/// Starts to ask for the intensity of the moment, where anybody is to be asked.
pub(super) fn ask(
    setup: &mut Setup,
    number: u64,
    books: Option<&Path>,
    doors: &Doors,
    orders: &SyncSender<Order>,
) -> io::Result<Option<Running>> {
    let Some(watch) = setup.watch.take() else {
        return Ok(None);
    };
    let orders = orders.clone();
    let tell = move |service: &mut Service, _: Option<usize>, at: Moments| {
        let (conditions, until) = service.conditions(0, at.now)?;
        let conditions = Box::new(Conditions {
            since: at.since,
            ..conditions
        });
        orders.send(Order::Conditions(number, conditions)).ok()?;
        Some(until)
    };
    service::start(vec![watch.place], watch.providers, books, doors, tell).map(Some)
}

/// Starts to ask what holds of the site, where anybody is to be asked.
pub(super) fn visit(
    setup: &mut Setup,
    number: u64,
    doors: &Doors,
    orders: &SyncSender<Order>,
) -> io::Result<Option<facility::Running>> {
    let Some(plan) = setup.facility.take() else {
        return Ok(None);
    };
    let orders = orders.clone();
    let tell = move |facts| orders.send(Order::Facts(number, Box::new(facts))).is_ok();
    facility::start(plan, doors, tell).map(Some)
}

/// Starts to look who uses the machine, where anybody can be found.
pub(super) fn observe(
    setup: &mut Setup,
    number: u64,
    roster: &Roster,
    latest: &watch::Receiver<Arc<Snapshot>>,
    orders: &SyncSender<Order>,
) -> io::Result<Option<Lookout>> {
    let Some(plan) = setup.workloads.take() else {
        return Ok(None);
    };
    let orders = orders.clone();
    let tell = move |census| orders.send(Order::Census(number, Box::new(census))).is_ok();
    Lookout::start(plan, roster.clone(), latest.clone(), tell).map(Some)
}
