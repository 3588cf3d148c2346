//! What every output that is read by people shares: quantities with three significant digits and the unit
//! that fits, and texts for LaTeX and CSV.

use crate::units::{Grams, GramsPerKwh, Joules, Watts};
use std::fmt;

/// A number and its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The number, rounded.
    pub number: String,
    /// The unit with its SI prefix.
    pub unit: &'static str,
}

/// `1.23 kg`.
impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&format!("{} {}", self.number, self.unit))
    }
}

impl Figure {
    /// `1.23\,kg`: the space is thin and does not break.
    #[must_use]
    pub fn latex(&self) -> String {
        format!("{}\\,{}", latex(&self.number), latex(self.unit))
    }
}

/// Power in mW to MW; `None` for what is no number, here and below.
#[must_use]
pub fn watts(watts: Watts) -> Option<Figure> {
    scaled(
        watts.0,
        &[(1e-3, "mW"), (1.0, "W"), (1e3, "kW"), (1e6, "MW")],
    )
}

/// Energy in mWh to GWh.
#[must_use]
pub fn watt_hours(energy: Joules) -> Option<Figure> {
    let units = [
        (1e-6, "mWh"),
        (1e-3, "Wh"),
        (1.0, "kWh"),
        (1e3, "MWh"),
        (1e6, "GWh"),
    ];
    scaled(energy.kwh(), &units)
}

/// Energy in J to TJ.
#[must_use]
pub fn joules(energy: Joules) -> Option<Figure> {
    let units = [
        (1.0, "J"),
        (1e3, "kJ"),
        (1e6, "MJ"),
        (1e9, "GJ"),
        (1e12, "TJ"),
    ];
    scaled(energy.0, &units)
}

/// Mass in mg to t.
#[must_use]
pub fn grams(mass: Grams) -> Option<Figure> {
    scaled(mass.0, &[(1e-3, "mg"), (1.0, "g"), (1e3, "kg"), (1e6, "t")])
}

/// The value in the smallest of `units` (ascending) in which it stays below 1000. `None` for what is
/// no number.
#[must_use]
pub fn scaled(value: f64, units: &[(f64, &'static str)]) -> Option<Figure> {
    let fits = |(factor, _): &&(f64, &'static str)| match value {
        // Nothing is nothing of the plain unit.
        0.0 => *factor >= 1.0,
        _ => (value / factor).abs() < 999.5,
    };
    let (factor, unit) = units.iter().find(fits).or(units.last())?;
    value.is_finite().then(|| Figure {
        number: three_digits(value / factor),
        unit,
    })
}

/// Three significant digits, at most two behind the point.
#[must_use]
pub fn three_digits(value: f64) -> String {
    let size = value.abs();
    match size {
        0.0 => "0".into(),
        _ if size < 0.005 => "<0.01".into(),
        _ if size < 9.995 => format!("{value:.2}"),
        _ if size < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A factor (PUE, g/kWh) as it was given, without the digits that a float adds.
#[must_use]
pub fn factor(value: f64) -> String {
    let rounded = format!("{value:.3}");
    rounded
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

/// An intensity as a provider tells it, to a tenth where it is small.
#[must_use]
pub fn intensity(intensity: GramsPerKwh) -> String {
    let grams = intensity.0;
    if grams.abs() < 99.95 {
        factor((grams * 10.0).round() / 10.0)
    } else {
        format!("{grams:.0}")
    }
}

/// A text as LaTeX typesets it: what LaTeX takes for commands is escaped, and a line's end is a space.
#[must_use]
pub fn latex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out += "\\textbackslash{}",
            '~' => out += "\\textasciitilde{}",
            '^' => out += "\\textasciicircum{}",
            '<' => out += "\\textless{}",
            '>' => out += "\\textgreater{}",
            '|' => out += "\\textbar{}",
            '"' => out += "''",
            '\u{a0}' => out.push('~'),
            '{' | '}' | '$' | '&' | '#' | '%' | '_' => out.extend(['\\', letter]),
            _ if letter.is_control() => out.push(' '),
            _ => out.push(letter),
        }
    }
    out
}

/// What cites Gramwatt itself, as BibTeX: its key is `gramwatt`, and `command` is what made the figures.
#[must_use]
pub fn bibtex_of_gramwatt(command: &str) -> String {
    format!(
        "@misc{{gramwatt,\n  title = {{{{Gramwatt}}: watts, joules and grams of {{CO2e}}}},\n  \
         note = {{Version {}, gramwatt {command}}},\n  \
         howpublished = {{\\url{{https://github.com/gramwatt/gramwatt}}}},\n}}\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// A table as CSV: a line of names, then the rows.
#[must_use]
pub fn csv<R>(names: &[&str], rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item = String>,
{
    let mut writer = csv::WriterBuilder::new()
        .flexible(true)
        .from_writer(Vec::new());
    // Memory takes whatever is written.
    let _ = writer.write_record(names);
    for row in rows {
        let _ = writer.write_record(row.into_iter().map(String::into_bytes));
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(figure: Option<Figure>) -> String {
        figure.unwrap().to_string()
    }

    #[test]
    fn the_unit_fits_the_number() {
        for (value, expected) in [
            (0.0, "0 W"),
            (1e-9, "<0.01 mW"),
            (0.85, "850 mW"),
            (5.0, "5.00 W"),
            (9.996, "10.0 W"),
            (412.4, "412 W"),
            (999.4, "999 W"),
            (999.6, "1.00 kW"),
            (5432.0, "5.43 kW"),
            (2.5e9, "2500 MW"),
        ] {
            assert_eq!(shown(watts(Watts(value))), expected, "{value}");
        }
        assert_eq!(shown(watt_hours(Joules(3.6e6))), "1.00 kWh");
        assert_eq!(shown(watt_hours(Joules(1800.0))), "500 mWh");
        assert_eq!(shown(joules(Joules(4.43e7))), "44.3 MJ");
        assert_eq!(shown(grams(Grams(1234.0))), "1.23 kg");
        assert_eq!(
            format!("{:>8}", grams(Grams(45.6)).unwrap()),
            "  45.6 g",
            "a table can pad it"
        );
        assert_eq!(grams(Grams(1e-9)).unwrap().latex(), "\\textless{}0.01\\,mg");
    }

    #[test]
    fn what_is_no_number_is_none() {
        for value in [f64::NAN, f64::INFINITY] {
            assert_eq!(watts(Watts(value)), None);
        }
    }

    #[test]
    fn factors_are_as_given() {
        assert_eq!(
            [380.0, 1.3, 0.1 + 0.2, 1.0].map(factor),
            ["380", "1.3", "0.3", "1"]
        );
    }

    #[test]
    fn latex_takes_nothing_of_a_text_for_a_command() {
        assert_eq!(
            latex("50 % of R&D_{x} #1 \\cite ~$5^2 <a|b>\n\"q\"\u{a0}Zürich"),
            "50 \\% of R\\&D\\_\\{x\\} \\#1 \\textbackslash{}cite \\textasciitilde{}\\$5\\textasciicircum{}2 \
             \\textless{}a\\textbar{}b\\textgreater{} ''q''~Zürich"
        );
    }

    #[test]
    fn a_csv_reader_reads_what_was_written() {
        let rows = [["a,b", "say \"x\""], ["two\nlines", ""]].map(|row| row.map(str::to_owned));
        let text = csv(&["one", "two"], rows.clone());
        assert!(text.starts_with("one,two\n"), "{text}");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let read: Vec<Vec<String>> = reader
            .records()
            .map(|record| record.unwrap().iter().map(str::to_owned).collect())
            .collect();
        assert_eq!(read, rows.map(|row| row.to_vec()).to_vec());
    }
}
