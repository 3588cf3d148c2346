//! The names of the files, and their text.

/// What a file counts; the better one last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Power of the moment.
    Watts,
    /// Energy since the controller's start.
    Joules,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::Watts => "W",
            Self::Joules => "J",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Watts => "power",
            Self::Joules => "energy",
        }
    }
}

/// Longest name of a part, in characters.
const LONGEST: usize = 32;

/// The part that a file tells of, and its unit; `None` for a file that tells neither of power nor of energy,
/// as caps, temperatures and scan counters do not.
pub(super) fn split(file: &str) -> Option<(&str, Unit)> {
    let units = [Unit::Watts, Unit::Joules];
    units.into_iter().find_map(|unit| {
        let rest = file.strip_suffix(unit.file())?;
        if rest.is_empty() {
            return Some(("", unit));
        }
        let part = rest.strip_suffix('_')?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        ((1..=LONGEST).contains(&part.len()) && part.chars().all(fits)).then_some((part, unit))
    })
}

/// The file that tells of a part.
pub(super) fn join(part: &str, unit: Unit) -> String {
    if part.is_empty() {
        return unit.file().to_owned();
    }
    format!("{part}_{}", unit.file())
}

/// Reads `NUMBER UNIT MICROSECONDS us`, or `NUMBER UNIT` as older systems (XC) write it. `None` where it is
/// another unit, another number than a whole one of at least 0, or cut short.
#[must_use]
pub fn parse(text: &str, unit: Unit) -> Option<u64> {
    let mut words = text.split_ascii_whitespace();
    let number = words.next()?;
    // Neither a sign nor anything else that a kernel does not write.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) || words.next() != Some(unit.word()) {
        return None;
    }
    let rest = (words.next(), words.next(), words.next());
    let is_whole = match rest {
        (None, ..) => true,
        (Some(time), Some("us"), None) => time.parse::<u64>().is_ok(),
        _ => false,
    };
    number.parse().ok().filter(|_| is_whole)
}
