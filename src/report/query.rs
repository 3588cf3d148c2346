//! What is asked, in PromQL: of the hours that our rules recorded (`deploy/rules/`), or of the counters themselves.

use super::time::DAY;
use std::fmt::Write;

/// What one target is.
const TARGET: &str = "cluster, job, instance";
/// What one workload on one target is.
const WORKLOAD: &str =
    "cluster, job, instance, workload_type, workload_namespace, workload, workload_container";

/// Where figures are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The increase of each hour, as a rule recorded it.
    Recorded,
    /// The counters, by `increase()`.
    Counters,
}

impl Source {
    /// The longest time that one query goes through, in seconds: a server's limits on samples are met by pieces.
    /// The counters of a day have as many samples as the recorded hours of three months and more.
    #[must_use]
    pub const fn piece(self) -> i64 {
        match self {
            Self::Recorded => 31 * DAY,
            Self::Counters => DAY,
        }
    }
}

/// Whose series: of which clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// These clusters; all where none is named.
    #[must_use]
    pub fn of(clusters: &[String]) -> Self {
        if clusters.is_empty() {
            return Self::default();
        }
        let mut pattern = String::new();
        for (number, cluster) in clusters.iter().enumerate() {
            if number > 0 {
                pattern.push('|');
            }
            for letter in cluster.chars() {
                if !letter.is_ascii_alphanumeric() && letter.is_ascii() && letter != '_' {
                    pattern.push('\\');
                }
                pattern.push(letter);
            }
        }
        // First as a regular expression (RE2), then as a text of PromQL.
        let pattern = pattern.replace('\\', "\\\\").replace('"', "\\\"");
        Self(format!("cluster=~\"{pattern}\""))
    }

    /// The selector of a series, with further matchers.
    #[must_use]
    pub fn with(&self, more: &str) -> String {
        match (self.0.as_str(), more) {
            ("", more) => format!("{{{more}}}"),
            (own, "") => format!("{{{own}}}"),
            (own, more) => format!("{{{own},{more}}}"),
        }
    }
}

/// A counter of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Energy, in joules.
    Energy,
    /// The energy of nodes that know their grid zone, for which grams are booked.
    Booked,
    /// CO2e by location, in grams.
    Grams,
    /// CO2e by contract.
    Market,
    /// CO2e of the making.
    Embodied,
    /// Energy that no sensor measured.
    Modelled,
    /// Grams by a factor that was not live.
    Estimated,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Energy,
        Self::Booked,
        Self::Grams,
        Self::Market,
        Self::Embodied,
        Self::Modelled,
        Self::Estimated,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Energy => "node_energy_joules",
            Self::Booked => "node_co2e_energy_joules",
            Self::Grams => "node_co2e_grams",
            Self::Market => "node_market_co2e_grams",
            Self::Embodied => "node_embodied_co2e_grams",
            Self::Modelled => "node_modelled_energy_joules",
            Self::Estimated => "node_estimated_co2e_grams",
        }
    }
}

/// Writes queries of one source and scope.
#[derive(Clone, Copy, Debug)]
pub struct Queries<'a> {
    /// Where figures are taken from.
    pub source: Source,
    /// Whose.
    pub scope: &'a Scope,
}

impl Queries<'_> {
    fn here(self) -> String {
        self.scope.with("")
    }

    /// How much each series of a level rose in the last so many seconds.
    fn rise(self, level: &str, metric: &str, seconds: i64) -> String {
        let here = self.here();
        match self.source {
            Source::Recorded => {
                format!("sum_over_time({level}:gramwatt_{metric}:increase1h{here}[{seconds}s])")
            }
            Source::Counters => format!("increase(gramwatt_{metric}_total{here}[{seconds}s])"),
        }
    }

    /// The recorded hours of each cluster, as they are.
    #[must_use]
    pub fn hours(self, what: What, seconds: i64) -> String {
        let (name, here) = (what.name(), self.here());
        format!("cluster:gramwatt_{name}:increase1h{here}[{seconds}s]")
    }

    /// A sum over nodes by labels, in the last so many seconds.
    #[must_use]
    pub fn nodes(self, by: &str, what: What, seconds: i64) -> String {
        let rise = match what {
            What::Booked => {
                let energy = self.rise("node", What::Energy.name(), seconds);
                let grams = self.rise("node", What::Grams.name(), seconds);
                format!("{energy} and on ({TARGET}) {grams}")
            }
            _ => self.rise("node", what.name(), seconds),
        };
        format!("sum by ({by}) ({rise})")
    }

    /// Energy of the nodes for which grams by contract are booked, in the last so many seconds.
    #[must_use]
    pub fn contracted(self, seconds: i64) -> String {
        let energy = self.rise("node", What::Energy.name(), seconds);
        let market = self.rise("node", What::Market.name(), seconds);
        format!("sum({energy} and on ({TARGET}) {market})")
    }

    /// Facility energy of each cluster, by each node's own PUE, in the last so many seconds. Of counters only.
    #[must_use]
    pub fn facility(self, seconds: i64) -> String {
        let (energy, here) = (self.rise("node", What::Energy.name(), seconds), self.here());
        format!(
            "sum by (cluster) ({energy} * on ({TARGET}) avg_over_time(gramwatt_pue_ratio{here}[{seconds}s]))"
        )
    }

    /// How many nodes told of their energy in the last hour.
    #[must_use]
    pub fn how_many(self, seconds: i64) -> String {
        format!("count({})", self.rise("node", What::Energy.name(), seconds))
    }

    /// Energy by kind of device, in the last so many seconds.
    #[must_use]
    pub fn kinds(self, seconds: i64) -> String {
        let rise = self.rise("cluster_kind", "device_energy_joules", seconds);
        format!("sum by (kind) ({rise})")
    }

    /// A sum over workloads by their labels, in the last so many seconds: `energy_joules`, `co2e_grams` or
    /// `reserved_idle_joules`.
    #[must_use]
    pub fn workloads(self, by: &str, metric: &str, seconds: i64) -> String {
        let rise = self.rise("workload", &format!("workload_{metric}"), seconds);
        format!("sum by ({by}) ({rise})")
    }

    /// The same by team. A workload's description is one of those that it had, as in the rules.
    #[must_use]
    pub fn teams(self, metric: &str, seconds: i64) -> String {
        let by = "label_team, workload_type";
        let here = self.here();
        if self.source == Source::Recorded {
            let rise = self.rise("team", &format!("workload_{metric}"), seconds);
            return format!("sum by ({by}) ({rise})");
        }
        let energy = format!("gramwatt_workload_energy_joules_total{here}[{seconds}s]");
        let mut expr = format!(
            "sum by ({by}) (sum by ({WORKLOAD}) (increase(gramwatt_workload_{metric}_total{here}[{seconds}s]))"
        );
        // Writing to a string cannot fail.
        let _ = write!(
            expr,
            " * on ({WORKLOAD}) group_left (label_team) (topk by ({WORKLOAD}) (1, \
             last_over_time(gramwatt_workload_info{here}[{seconds}s])) or on ({WORKLOAD}) group by ({WORKLOAD}) \
             (last_over_time({energy}))))"
        );
        expr
    }

    /// Mean PUE of each cluster over the last hour: as recorded, or as its nodes told it in the middle of the hour.
    #[must_use]
    pub fn pue(self) -> String {
        let here = self.here();
        match self.source {
            Source::Recorded => format!("avg_over_time(cluster:gramwatt_pue_ratio:avg{here}[1h])"),
            // A relay tells of PUE too, and is no node.
            Source::Counters => format!(
                "avg by (cluster) (gramwatt_pue_ratio{here} offset 30m and on ({TARGET}) \
                 gramwatt_node_energy_joules_total{here} offset 30m)"
            ),
        }
    }

    /// Whether there are counters of energy at all, at a moment.
    #[must_use]
    pub fn presence(self) -> String {
        format!("count(gramwatt_node_energy_joules_total{})", self.here())
    }

    /// The clusters that have counters of energy, as of the last so many seconds.
    #[must_use]
    pub fn clusters(self, seconds: i64) -> String {
        let here = self.here();
        format!(
            "group by (cluster) (last_over_time(gramwatt_node_energy_joules_total{here}[{seconds}s]))"
        )
    }

    /// The grid zones of nodes, and who tells their intensity, as of the last so many seconds.
    #[must_use]
    pub fn grids(self, seconds: i64) -> String {
        let info = self.scope.with("signal=\"average\"");
        let here = self.here();
        format!(
            "group by (cluster, grid_zone, provider) (last_over_time(gramwatt_grid_info{info}[{seconds}s]) and on \
             ({TARGET}) last_over_time(gramwatt_node_energy_joules_total{here}[{seconds}s]))"
        )
    }

    /// How many nodes are synthetic (`--demo`), as of the last so many seconds.
    #[must_use]
    pub fn synthetic(self, seconds: i64) -> String {
        let demo = self.scope.with("demo=\"true\"");
        format!("count(last_over_time(gramwatt_node_info{demo}[{seconds}s]))")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clusters_name_is_taken_as_it_is() {
        let scope = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Scope::of(&names).with("")
        };
        assert_eq!(scope(&[]), "{}");
        assert_eq!(scope(&["fra", "sto_1"]), "{cluster=~\"fra|sto_1\"}");
        assert_eq!(scope(&["a.b"]), "{cluster=~\"a\\\\.b\"}");
        // A quote ends neither the text nor the pattern.
        assert_eq!(scope(&["a\"b"]), "{cluster=~\"a\\\\\\\"b\"}");
        let both = Scope::of(&["x".to_owned()]).with("signal=\"average\"");
        assert_eq!(both, "{cluster=~\"x\",signal=\"average\"}");
    }
}
