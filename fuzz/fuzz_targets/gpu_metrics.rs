//! AMD's binary `gpu_metrics`: any bytes are read or refused, and what is read can be true.
#![no_main]

use gramwatt::sensor::amdgpu::metrics::{Refusal, Version, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|table: &[u8]| {
    match parse(table) {
        Ok(metrics) => {
            assert!(table.len() >= 4 && table.len() <= 4095);
            assert_eq!(Version(table[2], table[3]), metrics.version);
            assert_eq!(metrics.is_apu, table[2] != 1);
            assert!(
                metrics
                    .watts
                    .is_none_or(|watts| (0.0..f64::from(u32::MAX)).contains(&watts))
            );
            assert!(
                metrics
                    .activity
                    .is_none_or(|share| (0.0..=1.0).contains(&share))
            );
            assert_ne!(metrics.energy, Some(u64::MAX));
        }
        Err(Refusal::Unknown(version, size)) => {
            assert_eq!(version, Version(table[2], table[3]));
            assert!(size >= table.len());
        }
        Err(Refusal::Broken(why)) => assert!(!why.is_empty()),
    }
});
