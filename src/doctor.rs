//! `gramwatt doctor`: what can and cannot be measured here, and how to mend it.

use crate::config::Config;
use crate::sensor::{Finding, Presence};
use crate::setup::Setup;
use crate::state::Store;
use std::fmt::Write;

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
pub fn examine(config: &Config, setup: &Setup) -> Diagnosis {
    let mut text = String::new();
    let mut healthy = true;
    for (family, findings) in &setup.findings {
        let Some(findings) = findings else {
            let _ = writeln!(text, "{:<8} off", family.name);
            continue;
        };
        let _ = writeln!(text, "{:<8} {}", family.name, family.summary);
        for finding in findings {
            healthy &= finding.state != Presence::Unreadable;
            line(&mut text, finding);
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

fn line(text: &mut String, finding: &Finding) {
    let state = match finding.state {
        Presence::Found => "found",
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
