//! What the program says of AMD and Intel GPUs, on the fixture machines.

use crate::machine::Machine;
use crate::program::run;
use std::path::Path;
use tempfile::TempDir;

/// What `doctor` says of a machine at t0, after a change.
fn doctor(name: &str, change: impl FnOnce(&Machine)) -> (String, Option<i32>) {
    let machine = Machine::new(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name),
    );
    change(&machine);
    let books = TempDir::new().unwrap();
    let output = run([
        "doctor".to_owned(),
        format!("--path.sysfs={}", machine.sys().display()),
        format!("--path.procfs={}", machine.proc().display()),
        format!("--state.directory={}", books.path().display()),
        format!("--sensor.nvml.library={}", machine.library().display()),
        "--grid.intensity=400".to_owned(),
    ]);
    (
        String::from_utf8(output.stdout).unwrap(),
        output.status.code(),
    )
}

#[track_caller]
fn says(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            text.lines().any(|said| said.trim() == *line),
            "no {line:?} in\n{text}"
        );
    }
}

#[test]
fn the_doctor_tells_how_each_card_is_booked() {
    let (text, code) = doctor("mi300x", |_| ());
    says(
        &text,
        &[
            "found      gpu-3a5bd17c90e2f461: AMD Instinct MI300X OAM at 0000:05:00.0: energy counter of gpu_metrics v1.7",
        ],
    );
    assert_eq!(code, Some(0), "{text}");
    let (text, code) = doctor("mi250x", |_| ());
    says(
        &text,
        &[
            "found      gpu-55d2a0113c7e9b48: Instinct MI250X at 0000:c1:00.0: energy counter of gpu_metrics v1.3, of \
             both dies of its package",
            "found      gpu-0e8f41c2b7d96a53: Instinct MI250X at 0000:c6:00.0: not published: the second die of a \
             package: the first has the power of both",
        ],
    );
    assert_eq!(code, Some(0), "{text}");
    let (text, code) = doctor("rdna3", |_| ());
    says(
        &text,
        &[
            "found      gpu-7d90c2e1f5a38b46: a card at 0000:03:00.0: power, integrated: this chip's accumulator is not \
             known to count",
            "found      gpu-0000:10:00.0: a card at 0000:10:00.0: not published: an APU: its socket holds the \
             processor, which RAPL books",
        ],
    );
    // The same chips are in hwmon, which leaves them to this family.
    assert_eq!(
        text.matches("the family amdgpu reads it").count(),
        3,
        "{text}"
    );
    assert_eq!(code, Some(0), "{text}");
    let (text, _) = doctor("intel-gpu", |_| ());
    assert!(
        text.contains("found      gpu-0000:a1:00.0/package: xe "),
        "{text}"
    );
    assert!(text.contains("a tile is inside its card"), "{text}");
}

#[test]
fn the_doctor_tells_what_to_do_about_a_card_that_cannot_be_read() {
    let (text, code) = doctor("mi300x", |machine| {
        let card = machine.sys().join("devices/pci0000:00/0000:05:00.0");
        std::fs::write(card.join("gpu_metrics"), b"\x10\x00\x01\x0c garbage ...").unwrap();
        std::fs::remove_file(card.join("hwmon/hwmon5/power1_input")).unwrap();
    });
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("its layout v1.12 of 16 bytes is not known"),
        "{text}"
    );
    assert!(text.contains("mend: upgrade gramwatt"), "{text}");
    says(
        &text,
        &[
            "found      gpu-b81c4df02a97e35d: AMD Instinct MI300X OAM at 0000:26:00.0: energy counter of gpu_metrics v1.7",
        ],
    );
}
