//! What stands around a Gramwatt: the configurations of Prometheus and Alertmanager, compose.yaml, `make demo`, and a store that
//! many clusters write to.

use crate::program::{Log, Program, get, until};
use crate::prometheus::lasting_port;
use crate::tools::{done, root, started, tool};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

#[test]
fn configurations_are_right() {
    for (program, verb, file) in [
        (
            "promtool",
            "check config",
            "deploy/prometheus/prometheus.yaml",
        ),
        ("promtool", "check config", "deploy/prometheus/agent.yaml"),
        (
            "promtool",
            "check config",
            "deploy/prometheus/federation.yaml",
        ),
        (
            "amtool",
            "check-config",
            "deploy/alertmanager/alertmanager.yaml",
        ),
    ] {
        done(
            Command::new(tool(program))
                .args(verb.split(' '))
                .arg(root().join(file)),
        );
    }
}

#[test]
fn compose_mounts_what_there_is_and_pins_what_it_takes() {
    let folder = root().join("deploy");
    let text = fs::read_to_string(folder.join("compose.yaml")).unwrap();
    let compose: Value = serde_yaml::from_str(&text).unwrap();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.len(), 4);
    for (name, service) in services {
        if let Some(image) = service["image"].as_str() {
            let tag = image.rsplit_once(':').unwrap().1;
            assert!(tag.contains('.') && tag != "latest", "{name}: {image}");
        }
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let from = mount.as_str().unwrap().split(':').next().unwrap();
            let is_named = !compose["volumes"][from].is_null();
            assert!(is_named || folder.join(from).exists(), "{name}: {from}");
        }
        let build = service["build"]["dockerfile"].as_str();
        assert!(
            build.is_none_or(|file| root().join(file).exists()),
            "{name}"
        );
    }
    // Grafana's source of data has the address of that service.
    let source = root().join("grafana/provisioning/datasources/prometheus.yaml");
    assert!(
        fs::read_to_string(source)
            .unwrap()
            .contains("http://prometheus:9090")
    );
}

/// The answer to a query of a Prometheus, or of what speaks like one.
fn query(address: SocketAddr, expression: &str) -> Option<Vec<Value>> {
    let answer = get(address, &format!("/api/v1/query?query={expression}")).ok()?;
    let json: Value = serde_json::from_str(&answer.body).ok()?;
    Some(json["data"]["result"].as_array()?.clone())
}

#[test]
fn the_demo_serves_itself_and_those_around_it_and_ends_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let ports = [0, 1, 2].map(|_| lasting_port());
    let [own, prometheus, alertmanager] =
        ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let mut demo = started(
        Command::new("bash")
            .arg(root().join("scripts/demo.sh"))
            .arg(env!("CARGO_BIN_EXE_gramwatt"))
            .env("PORTS", ports.map(|port| port.to_string()).join(" "))
            .env("FOLDER", dir.path())
            .stderr(Stdio::piped())
            // `kill 0` in it ends its own group and not ours.
            .process_group(0),
    );
    let log = Log::of(&mut demo.0);
    until("Prometheus has its rules and scrapes the demo", || {
        let ended = demo.0.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", log.text());
        let rules = get(prometheus, "/api/v1/rules").ok()?;
        let up = query(prometheus, "up%7Bjob%3D%22gramwatt%22%7D%3D%3D1")?;
        (rules.body.contains("GramwattDown") && !up.is_empty()).then_some(())
    });
    until("Alertmanager is ready", || {
        (get(alertmanager, "/-/ready").ok()?.status == 200).then_some(())
    });
    assert!(get(own, "/").unwrap().body.contains("Gramwatt"));
    let pid = rustix::process::Pid::from_child(&demo.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    until("all have ended", || {
        demo.0.try_wait().unwrap()?;
        let gone = [own, prometheus, alertmanager];
        gone.iter()
            .all(|address| get(*address, "/").is_err())
            .then_some(())
    });
}

#[test]
fn an_agent_writes_to_a_store_and_no_joule_is_lost_on_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let store = SocketAddr::from(([127, 0, 0, 1], lasting_port()));
    let _victoria = started(
        Command::new(tool("victoria-metrics"))
            .arg(format!(
                "-storageDataPath={}",
                dir.path().join("store").display()
            ))
            .arg(format!("-httpListenAddr={store}"))
            .args([
                "-retentionPeriod=1",
                "-loggerLevel=ERROR",
                "-search.latencyOffset=0s",
            ])
            .stderr(Stdio::null()),
    );
    until("the store answers", || {
        (get(store, "/health").ok()?.status == 200).then_some(())
    });
    let books = dir.path().join("books");
    fs::create_dir(&books).unwrap();
    let state = format!("--state.directory={}", books.display());
    let program = Program::start([
        "--demo",
        "--grid.zone=DE",
        "--sensors.interval=200ms",
        &state,
    ]);

    // The agent's own configuration, but for addresses and its pace.
    let config = fs::read_to_string(root().join("deploy/prometheus/agent.yaml")).unwrap();
    let config = config
        .replace("http://store:8428", &format!("http://{store}"))
        .replace(
            "\"node-1:10061\", \"node-2:10061\"",
            &format!("'{}'", program.address),
        )
        .replace("scrape_interval: 30s", "scrape_interval: 1s");
    let file = dir.path().join("agent.yaml");
    fs::write(&file, config).unwrap();
    let _agent = started(
        Command::new(tool("prometheus"))
            .arg("--enable-feature=agent")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.agent.path={}",
                dir.path().join("agent").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .stderr(Stdio::null()),
    );
    let series =
        "gramwatt_node_energy_joules_total%7Bcluster%3D%22fra%22%2Cinstance%3D%22127.0.0.1%22%7D";
    let stored = || {
        let value = query(store, series)?.first()?["value"][1]
            .as_str()?
            .parse::<f64>();
        value.ok()
    };
    let first = until("the store has a sample", stored);
    let goal = program.metrics().get("gramwatt_node_energy_joules_total");
    until("the store has what the page had", || {
        (stored()? >= goal).then_some(())
    });
    let page = program.metrics().get("gramwatt_node_energy_joules_total");
    let now = stored().unwrap();
    assert!(first <= now && now <= page, "{first} {now} {page}");
    assert!(program.terminate().success());
}

#[test]
fn probe_says_what_a_running_program_tells() {
    let dir = tempfile::tempdir().unwrap();
    let state = format!("--state.directory={}", dir.path().display());
    let program = Program::start(["--demo", "--grid.zone=DE", &state]);
    let url = format!("http://{}/metrics", program.address);
    let told = crate::program::run(["probe", "--wait=30", &url]);
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success(), "{told:?}");
    assert!(
        said.contains(" W by ") && said.ends_with("CO2e is booked\n"),
        "{said}"
    );
    assert!(program.terminate().success());
    let told = crate::program::run(["probe", &url]);
    assert_eq!(told.status.code(), Some(1));
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(said.contains("nothing listens there"), "{said}");
    let told = crate::program::run(["probe", "--wait=soon", &url]);
    assert_eq!(told.status.code(), Some(2));
}
