//! The command line: any words are understood or refused in words.
#![no_main]

use gramwatt::cli::Cli;
use libfuzzer_sys::fuzz_target;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

fuzz_target!(|text: &[u8]| {
    let words = text
        .split(|byte| *byte == b'\n')
        .filter(|word| !word.starts_with(b"--config.file"))
        .map(|word| OsString::from_vec(word.to_vec()));
    match Cli::read(std::iter::once("gramwatt".into()).chain(words)) {
        // The YAML behind --config.file is the target `config`.
        Ok(cli) => {
            let _ = cli.config();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
