//! The counters of a Cray's node controller: a number is what the file says, in the unit that it says.
#![no_main]

use gramwatt::sensor::cray::{Unit, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (watts, joules) = (parse(text, Unit::Watts), parse(text, Unit::Joules));
    assert!(watts.is_none() || joules.is_none());
    if let Some(number) = watts.or(joules) {
        let mut words = text.split_ascii_whitespace();
        assert_eq!(words.next().unwrap().parse(), Ok(number));
        assert_eq!(words.next(), Some(if watts.is_some() { "W" } else { "J" }));
        assert!([0, 2].contains(&words.count()));
    }
});
