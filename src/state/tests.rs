use super::*;
use crate::units::Joules;
use std::time::Duration;
use tempfile::TempDir;

/// A state directory and a `/proc` that tells the boot.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            dir: TempDir::new().unwrap(),
        };
        place.boot("d3b07384-d9a0-4c9b-8f5e-1f6f2b8c0a11\n");
        place
    }
    fn boot(&self, id: &str) {
        let random = self.proc().join("sys/kernel/random");
        fs::create_dir_all(&random).unwrap();
        fs::write(random.join("boot_id"), id).unwrap();
    }
    fn proc(&self) -> PathBuf {
        self.dir.path().join("proc")
    }
    fn state(&self) -> PathBuf {
        self.dir.path().join("run/gramwatt")
    }
    fn open(&self) -> Store {
        Store::open(&self.state(), &self.proc()).unwrap()
    }
    fn write(&self, text: &[u8]) {
        fs::create_dir_all(self.state()).unwrap();
        fs::write(self.state().join("state.json"), text).unwrap();
    }
}

fn state() -> State {
    let now = Moment {
        awake: Duration::from_millis(12_345),
        boot: Duration::from_millis(67_890),
        wall: "2026-01-01T00:00:00.123456789Z".parse().unwrap(),
    };
    State::fresh(Factor::UNKNOWN, now)
}

#[test]
fn what_is_saved_is_loaded_by_the_next_process_of_the_boot() {
    let place = Place::new();
    let mut store = place.open();
    assert!(store.load().unwrap().is_none(), "nothing was kept so far");
    store.save(&state()).unwrap();
    store.save(&state()).unwrap();
    drop(store);
    let loaded = place.open().load().unwrap().unwrap();
    assert_eq!(loaded.since, state().since);
    assert_eq!(loaded.books, state().books);
}

#[test]
fn another_boot_begins_at_0() {
    let place = Place::new();
    place.open().save(&state()).unwrap();
    place.boot("00000000-0000-0000-0000-000000000000\n");
    assert!(place.open().load().unwrap().is_none());
}

#[test]
fn a_state_that_cannot_be_read_is_told_and_not_taken() {
    let place = Place::new();
    place.open().save(&state()).unwrap();
    let whole = fs::read(place.state().join("state.json")).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("cut short", whole[..whole.len() / 2].to_vec()),
        ("binary", vec![0, 159, 146, 150, 255]),
        ("not JSON", b"hello".to_vec()),
        ("another JSON", b"[1, 2, 3]".to_vec()),
        ("another program's", br#"{"version": 1}"#.to_vec()),
        (
            "another version",
            text.replace("\"version\":1", "\"version\":2").into(),
        ),
        (
            "a field of another type",
            text.replace("\"accounts\":[]", "\"accounts\":{}").into(),
        ),
        ("a field gone", text.replace("\"accounts\":[],", "").into()),
        ("something after it", [&whole[..], b"}"].concat()),
    ];
    for (what, bytes) in cases {
        assert_ne!(bytes, whole, "{what} is what it should not be");
        place.write(&bytes);
        let error = place.open().load().map(|_| ()).expect_err(what);
        assert!(error.contains("state.json"), "{what}: {error}");
    }
    place.open().save(&state()).unwrap();
    assert!(
        place.open().load().unwrap().is_some(),
        "the next save mends it"
    );
}

#[test]
fn a_huge_state_is_not_read_whole() {
    let place = Place::new();
    fs::create_dir_all(place.state()).unwrap();
    // Sparse: a terabyte on no disk space.
    File::create(place.state().join("state.json"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    assert!(place.open().load().is_err());
}

#[test]
fn a_process_killed_while_writing_leaves_the_old_books() {
    let place = Place::new();
    place.open().save(&state()).unwrap();
    fs::write(place.state().join("state.json.new"), "{\"version\":1,").unwrap();
    assert!(place.open().load().unwrap().is_some());
    place.open().save(&state()).unwrap();
    assert!(!place.state().join("state.json.new").exists());
}

#[test]
fn two_processes_do_not_share_books() {
    let place = Place::new();
    let first = place.open();
    let error = Store::open(&place.state(), &place.proc()).unwrap_err();
    assert!(
        matches!(&error, StateError::Taken(at) if *at == place.state()),
        "{error}"
    );
    drop(first);
    place.open();
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let place = Place::new();
    fs::write(
        place.dir.path().join("run"),
        "a file where a directory should be",
    )
    .unwrap();
    let error = Store::open(&place.state(), &place.proc()).unwrap_err();
    assert!(matches!(error, StateError::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("run/gramwatt"), "{error}");
    let nowhere = TempDir::new().unwrap();
    let error = Store::open(nowhere.path(), nowhere.path()).unwrap_err();
    assert!(matches!(error, StateError::NoBoot { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.contains("boot_id") && said.contains("path.procfs"),
        "{said}"
    );
    assert!(!said.contains("state.directory"), "{said}");
}

#[test]
fn a_number_that_is_none_is_refused() {
    let text = serde_json::to_string(&Joules(f64::NAN)).unwrap();
    assert!(serde_json::from_str::<Joules>(&text).is_err());
}

#[test]
fn a_look_makes_nothing_and_takes_nothing() {
    let place = Place::new();
    let look = || Store::look(&place.state(), &place.proc());
    look().unwrap();
    assert!(!place.dir.path().join("run").exists(), "nothing is made");
    let store = place.open();
    assert!(matches!(look(), Err(StateError::Taken(_))));
    drop(store);
    look().unwrap();
    let _open = place.open();
    let file = place.dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::look(&file.join("books"), &place.proc()).unwrap_err();
    assert!(matches!(error, StateError::Unwritable { .. }), "{error}");
}
