//! A report as LaTeX: a statement for a paper's appendix, a table, and what both cite, as BibTeX in comments.
//!
//! It needs no package. What names come from elsewhere is escaped.

use super::tables::{self, Grid};
use super::time::told;
use super::words::{energy, mass, percent};
use super::{Report, show, words};
use crate::output::{self, factor, intensity, latex};
use crate::units::Grams;
use std::collections::BTreeSet;
use std::fmt::Write;

/// What is cited beside Gramwatt, as BibTeX. Each is there only where it is cited.
const ENTRIES: [(&str, &str); 3] = [
    (
        "ghg-scope2",
        "@techreport{ghg-scope2,\n  author = {Sotos, Mary},\n  title = {{GHG} Protocol Scope 2 Guidance},\n  \
         institution = {World Resources Institute},\n  year = {2015}\n}",
    ),
    (
        "iso21031",
        "@misc{iso21031,\n  author = {{ISO/IEC}},\n  title = {{ISO/IEC} 21031:2024, Information technology --- \
         Software Carbon Intensity ({SCI}) specification},\n  year = {2024}\n}",
    ),
    (
        "gramwatt-epa-equivalencies",
        "@misc{gramwatt-epa-equivalencies,\n  author = {{US EPA}},\n  title = {Greenhouse Gas Equivalencies Calculator: \
         Calculations and References},\n  year = {2024},\n  howpublished = \
         {\\url{https://www.epa.gov/energy/greenhouse-gas-equivalencies-calculator-calculations-and-references}}\n}",
    ),
];

/// The whole of it.
#[must_use]
pub fn render(report: &Report, top: usize) -> String {
    let mut out = format!(
        "% Made by gramwatt {} report: {}\n\n",
        report.gramwatt,
        comment(&show::period(report))
    );
    out += &statement(report);
    out += "\n";
    let grid = match &report.runs {
        Some(runs) => tables::runs(runs, top),
        None => tables::rows(report, top),
    };
    if !grid.rows.is_empty() {
        let caption = format!(
            "{} from {} to {}.",
            tables::who(report.by),
            told(report.span.from),
            told(report.span.to)
        );
        out += &table(&grid, &caption);
    }
    out += "\n% How to read it:\n";
    for note in &report.notes {
        let _ = writeln!(out, "%  - {}", comment(note));
    }
    out += "\n% BibTeX of what is cited:\n";
    let cited = |key: &str| out.contains(&format!("\\cite{{{key}}}"));
    let others = ENTRIES.iter().filter(|(key, _)| cited(key));
    // The statement always cites Gramwatt.
    let mut entries = output::bibtex_of_gramwatt("report");
    for (_, entry) in others {
        entries += entry;
        entries += "\n";
    }
    for line in entries.lines() {
        let _ = writeln!(out, "%   {line}");
    }
    out
}

/// A text on one line, for a comment.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Numbers and their units do not part: spaces in figures are thin.
fn figure(text: &str) -> String {
    latex(text).replace(' ', "\\,")
}

fn statement(report: &Report) -> String {
    let mut said = String::from("\\paragraph{Energy and emissions.}\n");
    used(report, &mut said);
    emitted(report, &mut said);
    sure(report, &mut said);
    compared(report, &mut said);
    said += "Measured and booked with Gramwatt~\\cite{gramwatt}.\n";
    said
}

/// How much energy. Writing to a string cannot fail, here and below.
fn used(report: &Report, said: &mut String) {
    let total = &report.total;
    let nodes = match report.basis.most_nodes {
        1 => "one machine".to_owned(),
        nodes => format!("{nodes} machines"),
    };
    let _ = write!(
        said,
        "From {} to {}, {nodes} used {} of electricity",
        latex(&told(report.span.from)),
        latex(&told(report.span.to)),
        figure(&energy(total.energy_joules))
    );
    if let Some((facility, pue)) = total.facility_energy_joules.zip(total.pue) {
        let _ = write!(
            said,
            " ({} with the facility's overhead, PUE {})",
            figure(&energy(facility)),
            factor(pue)
        );
    }
    *said += ".\n";
}

/// How much CO2e, by location, by contract, and of the making.
fn emitted(report: &Report, said: &mut String) {
    let total = &report.total;
    if total.co2e_grams.is_some() {
        let _ = write!(
            said,
            "At the carbon intensity of the grid at the time of use this emitted {}\\,CO$_2$e, location-based~\\cite{{ghg-scope2}}",
            figure(&mass(total.co2e_grams))
        );
        let zones: BTreeSet<&str> = report
            .basis
            .grids
            .iter()
            .map(|grid| grid.grid_zone.as_str())
            .collect();
        let zones: Vec<String> = zones.into_iter().map(latex).collect();
        let zones = match zones.len() {
            0 => String::new(),
            1 => format!("; grid zone {}", zones[0]),
            _ => format!("; grid zones {}", zones.join(", ")),
        };
        if let Some(met) = total.intensity_grams_per_kwh {
            let _ = write!(said, " ({}\\,g/kWh on average{zones})", intensity(met));
        }
        *said += ".\n";
    } else {
        *said += "Its emissions are not known, since no grid zone was set.\n";
    }
    if total.market_co2e_grams.is_some() {
        let _ = writeln!(
            said,
            "By the market-based method it was {}\\,CO$_2$e.",
            figure(&mass(total.market_co2e_grams))
        );
    }
    if total.embodied_co2e_grams.is_some() {
        let _ = writeln!(
            said,
            "Making the hardware adds {}\\,CO$_2$e, as the part of its life that was used.",
            figure(&mass(total.embodied_co2e_grams))
        );
    }
}

/// How sure that is, and what is not in it.
fn sure(report: &Report, said: &mut String) {
    let total = &report.total;
    if let Some(modelled) = total.modelled_share() {
        let _ = write!(
            said,
            "Sensors measured {} of the energy, the rest was modelled",
            figure(&percent(1.0 - modelled))
        );
        if let Some(estimated) = total.estimated_share() {
            let _ = write!(
                said,
                "; {} of the CO$_2$e was booked with a live intensity",
                figure(&percent(1.0 - estimated))
            );
        }
        *said += ".\n";
    }
    if report.basis.missing_hours > 0 {
        let _ = writeln!(
            said,
            "{} hours are not in these figures, since nobody measured in them.",
            report.basis.missing_hours
        );
    }
    if report.basis.unheard_seconds > 0 {
        #[allow(clippy::cast_precision_loss)]
        let silent = words::duration(report.basis.unheard_seconds as f64);
        let _ = writeln!(
            said,
            "What was used in about {} in which nobody measured is not in these figures.",
            figure(&silent)
        );
    }
    if report.basis.synthetic_nodes > 0 {
        *said += "The hardware is synthetic: these figures are a demonstration.\n";
    }
}

/// What it is as much as, and for how much work.
fn compared(report: &Report, said: &mut String) {
    let car = report.equivalents.iter().find(|one| one.id == "car-km-us");
    if let Some(car) = car.filter(|car| words::is_something(car)) {
        let _ = writeln!(
            said,
            "This is as much as {} {}~\\cite{{gramwatt-epa-equivalencies}}.",
            words::count(car.count),
            latex(&car.name)
        );
    }
    if let Some(sci) = &report.sci {
        let _ = writeln!(
            said,
            "The software carbon intensity~\\cite{{iso21031}} is {}\\,CO$_2$e for each {}{}.",
            figure(&mass(Some(Grams(sci.sci_grams)))),
            latex(&sci.functional_unit),
            if sci.embodied_grams.is_some() {
                ""
            } else {
                " at least, since the hardware's making is not known"
            }
        );
    }
}

fn table(grid: &Grid, caption: &str) -> String {
    let columns: String = (0..grid.head.len())
        .map(|column| if column < grid.words { 'l' } else { 'r' })
        .collect();
    let mut out = format!(
        "\\begin{{table}}[ht]\n  \\centering\n  \\caption{{{}}}\n  \\begin{{tabular}}{{{columns}}}\n",
        latex(caption)
    );
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| latex(cell).replace("CO2e", "CO$_2$e"))
            .collect();
        format!("    {} \\\\\n", cells.join(" & "))
    };
    out += "    \\hline\n";
    out += &line(&grid.head);
    out += "    \\hline\n";
    for row in &grid.rows {
        out += &line(row);
    }
    out += "    \\hline\n  \\end{tabular}\n\\end{table}\n";
    if let Some(rest) = &grid.rest {
        let _ = writeln!(out, "% {}", comment(rest));
    }
    out
}
