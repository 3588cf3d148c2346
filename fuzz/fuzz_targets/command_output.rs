//! What a configured program prints: whatever it is, what is read of it can be booked, no device is there
//! twice, and faults stay short.
#![no_main]

use gramwatt::sensor::command::{Unit, output};
use gramwatt::sensor::{Part, Value};
use gramwatt::units::Watts;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;

fuzz_target!(|printed: &[u8]| {
    for unit in [Unit::Watts, Unit::Joules] {
        let readings = output::read(printed, unit, Watts(3000.0), "/bin/tool");
        let mut ids = BTreeSet::new();
        for reading in &readings.good {
            assert!(reading.is_plausible());
            if let Value::Counter { raw, unit, .. } = reading.value {
                assert!(raw as f64 * unit <= 1.000_001e13);
            }
            let Part::Device { id, .. } = &reading.source.part else {
                panic!("{:?} is no device", reading.source.part);
            };
            assert!(ids.insert(id.clone()), "{id} is there twice");
            assert!((1..=64).contains(&id.len()) && id.is_ascii() && &**id != "other");
            assert!(
                reading
                    .utilization
                    .is_none_or(|busy| (0.0..=1.0).contains(&busy))
            );
            assert!(reading.power_limit.is_none_or(|limit| limit.0 >= 1.0));
            let about = &reading.source.about;
            for text in [&about.model, &about.uuid] {
                assert!(text.chars().count() <= 128 && !text.contains(char::is_control));
            }
        }
        for fault in &readings.bad {
            assert!(fault.to_string().len() < 2000 && !fault.mend.is_empty());
        }
    }
});
