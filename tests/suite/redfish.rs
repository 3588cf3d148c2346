//! BMCs that speak Redfish, as the whole program meets them: replicas over real TLS.

#[path = "../replicas/redfish/server.rs"]
#[allow(dead_code)]
mod replica;

use crate::moving::Machine;
use crate::program::{Program, run, until};
use replica::{Manner, PASSWORD, Replica, USER};
use std::fs;
use std::time::{Duration, Instant};

const POWER: &str = "/redfish/v1/Chassis/Self/Power";

/// A machine whose configuration names a BMC.
struct Rack {
    machine: Machine,
    replica: Replica,
}

impl Rack {
    fn new(kind: &str, more: &str) -> Self {
        let rack = Self {
            machine: Machine::two_packages(),
            replica: Replica::start(kind),
        };
        rack.password(PASSWORD);
        rack.machine.write("ca.pem", &rack.replica.authority);
        rack.configure(more);
        rack
    }

    fn password(&self, password: &str) {
        let text = format!("username: {USER}\npassword: {password}\n");
        self.machine.write("bmc.yaml", text);
    }

    fn configure(&self, more: &str) {
        let path = |name: &str| self.machine.path(name).display().to_string();
        let text = format!(
            "sensors: {{redfish: [{{url: \"{}\", credentials_file: {}, ca_file: {}, interval: 1s{more}}}]}}\n",
            self.replica.url(),
            path("bmc.yaml"),
            path("ca.pem"),
        );
        self.machine.write("gramwatt.yaml", text);
    }

    fn flags(&self) -> Vec<String> {
        let file = format!(
            "--config.file={}",
            self.machine.path("gramwatt.yaml").display()
        );
        self.machine.with(&[&file])
    }

    /// What the doctor says, and whether all is well.
    fn doctor(&self) -> (String, bool) {
        let mut arguments = self.flags();
        arguments.push("doctor".to_owned());
        let output = run(arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        discreet(&said);
        (said, output.status.success())
    }

    fn sessions(&self) -> usize {
        self.replica.state().sessions.len()
    }
}

fn discreet(text: &str) {
    for secret in [PASSWORD, "token-", "Basic "] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn the_node_is_what_its_power_supplies_take() {
    let rack = Rack::new("old", "");
    let program = Program::start(rack.flags());
    let page = until("the BMC's meters show", || {
        let page = program.get("/metrics").body;
        page.contains("gramwatt_node_info{meter=\"psu\"")
            .then_some(page)
    });
    let series = crate::program::Series::of(&page);
    for (meter, watts) in [
        ("bmc-Self", 344.0),
        ("psu-Self-0", 180.0),
        ("psu-Self-1", 172.0),
    ] {
        let name = format!("gramwatt_meter_power_watts{{meter=\"{meter}\",scope=\"node\"}}");
        assert_eq!(series.get(&name), watts);
    }
    assert_eq!(series.get("gramwatt_node_power_watts"), 352.0);
    assert_eq!(series.get("gramwatt_sensor_up{sensor=\"redfish\"}"), 1.0);

    // Only the BMC's own total is left when a power supply falls silent.
    rack.replica.put(
        POWER,
        "/PowerSupplies/0/PowerInputWatts",
        serde_json::Value::Null,
    );
    until("the total rests on the BMC", || {
        let page = program.get("/metrics").body;
        page.contains("gramwatt_node_info{meter=\"bmc\"")
            .then_some(())
    });
    discreet(&page);
    discreet(&program.get("/").body);
    discreet(&program.log.text());
    assert_eq!(rack.sessions(), 1);
    let log = program.log.clone();
    assert!(program.terminate().success());
    assert_eq!(rack.sessions(), 0, "the session is given back");
    discreet(&log.text());
}

#[test]
fn a_reload_gives_the_session_back() {
    let rack = Rack::new("new", "");
    let program = Program::start(rack.flags());
    until("there is a session", || {
        (rack.sessions() == 1).then_some(())
    });
    rack.machine
        .write("gramwatt.yaml", "sensors: {redfish: []}\n");
    assert_eq!(program.reload().status, 200);
    until("the session is given back", || {
        (rack.sessions() == 0).then_some(())
    });
}

#[test]
fn the_doctor_asks_and_says_what_to_mend() {
    let rack = Rack::new("new", "");
    let (said, _) = rack.doctor();
    for told in [
        format!(
            "found      meter bmc-Self: {}: draws 374.0 W",
            rack.replica.url()
        ),
        format!(
            "found      meter psu-Self-PSU0: {}: draws 190.5 W",
            rack.replica.url()
        ),
    ] {
        assert!(said.contains(&told), "{told}: {said}");
    }
    assert_eq!(rack.sessions(), 0);

    rack.password("wrong-one");
    let (said, well) = rack.doctor();
    assert!(!well && !said.contains("wrong-one"), "{said}");
    assert!(
        said.contains("UNREADABLE redfish: https://localhost:"),
        "{said}"
    );
    assert!(said.contains("status 401"), "{said}");
    assert!(said.contains("mend: put the name and password"), "{said}");
    assert_eq!(rack.replica.state().wrong, 1);
    rack.password(PASSWORD);

    rack.machine
        .write("ca.pem", &Replica::start("new").authority);
    let (said, well) = rack.doctor();
    assert!(!well, "{said}");
    assert!(said.contains("UnknownIssuer"), "{said}");
    assert!(
        said.contains("as ca_file") && said.contains("insecure_skip_verify: true"),
        "{said}"
    );

    fs::remove_file(rack.machine.path("bmc.yaml")).unwrap();
    let (said, _) = rack.doctor();
    assert!(
        said.contains("bmc.yaml: No such file") && said.contains("mend: credentials_file"),
        "{said}"
    );
}

#[test]
fn a_bad_entry_is_refused_before_anything_starts() {
    let rack = Rack::new("new", ", timeout: 5m");
    let output = run(rack.flags());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("between 100ms and 30s"), "{said}");
    assert!(rack.replica.asked().is_empty());
}

#[test]
fn scrapes_are_answered_while_a_bmc_never_does() {
    let rack = Rack::new("old", ", timeout: 30s");
    let program = Program::start(rack.flags());
    until("the BMC's meters show", || {
        let page = program.metrics();
        page.find("gramwatt_meter_power_watts{meter=\"bmc-Self\",scope=\"node\"}")
    });
    rack.replica.set(POWER, Manner::Silent);
    rack.replica.asked();
    until("the BMC is asked and does not answer", || {
        (!rack.replica.asked().is_empty()).then_some(())
    });
    let up = |sensor| format!("gramwatt_sensor_up{{sensor=\"{sensor}\"}}");
    let mut took = Vec::new();
    let page = until("the BMC is told to be silent", || {
        let asked = Instant::now();
        let page = program.metrics();
        took.push(asked.elapsed());
        (page.get(&up("redfish")) == 0.0).then_some(page)
    });
    assert_eq!(page.get(&up("rapl")), 1.0);
    assert_eq!(page.starting("gramwatt_meter_power_watts").count(), 0);
    assert!(
        page.find("gramwatt_device_energy_joules_total{device=\"package-0\",kind=\"cpu\"}")
            .is_some()
    );
    took.sort_unstable();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{} scrapes, median {median:?}, max {longest:?}", took.len());
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    let asked = Instant::now();
    assert!(program.terminate().success());
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
}
