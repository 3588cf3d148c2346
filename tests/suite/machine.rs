//! A fixture machine: a folder of steps, played into a live tree as a kernel would change it.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Name of NVIDIA's library.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// A machine whose `/sys` and `/proc` stand at one of its steps.
pub struct Machine {
    folder: PathBuf,
    live: TempDir,
}

impl Machine {
    /// The folders of all fixture machines.
    pub fn folders() -> Vec<PathBuf> {
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut folders: Vec<PathBuf> = fs::read_dir(all)
            .expect("tests/fixtures")
            .map(|entry| entry.expect("a fixture").path())
            .filter(|path| path.join("t0").is_dir())
            .collect();
        folders.sort();
        folders
    }

    /// A machine at t0.
    pub fn new(folder: &Path) -> Self {
        drop_root();
        let machine = Self {
            folder: folder.to_owned(),
            live: TempDir::new().expect("a temporary directory"),
        };
        for root in ["sys", "proc"] {
            fs::create_dir(machine.live.path().join(root)).expect("a root");
        }
        if let Some(scenario) = machine.file("nvml.json") {
            let library = machine.library();
            fs::copy(crate::nvml::standin(), &library).expect("the stand-in of NVML");
            let beside = library.with_file_name(format!("{LIBRARY}.json"));
            fs::write(beside, scenario).expect("its scenario");
        }
        machine.step(0);
        machine
    }

    pub fn sys(&self) -> PathBuf {
        self.live.path().join("sys")
    }

    pub fn proc(&self) -> PathBuf {
        self.live.path().join("proc")
    }

    /// NVIDIA's library, which plays `nvml.json`; not there where the machine has none.
    pub fn library(&self) -> PathBuf {
        self.live.path().join(LIBRARY)
    }

    /// A file of the machine's folder; `None` where it has none.
    pub fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(name)).ok()
    }

    /// Time from t0 to each step: `STEPS`, seconds after t0 on a line each, else 10 seconds apart.
    pub fn times(&self) -> Vec<Duration> {
        let steps = (0..).take_while(|step| self.folder.join(format!("t{step}")).is_dir());
        match self.file("STEPS") {
            Some(times) => times
                .split_whitespace()
                .map(|seconds| Duration::from_secs_f64(seconds.parse().expect("seconds")))
                .collect(),
            None => steps.map(|step| Duration::from_secs(10 * step)).collect(),
        }
    }

    /// Changes the live tree to a later step. Files change in place, so that one held open shows it;
    /// one that goes is emptied first, since reading what has gone from sysfs gives nothing either.
    pub fn step(&self, step: usize) {
        let folder = self.folder.join(format!("t{step}"));
        if let Some(time) = self.times().get(step) {
            let clock = self.live.path().join("clock");
            fs::write(clock, time.as_millis().to_string()).expect("the clock of the library");
        }
        for path in self.list(&folder, "READABLE") {
            chmod(&path, 0o644);
        }
        for root in ["sys", "proc"] {
            let from = folder.join(root);
            if from.is_dir() {
                overlay(&from, &self.live.path().join(root));
            }
        }
        // Links of sysfs go in circles, which no folder of the repository shall.
        for line in fs::read_to_string(folder.join("LINKS"))
            .unwrap_or_default()
            .lines()
        {
            let (link, target) = line.split_once(' ').expect("a link and its target");
            let link = self.live.path().join(link);
            fs::create_dir_all(link.parent().expect("a place")).expect("a directory");
            symlink(target, link).expect("a link");
        }
        for path in self.list(&folder, "REMOVED") {
            if !path.is_symlink() {
                write(&path, b"");
            }
            fs::remove_file(&path).expect("what is removed was there");
            let parents = path.ancestors().skip(1);
            let inside = parents.take_while(|parent| *parent != self.live.path());
            for parent in inside {
                // Fails, as it should, at the first that is not empty.
                if fs::remove_dir(parent).is_err() {
                    break;
                }
            }
        }
        for path in self.list(&folder, "UNREADABLE") {
            chmod(&path, 0);
        }
    }

    fn list(&self, folder: &Path, name: &str) -> Vec<PathBuf> {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
        text.lines()
            .map(|line| self.live.path().join(line.trim()))
            .collect()
    }
}

fn overlay(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory of the live tree");
    for entry in fs::read_dir(from).expect("a directory of the fixture") {
        let entry = entry.expect("an entry of the fixture");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            overlay(&entry.path(), &to);
        } else {
            write(&to, &fs::read(entry.path()).expect("a file of the fixture"));
        }
    }
}

fn write(path: &Path, content: &[u8]) {
    let mode = fs::metadata(path).ok().map(|m| m.permissions().mode());
    if mode.is_some_and(|mode| mode & 0o200 == 0) {
        chmod(path, 0o600);
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).open(path);
    file.and_then(|mut file| file.write_all(content))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if let Some(mode) = mode.filter(|mode| mode & 0o200 == 0) {
        chmod(path, mode);
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Root reads whatever its mode; this thread shall not.
fn drop_root() {
    for capability in [
        caps::Capability::CAP_DAC_OVERRIDE,
        caps::Capability::CAP_DAC_READ_SEARCH,
    ] {
        caps::drop(None, caps::CapSet::Effective, capability).expect("a capability to drop");
    }
}

#[test]
fn a_live_tree_changes_as_a_kernel_changes_it() {
    let folder = TempDir::new().unwrap();
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("t0/sys/a/energy", "1000");
    put("t0/sys/b/energy", "5");
    put("t1/sys/a/energy", "7");
    put("t1/REMOVED", "sys/b/energy\n");
    put("t1/UNREADABLE", "sys/a/energy\n");
    put("t2/sys/a/energy", "8");
    put("t2/sys/b/energy", "6");
    put("t3/READABLE", "sys/a/energy\n");
    let machine = Machine::new(folder.path());
    assert_eq!(machine.times().len(), 4);
    let (a, b) = (
        machine.sys().join("a/energy"),
        machine.sys().join("b/energy"),
    );
    let held = fs::File::open(&a).unwrap();
    let gone = fs::File::open(&b).unwrap();
    let text = |file: &fs::File| {
        let mut buffer = [0; 8];
        let length = std::os::unix::fs::FileExt::read_at(file, &mut buffer, 0).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    machine.step(1);
    assert_eq!((text(&held), text(&gone)), ("7".into(), String::new()));
    assert!(!machine.sys().join("b").exists());
    let denied = fs::read(&a).unwrap_err();
    assert_eq!(denied.kind(), std::io::ErrorKind::PermissionDenied);
    machine.step(2);
    assert_eq!(text(&held), "8");
    assert_eq!(fs::read_to_string(&b).unwrap(), "6");
    assert!(
        fs::read(&a).is_err(),
        "it stays unreadable until it is readable"
    );
    machine.step(3);
    assert_eq!(fs::read_to_string(&a).unwrap(), "8");
}
