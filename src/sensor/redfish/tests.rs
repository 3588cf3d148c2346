//! Against a replica over real TLS.

use super::*;
use rcgen::{BasicConstraints, IsCa};
use replica::{Manner, PASSWORD, Replica, USER};
use serde_json::{Value as Json, json};
use std::path::PathBuf;
use std::time::Instant;

#[path = "../../../tests/replicas/redfish/server.rs"]
mod replica;

const METRICS: &str = "/redfish/v1/Chassis/Self/EnvironmentMetrics";
const POWER: &str = "/redfish/v1/Chassis/Self/Power";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

/// A sensor and its files.
struct Bench {
    sensor: Box<dyn Sensor>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn of(replica: &Replica) -> Self {
        Self::with(replica, json!({}))
    }

    /// With more keys in the entry.
    fn with(replica: &Replica, more: Json) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), &replica.authority).unwrap();
        let mut entry = json!({
            "url": replica.url(),
            "credentials_file": folder.path().join("bmc.yaml"),
            "ca_file": folder.path().join("ca.pem"),
            "timeout": "5s",
        });
        let entry_map = entry.as_object_mut().unwrap();
        entry_map.extend(more.as_object().unwrap().clone());
        entry_map.retain(|_, value| !value.is_null());
        let sensor = discover(&roots(), &config(&json!([entry]))).sensors.pop().unwrap();
        let bench = Self { sensor, folder };
        bench.password(PASSWORD);
        bench
    }

    fn password(&self, password: &str) {
        let text = format!("username: {USER}\npassword: {password}\n");
        std::fs::write(self.folder.path().join("bmc.yaml"), text).unwrap();
    }

    /// The meters as `name scope value`, and the faults.
    fn read(&mut self) -> (Vec<String>, Vec<Fault>) {
        let readings = self.sensor.read();
        let told = |reading: &Reading| {
            let Part::Meter { id, scope } = &reading.source.part else { panic!("no meter") };
            let class = match scope {
                Scope::Node(class) => class.label(),
                other => other.label(),
            };
            match reading.value {
                Value::Power(watts) => format!("{id} {class} {} W", watts.0),
                Value::Counter { raw, .. } => format!("{id} {class} {raw} J"),
                Value::Modelled(_) => panic!("modelled"),
            }
        };
        let mut good: Vec<String> = readings.good.iter().map(told).collect();
        good.sort();
        (good, readings.bad)
    }

    fn good(&mut self) -> Vec<String> {
        let (good, bad) = self.read();
        assert!(bad.is_empty(), "{bad:?}");
        good
    }

    /// The one fault, which must have a mend.
    fn fault(&mut self) -> Fault {
        let (good, mut bad) = self.read();
        assert_eq!((good.len(), bad.len()), (0, 1), "{good:?} {bad:?}");
        let fault = bad.remove(0);
        assert!(!fault.mend.is_empty(), "{fault}");
        assert!(!format!("{fault:?}").contains(PASSWORD), "{fault:?}");
        fault
    }
}

fn roots() -> Roots {
    Roots { sys: PathBuf::new(), proc: PathBuf::new(), node: "n1".into() }
}

fn config(entries: &Json) -> Config {
    serde_json::from_value(entries.clone()).unwrap()
}

/// Sessions ever made, and those that are open.
fn sessions(replica: &Replica) -> (u32, usize) {
    let state = replica.state();
    (state.made, state.sessions.len())
}

#[test]
fn each_machine_is_read_for_what_it_is() {
    for (kind, meters) in [
        ("old", vec!["bmc-Self bmc 344 W", "psu-Self-0 psu 180 W", "psu-Self-1 psu 172 W"]),
        ("new", vec!["bmc-Self bmc 374 W", "psu-Self-PSU0 psu 190.5 W", "psu-Self-PSU1 psu 188.5 W"]),
        ("both", vec!["bmc-Self bmc 374 W", "psu-Self-0 psu 190 W", "psu-Self-1 psu 189 W"]),
        ("energy", vec!["bmc-Self bmc 3600000123 J"]),
        // Processors and memory are parts of the first.
        ("parts", vec!["bmc-1 bmc 412 W", "bmc-1-1 unknown 150 W", "bmc-1-2 unknown 40 W"]),
        ("outputs", vec!["bmc-1 bmc 390 W"]),
        // The baseboard is inside of a tray; one of the trays has no power supplies.
        ("multi", vec![
            "bmc-JBOD unknown 150 W",
            "bmc-Tray_CPU bmc 800 W",
            "bmc-Tray_GPU bmc 4200 W",
            "psu-Tray_GPU-0 unknown 2100 W",
            "psu-Tray_GPU-1 unknown 2100 W",
        ]),
    ] {
        let replica = Replica::start(kind);
        let mut bench = Bench::of(&replica);
        assert_eq!(bench.good(), meters, "{kind}");
        assert_eq!(bench.good(), meters, "{kind}");
    }
}

#[test]
fn a_steady_read_makes_few_requests() {
    for (kind, requests) in [("old", 1), ("new", 3), ("both", 2), ("energy", 1), ("parts", 1), ("multi", 4)] {
        let replica = Replica::start(kind);
        let mut bench = Bench::of(&replica);
        bench.good();
        replica.asked();
        for _ in 1..READS_PER_LOOK {
            bench.good();
        }
        let asked = replica.asked();
        assert_eq!(asked.len(), requests * (READS_PER_LOOK as usize - 1), "{kind}: {asked:?}");
        bench.good();
        assert!(replica.asked().len() > requests, "{kind}: no new look");
    }
}

#[test]
fn a_shared_enclosure_is_nobodys_unless_named() {
    let replica = Replica::start("blades");
    let mut bench = Bench::of(&replica);
    let (good, bad) = bench.read();
    assert_eq!(good[0], "bmc-Enclosure unknown 2000 W");
    assert_eq!(good.len(), 3, "{good:?}");
    assert!(bad[0].to_string().contains("Enclosure is shared by 2 computers"), "{bad:?}");
    assert!(bad[0].mend.contains("chassis: ["), "{bad:?}");
    let mut bench = Bench::with(&replica, json!({"chassis": ["Blade2"]}));
    assert_eq!(bench.good(), ["bmc-Blade2 bmc 500 W"]);
    let mut bench = Bench::with(&replica, json!({"chassis": ["Blade3"]}));
    let fault = bench.fault().to_string();
    assert!(fault.contains("no chassis Blade3; there are: Enclosure, Blade1, Blade2"), "{fault}");
    // One inside of another is not added to it.
    let mut bench = Bench::with(&replica, json!({"chassis": ["Enclosure", "Blade1"]}));
    let good = bench.good();
    assert!(!good.iter().any(|meter| meter.contains("Blade1")), "{good:?}");
    assert_eq!(good[0], "bmc-Enclosure bmc 2000 W");
}

#[test]
fn what_is_no_power_is_absent_and_a_fault() {
    for (value, told) in [
        (json!(null), "does not tell PowerWatts.Reading"),
        (json!(-1), "PowerWatts.Reading: -1"),
        (json!(1e9), "PowerWatts.Reading: 1000000000"),
        (json!("374"), "PowerWatts.Reading: "),
        (json!(0), "PowerWatts.Reading is 0"),
    ] {
        let replica = Replica::start("new");
        let mut bench = Bench::of(&replica);
        bench.good();
        replica.put(METRICS, "/PowerWatts/Reading", value);
        for _ in 0..3 {
            // At every read, new looks or not.
            let (good, bad) = bench.read();
            assert_eq!(good.len(), 2, "{good:?}");
            assert!(bad.len() == 1 && bad[0].to_string().contains(told), "{told}: {bad:?}");
        }
        replica.put(METRICS, "/PowerWatts/Reading", json!(300));
        assert_eq!(bench.good()[0], "bmc-Self bmc 300 W");
    }
}

#[test]
fn power_supplies_are_the_node_only_while_all_tell_their_input() {
    let replica = Replica::start("old");
    let mut bench = Bench::of(&replica);
    bench.good();
    replica.put(POWER, "/PowerSupplies/1/PowerInputWatts", json!(null));
    let (good, bad) = bench.read();
    assert_eq!(good, ["bmc-Self bmc 344 W", "psu-Self-0 unknown 180 W"]);
    assert_eq!(bad.len(), 1, "{bad:?}");
    // Unplugged, it takes nothing.
    replica.put(POWER, "/PowerSupplies/1/Status/State", json!("UnavailableOffline"));
    assert_eq!(bench.good(), ["bmc-Self bmc 344 W", "psu-Self-0 psu 180 W"]);
    let supplies = "/PowerSupplies/0/PowerInputWatts";
    replica.put(POWER, supplies, json!(0));
    let (good, _) = bench.read();
    assert!(good.contains(&"psu-Self-0 unknown 0 W".to_owned()), "{good:?}");
}

#[test]
fn a_machine_without_power_is_told_so() {
    let replica = Replica::start("new");
    replica.state().bodies.retain(|path, _| !path.contains("Self/"));
    let mut bench = Bench::of(&replica);
    for _ in 0..2 {
        assert!(bench.fault().to_string().contains("none of its chassis tells power: Self"));
    }
}

#[test]
fn a_session_is_had_once_and_given_back() {
    let replica = Replica::start("new");
    let mut bench = Bench::of(&replica);
    for _ in 0..5 {
        bench.good();
    }
    assert_eq!(sessions(&replica), (1, 1));
    drop(bench);
    assert_eq!(replica.state().sessions.len(), 0);
    assert_eq!(replica.state().wrong, 0);
}

#[test]
fn a_session_that_ended_is_had_anew_in_the_same_read() {
    let replica = Replica::start("new");
    let mut bench = Bench::of(&replica);
    bench.good();
    replica.state().sessions.clear();
    bench.good();
    assert_eq!(sessions(&replica), (2, 1));
}

#[test]
fn a_wrong_password_is_tried_once() {
    for auth in ["session", "basic"] {
        let replica = Replica::start("old");
        let mut bench = Bench::with(&replica, json!({"auth": auth, "interval": "1m"}));
        bench.password("wrong");
        let fault = bench.fault();
        assert_eq!(fault.reason(), "permission");
        assert!(fault.to_string().contains("status 401"), "{fault}");
        // 5 minutes, then 10.
        for (reads, wrong) in [(4, 1), (1, 2), (9, 2), (1, 3)] {
            for _ in 0..reads {
                let fault = bench.fault();
                assert_eq!(fault.reason(), "permission", "{fault}");
                assert!(fault.mend.contains("credentials_file"), "{fault:?}");
            }
            assert_eq!(replica.state().wrong, wrong, "{auth}");
        }
        bench.password(PASSWORD);
        assert_eq!(bench.good()[0], "bmc-Self bmc 344 W");
    }
}

#[test]
fn a_new_password_is_taken_up() {
    let replica = Replica::start("old");
    let mut bench = Bench::of(&replica);
    bench.good();
    replica.state().password = "new".to_owned();
    bench.password("new");
    bench.good();
    assert_eq!(sessions(&replica), (2, 1));
    std::fs::remove_file(bench.folder.path().join("bmc.yaml")).unwrap();
    // The session goes on, and the want of the file is told.
    let (good, bad) = bench.read();
    assert_eq!((good.len(), bad.len()), (3, 1));
    assert_eq!(bad[0].reason(), "vanished");
    assert!(bad[0].place.ends_with("bmc.yaml"), "{bad:?}");
}

#[test]
fn without_sessions_there_is_basic() {
    let replica = Replica::start("old");
    replica.set(SESSIONS, Manner::Says(404, ""));
    let mut bench = Bench::of(&replica);
    bench.good();
    assert_eq!({ let state = replica.state(); (state.made, state.wrong) }, (0, 0));
}

#[test]
fn full_sessions_are_told_and_left_alone() {
    let replica = Replica::start("old");
    replica.state().places = 0;
    let mut bench = Bench::with(&replica, json!({"interval": "10s"}));
    let fault = bench.fault();
    assert!(fault.to_string().contains("SessionLimitExceeded"), "{fault}");
    assert!(fault.mend.contains("auth: basic"), "{fault:?}");
    replica.state().places = 1;
    for _ in 0..5 {
        bench.fault();
    }
    bench.good();
}

#[test]
fn what_a_bmc_answers_amiss_costs_that_alone() {
    for (manner, reason, told) in [
        (Manner::Says(500, ""), "device", "status 500"),
        (Manner::Says(404, ""), "vanished", "status 404"),
        (Manner::Says(403, ""), "permission", "status 403"),
        (Manner::Says(401, ""), "permission", "status 401"),
        (Manner::Says(200, "<html><body>Welcome</body>"), "parse", "<html>"),
        (Manner::Says(200, "[1, 2"), "parse", "[1, 2"),
        (Manner::Says(200, ""), "parse", ""),
    ] {
        let replica = Replica::start("new");
        let mut bench = Bench::of(&replica);
        bench.good();
        let broken = format!("{}/PowerSubsystem/PowerSupplies/PSU1/Metrics", "/redfish/v1/Chassis/Self");
        replica.set(&broken, manner.clone());
        let (good, bad) = bench.read();
        assert_eq!(good[0], "bmc-Self bmc 374 W", "{manner:?}");
        assert_eq!(bad.len(), 1, "{manner:?}: {bad:?}");
        assert_eq!(bad[0].reason(), reason, "{manner:?}: {bad:?}");
        assert!(bad[0].to_string().contains(told) && !bad[0].mend.is_empty(), "{bad:?}");
        assert!(bad[0].place.ends_with("PSU1/Metrics"), "{bad:?}");
        assert_eq!(replica.state().made, 1);
        replica.heal(&broken);
        for _ in 0..2 {
            bench.read();
        }
        assert_eq!(bench.good().len(), 3, "{manner:?}");
    }
}

#[test]
fn a_bmc_that_wastes_time_or_space_is_left_at_once() {
    let quick = json!({"timeout": "300ms"});
    for (manner, told) in [
        (Manner::Silent, "no answer in time"),
        (Manner::Drips, "no answer in time"),
        (Manner::Large(100 << 20), "larger than 1048576 bytes"),
        (Manner::HangsUp, ""),
    ] {
        let replica = Replica::start("new");
        // The handshake needs more than its share of a crowded machine.
        let mut bench = Bench::of(&replica);
        bench.good();
        drop(bench);
        let mut bench = Bench::with(&replica, quick.clone());
        replica.set("/redfish/v1/Chassis", manner.clone());
        let start = Instant::now();
        let fault = bench.fault();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{manner:?}: {took:?}");
        assert!(fault.to_string().contains(told), "{manner:?}: {fault}");
        replica.heal("/redfish/v1/Chassis");
        assert_eq!(bench.good().len(), 3, "{manner:?}");
    }
}

#[test]
fn nobody_listening_is_told() {
    let replica = Replica::start("new");
    let mut bench = Bench::of(&replica);
    let address = replica.address;
    drop(replica);
    // The replica's thread lets go of its socket when it has seen the end.
    while std::net::TcpStream::connect(address).is_ok() {}
    let fault = bench.fault();
    assert_eq!(fault.reason(), "io");
    assert!(fault.mend.contains("host and port"), "{fault:?}");
}

#[test]
fn no_other_host_is_ever_asked() {
    let elsewhere = Replica::start("new");
    for path in ["/redfish/v1/", SESSIONS, "/redfish/v1/Chassis", METRICS] {
        for status in [301, 302, 303, 307, 308] {
            let replica = Replica::start("new");
            replica.set(path, Manner::Redirects(status, format!("{}{path}", elsewhere.url())));
            let (good, bad) = Bench::of(&replica).read();
            assert!(!good.iter().any(|meter| meter.starts_with("bmc")), "{path} {status}");
            assert!(!bad.is_empty(), "{path} {status}");
        }
    }
    assert!(elsewhere.asked().is_empty());
}

#[test]
fn a_redirect_within_the_bmc_is_followed_for_a_while() {
    let replica = Replica::start("new");
    let old = "/redfish/v1/Chassis";
    let mut bodies = replica.state();
    let body = bodies.bodies.get(old).unwrap().clone();
    bodies.bodies.insert(format!("{old}/"), body);
    drop(bodies);
    for place in [format!("{old}/"), format!("{}{old}/", replica.url())] {
        replica.set(old, Manner::Redirects(308, place));
        assert_eq!(Bench::of(&replica).good().len(), 3);
    }
    replica.set(old, Manner::Redirects(308, old.to_owned()));
    let fault = Bench::of(&replica).fault();
    assert!(fault.to_string().contains("redirects without end"), "{fault}");
}

#[test]
fn a_certificate_must_be_trusted_named_and_dated() {
    let strange = Replica::start("new");
    let trusted = Replica::start("new");
    let expired = Replica::dated("new", &["localhost"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let other = Replica::dated("new", &["elsewhere.example"], |_| {});
    for (replica, authority, told) in [
        (&strange, &trusted.authority, "UnknownIssuer"),
        (&expired, &expired.authority, "expired"),
        (&other, &other.authority, "not valid for name"),
    ] {
        let mut bench = Bench::of(replica);
        std::fs::write(bench.folder.path().join("ca.pem"), authority).unwrap();
        let fault = bench.fault();
        assert!(fault.to_string().contains(told), "{fault}");
        assert!(fault.mend.contains("ca_file") && fault.mend.contains("insecure_skip_verify"));
        assert!(replica.asked().is_empty());
        // A new file is taken up.
        std::fs::write(bench.folder.path().join("ca.pem"), &replica.authority).unwrap();
        assert_eq!(bench.read().1.is_empty(), told == "UnknownIssuer", "{told}");
        // The machine's authorities have never heard of it.
        let mut bench = Bench::with(replica, json!({"ca_file": null}));
        assert!(bench.fault().mend.contains("ca_file"));
        let mut bench = Bench::with(replica, json!({"ca_file": null, "insecure_skip_verify": true}));
        assert_eq!(bench.good().len(), 3);
    }
}

#[test]
fn a_certificate_out_of_the_box_is_trusted_by_itself() {
    // It is its own authority, was made for another name, and is long out of date.
    let out_of_the_box = |params: &mut rcgen::CertificateParams| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    };
    let replica = Replica::dated("new", &["bmc.invalid"], out_of_the_box);
    assert_eq!(Bench::of(&replica).good().len(), 3);
    let stranger = Replica::dated("new", &["bmc.invalid"], out_of_the_box);
    let mut bench = Bench::of(&replica);
    std::fs::write(bench.folder.path().join("ca.pem"), &stranger.authority).unwrap();
    bench.fault();
    assert!(stranger.asked().is_empty());
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_is_a_fault() {
    let replica = Replica::start("new");
    let mut bench = Bench::of(&replica);
    std::fs::write(bench.folder.path().join("ca.pem"), "none").unwrap();
    let fault = bench.fault();
    assert!(fault.place.ends_with("ca.pem"), "{fault}");
}

#[test]
fn the_configuration_makes_sensors_and_asks_nobody() {
    let entry = |url: &str| json!({"url": url, "credentials_file": "/c"});
    let of = |urls: &[&str]| {
        let entries: Vec<Json> = urls.iter().map(|url| entry(url)).collect();
        let found = discover(&roots(), &config(&json!(entries)));
        let names: Vec<String> = found.sensors.iter().map(|s| s.name().to_owned()).collect();
        (names, found.findings)
    };
    let (names, findings) = of(&["https://bmc-{node}.example"]);
    assert_eq!(names, ["redfish"]);
    assert_eq!((findings[0].subject.as_str(), findings[0].state), ("redfish", Presence::Unasked));
    assert_eq!(findings[0].detail, "https://bmc-n1.example");
    let (names, findings) = of(&["https://a", "https://b", "https://b:8443", "https://b/"]);
    assert_eq!(names, ["redfish-a", "redfish-b", "redfish-b-8443", "redfish-b-443"]);
    assert_eq!(findings.len(), 4);
    let (names, findings) = of(&["https://a", "https://a", "https://a"]);
    assert_eq!(names.len(), 2);
    assert_eq!(findings[2].state, Presence::Unreadable);
    let mut odd = roots();
    odd.node = "a b".into();
    let found = discover(&odd, &config(&json!([entry("https://bmc-{node}.example")])));
    assert!(found.sensors.is_empty() && found.findings[0].mend.contains("node.name"));
    let open = json!([{"url": "https://a", "credentials_file": "/c", "insecure_skip_verify": true}]);
    let found = discover(&roots(), &config(&open));
    assert!(found.findings[0].detail.contains("insecure_skip_verify"));
    assert_eq!(found.sensors[0].pace(Duration::from_secs(1)), Duration::from_secs(10));
}

#[test]
fn meters_of_several_bmcs_have_names_of_their_own() {
    let replica = Replica::start("old");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bmc.yaml");
    std::fs::write(&file, format!("username: {USER}\npassword: {PASSWORD}\n")).unwrap();
    let entry = |host: &str| {
        let url = format!("https://{host}:{}", replica.address.port());
        json!({"url": url, "credentials_file": file, "insecure_skip_verify": true})
    };
    let found = discover(&roots(), &config(&json!([entry("localhost"), entry("127.0.0.1")])));
    let ids = found.sensors.into_iter().flat_map(|mut sensor| sensor.read().good);
    let ids: Vec<String> = ids.map(|reading| reading.source.part.to_string()).collect();
    assert_eq!(ids[0], "meter bmc-localhost-Self");
    assert!(ids.contains(&"meter psu-127.0.0.1-Self-1".to_owned()), "{ids:?}");
}

#[test]
fn a_ring_of_chassis_has_an_end() {
    let replica = Replica::start("multi");
    let links = |by: &str| json!({"ContainedBy": {"@odata.id": format!("/redfish/v1/Chassis/{by}")}});
    replica.put("/redfish/v1/Chassis/Tray_CPU", "/Links", links("Tray_GPU"));
    replica.put("/redfish/v1/Chassis/Tray_GPU", "/Links", links("Tray_CPU"));
    let (good, _) = Bench::of(&replica).read();
    let trays = good.iter().filter(|meter| meter.starts_with("bmc-Tray"));
    assert_eq!(trays.count(), 1, "{good:?}");
}

#[test]
fn every_figure_of_the_replicas_is_understood() {
    let body = json!({"PowerControl": [{"PowerConsumedWatts": 5}], "PowerWatts": {"Reading": 7}});
    let watts = figures(body.to_string().as_bytes());
    assert_eq!(watts, [Watts(5.0), Watts(7.0)]);
    assert!(figures(b"[").is_empty());
}
