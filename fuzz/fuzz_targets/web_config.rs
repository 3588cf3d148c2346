//! Web configuration files: accepted or refused in words, and no hash is shown.
#![no_main]

use gramwatt::web::webconfig::parse;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &str| {
    match parse(text, Path::new("/etc/gramwatt/web.yml")) {
        Ok(config) => {
            let shown = format!("{config:?}");
            assert!(
                config
                    .users
                    .values()
                    .all(|hash| !shown.contains(hash.text()))
            );
        }
        Err(error) => assert!(error.to_string().starts_with("web configuration /etc/")),
    }
});
