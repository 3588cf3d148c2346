//! `gramwatt doctor`: what can and cannot be measured here, and how to mend it.

use crate::clock;
use crate::config::Config;
use crate::file;
use crate::grid::provider::Provider;
use crate::grid::store;
use crate::grid::zone::Told;
use crate::sensor::{Finding, Presence, Sensor};
use crate::setup::{self, Setup, Watch};
use crate::snapshot::Grid;
use crate::state::Store;
use crate::workload;
use std::fmt::Write;
use std::time::Duration;

/// What the doctor says.
#[derive(Debug)]
pub struct Diagnosis {
    /// The text, for people.
    pub text: String,
    /// Whether nothing needs mending.
    pub healthy: bool,
}

/// Looks at everything that `config` would use.
#[must_use]
pub fn examine(config: &Config, mut setup: Setup) -> Diagnosis {
    let mut text = String::new();
    let mut healthy = true;
    for (family, findings) in &setup.findings {
        let Some(findings) = findings else {
            let _ = writeln!(text, "{:<8} off", family.name);
            continue;
        };
        let _ = writeln!(text, "{:<8} {}", family.name, family.summary);
        for finding in findings {
            for finding in told(finding, &mut setup.sensors) {
                healthy &= finding.state != Presence::Unreadable;
                line(&mut text, &finding);
            }
        }
    }
    healthy &= workloads(&mut text, config);
    let (books, kept) = books(config);
    healthy &= kept;
    let _ = writeln!(text, "{books}");
    match &setup.settings.grid {
        Some(grid) => {
            let _ = writeln!(
                text,
                "grid     {} {} g CO2e/kWh, {} ({}) {}",
                grid.zone, grid.intensity.0, grid.provider, grid.tier, grid.source
            );
            if !grid.why.is_empty() {
                let _ = writeln!(text, "place    {}", place(grid));
            }
        }
        None => {
            let _ = writeln!(text, "grid     no zone");
        }
    }
    if let Some(watch) = &setup.watch {
        healthy &= providers(&mut text, config, watch);
    }
    for note in &setup.settings.notes {
        let _ = writeln!(text, "note     {note}");
    }
    Diagnosis { text, healthy }
}

/// Who can tell who uses the machine; says whether all that is there can be read.
fn workloads(text: &mut String, config: &Config) -> bool {
    let Some(plan) = setup::observation(config) else {
        let _ = writeln!(text, "workloads off");
        return true;
    };
    let _ = writeln!(text, "workloads who uses the devices");
    let findings = workload::examine::examine(&plan);
    for finding in &findings {
        line(text, finding);
    }
    findings
        .iter()
        .all(|finding| finding.state != Presence::Unreadable)
}

/// Who is asked about which zone, and why about that one; says whether they can be.
fn providers(text: &mut String, config: &Config, watch: &Watch) -> bool {
    let zone = &watch.place.bundled.zone;
    let mut healthy = true;
    for provider in &watch.providers {
        let finding = asked(provider.as_ref(), zone);
        healthy &= finding.state != Presence::Unreadable;
        line(text, &finding);
    }
    let _ = writeln!(text, "  {:<10} {}", "cache", cache(config, watch));
    let _ = writeln!(
        text,
        "  {:<10} gramwatt grid --once, with this configuration, asks them now and tells what each answers",
        "try"
    );
    healthy
}

/// What a provider would be asked. Nothing is sent: that is for `gramwatt grid --once`.
fn asked(provider: &dyn Provider, zone: &str) -> Finding {
    let finding = |state, detail: String, mend: &str| Finding {
        subject: provider.name().into(),
        state,
        detail,
        mend: mend.to_owned(),
    };
    if let Err(reason) = provider.requests(zone, clock::now().wall) {
        let mend =
            "give the zone in the provider's own terms, or take the provider out of grid.providers";
        return finding(Presence::Unreadable, reason, mend);
    }
    let secret = provider.secret();
    let unread = secret.and_then(|path| Some((path, file::read(path, SECRET).err()?)));
    if let Some((path, error)) = unread {
        let mend = "write the secret to that file, readable by gramwatt's user alone";
        return finding(
            Presence::Unreadable,
            format!("{}: {error}", path.display()),
            mend,
        );
    }
    let signal = provider.signal().label();
    let with = secret.map_or_else(String::new, |path| {
        format!(", with the secret in {}", path.display())
    });
    finding(
        Presence::Unasked,
        format!("about the {signal} intensity of {zone}{with}"),
        "",
    )
}

/// Most of a file of a secret that is looked at.
const SECRET: u64 = 64 << 10;

/// Where what providers tell is kept over a restart, and whether there is anything.
fn cache(config: &Config, watch: &Watch) -> String {
    let store = store::Store::new(&config.books_directory());
    let path = store.path().display();
    let zone = &watch.place.bundled.zone;
    let kept = store.load().remove(zone).unwrap_or_default();
    if kept != Told::default() {
        format!("{path}: has what was told of {zone} before")
    } else {
        format!("{path}: nothing of {zone} yet")
    }
}

/// Where the node stands, and why that is known.
fn place(grid: &Grid) -> String {
    let Grid {
        zone,
        cloud_provider,
        cloud_region,
        why,
        ..
    } = grid;
    match cloud_region.as_str() {
        "" => format!("{zone}: {why}"),
        _ => format!("{zone}, {cloud_provider} {cloud_region}: {why}"),
    }
}

/// A finding, or what its sensor answers where nobody has asked it yet.
fn told(finding: &Finding, sensors: &mut [(Box<dyn Sensor>, Duration)]) -> Vec<Finding> {
    let is_meant = |sensor: &dyn Sensor| sensor.name() == finding.subject;
    let mut sensors = sensors.iter_mut().map(|(sensor, _)| sensor.as_mut());
    let unasked = finding.state == Presence::Unasked;
    let Some(sensor) = sensors.find(|sensor| unasked && is_meant(*sensor)) else {
        return vec![finding.clone()];
    };
    let readings = sensor.read();
    let found = readings.good.iter().map(|reading| Finding {
        subject: reading.source.part.to_string(),
        state: Presence::Found,
        detail: format!("{}: {}", finding.detail, reading.value),
        mend: String::new(),
    });
    let amiss = readings.bad.iter().map(|fault| Finding {
        subject: finding.subject.clone(),
        state: Presence::Unreadable,
        detail: fault.to_string(),
        mend: fault.mend.clone(),
    });
    let told: Vec<Finding> = found.chain(amiss).collect();
    if told.is_empty() {
        let why = sensor
            .silence()
            .unwrap_or("answered, and tells of no device");
        return vec![Finding {
            state: Presence::Absent,
            detail: format!("{}: {why}", finding.detail),
            ..finding.clone()
        }];
    }
    told
}

fn line(text: &mut String, finding: &Finding) {
    let state = match finding.state {
        Presence::Found => "found",
        Presence::Unasked => "not asked",
        Presence::Absent => "absent",
        Presence::Unreadable => "UNREADABLE",
    };
    let _ = writeln!(
        text,
        "  {state:<10} {}: {}",
        finding.subject, finding.detail
    );
    if !finding.mend.is_empty() {
        let _ = writeln!(text, "  {:<10} mend: {}", "", finding.mend);
    }
}

/// Whether the books can be kept. Another gramwatt that keeps them is no ailment: it is the patient.
fn books(config: &Config) -> (String, bool) {
    let directory = config.books_directory();
    match Store::look(&directory, &config.path.procfs) {
        Ok(()) => (format!("books    found      {}", directory.display()), true),
        Err(crate::state::StateError::Taken(path)) => (
            format!(
                "books    found      {}: kept by a running gramwatt",
                path.display()
            ),
            true,
        ),
        Err(error @ crate::state::StateError::NoBoot { .. }) => {
            (format!("books    UNREADABLE {error}"), false)
        }
        Err(error) => (format!("books    UNWRITABLE {error}"), false),
    }
}
