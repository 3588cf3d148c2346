//! The tables that people are shown; a column has one unit.

use super::rows::{By, Row};
use super::runs::{Run, Runs};
use super::words::{UNKNOWN, change, duration, mass, percent};
use super::{Report, Total, elsewhere};
use crate::output::{factor, intensity};
use crate::units::{Grams, Joules};
use std::collections::BTreeMap;

/// A table: first columns of words, then columns of numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// What each column is, with its unit.
    pub head: Vec<String>,
    /// How many of the columns are words.
    pub words: usize,
    /// The cells.
    pub rows: Vec<Vec<String>>,
    /// What was left out, in words.
    pub rest: Option<String>,
}

/// Units of energy, as joules.
const ENERGY: [(f64, &str); 5] = [
    (3.6, "mWh"),
    (3.6e3, "Wh"),
    (3.6e6, "kWh"),
    (3.6e9, "MWh"),
    (3.6e12, "GWh"),
];
/// Units of mass, as grams.
const MASS: [(f64, &str); 4] = [(1e-3, "mg"), (1.0, "g"), (1e3, "kg"), (1e6, "t")];
/// The place of the unit without a prefix in both, in which nothing is nothing.
const PLAIN: usize = 1;

/// A column's numbers in one unit: that of the largest, or the next where most would be a few hundredths of it.
fn column(values: &[Option<f64>], units: &[(f64, &'static str)]) -> (&'static str, Vec<String>) {
    let mut sizes: Vec<f64> = values.iter().flatten().map(|value| value.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let largest = sizes.last().copied().unwrap_or(0.0);
    let middle = sizes.get(sizes.len() / 2).copied().unwrap_or(0.0);
    let fits = |(factor, _): &&(f64, &str)| largest >= *factor && middle >= factor * 0.05;
    let smallest = match largest > 0.0 {
        true => units.first(),
        false => units.get(PLAIN),
    };
    let (by, unit) = *units.iter().rfind(fits).or(smallest).unwrap_or(&(1.0, ""));
    let (places, last_digit) = match largest / by {
        1000.0.. => (0, 1.0),
        100.0.. => (1, 0.1),
        _ => (2, 0.01),
    };
    let shown = |value: &Option<f64>| match value.map(|value| value / by) {
        // It is not nothing.
        Some(number) if number > 0.0 && number < last_digit / 2.0 => {
            format!("<{last_digit:.places$}")
        }
        Some(number) => format!("{number:.places$}"),
        None => UNKNOWN.to_owned(),
    };
    (unit, values.iter().map(shown).collect())
}

/// A table that grows by columns.
struct Columns(Grid);

impl Columns {
    fn new(rows: usize) -> Self {
        Self(Grid {
            rows: vec![Vec::new(); rows],
            ..Grid::default()
        })
    }

    fn add(&mut self, head: String, cells: impl IntoIterator<Item = String>) {
        self.0.head.push(head);
        for (row, cell) in self.0.rows.iter_mut().zip(cells) {
            row.push(cell);
        }
    }

    fn words(&mut self, head: &str, cells: impl IntoIterator<Item = String>) {
        self.0.words += 1;
        self.add(head.to_owned(), cells);
    }

    /// Left out where nobody knows anything.
    fn numbers(&mut self, head: &str, units: &[(f64, &'static str)], values: &[Option<f64>]) {
        if values.iter().any(Option::is_some) {
            let (unit, cells) = column(values, units);
            self.add(format!("{head}, {unit}"), cells);
        }
    }

    fn shares(&mut self, head: &str, values: impl IntoIterator<Item = Option<f64>>) {
        let values: Vec<Option<f64>> = values.into_iter().collect();
        if values.iter().any(Option::is_some) {
            let shown = |share: &Option<f64>| share.map_or(UNKNOWN.to_owned(), percent);
            let cells: Vec<String> = values.iter().map(shown).collect();
            self.add(head.to_owned(), cells);
        }
    }
}

/// What a table is about.
#[must_use]
pub const fn who(by: By) -> &'static str {
    match by {
        By::Team => "By team",
        By::Workload => "By workload",
        By::Node => "By node",
        By::Run => "By run",
    }
}

/// Clusters.
#[must_use]
pub fn clusters(report: &Report) -> Grid {
    let all: Vec<&Total> = report.by_cluster.values().collect();
    let mut table = Columns::new(all.len());
    let names = report.by_cluster.keys();
    table.words("cluster", names.map(|name| super::shown(name).to_owned()));
    let of = |value: &dyn Fn(&Total) -> Option<f64>| -> Vec<Option<f64>> {
        all.iter().map(|total| value(total)).collect()
    };
    table.numbers("energy", &ENERGY, &of(&|total| Some(total.energy_joules.0)));
    table.numbers(
        "CO2e",
        &MASS,
        &of(&|total| total.co2e_grams.map(|grams| grams.0)),
    );
    table.numbers(
        "by contract",
        &MASS,
        &of(&|total| total.market_co2e_grams.map(|grams| grams.0)),
    );
    table.numbers(
        "making",
        &MASS,
        &of(&|total| total.embodied_co2e_grams.map(|grams| grams.0)),
    );
    let pues = all
        .iter()
        .map(|total| total.pue.map_or(UNKNOWN.to_owned(), factor));
    table.add("PUE".to_owned(), pues.collect::<Vec<String>>());
    let met = all.iter().map(|total| {
        total
            .intensity_grams_per_kwh
            .map_or(UNKNOWN.to_owned(), intensity)
    });
    table.add("g/kWh met".to_owned(), met.collect::<Vec<String>>());
    table.shares("modelled", all.iter().map(|total| total.modelled_share()));
    table.shares("not live", all.iter().map(|total| total.estimated_share()));
    table.0
}

/// Who used it: the largest, the rest in one row, and the sum.
#[must_use]
pub fn rows(report: &Report, top: usize) -> Grid {
    let mut shown: Vec<Row> = report.rows.iter().take(top).cloned().collect();
    let rest = &report.rows[shown.len()..];
    if !rest.is_empty() {
        shown.push(sum(&format!("{} more", rest.len()), rest));
    }
    if report.rows.len() > 1 {
        shown.push(sum("all", &report.rows));
    }
    let mut table = Columns::new(shown.len());
    table.words(report.by.name(), shown.iter().map(|row| row.name.clone()));
    if matches!(report.by, By::Node | By::Workload) && report.clusters.len() > 1 {
        let clusters = shown
            .iter()
            .map(|row| row.labels.get("cluster").cloned().unwrap_or_default());
        table.words("cluster", clusters.collect::<Vec<String>>());
    }
    let of = |value: &dyn Fn(&Row) -> Option<f64>| -> Vec<Option<f64>> {
        shown.iter().map(value).collect()
    };
    table.numbers("energy", &ENERGY, &of(&|row| Some(row.energy_joules.0)));
    table.shares("share", shown.iter().map(|row| Some(row.energy_share)));
    table.numbers(
        "CO2e",
        &MASS,
        &of(&|row| row.co2e_grams.map(|grams| grams.0)),
    );
    table.numbers(
        "by contract",
        &MASS,
        &of(&|row| row.market_co2e_grams.map(|grams| grams.0)),
    );
    table.numbers(
        "making",
        &MASS,
        &of(&|row| row.embodied_co2e_grams.map(|grams| grams.0)),
    );
    let part = |part: Option<f64>, all: f64| part.filter(|_| all > 0.0).map(|part| part / all);
    table.shares(
        "modelled",
        shown
            .iter()
            .map(|row| part(row.modelled_energy_joules.map(|j| j.0), row.energy_joules.0)),
    );
    table.shares(
        "not live",
        shown.iter().map(|row| {
            part(
                row.estimated_co2e_grams.map(|g| g.0),
                row.co2e_grams.unwrap_or_default().0,
            )
        }),
    );
    table.shares(
        "held, idle",
        shown
            .iter()
            .map(|row| part(row.held_idle_joules.map(|j| j.0), row.energy_joules.0)),
    );
    let mut grid = table.0;
    if report.rows.is_empty() {
        grid.rest = Some(format!(
            "No {} is known in this time: is workloads.source off?",
            report.by.name()
        ));
    }
    grid
}

/// Several as one. What one of them does not know is not known of all, but for what only some can have.
fn sum(name: &str, rows: &[Row]) -> Row {
    let grams = |of: &dyn Fn(&Row) -> Option<Grams>| -> Option<Grams> {
        let known: Vec<Grams> = rows.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| known.into_iter().sum())
    };
    let joules = |of: &dyn Fn(&Row) -> Option<Joules>| -> Option<Joules> {
        let known: Vec<Joules> = rows.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| known.into_iter().sum())
    };
    Row {
        name: name.to_owned(),
        labels: BTreeMap::new(),
        energy_joules: rows.iter().map(|row| row.energy_joules).sum(),
        energy_share: rows.iter().map(|row| row.energy_share).sum(),
        co2e_grams: grams(&|row| row.co2e_grams),
        market_co2e_grams: grams(&|row| row.market_co2e_grams),
        embodied_co2e_grams: grams(&|row| row.embodied_co2e_grams),
        modelled_energy_joules: joules(&|row| row.modelled_energy_joules),
        estimated_co2e_grams: grams(&|row| row.estimated_co2e_grams),
        held_idle_joules: joules(&|row| row.held_idle_joules),
    }
}

/// Runs, the largest.
#[must_use]
pub fn runs(all: &Runs, top: usize) -> Grid {
    let shown: Vec<&Run> = all.runs.iter().take(top).collect();
    let mut table = Columns::new(shown.len());
    table.words("run", shown.iter().map(|run| run.run.clone()));
    table.words("id", shown.iter().map(|run| run.run_id.clone()));
    table.words("user", shown.iter().map(|run| run.user.clone()));
    table.words("state", shown.iter().map(|run| run.state.name().to_owned()));
    let took = shown
        .iter()
        .map(|run| run.duration_seconds.map_or(UNKNOWN.to_owned(), duration));
    table.add("took".to_owned(), took.collect::<Vec<String>>());
    let of = |value: &dyn Fn(&Run) -> Option<f64>| -> Vec<Option<f64>> {
        shown.iter().map(|run| value(run)).collect()
    };
    table.numbers("energy", &ENERGY, &of(&|run| Some(run.energy_joules.0)));
    table.numbers(
        "CO2e",
        &MASS,
        &of(&|run| run.co2e_grams.map(|grams| grams.0)),
    );
    table.numbers(
        "making",
        &MASS,
        &of(&|run| run.embodied_co2e_grams.map(|grams| grams.0)),
    );
    table.numbers(
        "predicted",
        &ENERGY,
        &of(&|run| run.first_predicted_energy_joules.map(|joules| joules.0)),
    );
    let errors: Vec<Option<f64>> = shown.iter().map(|run| run.prediction_error()).collect();
    if errors.iter().any(Option::is_some) {
        let cells = errors
            .iter()
            .map(|error| error.map_or(UNKNOWN.to_owned(), change));
        table.add("was off by".to_owned(), cells.collect::<Vec<String>>());
    }
    // Each has its own unit: a budget is a round number.
    if shown.iter().any(|run| run.budget_co2e_grams.is_some()) {
        let cells = shown.iter().map(|run| match run.budget_co2e_grams {
            Some(budget) => mass(Some(budget)),
            None => UNKNOWN.to_owned(),
        });
        table.add("budget".to_owned(), cells.collect::<Vec<String>>());
    }
    if shown.iter().any(|run| run.functional_units.is_some()) {
        let cells = shown
            .iter()
            .map(|run| match run.functional_units.and(run.sci_grams) {
                Some(score) => mass(Some(Grams(score))),
                None => UNKNOWN.to_owned(),
            });
        table.add("SCI, a unit".to_owned(), cells.collect::<Vec<String>>());
    }
    let mut grid = table.0;
    if all.runs.is_empty() {
        grid.rest = Some("No run was seen in this time: `gramwatt run` measures one.".to_owned());
    } else if all.runs.len() > shown.len() {
        grid.rest = Some(format!("{} more", all.runs.len() - shown.len()));
    }
    grid
}

/// The cleanest and the dirtiest regions, and where this place would be among all.
#[must_use]
pub fn elsewhere(report: &Report) -> Grid {
    const BEST: usize = 5;
    const WORST: usize = 3;
    let all = &report.elsewhere;
    let is_shown = |number: usize| number < BEST || number + WORST >= all.len();
    let places: Vec<_> = all
        .iter()
        .enumerate()
        .filter(|(number, _)| is_shown(*number))
        .map(|(_, place)| place)
        .collect();
    let mut table = Columns::new(places.len());
    table.words(
        "region",
        places
            .iter()
            .map(|place| format!("{} {}", place.provider, place.region)),
    );
    table.words("where", places.iter().map(|place| place.name.clone()));
    let grams: Vec<Option<f64>> = places
        .iter()
        .map(|place| Some(place.co2e_grams.0))
        .collect();
    table.numbers("CO2e", &MASS, &grams);
    let changes = places
        .iter()
        .map(|place| place.change.map_or(UNKNOWN.to_owned(), change));
    table.add("against here".to_owned(), changes.collect::<Vec<String>>());
    table.add(
        "g/kWh".to_owned(),
        places
            .iter()
            .map(|place| intensity(place.grams_per_kwh))
            .collect::<Vec<String>>(),
    );
    let pues = places.iter().map(|place| match place.pue_is_published {
        true => factor(place.pue),
        false => format!("({})", factor(place.pue)),
    });
    table.add("PUE".to_owned(), pues.collect::<Vec<String>>());
    let mut grid = table.0;
    let here = report
        .total
        .co2e_grams
        .filter(|_| report.total.booked_share() > 0.999);
    let here = here.map(|here| {
        format!(
            "; here, {}, would be number {}",
            mass(Some(here)),
            elsewhere::rank(all, here)
        )
    });
    grid.rest = Some(format!(
        "the {BEST} cleanest and the {WORST} dirtiest of {} regions{}",
        all.len(),
        here.unwrap_or_default()
    ));
    grid
}

/// Other PUEs.
#[must_use]
pub fn pues(report: &Report) -> Grid {
    let all = &report.other_pues;
    let mut table = Columns::new(all.len());
    table.words("PUE", all.iter().map(|one| factor(one.pue)));
    let grams: Vec<Option<f64>> = all.iter().map(|one| Some(one.co2e_grams.0)).collect();
    table.numbers("CO2e", &MASS, &grams);
    table.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_one_unit() {
        let (unit, cells) = column(&[Some(12_345.0), Some(910.0), None], &MASS);
        assert_eq!(
            (unit, cells),
            ("kg", vec!["12.35".to_owned(), "0.91".into(), "-".into()])
        );
        let (unit, cells) = column(&[Some(3.6e9 * 250.0)], &ENERGY);
        assert_eq!((unit, cells), ("MWh", vec!["250.0".to_owned()]));
        let (unit, cells) = column(&[Some(12_345.0), Some(9.0), Some(10.0)], &MASS);
        assert_eq!((unit, cells[1].as_str()), ("g", "9"));
        assert_eq!(column(&[Some(0.0)], &MASS).0, "g");
    }

    #[test]
    fn small_things_have_small_units_and_are_not_nothing() {
        let (unit, cells) = column(&[Some(36.0), Some(18.0), Some(0.001), Some(0.0)], &ENERGY);
        assert_eq!(
            (unit, cells),
            (
                "mWh",
                ["10.00", "5.00", "<0.01", "0.00"]
                    .map(str::to_owned)
                    .to_vec()
            )
        );
        assert_eq!(
            column(&[Some(0.05)], &MASS),
            ("mg", vec!["50.00".to_owned()])
        );
        let (unit, cells) = column(&[Some(5e6), Some(4e6), Some(3.0)], &MASS);
        assert_eq!((unit, cells[2].as_str()), ("t", "<0.01"));
    }

    #[test]
    fn each_budget_has_a_unit_that_fits() {
        use super::super::runs::tests::run;
        let budget = |id: &str, grams: Option<f64>| Run {
            budget_co2e_grams: grams.map(Grams),
            ..run("train", id)
        };
        let all = Runs {
            runs: vec![
                budget("1", Some(2000.0)),
                budget("2", Some(1e-4)),
                budget("3", None),
            ],
            failed_energy_share: 0.0,
            failed_co2e_share: None,
            began_before: 0,
        };
        let grid = runs(&all, 9);
        let place = grid.head.iter().position(|head| head == "budget").unwrap();
        let cells: Vec<&str> = grid.rows.iter().map(|row| row[place].as_str()).collect();
        assert_eq!(cells, ["2.00 kg", "0.10 mg", "-"]);
    }
}
