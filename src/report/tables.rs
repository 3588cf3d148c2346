//! What the outputs for people say: facts, and tables whose columns have one unit each.

use super::rows::{By, Row};
use super::runs::{Run, Runs, State};
use super::{Equivalent, Report, Sci, Total, elsewhere};
use crate::output::{self, factor, grams, intensity, three_digits, watt_hours};
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
const ENERGY: [(f64, &str); 4] = [
    (3.6e3, "Wh"),
    (3.6e6, "kWh"),
    (3.6e9, "MWh"),
    (3.6e12, "GWh"),
];
/// Units of mass, as grams.
const MASS: [(f64, &str); 3] = [(1.0, "g"), (1e3, "kg"), (1e6, "t")];
/// What is not known.
const UNKNOWN: &str = "-";

/// A column's numbers in one unit: that of the largest, or the next where most would be a few hundredths of it.
fn column(values: &[Option<f64>], units: &[(f64, &'static str)]) -> (&'static str, Vec<String>) {
    let mut sizes: Vec<f64> = values.iter().flatten().map(|value| value.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let largest = sizes.last().copied().unwrap_or(0.0);
    let middle = sizes.get(sizes.len() / 2).copied().unwrap_or(0.0);
    let fits = |(factor, _): &&(f64, &str)| largest >= *factor && middle >= factor * 0.05;
    let (by, unit) = *units
        .iter()
        .rfind(fits)
        .or(units.first())
        .unwrap_or(&(1.0, ""));
    let places = match largest / by {
        1000.0.. => 0,
        100.0.. => 1,
        _ => 2,
    };
    let shown = |value: &Option<f64>| match value {
        Some(value) => format!("{:.places$}", value / by),
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

/// A share: whole percents, and tenths below ten.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent.abs() {
        size if size < 0.05 => "0 %".to_owned(),
        size if size < 9.95 => format!("{percent:.1} %"),
        _ => format!("{percent:.0} %"),
    }
}

/// A change with its sign.
#[must_use]
pub fn change(share: f64) -> String {
    match share {
        9.0.. => format!("x {:.0}", share + 1.0),
        _ => format!("{:+.0} %", share * 100.0),
    }
}

/// Energy in the unit that fits.
#[must_use]
pub fn energy(joules: Joules) -> String {
    watt_hours(joules).map_or(UNKNOWN.to_owned(), |figure| figure.to_string())
}

/// Mass in the unit that fits; words where it is not known.
#[must_use]
pub fn mass(mass: Option<Grams>) -> String {
    let figure = mass.and_then(grams);
    figure.map_or("unknown".to_owned(), |figure| figure.to_string())
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

/// The totals, in words.
#[must_use]
pub fn facts(report: &Report) -> Vec<(String, String)> {
    let total = &report.total;
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: String| facts.push((name.to_owned(), value));
    let building = match total.facility_energy_joules.zip(total.pue) {
        Some((facility, pue)) => format!(
            "; {} with the building (PUE {})",
            energy(facility),
            factor(pue)
        ),
        None => "; the building's part is not known (no PUE)".to_owned(),
    };
    put(
        "Energy",
        format!("{} of IT equipment{building}", energy(total.energy_joules)),
    );
    let kinds = kinds(report);
    if !kinds.is_empty() {
        put("Energy by kind", kinds);
    }
    let met = total
        .intensity_grams_per_kwh
        .map(|met| format!(", at {} g/kWh met", intensity(met)));
    let met = met.unwrap_or_default();
    let location = match total.co2e_grams {
        Some(_) => format!("{} by location{met}", mass(total.co2e_grams)),
        None => "unknown: no node knows its grid zone".to_owned(),
    };
    put("CO2e", location);
    if total.market_co2e_grams.is_some() {
        put(
            "CO2e by contract",
            format!(
                "{} by market, of the same energy",
                mass(total.market_co2e_grams)
            ),
        );
    }
    if total.embodied_co2e_grams.is_some() {
        put(
            "CO2e of the making",
            format!(
                "{} embodied, by use of the hardware's life",
                mass(total.embodied_co2e_grams)
            ),
        );
    }
    if let Some(modelled) = total.modelled_share() {
        put(
            "Measured",
            format!(
                "{} of the energy; {} modelled",
                percent(1.0 - modelled),
                percent(modelled)
            ),
        );
    }
    if let Some(estimated) = total.estimated_share() {
        put(
            "Live",
            format!(
                "{} of the CO2e; {} by cached, forecast or yearly factors",
                percent(1.0 - estimated),
                percent(estimated)
            ),
        );
    }
    facts
}

fn kinds(report: &Report) -> String {
    let all: Joules = report.energy_joules_by_kind.values().copied().sum();
    let mut kinds: Vec<(&String, &Joules)> = report.energy_joules_by_kind.iter().collect();
    kinds.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    let kinds = kinds.into_iter().filter(|(_, joules)| joules.0 > 0.0);
    let shares = kinds.map(|(kind, joules)| format!("{kind} {}", percent(joules.0 / all.0)));
    shares.collect::<Vec<String>>().join(", ")
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
    table.numbers(
        "budget",
        &MASS,
        &of(&|run| run.budget_co2e_grams.map(|grams| grams.0)),
    );
    if shown.iter().any(|run| run.functional_units.is_some()) {
        let cells = shown
            .iter()
            .map(|run| match run.functional_units.and(run.sci_grams) {
                Some(score) => format!("{} g", three_digits(score)),
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

/// What the runs were together.
#[must_use]
pub fn about_runs(all: &Runs) -> Vec<String> {
    if all.runs.is_empty() {
        return Vec::new();
    }
    let count = |state| all.runs.iter().filter(|run| run.state == state).count();
    let states = [
        State::Succeeded,
        State::Failed,
        State::Running,
        State::Lost,
        State::Vanished,
    ];
    let states = states
        .into_iter()
        .map(|state| (state, count(state)))
        .filter(|(_, count)| *count > 0);
    let states: Vec<String> = states
        .map(|(state, count)| format!("{count} {}", state.name()))
        .collect();
    let joules: Joules = all.runs.iter().map(|run| run.energy_joules).sum();
    let grams: Vec<Grams> = all.runs.iter().filter_map(|run| run.co2e_grams).collect();
    let grams = (!grams.is_empty()).then(|| grams.into_iter().sum());
    let mut said = vec![
        format!(
            "{} runs: {}. Together {}, {} CO2e.",
            all.runs.len(),
            states.join(", "),
            energy(joules),
            mass(grams)
        ),
        format!(
            "Failed runs had {} of the energy{}.",
            percent(all.failed_energy_share),
            all.failed_co2e_share.map_or(String::new(), |share| format!(
                " and {} of the CO2e",
                percent(share)
            ))
        ),
    ];
    let mut errors: Vec<f64> = all
        .runs
        .iter()
        .filter_map(Run::prediction_error)
        .map(f64::abs)
        .collect();
    if !errors.is_empty() {
        errors.sort_by(f64::total_cmp);
        let middle = errors[errors.len() / 2];
        said.push(format!(
            "The first prediction of the energy was off by {} in the middle of {} runs that ended well.",
            percent(middle),
            errors.len()
        ));
    }
    said
}

/// Hours and minutes, or seconds.
fn duration(seconds: f64) -> String {
    // A run has fewer seconds than fit.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The cleanest regions, this place among them, and the others' end.
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
        "the {BEST} cleanest and the {WORST} others' end of {} regions{}",
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

/// `35,300 kilometres by car (US)`.
#[must_use]
pub fn equivalent(one: &Equivalent) -> String {
    format!("{} {}", count(one.count), one.name)
}

/// A number of things, with its thousands apart.
#[must_use]
pub fn count(number: f64) -> String {
    if number < 999.5 {
        let is_whole = number.fract() == 0.0;
        return if is_whole {
            format!("{number}")
        } else {
            three_digits(number)
        };
    }
    // Three digits mean something.
    let size = 10_f64.powf(number.log10().floor() - 2.0);
    let digits = format!("{:.0}", (number / size).round() * size);
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The score, with what it is made of.
#[must_use]
pub fn sci(sci: &Sci) -> String {
    let score = output::grams(Grams(sci.sci_grams));
    let score = score.map_or(UNKNOWN.to_owned(), |figure| figure.to_string());
    let made = match sci.embodied_grams {
        Some(made) => format!("M {}", mass(Some(made))),
        None => "M, which is not known, so that this is a lower bound".to_owned(),
    };
    format!(
        "{score} CO2e for each {}, of {} made: (E x I {} + {made}) / R",
        sci.functional_unit,
        count(sci.functional_units),
        mass(Some(sci.operational_grams))
    )
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
    fn numbers_are_as_people_read_them() {
        assert_eq!(
            [0.5, 3.0, 35_312.0, 1_234_567.0].map(count),
            ["0.50", "3", "35,300", "1,230,000"]
        );
        assert_eq!([0.0, 0.031, 0.5].map(percent), ["0 %", "3.1 %", "50 %"]);
        assert_eq!([-0.5, 0.2, 24.0].map(change), ["-50 %", "+20 %", "x 25"]);
        assert_eq!(
            [5.0, 600.0, 7300.0].map(duration),
            ["5 s", "10 min", "2 h 01 min"]
        );
    }
}
