//! The books on disk: whatever stands there is read, refused in words, or passed over; and books that
//! are read can be kept.
#![no_main]

use gramwatt::state::Store;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::fs;
use tempfile::TempDir;

thread_local! {
    static BOOKS: RefCell<(TempDir, Store)> = {
        let directory = tempfile::tempdir().unwrap();
        let boot = directory.path().join("proc/sys/kernel/random");
        fs::create_dir_all(&boot).unwrap();
        fs::write(boot.join("boot_id"), "b\n").unwrap();
        let books = directory.path().join("books");
        let store = Store::open(&books, &directory.path().join("proc")).unwrap();
        RefCell::new((directory, store))
    };
}

fuzz_target!(|content: &[u8]| {
    BOOKS.with_borrow_mut(|(directory, store)| {
        fs::write(directory.path().join("books/state.json"), content).unwrap();
        match store.load() {
            Ok(Some(mut state)) => {
                let since = state.since;
                state.follow(&[], None, since);
                assert_eq!(state.ended(since), None);
                store.save(&state).unwrap();
                assert!(store.load().unwrap().is_some());
            }
            Ok(None) => {}
            Err(reason) => assert!(!reason.is_empty()),
        }
    });
});
