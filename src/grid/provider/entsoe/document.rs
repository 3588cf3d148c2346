//! Reads ENTSO-E's XML: a market document of series, or an acknowledgement that says why there is none.
//! Only local names count, since the version in the namespace changes. Nothing is expanded, and depth,
//! lengths and counts are bounded.

use super::Garbage;
use crate::grid::provider::read;
use crate::grid::series::after;
use jiff::Timestamp;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most points, and most steps that they may stand for: eight days of quarters for 25 types of plants,
/// tenfold.
pub(super) const MOST: usize = 200_000;

/// The documents are six deep.
const DEEPEST: usize = 16;

/// Longest text: a reason may be some lines.
const LONGEST: usize = 4096;

/// Most steps in a period: 31 days of quarters.
const STEPS: i64 = 31 * 96;

/// What one type of plants did.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The area's code.
    pub area: String,
    /// Whether it took power rather than gave it.
    pub is_consumption: bool,
    /// The code of the type of plants.
    pub plants: String,
    /// What it gave.
    pub pieces: Vec<Piece>,
    /// A value holds until the next one (curve type A03).
    is_held: bool,
}

/// A power over a time.
#[derive(Debug)]
pub(super) struct Piece {
    pub from: Timestamp,
    pub until: Timestamp,
    pub step: Duration,
    pub megawatts: f64,
}

#[derive(Default)]
struct Period {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    step: Option<Duration>,
    /// By position, from 1.
    values: BTreeMap<i64, f64>,
    position: Option<i64>,
    quantity: Option<f64>,
}

/// Reads a document.
pub(super) fn read(body: &[u8]) -> Result<Vec<Series>, Garbage> {
    let text = std::str::from_utf8(body).map_err(|_| form("it is no UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() {
        return Err(Garbage::Empty);
    }
    if !text.starts_with('<') {
        return Err(form("no XML: a proxy, a login page or a wrong base_url"));
    }
    let mut reader = Reader::from_str(text);
    let mut found = Found::default();
    let (mut depth, mut name, mut content) = (0_usize, String::new(), String::new());
    loop {
        match reader.read_event().map_err(|_| form("broken XML"))? {
            Event::Start(start) => {
                depth += 1;
                name.clear();
                name.push_str(start.local_name().as_ref());
                content.clear();
                if depth > DEEPEST {
                    return Err(form("it is too deep"));
                }
                if depth == 1 {
                    found.is_of_root(&name)?;
                }
                found.opened(&name)?;
            }
            Event::Text(text) => content.push_str(&text.xml10_content()),
            Event::CData(text) => content.push_str(&text.xml10_content()),
            Event::GeneralRef(entity) => content.push(match &*entity {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => return Err(form("it has entities")),
            }),
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                let closed = end.local_name();
                let closed: &str = closed.as_ref();
                found.closed(closed, if closed == name { content.trim() } else { "" })?;
                name.clear();
                content.clear();
            }
            Event::DocType(_) => return Err(form("it has a document type")),
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
        if content.len() > LONGEST {
            return Err(form("a text is too long"));
        }
    }
    if depth > 0 {
        return Err(form("it ends in the middle"));
    }
    found.end()
}

fn form(what: &'static str) -> Garbage {
    Garbage::Form(what.into())
}

/// What has been found so far.
#[derive(Default)]
struct Found {
    is_refusal: bool,
    is_generation: bool,
    reasons: Vec<String>,
    all: Vec<Series>,
    series: Option<Series>,
    period: Option<Period>,
    count: usize,
}

impl Found {
    fn is_of_root(&mut self, name: &str) -> Result<(), Garbage> {
        match name {
            "GL_MarketDocument" => Ok(()),
            "Acknowledgement_MarketDocument" => {
                self.is_refusal = true;
                Ok(())
            }
            _ if name.eq_ignore_ascii_case("html") => Err(form(
                "HTML in place of XML: a proxy, a login page or a wrong base_url",
            )),
            _ => Err(form("it is no document of generation and load")),
        }
    }

    fn opened(&mut self, name: &str) -> Result<(), Garbage> {
        match name {
            "TimeSeries" => self.series = Some(Series::default()),
            "Period" => self.period = Some(Period::default()),
            _ => return Ok(()),
        }
        self.counted()
    }

    fn counted(&mut self) -> Result<(), Garbage> {
        self.count += 1;
        if self.count > MOST {
            return Err(form("it has too many values"));
        }
        Ok(())
    }

    /// An element ends; `text` is what it holds where it holds no others.
    fn closed(&mut self, name: &str, text: &str) -> Result<(), Garbage> {
        match (&mut self.period, &mut self.series) {
            (Some(period), _) => match name {
                "start" => period.start = Some(read::moment(text)?),
                "end" => period.end = Some(read::moment(text)?),
                "resolution" => period.step = Some(resolution(text)?),
                "position" => period.position = Some(position(text)?),
                "quantity" => period.quantity = Some(quantity(text)?),
                "Point" => {
                    let (Some(position), Some(quantity)) =
                        (period.position.take(), period.quantity.take())
                    else {
                        return Err(form("a point lacks its position or its quantity"));
                    };
                    period.values.insert(position, quantity);
                    return self.counted();
                }
                "Period" => return self.end_period(),
                _ => {}
            },
            (None, Some(series)) => match name {
                "inBiddingZone_Domain.mRID" => text.clone_into(&mut series.area),
                "outBiddingZone_Domain.mRID" => series.is_consumption = true,
                "psrType" => text.clone_into(&mut series.plants),
                "curveType" => match text {
                    "A01" => series.is_held = false,
                    "A03" => series.is_held = true,
                    _ => return Err(form("its curve type is neither A01 nor A03")),
                },
                "quantity_Measure_Unit.name" if text != "MAW" => {
                    return Err(Garbage::Unit(read::short(text)));
                }
                "TimeSeries" => self.all.extend(self.series.take()),
                _ => {}
            },
            (None, None) => match name {
                "type" => self.is_generation = text == "A75",
                "text" if self.reasons.len() < 10 => self.reasons.push(read::short(text)),
                _ => {}
            },
        }
        Ok(())
    }

    fn end_period(&mut self) -> Result<(), Garbage> {
        let (Some(period), Some(series)) = (self.period.take(), &mut self.series) else {
            return Err(form("a period is in no series"));
        };
        let (Some(start), Some(end), Some(step)) = (period.start, period.end, period.step) else {
            return Err(form("a period lacks its interval or its resolution"));
        };
        let seconds = i64::try_from(step.as_secs()).unwrap_or(i64::MAX);
        let steps = end.as_second().saturating_sub(start.as_second()) / seconds;
        if !(0..=STEPS).contains(&steps) || start.as_second().rem_euclid(seconds) != 0 {
            return Err(form(
                "a period is too long, ends before it begins, or begins within a step",
            ));
        }
        let at = |position: i64| {
            let passed = u64::try_from((position - 1) * seconds).unwrap_or_default();
            after(start, Duration::from_secs(passed))
        };
        let mut positions = period.values.keys().skip(1).copied();
        for (position, megawatts) in &period.values {
            if !(1..=steps).contains(position) {
                return Err(form("a position is not within its period"));
            }
            let next = positions.next().unwrap_or(steps + 1);
            let next = if series.is_held { next } else { position + 1 };
            series.pieces.push(Piece {
                from: at(*position),
                until: at(next),
                step,
                megawatts: *megawatts,
            });
        }
        Ok(())
    }

    fn end(self) -> Result<Vec<Series>, Garbage> {
        if self.is_refusal {
            let reasons = self.reasons.join("; ");
            return Err(Garbage::Refused(if reasons.is_empty() {
                "no reason".to_owned()
            } else {
                reasons
            }));
        }
        if !self.is_generation {
            return Err(form("it is no document of type A75"));
        }
        Ok(self.all)
    }
}

fn resolution(text: &str) -> Result<Duration, Garbage> {
    let minutes = match text {
        "PT15M" => 15,
        "PT30M" => 30,
        "PT60M" | "PT1H" => 60,
        _ => return Err(form("its resolution is none of PT15M, PT30M and PT60M")),
    };
    Ok(Duration::from_secs(minutes * 60))
}

fn position(text: &str) -> Result<i64, Garbage> {
    let position = text
        .parse()
        .ok()
        .filter(|position| (1..=STEPS).contains(position));
    position.ok_or_else(|| form("a position is no number that can be"))
}

fn quantity(text: &str) -> Result<f64, Garbage> {
    let quantity = text
        .parse()
        .ok()
        .filter(|quantity: &f64| quantity.is_finite());
    quantity.ok_or_else(|| form("a quantity is no number"))
}
