//! `/proc/cpuinfo` and `/proc/meminfo`: any text is read, and names stay short.
#![no_main]

use gramwatt::data::rated_power;
use gramwatt::sensor::model::cpuinfo::{CpuInfo, memory};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let info = CpuInfo::parse(text);
    assert!(info.model.chars().count() <= 128 && info.vendor.chars().count() <= 128);
    // A look-up goes through the whole table: not for every input.
    if text.len() < 64 {
        if let Some(row) = rated_power(&info.model) {
            assert!(row.watts.0 > 0.0);
        }
    }
    let _ = memory(text);
});
