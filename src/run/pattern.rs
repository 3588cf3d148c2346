//! How far the work is, by what a command prints or writes.
//!
//! A person's regular expression finds it in the output: `epoch (\d+)/(\d+)`. The first group is what is done, the
//! second the total; groups named `done` and `total` win over numbers. One named `begun` instead of `done` is for
//! programs that tell a unit at its beginning (Keras' `Epoch 1/10`): then one less is done. Without a group for the
//! total it is told beforehand, or is 100 where the pattern has a `%`.

use regex::{Captures, Regex, RegexBuilder};

/// Bytes of a line that are looked at; the rest of it is passed over.
pub const MOST_LINE: usize = 4096;

/// Bytes that a compiled pattern may have: far above any that reads progress, far below what a machine would feel.
const MOST_PATTERN: usize = 1 << 20;

/// Totals that are believed: a fraction of a unit up to all the samples of the largest training.
const TOTALS: std::ops::RangeInclusive<f64> = 1e-9..=1e15;

/// Done so many of so many, both in the units that the command counts in (epochs, steps, percent).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// Units done: finite, from 0 on; above `total` only where the command says so.
    pub done: f64,
    /// Units in all: finite and above 0.
    pub total: f64,
}

impl Told {
    /// `None` for what is no progress: negative, not finite, or of a total outside 1e-9 to 1e15.
    #[must_use]
    pub fn new(done: f64, total: f64) -> Option<Self> {
        let is_fine = TOTALS.contains(&total) && (0.0..=*TOTALS.end()).contains(&done);
        is_fine.then_some(Self { done, total })
    }
}

/// A pattern that finds progress in a line.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    done: usize,
    /// Whether the number is that of a unit that has only begun.
    is_begun: bool,
    total: Total,
}

/// Where the total stands.
#[derive(Clone, Copy, Debug)]
enum Total {
    Group(usize),
    Known(f64),
}

impl Pattern {
    /// Reads a person's pattern; `total`, where given, wins over what the lines say.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead: it is no regular expression, too large, has no group or
    /// too many, or nobody says what the total is.
    pub fn new(pattern: &str, total: Option<f64>) -> Result<Self, String> {
        let regex = RegexBuilder::new(pattern).size_limit(MOST_PATTERN).build();
        let regex = regex.map_err(|error| format!("{pattern:?}: {error}"))?;
        let named = |name: &str| regex.capture_names().position(|group| group == Some(name));
        let (named_done, begun, named_total) = (named("done"), named("begun"), named("total"));
        let is_named = named_done.or(begun).or(named_total).is_some();
        let groups = regex.captures_len() - 1;
        let done = match (named_done, begun) {
            (Some(_), Some(_)) => {
                return Err(format!(
                    "{pattern:?} has both a group `done` and a group `begun`: keep one"
                ));
            }
            (Some(done), None) | (None, Some(done)) => done,
            (None, None) if is_named => {
                return Err(format!(
                    "{pattern:?} has a group `total` and none named `done`: name it (?P<done>\\d+)"
                ));
            }
            (None, None) => match groups {
                0 => {
                    return Err(format!(
                        "{pattern:?} has no group: put what is done in brackets, as in 'epoch (\\d+)/(\\d+)'"
                    ));
                }
                1 | 2 => 1,
                _ => {
                    return Err(format!(
                        "{pattern:?} has {groups} groups: name those that count (?P<done>...) and (?P<total>...), or \
                         write (?:...) for the others"
                    ));
                }
            },
        };
        let second = (groups == 2 && !is_named).then_some(2);
        let total = match (total, named_total.or(second)) {
            (Some(total), _) => {
                Told::new(0.0, total).ok_or_else(|| format!("a total of {total} is none"))?;
                Total::Known(total)
            }
            (None, Some(group)) => Total::Group(group),
            (None, None) if pattern.contains('%') => Total::Known(100.0),
            (None, None) => {
                return Err(format!(
                    "{pattern:?} does not say of how many: add a second group, or give the total (--progress-total)"
                ));
            }
        };
        Ok(Self {
            is_begun: begun.is_some(),
            regex,
            done,
            total,
        })
    }

    /// What a line says: the last that the pattern finds in it and that is progress.
    #[must_use]
    pub fn find(&self, line: &str) -> Option<Told> {
        let found = self.regex.captures_iter(line);
        found.filter_map(|groups| self.told(&groups)).last()
    }

    fn told(&self, groups: &Captures<'_>) -> Option<Told> {
        let done = number(groups.get(self.done)?.as_str())?;
        let total = match self.total {
            Total::Known(total) => total,
            Total::Group(group) => number(groups.get(group)?.as_str())?,
        };
        let done = if self.is_begun {
            (done - 1.0).max(0.0)
        } else {
            done
        };
        Told::new(done, total)
    }
}

/// What a progress file says: `3/10`, `30%`, `3` of a total that is known, else `0.3` of one. The last line that
/// is not empty counts.
///
/// # Errors
/// What is wrong with it.
pub fn written(text: &str, total: Option<f64>) -> Result<Told, String> {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    let line = line.ok_or("is empty: write 3/10, 30% or 0.3 into it")?;
    let told = if let Some((done, of)) = line.split_once('/') {
        parts(done, of)
    } else if let Some(percent) = line.strip_suffix('%') {
        number(percent.trim()).and_then(|percent| Told::new(percent, 100.0))
    } else {
        let total = total.unwrap_or(1.0);
        number(line)
            .and_then(|done| Told::new(done, total))
            .filter(|told| told.done <= told.total)
    };
    told.ok_or_else(|| {
        let shown: String = line.chars().take(40).collect();
        format!("{shown:?} is no progress: write 3/10, 30%, or a number from 0 to the total, which is 1 where none is given")
    })
}

fn parts(done: &str, total: &str) -> Option<Told> {
    Told::new(number(done.trim())?, number(total.trim())?)
}

/// A plain number: Rust also reads words such as `inf`, of which there is no progress.
fn number(text: &str) -> Option<f64> {
    let is_plain = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|_| is_plain)
}

/// Cuts a stream of output into lines. A line ends at `\n`, or at `\r`, after which progress bars write anew.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
}

impl Lines {
    /// Takes what came, and hands over each line that ended in it: without its end, escape sequences of terminals
    /// and what is beyond [`MOST_LINE`]; none that is empty.
    pub fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, is_end) = match part.split_last() {
                Some((b'\n' | b'\r', text)) => (text, true),
                _ => (part, false),
            };
            let room = MOST_LINE - self.line.len();
            self.line.extend(text.iter().take(room));
            if is_end {
                if let Some(line) = self.rest() {
                    each(&line);
                }
                self.line.clear();
            }
        }
    }

    /// The line that has not ended yet, as far as it came: a progress bar ends its line only when it writes the
    /// next. For when nothing more comes for a while, and for the end.
    #[must_use]
    pub fn rest(&self) -> Option<String> {
        let plain = plain(&self.line);
        let text = String::from_utf8_lossy(&plain);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// `line` without escape sequences (ECMA-48: CSI, OSC and two-character ones) and backspaces.
fn plain(line: &[u8]) -> Vec<u8> {
    const ESCAPE: u8 = 0x1b;
    const BELL: u8 = 0x07;
    const BACKSPACE: u8 = 0x08;
    let mut plain = Vec::with_capacity(line.len());
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            BACKSPACE => {}
            ESCAPE => match bytes.next() {
                // Parameters, up to a final byte.
                Some(b'[') => {
                    while bytes
                        .next()
                        .is_some_and(|byte| !(0x40..=0x7e).contains(&byte))
                    {}
                }
                // A text, up to a bell or `ESC \`.
                Some(b']') => loop {
                    match bytes.next() {
                        None | Some(BELL) => break,
                        Some(ESCAPE) => {
                            bytes.next_if_eq(&b'\\');
                            break;
                        }
                        Some(_) => {}
                    }
                },
                _ => {}
            },
            _ => plain.push(byte),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(done: f64, total: f64) -> Option<Told> {
        Some(Told { done, total })
    }

    fn find(pattern: &str, total: Option<f64>, line: &str) -> Option<Told> {
        Pattern::new(pattern, total).unwrap().find(line)
    }

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.take(chunk, |line| found.push(line.to_owned()));
        }
        found.extend(lines.rest());
        found
    }

    #[test]
    fn patterns_find_what_is_done() {
        let two = r"epoch (\d+)/(\d+)";
        assert_eq!(find(two, None, "epoch 3/10 loss 0.1"), told(3.0, 10.0));
        assert_eq!(find(two, None, "epoch 1/5, epoch 2/5"), told(2.0, 5.0));
        assert_eq!(find(two, Some(20.0), "epoch 3/10"), told(3.0, 20.0));
        assert_eq!(find(two, None, "epoch of reason"), None);
        assert_eq!(find(two, None, "epoch 3/0"), None);
        assert_eq!(find(r"step (\d+)", Some(500.0), "step 7"), told(7.0, 500.0));
        assert_eq!(find(r"([\d.]+)%", None, " 12.5%|#  |"), told(12.5, 100.0));
        let named = r"of (?P<total>\d+) (files|rows): (?P<done>\S+)";
        assert_eq!(find(named, None, "of 8 rows: 2"), told(2.0, 8.0));
        assert_eq!(find(named, None, "of 8 rows: inf"), None);
        let begun = r"Epoch (?P<begun>\d+)/(?P<total>\d+)";
        assert_eq!(find(begun, None, "Epoch 1/10"), told(0.0, 10.0));
    }

    #[test]
    fn a_bad_pattern_says_why() {
        for (pattern, why) in [
            ("epoch", "no group"),
            (r"epoch (\d+", "unclosed group"),
            (r"(\d+)(/| of )(\d+)", "3 groups"),
            (r"epoch (\d+)", "--progress-total"),
            (r"(?P<total>\d+) (\d+)", "none named `done`"),
            (r"(?P<done>\d+) (?P<begun>\d+)", "both"),
            (r"(?P<done>\d+) (\d+)", "of how many"),
            (r"(\d{1000}){1000}", "size limit"),
        ] {
            let error = Pattern::new(pattern, None).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let error = Pattern::new(r"(\d+)", Some(0.0)).unwrap_err();
        assert!(error.contains("total of 0"), "{error}");
    }

    #[test]
    fn a_file_says_what_is_done() {
        assert_eq!(written("3/10\n", None).ok(), told(3.0, 10.0));
        assert_eq!(written("1/10\n\n 2 / 10 \n", None).ok(), told(2.0, 10.0));
        assert_eq!(written("30 %", Some(7.0)).ok(), told(30.0, 100.0));
        assert_eq!(written("0.3", None).ok(), told(0.3, 1.0));
        assert_eq!(written(".5", None).ok(), told(0.5, 1.0));
        assert_eq!(written("3", Some(7.0)).ok(), told(3.0, 7.0));
        for bad in [
            "", "  \n", "3", "-1/10", "NaN", "3/inf", "1/0", "a/b", "x%", "1e99%",
        ] {
            assert!(written(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_end_at_either_return_and_have_no_escapes() {
        assert_eq!(lines(&[b"one\r\ntw", b"o\rthree"]), ["one", "two", "three"]);
        let coloured = b"\x1b[1;32m 30%\x1b[0m|\xe2\x96\x88\x1b]0;title\x07 3/10\x1b[K\x08\x08\n";
        assert_eq!(lines(&[coloured]), ["30%|\u{2588} 3/10"]);
        assert_eq!(lines(&[b"\x1b]8;;http://a\x1b\\b\x1b(B\n\x1b["]), ["bB"]);
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_is_whole() {
        let mut long = vec![b'x'; 3 * MOST_LINE];
        long.extend(b" 9/10\n1/2\n");
        let found = lines(&[&long]);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].len(), found[1].as_str()), (MOST_LINE, "1/2"));
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(text in "[a-z0-9/%\r\n\u{1b}\u{e9} \\[m]{0,200}", cut in 0_usize..200) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            prop_assert_eq!(lines(&[bytes]), lines(&[&bytes[..cut], &bytes[cut..]]));
        }

        #[test]
        fn numbers_come_back(done in 0_u32..1_000_000, total in 1_u32..1_000_000, noise in "[^0-9/]{0,40}") {
            let line = format!("{noise}epoch {done}/{total}{noise}");
            let expected = told(f64::from(done), f64::from(total));
            prop_assert_eq!(find(r"epoch (\d+)/(\d+)", None, &line), expected);
            prop_assert_eq!(written(&format!("{done}/{total}"), None).ok(), expected);
        }

        #[test]
        fn whatever_is_written_is_sound(text in ".{0,60}", total in proptest::option::of(-1e3..1e3_f64)) {
            if let Ok(told) = written(&text, total) {
                prop_assert!(told.done >= 0.0 && told.done.is_finite() && told.total > 0.0);
            }
        }
    }
}
