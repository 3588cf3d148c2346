//! From a sensor that fails to a message in somebody's inbox: gramwatt, Prometheus with our rules, Debian's Alertmanager, a
//! webhook.

use crate::moving::Machine;
use crate::program::{Killed, Program, gramwatt, until};
use crate::prometheus::Prometheus;
use crate::tools::{listening, root, tool};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

/// Takes what is posted to it.
struct Inbox {
    address: SocketAddr,
    messages: Arc<Mutex<Vec<Value>>>,
}

impl Inbox {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inbox = Self {
            address: listener.local_addr().unwrap(),
            messages: Arc::default(),
        };
        let messages = Arc::clone(&inbox.messages);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut from = BufReader::new(stream.try_clone().unwrap());
                let mut length = 0;
                let mut line = String::new();
                while from.read_line(&mut line).is_ok_and(|read| read > 2) {
                    let lower = line.to_lowercase();
                    if let Some(said) = lower.strip_prefix("content-length:") {
                        length = said.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                from.read_exact(&mut body).unwrap();
                messages
                    .lock()
                    .unwrap()
                    .push(serde_json::from_slice(&body).unwrap());
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                );
            }
        });
        inbox
    }

    /// The first alert of that name and status that came.
    fn alert(&self, name: &str, status: &str) -> Option<Value> {
        let messages = self.messages.lock().unwrap();
        let mut alerts = messages
            .iter()
            .flat_map(|message| message["alerts"].as_array().unwrap());
        alerts
            .find(|alert| alert["labels"]["alertname"] == name && alert["status"] == status)
            .cloned()
    }
}

/// An Alertmanager that tells the inbox at once.
struct Alertmanager {
    _server: Killed,
    address: SocketAddr,
}

impl Alertmanager {
    fn start(dir: &Path, inbox: &Inbox) -> Self {
        let config = format!(
            "route: {{receiver: inbox, group_by: [alertname], group_wait: 100ms, group_interval: 100ms}}\n\
             receivers: [{{name: inbox, webhook_configs: [{{url: 'http://{}/'}}]}}]\n",
            inbox.address
        );
        let file = dir.join("alertmanager.yml");
        std::fs::write(&file, config).unwrap();
        let (server, _, address) = listening(
            Command::new(tool("prometheus-alertmanager"))
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.path={}", dir.join("alerts").display()))
                .args([
                    "--web.listen-address=127.0.0.1:0",
                    "--cluster.listen-address=",
                ]),
            "Listening on",
        );
        Self {
            _server: server,
            address,
        }
    }
}

/// Our alerts, without their patience: the test has less.
fn impatient_rules() -> String {
    let file = root().join("deploy/rules/gramwatt-alerts.yaml");
    let mut rules: Value = serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for group in rules["groups"].as_array_mut().unwrap() {
        for rule in group["rules"].as_array_mut().unwrap() {
            let rule = rule.as_object_mut().unwrap();
            assert!(rule.remove("for").is_some() && rule.remove("keep_firing_for").is_some());
        }
    }
    rules.to_string()
}

#[test]
fn a_sensor_that_fails_is_told_and_so_is_its_return() {
    let machine = Machine::two_packages();
    let program = Program::spawn(gramwatt(machine.with(&[
        "--web.listen-address=127.0.0.1:0",
        "--sensors.interval=100ms",
        "--no-sensor.model",
    ])));
    let inbox = Inbox::open();
    let dir = tempfile::tempdir().unwrap();
    let manager = Alertmanager::start(dir.path(), &inbox);
    std::fs::write(dir.path().join("rules.yaml"), impatient_rules()).unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: ['{}']\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n\
         scrape_configs: [{{job_name: gramwatt, static_configs: [{{targets: ['{}'], labels: {{cluster: lab}}}}]}}]\n",
        dir.path().join("rules.yaml").display(),
        manager.address,
        program.address
    );
    let server = Prometheus::with(tempfile::tempdir().unwrap(), &config, &[]);
    until("the sensor is scraped", || {
        let up = server.query("gramwatt_sensor_up == 1", None)?;
        (!up.is_empty()).then_some(())
    });
    assert!(inbox.alert("GramwattSensorDown", "firing").is_none());

    for zone in ["intel-rapl:0", "intel-rapl:1"] {
        machine.write(
            &format!("sys/class/powercap/{zone}/energy_uj"),
            "not a number\n",
        );
    }
    let told = until("the alert comes", || {
        inbox.alert("GramwattSensorDown", "firing")
    });
    let (labels, notes) = (&told["labels"], &told["annotations"]);
    assert_eq!(labels["sensor"], "rapl");
    assert_eq!(labels["severity"], "warning");
    assert_eq!(labels["cluster"], "lab");
    let instance = program.address.to_string();
    assert_eq!(labels["instance"], instance.as_str());
    assert_eq!(
        notes["summary"],
        format!("Sensor rapl of {instance} tells nothing.")
    );
    assert!(
        notes["runbook_url"]
            .as_str()
            .unwrap()
            .ends_with("#gramwattsensordown")
    );
    assert_eq!(notes["dashboard_url"], "/d/gramwatt-trust");

    machine.zone("intel-rapl:0", "package-0", 1_000_000_000);
    machine.zone("intel-rapl:1", "package-1", 2_000_000_000);
    let ended = until("its end comes", || {
        inbox.alert("GramwattSensorDown", "resolved")
    });
    assert_eq!(ended["labels"]["sensor"], "rapl");
    assert!(program.terminate().success());
}
