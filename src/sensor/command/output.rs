//! What a program prints: CSV, a line for each device.
//!
//! Without a header the columns are `device,kind,` and the configured unit. A header, in the first line, names
//! them: `device`, `kind`, and one of `watts` and `joules` must be there, in any order; `utilization` (0 to 1,
//! or with a % sign), `power_limit` (watts), `model` and `uuid` may be. Empty lines and those that begin with
//! `#` say nothing, nor do optional cells that are empty or `N/A`. A number may be followed by its unit,
//! `W` or `J`.
//!
//! Each line is read for itself, so that a quote that is left open costs one line and not all that follow.

use super::Unit;
use crate::sensor::{About, Cause, Fault, Kind, Part, Reading, Readings, Source, Value};
use crate::units::Watts;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Most lines that are looked at: far above what fits into a machine.
const MOST_LINES: usize = 1000;

/// Longest id of a device, in characters: a UUID with a prefix has about 40.
const LONGEST_ID: usize = 64;

/// Longest model or UUID, in characters.
const LONGEST_TEXT: usize = 128;

/// Characters of a broken line that a fault shows.
const SHOWN: usize = 64;

/// Joules for each count of a counter. Programs print fractions, and books keep whole counts.
const COUNT: f64 = 1e-6;

/// The largest counter that is believed, in joules: a century at 3 kW. Its counts fit into 64 bits.
const MOST_JOULES: f64 = 1e13;

/// The largest power limit that is believed, in watts: no one device has more.
const MOST_LIMIT: f64 = 100_000.0;

/// Where things stand on a line.
#[derive(Clone, Copy, Debug)]
struct Columns {
    device: usize,
    kind: usize,
    value: usize,
    unit: Unit,
    utilization: Option<usize>,
    limit: Option<usize>,
    model: Option<usize>,
    uuid: Option<usize>,
    /// How many there are.
    count: usize,
}

/// One line that says something.
struct Line<'a> {
    number: usize,
    text: &'a str,
    place: &'a str,
}

/// Reads what a program printed. `place` is the program's path, which faults name with the number of the
/// line; `ceiling` is the most that one device can draw.
#[must_use]
pub fn read(printed: &[u8], unit: Unit, ceiling: Watts, place: &str) -> Readings {
    let mut readings = Readings::default();
    let mut columns = None;
    let mut found: Vec<(usize, Reading)> = Vec::new();
    let mut seen = 0;
    for (index, bytes) in printed.split(|byte| *byte == b'\n').enumerate() {
        let lossy = String::from_utf8_lossy(bytes);
        let line = Line {
            number: index + 1,
            text: lossy.trim_start_matches('\u{feff}').trim(),
            place,
        };
        if line.text.is_empty() || line.text.starts_with('#') {
            continue;
        }
        seen += 1;
        if seen > MOST_LINES {
            readings.bad.push(line.fault(&format!(
                "it is the first of those after {MOST_LINES}, which are ignored: print one for each device"
            )));
            break;
        }
        let Some(cells) = cells(line.text) else {
            readings.bad.push(line.fault(ONE_LINE));
            continue;
        };
        let columns = match columns {
            Some(columns) => columns,
            None if is_header(&cells) => match line.header(&cells, &mut readings.bad) {
                Some(named) => {
                    columns = Some(named);
                    continue;
                }
                None => break,
            },
            None => *columns.insert(Columns::plain(unit)),
        };
        if let Some(reading) = line.reading(&cells, columns, ceiling, &mut readings.bad) {
            found.push((line.number, reading));
        }
    }
    take_unique(found, &mut readings, place);
    readings
}

/// What is wrong with a line that is no CSV.
const ONE_LINE: &str = "print one line for each device, its cells separated by commas, in UTF-8";

/// Takes the devices that are told of once. Which of several lines is right nobody knows.
fn take_unique(found: Vec<(usize, Reading)>, readings: &mut Readings, place: &str) {
    let mut lines: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
    for (number, reading) in &found {
        if let Part::Device { id, .. } = &reading.source.part {
            lines.entry(Arc::clone(id)).or_default().push(*number);
        }
    }
    lines.retain(|_, numbers| numbers.len() > 1);
    let is_once = |reading: &Reading| match &reading.source.part {
        Part::Device { id, .. } => !lines.contains_key(id),
        _ => false,
    };
    let good = found.into_iter().map(|(_, reading)| reading).filter(is_once);
    readings.good.extend(good);
    for (id, numbers) in &lines {
        let (first, second) = (numbers.first().unwrap_or(&0), numbers.get(1).unwrap_or(&0));
        readings.bad.push(Fault {
            place: format!("{place} line {second}"),
            cause: Cause::Device(format!("device {id} is in line {first} already: neither is booked")),
            mend: "give each device an id of its own, and print it once".to_owned(),
        });
    }
}

impl Columns {
    fn plain(unit: Unit) -> Self {
        Self {
            device: 0,
            kind: 1,
            value: 2,
            unit,
            utilization: None,
            limit: None,
            model: None,
            uuid: None,
            count: 3,
        }
    }
}

/// The cells of one line; `None` where it is not UTF-8 or no line of CSV.
fn cells(text: &str) -> Option<csv::StringRecord> {
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .buffer_capacity(text.len())
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let cells = records.next()?.ok()?;
    // A carriage return in its middle ends a record, too.
    records.next().is_none().then_some(cells)
}

fn is_header(cells: &csv::StringRecord) -> bool {
    cells.iter().any(|cell| ["device", "kind"].iter().any(|name| cell.eq_ignore_ascii_case(name)))
}

impl Line<'_> {
    fn fault(&self, mend: &str) -> Fault {
        let mut shown: String = self.text.chars().take(SHOWN).collect();
        if self.text.chars().nth(SHOWN).is_some() {
            shown.push('…');
        }
        Fault {
            place: format!("{} line {}", self.place, self.number),
            cause: Cause::Parse(shown),
            mend: mend.to_owned(),
        }
    }

    /// The columns that a header names; `None` where a needed one is missing.
    fn header(&self, cells: &csv::StringRecord, bad: &mut Vec<Fault>) -> Option<Columns> {
        const KNOWN: [&str; 8] =
            ["device", "kind", "watts", "joules", "utilization", "power_limit", "model", "uuid"];
        let names: Vec<String> = cells.iter().map(str::to_ascii_lowercase).collect();
        let of = |name: &str| names.iter().position(|cell| cell == name);
        let is_known = |name: &String| KNOWN.contains(&name.as_str());
        let twice = (1..).zip(&names).any(|(next, name)| names.iter().skip(next).any(|n| n == name));
        if twice || !names.iter().all(is_known) {
            bad.push(self.fault(
                "a header may name device, kind, watts or joules, utilization, power_limit, model and uuid, \
                 each once; other columns are ignored",
            ));
        }
        let value = match (of("watts"), of("joules")) {
            (Some(value), None) => Some((value, Unit::Watts)),
            (None, Some(value)) => Some((value, Unit::Joules)),
            _ => None,
        };
        let (Some(device), Some(kind), Some((value, unit))) = (of("device"), of("kind"), value) else {
            bad.push(self.fault(
                "a header must name device, kind, and one of watts and joules; nothing is booked before",
            ));
            return None;
        };
        Some(Columns {
            device,
            kind,
            value,
            unit,
            utilization: of("utilization"),
            limit: of("power_limit"),
            model: of("model"),
            uuid: of("uuid"),
            count: names.len(),
        })
    }

    /// The reading of a line; `None`, and a fault, where it is not to be believed. An optional cell that is
    /// wrong costs that cell.
    fn reading(
        &self,
        cells: &csv::StringRecord,
        columns: Columns,
        ceiling: Watts,
        bad: &mut Vec<Fault>,
    ) -> Option<Reading> {
        let needed = self.needed(cells, columns, ceiling);
        let (id, kind, value) = needed.map_err(|mend| bad.push(self.fault(&mend))).ok()?;
        let option = |column: Option<usize>| {
            let cell = cells.get(column?).unwrap_or_default();
            (!cell.is_empty() && !cell.eq_ignore_ascii_case("n/a")).then_some(cell)
        };
        let (utilization, limit) = (option(columns.utilization), option(columns.limit));
        let (model, uuid) = (option(columns.model), option(columns.uuid));
        let mut or_fault = |is_wrong: bool, mend: &str| {
            if is_wrong {
                bad.push(self.fault(mend));
            }
        };
        let busy = utilization.and_then(ratio);
        or_fault(
            utilization.is_some() && busy.is_none(),
            "utilization is 0 to 1, or 0% to 100% with its sign; leave it empty where it is not known",
        );
        let power_limit =
            limit.and_then(|cell| number(cell, 'W')).filter(|watts| (1.0..=MOST_LIMIT).contains(watts));
        or_fault(
            limit.is_some() && power_limit.is_none(),
            "power_limit is in watts; leave it empty where there is none",
        );
        let texts = [model, uuid].map(|cell| cell.unwrap_or_default());
        let is_text = |text: &str| {
            text.chars().nth(LONGEST_TEXT).is_none() && !text.chars().any(char::is_control)
        };
        or_fault(
            !texts.iter().all(|text| is_text(text)),
            "model and uuid have at most 128 characters, none of them a control character",
        );
        let [model, uuid] = texts.map(|text| if is_text(text) { text } else { "" });
        let source = Source {
            part: Part::Device { id, kind },
            about: About {
                model: model.to_owned(),
                uuid: uuid.to_owned(),
                driver: name(self.place),
                ..About::default()
            },
            ceiling,
            holds: &[],
        };
        Some(Reading {
            utilization: busy,
            power_limit: power_limit.map(Watts),
            ..Reading::new(&Arc::new(source), value)
        })
    }

    /// What a line must say, or what is wrong with it.
    fn needed(
        &self,
        cells: &csv::StringRecord,
        columns: Columns,
        ceiling: Watts,
    ) -> Result<(Arc<str>, Kind, Value), String> {
        if cells.len() > columns.count {
            return Err(format!(
                "it has {} cells, and there are {} columns: name them in a header, and put a cell that holds \
                 commas in quotes, right after the comma before it",
                cells.len(),
                columns.count
            ));
        }
        let of = |column: usize| cells.get(column).unwrap_or_default();
        let id = of(columns.device);
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if id.is_empty() || id.len() > LONGEST_ID || !id.chars().all(fits) || id == "other" {
            return Err(format!(
                "a device's id has 1 to {LONGEST_ID} letters, digits and - _ . : / and is not other; it must \
                 be the same after a reboot"
            ));
        }
        let kind = kind(of(columns.kind))?;
        let wanted = match columns.unit {
            Unit::Watts => watts(of(columns.value), ceiling),
            Unit::Joules => joules(of(columns.value)),
        };
        Ok((id.into(), kind, wanted?))
    }
}

fn kind(cell: &str) -> Result<Kind, String> {
    [Kind::Gpu, Kind::Cpu, Kind::Dram, Kind::Soc]
        .into_iter()
        .find(|kind| cell.eq_ignore_ascii_case(kind.label()))
        .ok_or_else(|| {
            "kind is gpu (any accelerator), cpu, dram or soc; what overlaps devices, as a meter of the node \
             does, would be counted twice and cannot be booked by a program"
                .to_owned()
        })
}

fn watts(cell: &str, ceiling: Watts) -> Result<Value, String> {
    let watts = number(cell, 'W').map(Watts).ok_or("watts are a number of at least 0, such as 312.5")?;
    if watts > ceiling {
        return Err(format!(
            "it draws more than {} W: set ceiling_watts to what the device can draw at most, or print watts \
             and not milliwatts",
            ceiling.0
        ));
    }
    Ok(Value::Power(watts))
}

/// Rounded to a count, of which there are no fractions.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn joules(cell: &str) -> Result<Value, String> {
    let joules = number(cell, 'J').filter(|joules| *joules <= MOST_JOULES);
    let joules = joules.ok_or("joules are a counter from 0 to 1e13 that only rises, such as 81403.125")?;
    Ok(Value::Counter {
        raw: (joules / COUNT).round() as u64,
        unit: COUNT,
        wraps_at: None,
    })
}

/// A number that is not negative, with or without its unit.
fn number(cell: &str, unit: char) -> Option<f64> {
    let digits = cell.strip_suffix(unit).unwrap_or(cell).trim_end();
    let number: f64 = digits.parse().ok()?;
    // Minus zero is zero.
    (number.is_finite() && number >= 0.0).then_some(number + 0.0)
}

/// A share of 1, or a percentage that says so: 1 could be all, or a hundredth.
fn ratio(cell: &str) -> Option<f64> {
    let ratio = match cell.strip_suffix('%') {
        Some(percent) => number(percent.trim_end(), '%')? / 100.0,
        None => number(cell, '%')?,
    };
    (ratio <= 1.0).then_some(ratio)
}

/// The last part of a path.
fn name(place: &str) -> String {
    Path::new(place).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
