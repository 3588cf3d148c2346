//! The container image: its root file system is started as a hardened runtime would start it, and its archive is read.

use crate::moving::Machine;
use crate::nvml;
use crate::program::{Program, until};
use crate::tools::{done, root as repository, tool};
use flate2::read::GzDecoder;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

fn folder() -> TempDir {
    // Below target: what is executed there may be executed, which is not so in every /tmp.
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The program as a release has it, without the tables for a debugger.
fn stripped(folder: &Path) -> PathBuf {
    let binary = folder.join("gramwatt");
    done(
        Command::new("strip")
            .arg("-o")
            .args([&binary, Path::new(env!("CARGO_BIN_EXE_gramwatt"))]),
    );
    binary
}

/// The image's root file system with that program.
fn root(folder: &Path, binary: &Path, name: &str) -> PathBuf {
    let root = folder.join(name);
    done(
        Command::new(repository().join("scripts/rootfs.sh"))
            .args([&root, binary])
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .env("CARGO_NET_OFFLINE", "true"),
    );
    root
}

/// Python, with the programs that `make setup` fetches on its path.
fn python() -> Command {
    let mut path = vec![repository().join("target/tools/bin")];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    let mut command = Command::new(tool("python3"));
    command
        .arg("-B")
        .env("PATH", std::env::join_paths(path).unwrap());
    command
}

/// A root file system, and how a program is started inside it.
struct Container {
    folder: TempDir,
    way: String,
}

impl Container {
    /// Puts one together with what a runtime mounts into it: NVIDIA's library, a host, and names.
    fn new(machine: &Machine, scenario: &Value) -> Self {
        let folder = folder();
        let root = root(folder.path(), &stripped(folder.path()), "root");
        driver(&root);
        fs::write(root.join("etc/gpus.json"), scenario.to_string()).unwrap();
        fs::write(root.join("etc/hosts"), "127.0.0.1 node.test\n").unwrap();
        for name in ["sys", "proc"] {
            done(
                Command::new("cp")
                    .args(["-a", "-T"])
                    .args([machine.path(name), root.join("host").join(name)]),
            );
        }
        // As the counters of powercap: their owner's alone.
        let host = root.join("host");
        done(Command::new("chmod").args(["-R", "go="]).arg(host));
        let inside = repository().join("tests/image/inside.py");
        let way = done(python().arg(inside).arg("ways").arg(&root));
        let way = way.trim().to_owned();
        println!("inside by way of {way}");
        Self { folder, way }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// A program inside, or `writable`.
    fn inside(&self, program: &str, arguments: &[String]) -> Command {
        let mut command = python();
        command
            .arg(repository().join("tests/image/inside.py"))
            .arg(&self.way)
            .arg(self.root())
            .arg(program)
            .args(arguments)
            .env(nvml_standin::VARIABLE, "/etc/gpus.json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Drop for Container {
    /// Where nothing had the right to be written, nothing has the right to be removed.
    fn drop(&mut self) {
        let _ = Command::new("chmod")
            .args(["-R", "u+w"])
            .arg(self.folder.path())
            .status();
    }
}

/// The stand-in, where NVIDIA's runtime mounts the driver's library. It is behind a library that needs what the
/// real one needs of glibc, so that the image has it.
fn driver(root: &Path) {
    let find = |name: &str| {
        let folders = fs::read_dir(root.join("usr/lib")).unwrap();
        let mut places = folders.map(|folder| folder.unwrap().path().join(name));
        places.find(|place| place.exists())
    };
    // Without this file, the runtime takes /usr/lib64, where Debian's loader does not look.
    assert!(root.join("etc/debian_version").exists());
    let libraries = find("libc.so.6").unwrap();
    let libraries = libraries.parent().unwrap();
    fs::copy(nvml::standin(), libraries.join("libnvml_standin.so")).unwrap();
    done(
        Command::new("gcc")
            .args(["-shared", "-nostdlib", "-Wl,--no-as-needed", "-o"])
            .arg(libraries.join("libnvidia-ml.so.1"))
            .arg("-L")
            .arg(libraries)
            .args([
                "-l:libnvml_standin.so",
                "-l:libpthread.so.0",
                "-l:libm.so.6",
            ])
            .args(["-l:libdl.so.2", "-l:libc.so.6"]),
    );
}

/// The process of a program inside: the one that was started, or where another runs it, that one's child, which would
/// outlive it.
struct Inside(Pid);

impl Inside {
    fn of(program: &Program) -> Self {
        let pid = program.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let child = children.split_whitespace().next();
        let pid = child.map_or(pid, |child| child.parse().unwrap());
        Self(Pid::from_raw(pid).unwrap())
    }

    fn status(&self) -> BTreeMap<String, String> {
        let path = format!("/proc/{}/status", self.0.as_raw_nonzero());
        let text = fs::read_to_string(path).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once(":\t"));
        pairs
            .map(|(key, value)| (key.into(), value.into()))
            .collect()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

#[test]
fn it_serves_gpus_from_a_root_that_cannot_be_written_without_any_capability() {
    let machine = Machine::two_packages();
    let scenario = json!({"gpus": [{
        "uuid": "GPU-1", "name": "NVIDIA H100 80GB HBM3", "pci": "00000000:1A:00.0", "architecture": 9,
        "waveform": [{"seconds": 1, "shape": {"constant": 321.0}}],
    }]});
    let container = Container::new(&machine, &scenario);
    let flags = [
        "--web.listen-address=127.0.0.1:0",
        "--path.sysfs=/host/sys",
        "--path.procfs=/host/proc",
        "--state.directory=/run/gramwatt",
        "--grid.intensity=400",
        "--sensors.interval=200ms",
    ];
    let program = Program::spawn(container.inside("/usr/bin/gramwatt", &flags.map(str::to_owned)));
    let inside = Inside::of(&program);

    let watts = until(
        "all sensors are read, and it tells what the GPU draws",
        || {
            let page = program.metrics();
            let up = |sensor| page.find(&format!("gramwatt_sensor_up{{sensor=\"{sensor}\"}}"));
            let is_up = ["nvml", "rapl", "model"]
                .iter()
                .all(|sensor| up(*sensor) == Some(1.0));
            page.find("gramwatt_node_power_watts").filter(|_| is_up)?;
            page.find("gramwatt_device_power_watts{device=\"GPU-1\",kind=\"gpu\"}")
        },
    );
    assert!((watts - 321.0).abs() < 1.0, "{watts} W");

    let status = inside.status();
    assert_eq!(status["Name"], "gramwatt");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
    assert_eq!(status["NoNewPrivs"], "1");
    assert_eq!(
        done(&mut container.inside("writable", &[])),
        "run/gramwatt\n"
    );

    // By name, since glibc looks names up by files and libraries that must be there.
    let url = format!("http://node.test:{}/metrics", program.address.port());
    let probed = done(&mut container.inside("/usr/bin/gramwatt", &["probe".into(), url]));
    assert!(
        probed.contains(" W by 3 sensors; CO2e is booked"),
        "{probed}"
    );

    let before = program.log.text();
    kill_process(inside.0, Signal::TERM).unwrap();
    until("it ends", || {
        program
            .log
            .text()
            .contains("the books are closed and kept")
            .then_some(())
    });
    let books = fs::read_dir(container.root().join("run/gramwatt")).unwrap();
    assert!(books.count() > 0, "{before}");
}

/// An archive unpacked, and its image's digest.
struct Archive {
    folder: PathBuf,
    digest: String,
    bytes: Vec<u8>,
}

impl Archive {
    fn of(folder: &Path, root: &Path) -> Self {
        let name = root.file_name().unwrap().to_str().unwrap();
        let (tar, unpacked) = (
            folder.join(format!("{name}.tar")),
            folder.join(format!("{name}-archive")),
        );
        let script = repository().join("scripts/oci.py");
        let digest = done(python().arg(script).args([root, &tar]).arg("0123abc"));
        fs::create_dir(&unpacked).unwrap();
        done(
            Command::new("tar")
                .arg("-xf")
                .arg(&tar)
                .arg("-C")
                .arg(&unpacked),
        );
        Self {
            folder: unpacked,
            digest: digest.trim().to_owned(),
            bytes: fs::read(tar).unwrap(),
        }
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(self.folder.join(path)).unwrap()).unwrap()
    }

    /// What a descriptor points to, which must be what it says.
    fn blob(&self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let path = self.folder.join("blobs").join(digest.replace(':', "/"));
        let content = fs::read(&path).unwrap();
        assert_eq!(sha256(&content), digest);
        assert_eq!(descriptor["size"], content.len());
        content
    }
}

fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn its_archive_is_the_same_each_time_and_what_it_says() {
    let folder = folder();
    // A small program, since to compress ours takes longer than all the rest; what is packed matters not.
    let (source, binary) = (folder.path().join("small.c"), folder.path().join("small"));
    fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    done(Command::new("gcc").arg("-o").args([&binary, &source]));
    let archives = ["one", "two"].map(|name| {
        let root = root(folder.path(), &binary, name);
        Archive::of(folder.path(), &root)
    });
    let [archive, again] = &archives;
    assert_eq!(archive.digest, again.digest);
    assert!(archive.bytes == again.bytes, "the archives differ");

    assert_eq!(archive.json("oci-layout")["imageLayoutVersion"], "1.0.0");
    let index = archive.json("index.json");
    let entry = &index["manifests"][0];
    assert_eq!(entry["digest"], archive.digest);
    let manifest: Value = serde_json::from_slice(&archive.blob(entry)).unwrap();
    assert_eq!(manifest["mediaType"], entry["mediaType"]);
    let config: Value = serde_json::from_slice(&archive.blob(&manifest["config"])).unwrap();
    let mut tar = Vec::new();
    GzDecoder::new(&archive.blob(&manifest["layers"][0])[..])
        .read_to_end(&mut tar)
        .unwrap();
    assert_eq!(config["rootfs"]["diff_ids"], json!([sha256(&tar)]));
    assert_eq!(config["architecture"], entry["platform"]["architecture"]);
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");

    let labels = &config["config"]["Labels"];
    assert_eq!(
        labels["org.opencontainers.image.version"],
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(
        labels["org.opencontainers.image.source"],
        env!("CARGO_PKG_REPOSITORY")
    );
    assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
    assert_eq!(labels["org.opencontainers.image.revision"], "0123abc");
    same_as_the_containerfile(&config["config"]);

    let layer = folder.path().join("layer.tar");
    fs::write(&layer, &tar).unwrap();
    let listed = done(
        Command::new("tar")
            .args(["--numeric-owner", "-tvf"])
            .arg(&layer),
    );
    for line in listed.lines() {
        assert_eq!(line.split_whitespace().nth(1), Some("0/0"), "{line}");
        assert!(
            !line.starts_with("-rws") && !line.starts_with("h"),
            "{line}"
        );
    }
    let bundle = fs::read_to_string(folder.path().join("one/etc/ssl/certs/ca-certificates.crt"));
    assert!(bundle.unwrap().matches("BEGIN CERTIFICATE").count() > 100);
    let sbom = fs::read(
        folder
            .path()
            .join("one/usr/share/doc/gramwatt/sbom.spdx.json"),
    );
    its_materials_are_known(&serde_json::from_slice(&sbom.unwrap()).unwrap(), &binary);
}

/// The image can be built in two ways, which say the same of it.
fn same_as_the_containerfile(config: &Value) {
    let path = repository().join("deploy/Containerfile");
    let file = fs::read_to_string(path).unwrap().replace("\\\n", " ");
    let args = file.lines().filter_map(|line| line.strip_prefix("ARG "));
    let args: BTreeMap<&str, &str> = args.filter_map(|arg| arg.split_once('=')).collect();
    assert_eq!(args["VERSION"], env!("CARGO_PKG_VERSION"));
    let stage = file.split("\nFROM scratch\n").nth(1).unwrap();
    let instruction = |name: &str| {
        let lines = stage.lines().filter(|line| line.starts_with(name));
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), 1, "{name}");
        lines[0].strip_prefix(name).unwrap().trim().to_owned()
    };
    let entrypoint: Value = serde_json::from_str(&instruction("ENTRYPOINT")).unwrap();
    assert_eq!(entrypoint, config["Entrypoint"]);
    assert_eq!(json!({instruction("EXPOSE"): {}}), config["ExposedPorts"]);
    assert_eq!(json!([instruction("ENV")]), config["Env"]);
    assert!(!stage.contains("\nUSER") && config["User"].is_null());

    let health = &config["Healthcheck"];
    let seconds = |key: &str| health[key].as_u64().unwrap() / 1_000_000_000;
    let command = &health["Test"].as_array().unwrap()[1..];
    assert_eq!(
        instruction("HEALTHCHECK"),
        format!(
            "--interval={}s --timeout={}s --start-period={}s --retries={} CMD {}",
            seconds("Interval"),
            seconds("Timeout"),
            seconds("StartPeriod"),
            health["Retries"],
            serde_json::to_string(command).unwrap().replace(',', ", "),
        )
    );

    let label = instruction("LABEL");
    let pairs = label
        .split("\" ")
        .filter_map(|pair| pair.trim().split_once("=\""));
    let pairs: BTreeMap<&str, &str> = pairs
        .map(|(key, value)| (key, value.trim_end_matches('"')))
        .filter(|(_, value)| !value.starts_with('$'))
        .collect();
    let labels = config["Labels"].as_object().unwrap();
    assert_eq!(pairs.len() + 2, labels.len(), "{pairs:?}, {labels:?}");
    for (key, value) in pairs {
        assert_eq!(labels[key], value, "{key}");
    }
}

/// Every crate of the program is in the bill of materials, nothing of the tests, and Debian's packages.
fn its_materials_are_known(sbom: &Value, binary: &Path) {
    let packages = sbom["packages"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names: BTreeSet<String> = packages.iter().map(|each| text(&each["name"])).collect();
    for name in [
        "gramwatt",
        "rustls",
        "nvml-wrapper",
        "libc6",
        "libgcc-s1",
        "ca-certificates",
    ] {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
    for name in ["proptest", "tempfile", "nvml-standin", "serde_derive"] {
        assert!(!names.contains(name), "{name}");
    }
    let ids: BTreeSet<String> = packages.iter().map(|each| text(&each["SPDXID"])).collect();
    assert_eq!(ids.len(), packages.len());
    let program = packages
        .iter()
        .find(|each| each["name"] == "gramwatt")
        .unwrap();
    let digest = sha256(&fs::read(binary).unwrap());
    assert_eq!(
        format!("sha256:{}", text(&program["checksums"][0]["checksumValue"])),
        digest
    );
    let relations = sbom["relationships"].as_array().unwrap();
    let mut reached = BTreeSet::from(["SPDXRef-DOCUMENT".to_owned()]);
    for relation in relations.iter().cycle().take(relations.len() * 20) {
        if reached.contains(&text(&relation["spdxElementId"])) {
            reached.insert(text(&relation["relatedSpdxElement"]));
        }
    }
    reached.remove("SPDXRef-DOCUMENT");
    assert_eq!(reached, ids, "some are nobody's");
}
