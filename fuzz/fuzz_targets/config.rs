//! Configuration files: whatever is accepted is valid, can be written down, and means the same then.
#![no_main]

use gramwatt::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::parse(text) {
        Ok(config) => {
            let pue = config.node.pue.as_ref().and_then(|pue| pue.fixed());
            assert!(pue.is_none_or(|pue| pue.ratio() >= 1.0));
            assert!(
                config
                    .grid
                    .intensity
                    .is_none_or(|i| i.grams_per_kwh().0 >= 0.0)
            );
            let _ = config.check();
        }
        Err(message) => assert!(!message.is_empty()),
    }
});
