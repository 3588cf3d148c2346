//! The packages for Debian and Fedora, built of the program under test and taken apart again. Nothing is installed on
//! this machine: the scripts of the .deb work in another root (DPKG_ROOT), those of the .rpm are only read.

use crate::tools::{done, tool};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use tempfile::TempDir;

#[path = "../../examples/manual.rs"]
mod manual;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What both packages have below `/usr`, but for the completions of zsh.
const FILES: [&str; 9] = [
    "/usr/bin/gramwatt",
    "/usr/lib/systemd/system/gramwatt.service",
    "/usr/lib/systemd/system/gramwatt-runs.socket",
    "/usr/lib/systemd/system/gramwatt.socket",
    "/usr/share/bash-completion/completions/gramwatt",
    "/usr/share/fish/vendor_completions.d/gramwatt.fish",
    "/usr/share/doc/gramwatt/NOTICE",
    "/usr/share/doc/gramwatt/README.md",
    "/etc/gramwatt/gramwatt.yaml",
];

/// Where Cargo.toml takes the manual from. It is written once, for both packages.
static MANUAL: LazyLock<()> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/manual");
    manual::write(&folder).unwrap();
});

/// A target folder as `make packages` leaves it, with the program under test in place of a release. It goes without
/// its debug information, so that it packs quickly.
fn built() -> TempDir {
    LazyLock::force(&MANUAL);
    let folder = tempfile::tempdir().unwrap();
    let release = folder.path().join("release");
    fs::create_dir(&release).unwrap();
    done(
        Command::new("strip")
            .arg("-o")
            .arg(release.join("gramwatt"))
            .arg(env!("CARGO_BIN_EXE_gramwatt")),
    );
    folder
}

/// A packer of cargo's, of what stands in `target`.
fn packer(name: &str, target: &Path) -> Command {
    let mut command = Command::new(tool(name));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_NET_OFFLINE", "true");
    command
}

/// Runs a script of the .deb as dpkg does for another root.
fn script(control: &Path, name: &str, arguments: &[&str], root: &Path) {
    done(
        Command::new(control.join(name))
            .args(arguments)
            .env("DPKG_ROOT", root)
            .env("DPKG_MAINTSCRIPT_PACKAGE", "gramwatt")
            .env("DPKG_MAINTSCRIPT_NAME", name),
    );
}

#[test]
fn a_deb_is_installed_and_removed() {
    let target = built();
    let (root, control) = (target.path().join("root"), target.path().join("control"));
    let package = target.path().join("gramwatt.deb");
    done(
        packer("cargo-deb", target.path())
            .args([
                "--no-build",
                "--no-strip",
                "--fast",
                "--locked",
                "--offline",
                "--output",
            ])
            .arg(&package),
    );
    done(
        Command::new("dpkg-deb")
            .arg("--extract")
            .args([&package, &root]),
    );
    done(
        Command::new("dpkg-deb")
            .arg("--control")
            .args([&package, &control]),
    );
    for file in FILES {
        assert!(root.join(&file[1..]).is_file(), "{file}");
    }
    for file in [
        "etc/default/gramwatt",
        "usr/share/man/man1/gramwatt.1.gz",
        "usr/share/man/man1/gramwatt-doctor.1.gz",
        "usr/share/zsh/vendor-completions/_gramwatt",
        "usr/share/doc/gramwatt/copyright",
    ] {
        assert!(root.join(file).is_file(), "{file}");
    }
    let page = root.join("usr/share/man/man1/gramwatt.1.gz");
    let page = done(
        Command::new("gzip")
            .args(["--decompress", "--stdout"])
            .arg(page),
    );
    for word in [
        "web.systemd\\-socket",
        "sensor.rapl",
        "gramwatt\\-doctor(1)",
    ] {
        assert!(page.contains(word), "{word}");
    }
    assert!(!root.join("usr/share/man/man1/gramwatt-help.1.gz").exists());
    let said = done(Command::new(root.join("usr/bin/gramwatt")).arg("--version"));
    assert_eq!(said.trim(), format!("gramwatt {VERSION}"));
    let about = fs::read_to_string(control.join("control")).unwrap();
    assert!(
        about.contains(&format!("\nVersion: {VERSION}-1\n")),
        "{about}"
    );
    assert!(about.contains("\nDepends: libc6 (>= "), "{about}");
    // What the operator changes is kept over an upgrade.
    let kept = fs::read_to_string(control.join("conffiles")).unwrap();
    let mut kept: Vec<&str> = kept.lines().collect();
    kept.sort_unstable();
    assert_eq!(
        kept,
        ["/etc/default/gramwatt", "/etc/gramwatt/gramwatt.yaml"]
    );

    comes_and_goes(&control, &root);
}

/// What the scripts do with the units, from the installation to the purge.
fn comes_and_goes(control: &Path, root: &Path) {
    let units = root.join("etc/systemd/system");
    let link = |folder: &str, unit: &str| units.join(folder).join(unit);
    let wants = link("multi-user.target.wants", "gramwatt.service");
    let socket = link("sockets.target.wants", "gramwatt.socket");
    let run = |name: &str, arguments: &[&str]| script(control, name, arguments, root);
    // It starts with the machine; its port is opened by systemd only for who asks for it.
    run("postinst", &["configure", ""]);
    assert!(wants.is_symlink() && !socket.is_symlink());
    // Who has disabled it is not overruled by an upgrade.
    fs::remove_file(&wants).unwrap();
    run("prerm", &["upgrade", VERSION]);
    run("postrm", &["upgrade", VERSION]);
    run("postinst", &["configure", "0.0.1-1"]);
    assert!(!wants.is_symlink());
    // As `systemctl enable gramwatt.socket` does.
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    symlink("/usr/lib/systemd/system/gramwatt.socket", &socket).unwrap();
    let books = root.join("run/gramwatt");
    fs::create_dir_all(&books).unwrap();
    run("prerm", &["remove"]);
    run("postrm", &["remove"]);
    // Masked, and kept: it may come back.
    assert!(units.join("gramwatt.service").is_symlink() && books.exists());
    run("postinst", &["configure", ""]);
    assert!(!units.join("gramwatt.service").is_symlink());
    run("prerm", &["remove"]);
    run("postrm", &["remove"]);
    run("postrm", &["purge"]);
    let left = done(Command::new("find").arg(&units).args(["!", "-type", "d"]));
    assert_eq!(left, "");
    assert!(!books.exists());
}

#[test]
fn an_rpm_has_the_same() {
    let target = built();
    let package = target.path().join("gramwatt.rpm");
    done(
        packer("cargo-generate-rpm", target.path())
            .args([
                "--payload-compress",
                "none",
                "--auto-req",
                "builtin",
                "--output",
            ])
            .arg(&package),
    );
    let rpm = |arguments: &[&str]| {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/rpm/usr/lib/rpm");
        let mut command = Command::new(tool("rpm"));
        if unpacked.exists() {
            command.env("RPM_CONFIGDIR", unpacked);
        }
        done(
            command
                .args(["--dbpath", "/nowhere", "--query", "--package"])
                .args(arguments)
                .arg(&package),
        )
    };
    let files = rpm(&["--list"]);
    let files: Vec<&str> = files.lines().collect();
    for file in FILES.iter().chain(&[
        "/etc/sysconfig/gramwatt",
        "/usr/share/man/man1/gramwatt.1",
        "/usr/share/man/man1/gramwatt-doctor.1",
        "/usr/share/zsh/site-functions/_gramwatt",
        "/usr/share/licenses/gramwatt/LICENSE",
    ]) {
        assert!(files.contains(file), "{file}: {files:?}");
    }
    assert_eq!(
        rpm(&["--configfiles"]),
        "/etc/gramwatt/gramwatt.yaml\n/etc/sysconfig/gramwatt\n"
    );
    assert_eq!(
        rpm(&["--queryformat", "%{VERSION} %{LICENSE}"]),
        format!("{VERSION} Apache-2.0")
    );
    assert!(rpm(&["--requires"]).contains("libc.so.6("));
    let scripts = rpm(&["--scripts"]);
    for each in [
        "preset gramwatt.service",
        "disable --now gramwatt.socket gramwatt-runs.socket",
        "try-restart gramwatt.service",
    ] {
        assert!(scripts.contains(each), "{scripts}");
    }
}

#[test]
fn the_scripts_of_the_packages_can_be_run() {
    for folder in ["deploy/debian", "deploy/rpm"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert!(mode & 0o111 == 0o111, "{}", path.display());
            done(Command::new("sh").arg("-n").arg(&path));
        }
    }
}
