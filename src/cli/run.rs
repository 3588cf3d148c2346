//! The flags of `gramwatt run`.

use crate::run::command::{Measure, Task};
use crate::run::greener::Waiting;
use crate::run::pattern::Pattern;
use crate::run::server::NAME;
use crate::units::Grams;
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Measures one command with all that it starts, and the accelerators that they use. Ends with the command's exit code.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What the run is called [default: the command's name].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Regular expression that finds progress in a line of the command's output, such as 'epoch (\d+)/(\d+)': first what
    /// is done, then the total. Match the outermost counter: one that begins anew looks like a restart. Where a unit is
    /// told at its beginning, write 'Epoch (?<begun>\d+)/(?<total>\d+)'.
    #[arg(long, value_name = "REGEX")]
    progress: Option<String>,
    /// File in which the command writes its progress: 3/10, 30% or 0.3.
    #[arg(long, value_name = "FILE", conflicts_with = "progress")]
    progress_file: Option<PathBuf>,
    /// Units of work in all, where neither the output nor the file says so.
    #[arg(long, value_name = "N", value_parser = positive)]
    progress_total: Option<f64>,
    /// Warn when the run will emit more than this: 2kg, 350g, 1.5t.
    #[arg(long, value_name = "MASS", value_parser = mass)]
    budget: Option<Grams>,
    /// Hold the start until the cleanest hour within this time, by the forecast of the grid: 12h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    wait_for_greener: Option<Duration>,
    /// How long the work will take, for --wait-for-greener [default: 1h].
    #[arg(long, value_name = "TIME", value_parser = time, requires = "wait_for_greener")]
    duration: Option<Duration>,
    /// End the command as soon as its total is predicted, and print that. The exit code is then 0.
    #[arg(long)]
    stop_after_prediction: bool,
    /// Wait for what the command leaves behind (a daemon), too.
    #[arg(long)]
    wait_for_all: bool,
    /// Who measures: the exporter that runs here, or this process by itself; auto takes the exporter where there is one.
    #[arg(long, value_enum, default_value_t = By::Auto, value_name = "WHO")]
    by: By,
    /// The exporter's socket [default: $GRAMWATT_SOCKET, runs.socket, then the usual places].
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// Write the figures to this file as JSON, too.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print nothing of our own but errors.
    #[arg(long)]
    quiet: bool,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Who measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Whoever can.
    Auto,
    /// The exporter.
    Exporter,
    /// This process.
    Itself,
}

impl RunArgs {
    /// What is to be done.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub fn task(&self) -> Result<Task, String> {
        let pattern = self.progress.as_deref();
        let pattern = pattern.map(|text| Pattern::new(text, self.progress_total));
        let command = self.command.first().cloned().unwrap_or_default();
        Ok(Task {
            name: self.name.clone().unwrap_or_else(|| usual_name(&command)),
            command: self.command.clone(),
            pattern: pattern
                .transpose()
                .map_err(|reason| format!("--progress: {reason}"))?,
            progress_file: self.progress_file.clone(),
            progress_total: self.progress_total,
            budget: self.budget,
            waiting: self.wait_for_greener.map(|within| Waiting {
                within,
                length: self.duration.unwrap_or(Duration::from_secs(3600)),
            }),
            stop_after_prediction: self.stop_after_prediction,
            wait_for_all: self.wait_for_all,
            measure: match self.by {
                By::Auto => Measure::Auto,
                By::Exporter => Measure::Exporter,
                By::Itself => Measure::Itself,
            },
            socket: self
                .socket
                .clone()
                .or_else(|| std::env::var_os("GRAMWATT_SOCKET").map(Into::into)),
            report: self.report.clone(),
            quiet: self.quiet,
        })
    }
}

/// The command's name, as far as a run can be called so.
fn usual_name(command: &OsStr) -> String {
    let name = Path::new(command).file_name().unwrap_or(command);
    let name = name.to_string_lossy();
    let name: String = name
        .chars()
        .filter(|c| !c.is_control())
        .take(NAME)
        .collect();
    match name.trim() {
        "" => "command".to_owned(),
        name => name.to_owned(),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite() && *n > 0.0);
    number.ok_or_else(|| "a number above 0".to_owned())
}

/// Grams, kilograms or tonnes.
fn mass(text: &str) -> Result<Grams, String> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let factor = match unit.trim().to_lowercase().as_str() {
        "mg" => 1e-3,
        "g" => 1.0,
        "kg" => 1e3,
        "t" => 1e6,
        _ => return Err("a mass with its unit: 350g, 2kg or 1.5t".into()),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    positive(number).map(|number| Grams(number * factor))
}

/// A time above 0, up to two days: no forecast goes further.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: above 0 and up to 48h, such as 90m or 12h");
    let time: SignedDuration = text.parse().map_err(|_| wrong())?;
    let time = Duration::try_from(time).map_err(|_| wrong())?;
    let is_fine = !time.is_zero() && time <= Duration::from_secs(48 * 3600);
    is_fine.then_some(time).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_called_as_its_command_where_that_is_a_name() {
        let name = |command: &str| usual_name(OsStr::new(command));
        assert_eq!(name("/usr/bin/python3"), "python3");
        assert_eq!(name("a\nb"), "ab");
        assert_eq!(name(&"é".repeat(300)).chars().count(), NAME);
        assert_eq!(
            [name(""), name("/"), name(" ")],
            ["command", "/", "command"]
        );
    }

    #[test]
    fn masses_and_times_as_people_write_them() {
        assert_eq!(mass("350g"), Ok(Grams(350.0)));
        assert_eq!(mass("2 KG"), Ok(Grams(2000.0)));
        assert_eq!(mass("1.5t"), Ok(Grams(1.5e6)));
        for wrong in ["", "2", "kg", "-1kg", "1e3kg", "2lb", "0kg"] {
            assert!(mass(wrong).is_err(), "{wrong}");
        }
        assert_eq!(time("90m"), Ok(Duration::from_secs(5400)));
        for wrong in ["", "0s", "-1h", "3d", "12"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
