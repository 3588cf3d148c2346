//! The flags of `gramwatt report`.

use crate::data;
use crate::grid::provider::own::Url;
use crate::report::prometheus::Access;
use crate::report::rows::By;
use crate::report::time::{Span, moment};
use crate::report::{Format, Order, Table};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use std::path::PathBuf;

/// What `gramwatt report` is asked for.
#[derive(Debug, Args)]
pub struct Report {
    /// The Prometheus, Thanos, Mimir or VictoriaMetrics, with its prefix where it has one.
    #[arg(long, value_name = "URL", value_parser = url)]
    prometheus: Url,
    /// From when: now-30d, 2026-10-01 (its first moment, UTC) or 2026-10-01T06:00:00Z.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    /// To when; that moment itself is not in it.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "now",
        allow_hyphen_values = true
    )]
    to: String,
    /// What the table has a row for each of.
    #[arg(long, value_enum, default_value_t = ByWhat::Team)]
    by: ByWhat,
    /// This cluster alone, by its label; repeat for several [default: all].
    #[arg(long, value_name = "NAME")]
    cluster: Vec<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = How::Text)]
    format: How,
    /// Write to a file, whole or not at all [default: standard output].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Rows of a table, but of JSON and CSV, which have all.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    top: u32,
    /// Which table CSV has.
    #[arg(long, value_enum, default_value_t = Which::Rows)]
    table: Which,
    /// Let hours pass in which nobody told anything; the report says so.
    #[arg(long)]
    allow_gaps: bool,
    /// Compare with the regions of this cloud provider; repeat for several [default: all].
    #[arg(long, value_name = "PROVIDER", value_parser = provider)]
    compare: Vec<String>,
    /// What the software makes, for its carbon intensity (ISO/IEC 21031), such as "1000 tokens".
    #[arg(long, value_name = "WORDS", requires = "units", value_parser = words)]
    functional_unit: Option<String>,
    /// How many functional units were made in the time; NAME=N: by the run of that id, or else each of that name, with
    /// --by run.
    #[arg(long, value_name = "[NAME=]N", value_parser = units)]
    units: Vec<Units>,
    /// A file whose only line is a bearer token.
    #[arg(long, value_name = "FILE", conflicts_with = "credentials_file")]
    token_file: Option<PathBuf>,
    /// A file of YAML with username and password, for basic authentication.
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
    /// The authorities that the server's certificate may be of, in PEM [default: the machine's].
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Functional units, of a run or of all.
#[derive(Clone, Debug)]
struct Units {
    run: Option<String>,
    number: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ByWhat {
    /// The label team of workloads.
    Team,
    /// A pod, a job, a unit.
    Workload,
    /// A machine.
    Node,
    /// A command that `gramwatt run` measured.
    Run,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum How {
    /// For a terminal.
    Text,
    /// For a page or a ticket.
    Markdown,
    /// All of it, for programs.
    Json,
    /// One table of it.
    Csv,
    /// A statement for a paper's appendix, a table, and BibTeX of what it cites.
    Latex,
    /// One page with charts.
    Html,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    /// Who used it.
    Rows,
    /// Hour by hour.
    Hours,
    /// The same load in cloud regions.
    Regions,
}

fn url(text: &str) -> Result<Url, String> {
    // Its own words on names and passwords are about the configuration file.
    if text.contains('@') {
        return Err("a URL holds no name and password here: give --credentials-file".to_owned());
    }
    Url::try_from(text.to_owned())
}

fn provider(text: &str) -> Result<String, String> {
    let known = data::cloud_providers();
    let name = text.to_lowercase();
    if known.contains(&name) {
        return Ok(name);
    }
    Err(format!(
        "no such cloud is bundled; there are {}",
        known.join(", ")
    ))
}

fn words(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a functional unit has a name, such as \"1000 tokens\"".to_owned()),
        words => Ok(words.to_owned()),
    }
}

fn units(text: &str) -> Result<Units, String> {
    let (run, number) = match text.rsplit_once('=') {
        Some((run, number)) => (Some(run.to_owned()), number),
        None => (None, text),
    };
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| format!("{number:?} is no number"))?;
    if !(number > 0.0 && number.is_finite()) {
        return Err("functional units are more than 0".to_owned());
    }
    Ok(Units { run, number })
}

impl Report {
    /// Where the server is.
    #[must_use]
    pub fn access(&self) -> Access {
        Access {
            url: self.prometheus.as_str().to_owned(),
            token_file: self.token_file.clone(),
            credentials_file: self.credentials_file.clone(),
            ca_file: self.ca_file.clone(),
        }
    }

    /// What to report on, at this moment.
    ///
    /// # Errors
    /// Moments that are none, or between which there is no time; units of runs without runs.
    pub fn order(&self, now: Timestamp) -> Result<Order, String> {
        let time =
            |flag: &str, text: &str| moment(text, now).map_err(|error| format!("{flag}: {error}"));
        let (from, to) = (time("--from", &self.from)?, time("--to", &self.to)?);
        let span = Span::between(from, to, now)?;
        let by = match self.by {
            ByWhat::Team => By::Team,
            ByWhat::Workload => By::Workload,
            ByWhat::Node => By::Node,
            ByWhat::Run => By::Run,
        };
        let mut of_all = self.units.iter().filter(|units| units.run.is_none());
        let units_of_all = of_all.next().map(|units| units.number);
        if of_all.next().is_some() {
            return Err(
                "--units N is given twice: name the run of one (--units NAME=N)".to_owned(),
            );
        }
        let of_runs = self
            .units
            .iter()
            .filter_map(|units| Some((units.run.clone()?, units.number)));
        let units_of_runs: Vec<(String, f64)> = of_runs.collect();
        for (number, (name, _)) in units_of_runs.iter().enumerate() {
            if units_of_runs[..number]
                .iter()
                .any(|(other, _)| other == name)
            {
                return Err(format!("--units {name}=N is given twice"));
            }
        }
        if by != By::Run && !units_of_runs.is_empty() {
            return Err("--units NAME=N is of a run: add --by run".to_owned());
        }
        Ok(Order {
            asked: Span {
                from: from.as_second(),
                to: to.as_second(),
            },
            span,
            now: now.as_second(),
            clusters: self.cluster.clone(),
            by,
            allow_gaps: self.allow_gaps,
            compare: self.compare.clone(),
            unit: self.functional_unit.clone(),
            units: units_of_all,
            units_of_runs,
        })
    }

    /// How to write it.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self.format {
            How::Text => Format::Text,
            How::Markdown => Format::Markdown,
            How::Json => Format::Json,
            How::Latex => Format::Latex,
            How::Html => Format::Html,
            How::Csv => Format::Csv(match self.table {
                Which::Rows => Table::Rows,
                Which::Hours => Table::Hours,
                Which::Regions => Table::Regions,
            }),
        }
    }

    /// The most rows that people are shown.
    #[must_use]
    pub const fn top(&self) -> usize {
        self.top as usize
    }

    /// Where to write it.
    #[must_use]
    pub const fn output(&self) -> Option<&PathBuf> {
        self.output.as_ref()
    }
}
