//! Who used it: by team, by workload, by node.

use super::hours::Stretch;
use super::prometheus::{Failure, Labels, Server};
use super::query::{Queries, Scope, What};
use super::time::Span;
use crate::units::{Grams, Joules};
use serde::Serialize;
use std::collections::BTreeMap;

/// What a table has a row for each of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The label `team` of workloads.
    Team,
    /// A pod, a job, a unit.
    Workload,
    /// A machine.
    Node,
    /// A command that `gramwatt run` measured.
    Run,
}

impl By {
    /// `team`, `workload`, ...
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Team => "team",
            Self::Workload => "workload",
            Self::Node => "node",
            Self::Run => "run",
        }
    }

    /// The labels that tell rows apart.
    const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Team => &["label_team", "workload_type"],
            Self::Workload => &["cluster", "workload_type", "workload_namespace", "workload"],
            Self::Node => &["cluster", "instance"],
            Self::Run => &["run", "run_id"],
        }
    }
}

/// One who used energy. What is not known is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What people call it; in brackets what is nobody's, as on the dashboards.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Energy of the IT equipment.
    pub energy_joules: Joules,
    /// Of all energy, 0 to 1.
    pub energy_share: f64,
    /// By location.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub co2e_grams: Option<Grams>,
    /// By contract; of a node alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market_co2e_grams: Option<Grams>,
    /// Of the making: a node's own, and else by share of energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embodied_co2e_grams: Option<Grams>,
    /// No sensor measured it; of a node alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modelled_energy_joules: Option<Joules>,
    /// By a factor that was not live; of a node alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_co2e_grams: Option<Grams>,
    /// Of accelerators that were held and not used; of workloads alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_idle_joules: Option<Joules>,
}

/// Figures by what tells rows apart.
type Table = BTreeMap<Vec<String>, BTreeMap<&'static str, f64>>;

/// Asks for the rows, the largest first. Of runs there are none here.
///
/// # Errors
/// Where the server does not answer.
pub fn ask(
    server: &mut Server,
    scope: &Scope,
    by: By,
    stretches: &[Stretch],
) -> Result<Vec<Row>, Failure> {
    let mut table = Table::new();
    let labels = by.labels();
    for stretch in stretches {
        let queries = Queries {
            source: stretch.source,
            scope,
        };
        for piece in stretch.pieces() {
            for (column, query) in columns(queries, by, piece) {
                for series in server.instant(&query, piece.to)? {
                    let key = labels.iter().map(|name| series.label(name).to_owned());
                    let row = table.entry(key.collect()).or_default();
                    *row.entry(column).or_default() += series.last();
                }
            }
        }
    }
    Ok(rows(by, &table))
}

const ENERGY: &str = "energy";
const GRAMS: &str = "grams";
const HELD: &str = "held";
const MARKET: &str = "market";
const EMBODIED: &str = "embodied";
const MODELLED: &str = "modelled";
const ESTIMATED: &str = "estimated";

fn columns(queries: Queries<'_>, by: By, piece: Span) -> Vec<(&'static str, String)> {
    let seconds = piece.seconds();
    let of_workloads = [
        (ENERGY, "energy_joules"),
        (GRAMS, "co2e_grams"),
        (HELD, "reserved_idle_joules"),
    ];
    match by {
        By::Run => Vec::new(),
        By::Team => {
            let all = of_workloads.into_iter();
            all.map(|(column, metric)| (column, queries.teams(metric, seconds)))
                .collect()
        }
        By::Workload => {
            let labels = by.labels().join(", ");
            let all = of_workloads.into_iter();
            all.map(|(column, metric)| (column, queries.workloads(&labels, metric, seconds)))
                .collect()
        }
        By::Node => {
            let labels = by.labels().join(", ");
            let all = [
                (ENERGY, What::Energy),
                (GRAMS, What::Grams),
                (MARKET, What::Market),
                (EMBODIED, What::Embodied),
                (MODELLED, What::Modelled),
                (ESTIMATED, What::Estimated),
            ];
            let all = all.into_iter();
            all.map(|(column, what)| (column, queries.nodes(&labels, what, seconds)))
                .collect()
        }
    }
}

fn rows(by: By, table: &Table) -> Vec<Row> {
    let energy = |row: &BTreeMap<&str, f64>| row.get(ENERGY).copied().unwrap_or(0.0);
    let all: f64 = table.values().map(energy).sum();
    let mut rows: Vec<Row> = Vec::new();
    for (key, values) in table {
        let joules = energy(values);
        if joules <= 0.0 {
            continue;
        }
        let value = |column| values.get(column).copied();
        let labels = by
            .labels()
            .iter()
            .zip(key)
            .filter(|(_, value)| !value.is_empty());
        rows.push(Row {
            name: name(by, key),
            labels: labels
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            energy_joules: Joules(joules),
            energy_share: joules / all,
            co2e_grams: value(GRAMS).map(Grams),
            market_co2e_grams: value(MARKET).map(Grams),
            embodied_co2e_grams: value(EMBODIED).map(Grams),
            modelled_energy_joules: value(MODELLED).map(Joules),
            estimated_co2e_grams: value(ESTIMATED).map(Grams),
            held_idle_joules: value(HELD).map(Joules),
        });
    }
    if by == By::Team {
        rows = by_name(rows);
    }
    let weight = |row: &Row| (row.co2e_grams.unwrap_or_default().0, row.energy_joules.0);
    rows.sort_by(|a, b| {
        let (a, b) = (weight(a), weight(b));
        b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    rows
}

/// A team has workloads of several types: pods, jobs.
fn by_name(rows: Vec<Row>) -> Vec<Row> {
    let mut teams: BTreeMap<String, Row> = BTreeMap::new();
    for mut row in rows {
        // Whose type is in the name keeps it.
        if !row.name.starts_with('(') || row.name == NO_TEAM {
            row.labels.remove("workload_type");
        }
        match teams.get_mut(&row.name) {
            None => {
                teams.insert(row.name.clone(), row);
            }
            Some(team) => {
                team.energy_joules += row.energy_joules;
                team.energy_share += row.energy_share;
                team.co2e_grams = sum(team.co2e_grams, row.co2e_grams);
                team.held_idle_joules = sum(team.held_idle_joules, row.held_idle_joules);
            }
        }
    }
    teams.into_values().collect()
}

fn sum<T: std::ops::Add<Output = T>>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

/// Workloads without the label.
const NO_TEAM: &str = "(none)";
/// What is nobody's: workload types that stand for themselves.
const NOBODY: [&str; 4] = ["idle", "system", "unattributed", "other"];

fn name(by: By, key: &[String]) -> String {
    let part = |number: usize| key.get(number).map_or("", String::as_str);
    match by {
        By::Team if NOBODY.contains(&part(1)) => format!("({})", part(1)),
        By::Team if part(0).is_empty() => NO_TEAM.to_owned(),
        By::Workload => match (part(1), part(2), part(3)) {
            (kind, _, _) if NOBODY.contains(&kind) => format!("({kind})"),
            ("slurm", _, job) => format!("job {job}"),
            (_, "", workload) => workload.to_owned(),
            (_, namespace, workload) => format!("{namespace}/{workload}"),
        },
        By::Node => part(1).to_owned(),
        By::Team | By::Run => part(0).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teams_are_one_row_each_and_what_is_nobodys_is_in_brackets() {
        let row = |joules: f64, grams: Option<f64>| {
            let grams = grams.map(|grams| (GRAMS, grams));
            BTreeMap::from_iter([(ENERGY, joules)].into_iter().chain(grams))
        };
        let key = |team: &str, kind: &str| vec![team.to_owned(), kind.to_owned()];
        let table = Table::from([
            (key("vision", "pod"), row(100.0, Some(10.0))),
            (key("vision", "slurm"), row(50.0, Some(5.0))),
            (key("", "idle"), row(40.0, Some(4.0))),
            (key("", "pod"), row(10.0, None)),
            (key("gone", "pod"), row(0.0, None)),
        ]);
        let rows = rows(By::Team, &table);
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["vision", "(idle)", "(none)"]);
        assert_eq!(rows[0].co2e_grams, Some(Grams(15.0)));
        assert!((rows[0].energy_share - 0.75).abs() < 1e-12);
        assert_eq!(rows[2].co2e_grams, None);
        assert_eq!(
            rows[1].labels.get("workload_type").map(String::as_str),
            Some("idle")
        );
        assert!(!rows[0].labels.contains_key("workload_type"));
    }

    #[test]
    fn workloads_are_called_as_their_owners_call_them() {
        let name = |key: [&str; 4]| name(By::Workload, &key.map(str::to_owned));
        assert_eq!(
            name(["fra", "pod", "research", "train-0"]),
            "research/train-0"
        );
        assert_eq!(name(["fra", "slurm", "", "4711"]), "job 4711");
        assert_eq!(name(["fra", "unit", "", "sshd.service"]), "sshd.service");
        assert_eq!(name(["fra", "idle", "", "idle"]), "(idle)");
    }
}
