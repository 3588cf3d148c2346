//! The `Authorization` header, which anybody may send.
#![no_main]

use gramwatt::web::auth::credentials;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &[u8]| {
    if let Some((user, _)) = credentials(header) {
        assert!(!user.contains(':'));
    }
});
