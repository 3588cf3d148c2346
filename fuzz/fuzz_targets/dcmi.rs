//! What a BMC says of its power: never below 1 W or beyond 16 bits, and a fault's text stays short.
#![no_main]

use gramwatt::sensor::ipmi::dcmi::{Power, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| match parse(answer) {
    Ok(Power::Watts(watts)) => assert!((1.0..65535.0).contains(&watts.0)),
    Ok(Power::Inactive | Power::Unknown(_)) => {}
    Err(trouble) => assert!(trouble.fault("bmc").to_string().len() < 500),
});
