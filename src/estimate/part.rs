//! The devices of a load, by name and number.

use crate::data::{self, Embodied, Found, Hardware, NotFound, Source};
use crate::units::Watts;
use std::fmt;

/// So many of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// How many, at least 1.
    pub count: u32,
    /// What it is called; the watts where that is all that is known.
    pub name: String,
    /// What one of them is rated at.
    pub rated: Watts,
    /// What it took to make one; `None` where nobody knows.
    pub made: Option<Embodied>,
    /// Who says what it draws; `None` for who asked.
    pub source: Option<Source>,
    /// Whether it is a processor.
    pub is_processor: bool,
    /// What was typed, and what else it may mean, where it leaves that open.
    pub open: Option<(String, Vec<Hardware>)>,
}

/// `8 x NVIDIA H100 SXM`.
impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} x {}", self.count, self.name)
    }
}

/// The most devices of one kind.
const MOST: u32 = 1_000_000;

impl Part {
    /// A device as a person names it: `h100`, `8x h100`, `h100 x8`, `8 h100`, or `450W` or `0.45kW` for one that is not
    /// bundled; `count` of them where the name says no number.
    ///
    /// # Errors
    /// What is wrong with it: an unknown name, with the nearest, or an impossible number.
    pub fn named(text: &str, count: u32) -> Result<Self, String> {
        // A name goes before a number in it: an Athlon II X4 is no four of anything.
        let whole = Self::of(text, count);
        if whole.is_ok() {
            return whole;
        }
        match numbered(text) {
            Some((number, name)) => match number.parse() {
                Ok(number @ 1..=MOST) => Self::of(name, number),
                _ => Err(format!(
                    "--hardware {text:?}: {number} is no number of devices: 1 to {MOST}"
                )),
            },
            None => whole,
        }
    }

    fn of(name: &str, count: u32) -> Result<Self, String> {
        if let Some(part) = Self::of_watts(name, count)? {
            return Ok(part);
        }
        let Found { hardware, also } = data::find_hardware(name).map_err(|not| told(name, not))?;
        Ok(Self {
            count,
            name: hardware.name,
            rated: hardware.rated,
            made: hardware.made,
            source: Some(hardware.source),
            is_processor: hardware.kind == crate::sensor::Kind::Cpu,
            open: (!also.is_empty()).then(|| (name.trim().to_owned(), also)),
        })
    }

    /// A device of which only the rated power is known: `450W`, `0.45kW`.
    fn of_watts(text: &str, count: u32) -> Result<Option<Self>, String> {
        let Some(number) = text.trim().strip_suffix(['W', 'w']) else {
            return Ok(None);
        };
        let (number, kilo) = match number.strip_suffix(['k', 'K']) {
            Some(number) => (number, 1e3),
            None => (number, 1.0),
        };
        let Ok(number) = number.trim_end().parse::<f64>() else {
            return Ok(None);
        };
        let watts = number * kilo;
        if !(watts > 0.0 && watts <= 100_000.0) {
            return Err(format!(
                "--hardware {text:?}: no rated power: above 0 and at most 100000 W"
            ));
        }
        Ok(Some(Self {
            count,
            name: format!("{watts} W device"),
            rated: Watts(watts),
            made: None,
            source: None,
            is_processor: false,
            open: None,
        }))
    }
}

/// A number and a name: `8x h100`, `h100 x8`, `h100x8`, `8 h100`. Not `rtx 2080`: before a times at the end stands a
/// space or a digit.
fn numbered(text: &str) -> Option<(&str, &str)> {
    let is_times = |c: char| ['x', 'X', '*', '×'].contains(&c);
    let text = text.trim();
    let first = text.split_once(is_times);
    let last = text
        .rsplit_once(is_times)
        .map(|(name, number)| (number, name))
        .filter(|(_, name)| name.ends_with(|c: char| c.is_whitespace() || c.is_ascii_digit()));
    let plain = text.split_once(char::is_whitespace);
    let parts = [first, last, plain].into_iter().flatten();
    let mut parts = parts.map(|(number, name)| (number.trim(), name.trim()));
    parts.find(|(number, name)| {
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        is_number && !name.is_empty()
    })
}

fn told(name: &str, not: NotFound) -> String {
    let list = |hardware: Vec<Hardware>| {
        let names: Vec<String> = hardware
            .iter()
            .take(8)
            .map(|one| format!("{} ({} W)", one.name, one.rated.0))
            .collect();
        names.join(", ")
    };
    match not {
        NotFound::Unknown(near) => format!(
            "--hardware {name:?}: not bundled; nearest: {}; for another give its rated power, such as \
             --hardware 450W",
            list(near)
        ),
        NotFound::Ambiguous(fit) => {
            let name = name.trim();
            let watts = match name.parse::<f64>() {
                Ok(_) => format!("; for a device of so many watts: {name}W"),
                Err(_) => String::new(),
            };
            format!("--hardware {name:?}: say which: {}{watts}", list(fit))
        }
    }
}
