//! `gramwatt doctor`: what can and cannot be measured here, and how to mend it.

use crate::config::Config;
use crate::sensor::{Finding, Presence, Sensor};
use crate::setup::Setup;
use crate::state::Store;
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
        }
        None => {
            let _ = writeln!(text, "grid     no zone");
        }
    }
    for note in &setup.settings.notes {
        let _ = writeln!(text, "note     {note}");
    }
    Diagnosis { text, healthy }
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
