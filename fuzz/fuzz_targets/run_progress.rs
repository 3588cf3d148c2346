//! Progress of a run: the first line is a person's pattern, the rest what a command prints, or what stands in a
//! progress file. Whatever it is, lines are short and without ends, and what is told and predicted of it is sound.
#![no_main]

use gramwatt::run::outlook::Outlook;
use gramwatt::run::pattern::{Lines, MOST_LINE, Pattern, Told, written};
use gramwatt::run::predict::{Mark, Now, Progress};
use gramwatt::units::{Grams, GramsPerKwh, Joules};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fn check(told: Told) {
    assert!(told.done >= 0.0 && told.done.is_finite());
    assert!(told.total > 0.0 && told.total.is_finite());
}

fuzz_target!(|data: &[u8]| {
    let (pattern, printed) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &data[..0]),
    };
    let pattern = String::from_utf8_lossy(pattern);
    match written(&String::from_utf8_lossy(printed), None) {
        Ok(told) => check(told),
        Err(error) => assert!(!error.is_empty() && error.len() < 500),
    }
    let pattern = match Pattern::new(&pattern, None).or_else(|_| Pattern::new(&pattern, Some(50.0)))
    {
        Ok(pattern) => pattern,
        Err(error) => {
            assert!(!error.is_empty());
            return;
        }
    };
    let mut all = Vec::new();
    let mut lines = Lines::default();
    for chunk in printed.chunks(7) {
        lines.take(chunk, |line| all.push(line.to_owned()));
    }
    all.extend(lines.rest());
    let outlook = Outlook::new(Timestamp::UNIX_EPOCH, Some(GramsPerKwh(400.0)), None, 1.0);
    let mut progress = Progress::default();
    for (place, line) in all.iter().enumerate() {
        // A byte that is no text takes three as a character that says so.
        assert!(!line.is_empty() && line.len() <= 3 * MOST_LINE);
        assert!(!line.contains(['\n', '\r', '\u{1b}']));
        let Some(told) = pattern.find(line) else {
            continue;
        };
        check(told);
        let at = Duration::from_secs(place as u64);
        let joules = Joules(place as f64);
        let mark = Mark {
            at,
            done: told.done,
            joules,
        };
        progress.tell(mark, told.total);
        let now = Now {
            wall: Timestamp::UNIX_EPOCH,
            elapsed: at,
            joules,
            grams: Some(Grams(1.0)),
        };
        if let Some(prediction) = progress.predict(&now, &outlook) {
            let seconds = prediction.seconds;
            assert!(at.as_secs_f64() <= seconds.low && seconds.low <= seconds.expected);
            assert!(seconds.expected <= seconds.high && seconds.high.is_finite());
        }
    }
});
