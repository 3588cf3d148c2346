//! `/proc/stat`: any bytes give loads from 0 to 1.
#![no_main]

use gramwatt::sensor::model::stat::{MAX_CPUS, Ticks, cpus};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut before = Ticks::default();
    for (number, ticks) in cpus(text) {
        assert!(number < MAX_CPUS);
        let used = ticks.since(before).unwrap_or(ticks).plus(before);
        assert!(used.load().is_none_or(|load| (0.0..=1.0).contains(&load)));
        before = ticks;
    }
});
