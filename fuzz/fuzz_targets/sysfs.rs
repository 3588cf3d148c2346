//! One-value files of sysfs: a number is what the file says, and a fault's text stays short.
#![no_main]

use gramwatt::sensor::sysfs::Attribute;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::fs;
use tempfile::TempDir;

thread_local! {
    // The attribute stays open over inputs, as it does over samples.
    static FILE: RefCell<(TempDir, Attribute)> = {
        let directory = tempfile::tempdir().unwrap();
        let attribute = Attribute::new(directory.path().join("energy_uj"));
        RefCell::new((directory, attribute))
    };
}

fuzz_target!(|content: &[u8]| {
    FILE.with_borrow_mut(|(_, attribute)| {
        fs::write(attribute.path(), content).unwrap();
        let number = attribute.read_u64();
        let text = attribute.read_text();
        match &number {
            Ok(number) => assert_eq!(text.unwrap().trim_start_matches('+').parse(), Ok(*number)),
            Err(fault) => assert!(fault.to_string().len() < 1000),
        }
        assert!(number.is_err() || content.len() <= 4096);
        let _ = attribute.read_i64();
    });
});
