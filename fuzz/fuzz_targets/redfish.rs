//! What a BMC answers: its figures are watts that can be, or there are none.
#![no_main]

use gramwatt::sensor::redfish::figures;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    for watts in figures(body) {
        assert!((0.0..=100_000.0).contains(&watts.0), "{watts:?}");
    }
});
