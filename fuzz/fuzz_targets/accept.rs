//! `Accept` and `Accept-Encoding`: any header has an answer, and OpenMetrics is for those who name it.
#![no_main]

use gramwatt::web::negotiate::{Format, format, gzip};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &str| {
    let format = format(header);
    assert!(!format.content_type().is_empty());
    let lower = header.to_ascii_lowercase();
    if format != Format::Text {
        assert!(lower.contains("application/openmetrics-text"));
    }
    if gzip(header) {
        assert!(lower.contains("gzip") || lower.contains('*'));
    }
});
