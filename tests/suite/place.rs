//! Where the node stands, as the whole program finds it out: replicas of the clouds' metadata services.

use crate::moving::Machine;
use crate::program::{Program, gramwatt, run};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::kubernetes;

/// What a replica answers: status line with further headers, and body.
type Page = (&'static str, String);
type Answers = Arc<Mutex<Box<dyn Fn(&str) -> Page + Send>>>;

/// A replica of a service, which answers by a request's head.
#[derive(Clone)]
struct Replica {
    address: SocketAddr,
    answer: Answers,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Replica {
    fn new(answer: impl Fn(&str) -> Page + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let replica = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(Box::new(answer))),
            asked: Arc::default(),
        };
        let served = replica.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                thread::spawn(move || served.serve(&stream));
            }
        });
        replica
    }

    fn serve(&self, stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let head = head.join("\n");
        self.asked.lock().unwrap().push(head.clone());
        let (status, body) = (self.answer.lock().unwrap())(&head);
        let mut to = stream;
        // A client that has seen enough hangs up.
        let _ = write!(
            to,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }

    fn change(&self, answer: impl Fn(&str) -> Page + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn has(head: &str, header: &str) -> bool {
    head.lines().any(|line| line.eq_ignore_ascii_case(header))
}

const TOKEN: &str = "AQAEALFmMDA-s3cret==";

/// AWS' service, version 2 alone, on a machine in this availability zone.
fn aws(region: &'static str, zone: &'static str) -> impl Fn(&str) -> Page + Send {
    move |head| {
        if head.starts_with("PUT /latest/api/token ") {
            if head
                .to_lowercase()
                .contains("x-aws-ec2-metadata-token-ttl-seconds: ")
            {
                return ("200 OK", TOKEN.to_owned());
            }
            return ("400 Bad Request", String::new());
        }
        if !has(head, &format!("X-aws-ec2-metadata-token: {TOKEN}")) {
            return ("401 Unauthorized", String::new());
        }
        match head.split(' ').nth(1) {
            Some("/latest/meta-data/placement/region") => ("200 OK", region.to_owned()),
            Some("/latest/meta-data/placement/availability-zone") => ("200 OK", zone.to_owned()),
            _ => ("404 Not Found", String::new()),
        }
    }
}

fn gcp(head: &str) -> Page {
    let known = head.starts_with("GET /computeMetadata/v1/instance/zone ");
    if !known || !has(head, "Metadata-Flavor: Google") {
        return ("403 Forbidden", String::new());
    }
    let zone = "projects/123456789/zones/europe-west3-a";
    ("200 OK\r\nMetadata-Flavor: Google", zone.to_owned())
}

fn azure(head: &str) -> Page {
    let path = "GET /metadata/instance/compute/location?api-version=2021-02-01&format=text ";
    if !head.starts_with(path) || !has(head, "Metadata: true") {
        return ("400 Bad Request", "{\"error\": \"Bad request\"}".to_owned());
    }
    ("200 OK", "westeurope".to_owned())
}

/// A machine whose firmware says this, with its flags.
fn machine(tags: &[(&str, &str)], config: &str) -> (Machine, Vec<String>) {
    let machine = Machine::two_packages();
    for (name, text) in tags {
        machine.write(&format!("sys/class/dmi/id/{name}"), format!("{text}\n"));
    }
    let file = machine.write("gramwatt.yml", config);
    let flags = machine.with(&[&format!("--config.file={}", file.display())]);
    (machine, flags)
}

fn auto(cloud: &str, replica: &Replica) -> String {
    let address = replica.address;
    format!("grid: {{cloud: {{provider: auto, metadata: {{{cloud}: \"http://{address}\"}}}}}}\n")
}

fn node_info(program: &Program) -> String {
    let page = program.get("/metrics").body;
    let line = page
        .lines()
        .find(|line| line.starts_with("gramwatt_node_info"));
    line.unwrap_or_default().to_owned()
}

fn doctor(flags: &[String]) -> String {
    let mut arguments = flags.to_vec();
    arguments.push("doctor".to_owned());
    String::from_utf8(run(arguments).stdout).unwrap()
}

const EC2: (&str, &str) = ("sys_vendor", "Amazon EC2");
const GCE: (&str, &str) = ("product_name", "Google Compute Engine");
const AZURE: (&str, &str) = ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77");

#[test]
fn a_machine_of_a_cloud_asks_it_where_it_is() {
    let cases = [
        (
            "aws",
            EC2,
            Replica::new(aws("eu-central-1", "eu-central-1b")),
            "eu-central-1",
            "DE",
        ),
        ("gcp", GCE, Replica::new(gcp), "europe-west3", "DE"),
        ("azure", AZURE, Replica::new(azure), "westeurope", "NL"),
    ];
    for (cloud, tag, replica, region, zone) in cases {
        let (_machine, flags) = machine(&[tag], &auto(cloud, &replica));
        let mut command = gramwatt(["--web.listen-address=127.0.0.1:0"]);
        // A proxy is not asked: nothing listens there.
        for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "HTTPS_PROXY"] {
            command.env(name, "http://127.0.0.1:1");
        }
        command.args(&flags);
        let program = Program::spawn(command);
        let told = node_info(&program);
        for label in [
            format!("grid_zone=\"{zone}\""),
            format!("provider=\"{cloud}\""),
            format!("cloud_region=\"{region}\""),
        ] {
            assert!(
                told.contains(&label),
                "{label}: {told} {}",
                program.log.text()
            );
        }
        // Once to start, once for a reload, and no more.
        let once = replica.asked().len();
        assert!(
            once == 1 || (cloud == "aws" && once == 3),
            "{:?}",
            replica.asked()
        );
        assert_eq!(program.reload().status, 200);
        assert_eq!(replica.asked().len(), 2 * once);
        let page = program.get("/").body;
        let why = "metadata service says";
        assert!(page.contains(why), "{page}");
        let said = doctor(&flags);
        assert!(
            said.contains(&format!("place    {zone}, {cloud} {region}: ")) && said.contains(why),
            "{said}"
        );
        for text in [page, said, program.log.text(), program.get("/metrics").body] {
            assert!(!text.contains(TOKEN), "{text}");
        }
    }
}

#[test]
fn where_no_cloud_tells_there_are_no_grams_and_a_reason() {
    let replica = Replica::new(|_| ("200 OK", "<html>log in</html>".to_owned()));
    // Another maker's machine asks nobody, and neither does one without such tables.
    for tags in [
        &[
            ("sys_vendor", "Dell Inc."),
            ("product_name", "PowerEdge R750"),
        ][..],
        &[],
    ] {
        let (_machine, flags) = machine(tags, &auto("aws", &replica));
        let program = Program::start(&flags);
        assert!(!node_info(&program).contains("grid_zone"));
        assert_eq!(
            program.metrics().find("gramwatt_node_co2e_grams_total"),
            None
        );
        assert!(
            program.log.text().contains("no cloud was asked"),
            "{}",
            program.log.text()
        );
    }
    assert_eq!(replica.asked(), [""; 0]);
    // A service that answers with something else, that says no, and a place that is not in its region.
    let (_machine, flags) = machine(&[EC2], &auto("aws", &replica));
    for (tell, words) in [
        (None, "the token is none"),
        (Some(aws("us-west-2", "us-west-2-lax-1a")), "elsewhere"),
        (Some(aws("moon-1", "moon-1a")), "unknown region \"moon-1\""),
    ] {
        if let Some(tell) = tell {
            replica.change(tell);
        }
        let said = doctor(&flags);
        assert!(
            said.contains("grid     no zone") && said.contains(words),
            "{words}: {said}"
        );
    }
    replica.change(|_| ("403 Forbidden", String::new()));
    let program = Program::start(&flags);
    assert!(
        program.log.text().contains("hop limit"),
        "{}",
        program.log.text()
    );
    assert_eq!(
        program.metrics().find("gramwatt_node_co2e_grams_total"),
        None
    );
    // What was not to be had at the start is had by a reload.
    replica.change(aws("eu-west-3", "eu-west-3c"));
    assert_eq!(program.reload().status, 200);
    crate::program::until("the region", || {
        node_info(&program)
            .contains("cloud_region=\"eu-west-3\"")
            .then_some(())
    });
}

#[test]
fn a_kubernetes_node_tells_its_region_where_the_machine_does_not() {
    let server = kubernetes::server::Server::start();
    let region = "topology.kubernetes.io/region";
    server.want_token(TOKEN);
    server.node(
        "node-a",
        serde_json::json!({region: "eu-central-1"}),
        "aws:///eu-central-1a/i-0abc",
    );
    let (machine, flags) = machine(&[("sys_vendor", "QEMU")], "");
    machine.write("account/token", TOKEN);
    let config = |api_server: &str| {
        format!(
            "grid: {{cloud: auto}}\nworkloads: {{kubernetes: {{node: node-a, api_server: \"{api_server}\", \
             service_account: {}}}}}\n",
            machine.path("account").display()
        )
    };
    machine.write("gramwatt.yml", config(&server.url()));
    let program = Program::start(&flags);
    let told = node_info(&program);
    assert!(
        told.contains("cloud_region=\"eu-central-1\"") && told.contains("provider=\"aws\""),
        "{told}"
    );
    let why = "the Kubernetes node node-a has the label topology.kubernetes.io/region=eu-central-1";
    let (page, said) = (program.get("/").body, doctor(&flags));
    assert!(page.contains(why), "{page}");
    assert!(
        said.contains("place    DE, aws eu-central-1: grid.cloud is auto: ") && said.contains(why),
        "{said}"
    );
    for text in [page, said, program.log.text(), program.get("/metrics").body] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    // Who may not is told which right is missing, and who shall not asks nobody.
    server.refuse("/nodes", 403, "");
    let said = doctor(&flags);
    assert!(
        said.contains("grid     no zone") && said.contains("resources: [nodes], verbs: [get]"),
        "{said}"
    );
    let asked = server.asked().len();
    machine.write("gramwatt.yml", config("off"));
    let said = doctor(&flags);
    assert!(
        said.contains("grid     no zone") && said.contains("no cloud was asked"),
        "{said}"
    );
    assert_eq!(server.asked().len(), asked);
}

#[test]
fn a_service_that_never_answers_holds_up_the_start_for_two_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let config = format!(
        "grid: {{cloud: {{provider: auto, metadata: {{aws: \"http://{address}\"}}}}, providers: [{{type: \
         energy-charts}}]}}\n"
    );
    let (_machine, flags) = machine(&[EC2], &config);
    let start = std::time::Instant::now();
    let said = doctor(&flags);
    assert!(said.contains("no answer in time"), "{said}");
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

fn check(file: &Path) -> (Option<i32>, String) {
    let output = run(["check-config", &file.display().to_string()]);
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_configuration_is_checked_without_asking_anybody() {
    let machine = Machine::bare();
    for (text, words) in [
        ("grid: {cloud: auto}", None),
        ("grid: {cloud: {provider: auto}}", None),
        ("grid: {cloud: aws}", Some("`auto`")),
        ("grid: {cloud: {provider: aws}}", Some("region is missing")),
        (
            "grid: {cloud: {provider: auto, region: eu-central-1}}",
            Some("leave region out"),
        ),
        (
            "grid: {cloud: {provider: aws, reigon: x}}",
            Some("did you mean `region`"),
        ),
        (
            "grid: {cloud: {provider: auto, metadata: {aws: 'ftp://x'}}}",
            Some("http://"),
        ),
        (
            "grid: {cloud: auto, zone: DE}",
            Some("zone or cloud, not both"),
        ),
    ] {
        let (code, error) = check(&machine.write("gramwatt.yml", text));
        match words {
            None => assert_eq!(code, Some(0), "{text}: {error}"),
            Some(words) => {
                assert_eq!(code, Some(2), "{text}");
                assert!(error.contains(words), "{text}: {error}");
            }
        }
    }
}

/// The program with a label in its environment, or none.
fn labelled(flags: &[String], label: Option<&str>) -> (Option<i32>, String) {
    let mut command = gramwatt(flags);
    command.arg("doctor").env_remove("GRAMWATT_ZONE_LABEL");
    if let Some(label) = label {
        command.env("GRAMWATT_ZONE_LABEL", label);
    }
    let output = command.output().unwrap();
    let all = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(all).unwrap())
}

#[test]
fn machines_of_several_sites_have_one_configuration() {
    let map = "map: {'gpu-*': DE, site-b: FR, login1: SE}";
    let (machine, flags) = machine(&[], &format!("grid: {{zone_map: {{{map}}}}}\n"));
    for (host, label, told) in [
        (
            "gpu-17",
            None,
            "place    DE: grid.zone_map in the configuration: gpu-17 (from the machine's name) fits gpu-*",
        ),
        ("login1\n", None, "place    SE: "),
        (
            "login1",
            Some("site-b"),
            "place    FR: grid.zone_map in the configuration: site-b (from GRAMWATT_ZONE_LABEL)",
        ),
        ("gpu-17", Some(" "), "place    DE: "),
    ] {
        machine.write("proc/sys/kernel/hostname", host);
        let (_, said) = labelled(&flags, label);
        assert!(said.contains(told), "{host} {label:?}: {said}");
    }
    // One that is not there is refused, with those that are.
    let (code, said) = labelled(&flags, Some("site-c"));
    assert_eq!(code, Some(2), "{said}");
    let words =
        "nothing there fits \"site-c\" (from GRAMWATT_ZONE_LABEL); it has: gpu-*, login1, site-b";
    assert!(said.contains(words), "{said}");
    // A file goes before both, and is read anew by a reload.
    let label = machine.write("label", "site-b\n");
    let text = format!(
        "grid: {{zone_map: {{label_file: {}, {map}}}}}\n",
        label.display()
    );
    machine.write("gramwatt.yml", text);
    let program = Program::start(&flags);
    assert!(node_info(&program).contains("grid_zone=\"FR\""));
    machine.write("label", "gpu-1");
    assert_eq!(program.reload().status, 200);
    crate::program::until("the other zone", || {
        node_info(&program)
            .contains("grid_zone=\"DE\"")
            .then_some(())
    });
    machine.write("label", "nowhere");
    let answer = program.reload();
    assert!(
        answer.status >= 400 && answer.body.contains("nowhere"),
        "{answer:?}"
    );
    std::fs::remove_file(&label).unwrap();
    let (code, said) = labelled(&flags, Some("site-b"));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("label_file") && said.contains("write the machine's label"),
        "{said}"
    );
}

/// The PUE in force, and who says so.
fn pue(program: &Program) -> (f64, String) {
    let info = node_info(program);
    let origin = info
        .split("pue=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let ratio = program.metrics().get("gramwatt_pue_ratio");
    (ratio, origin.unwrap_or_default().to_owned())
}

#[test]
fn the_pue_of_the_moment_is_in_the_grams() {
    let replica = Replica::new(|_| ("200 OK", "{\"site\": {\"pue\": 1.5}}".to_owned()));
    let (machine, flags) = machine(&[], "");
    let token = machine.write("token", format!("{TOKEN}\n"));
    let text = format!(
        "grid: {{intensity: 100}}\nnode: {{pue_fallback: 1.25, pue: {{type: json, url: \"http://{}/dcim\", \
         pointer: /site/pue, token_file: {}}}}}\n",
        replica.address,
        token.display()
    );
    machine.write("gramwatt.yml", &text);
    let program = Program::start(&flags);
    let told = |ratio: f64, origin: &'static str| {
        crate::program::until(origin, || {
            (pue(&program) == (ratio, origin.to_owned())).then_some(())
        });
    };
    told(1.5, "live");
    assert!(
        replica
            .asked()
            .iter()
            .all(|head| has(head, &format!("authorization: Bearer {TOKEN}")))
    );
    assert!(program.get("/").body.contains("the facility"));
    // The same one asked again says the same; what cannot be is refused, counted, and not believed.
    replica.change(|_| ("200 OK", "{\"site\": {\"pue\": 0.5}}".to_owned()));
    assert_eq!(program.reload().status, 200);
    let refused = "gramwatt_grid_request_failures_total{provider=\"pue\",reason=\"value\"}";
    crate::program::until("a refusal", || {
        program
            .metrics()
            .find(refused)
            .filter(|count| *count >= 1.0)
    });
    told(1.25, "config");
    assert_eq!(
        program
            .metrics()
            .get("gramwatt_grid_provider_up{provider=\"pue\"}"),
        0.0
    );
    let log = program.log.text();
    assert!(
        log.contains("no PUE") && log.contains("0.5 is no PUE") && !log.contains(TOKEN),
        "{log}"
    );
    // A file of the site.
    let file = machine.write("pue", "1.75\n");
    let text = format!(
        "grid: {{intensity: 100}}\nnode: {{pue: {{type: file, path: {}}}}}\n",
        file.display()
    );
    machine.write("gramwatt.yml", text);
    assert_eq!(program.reload().status, 200);
    told(1.75, "live");
    std::fs::remove_file(file).unwrap();
    drop(program);
    let program = Program::start(&flags);
    let told = crate::program::until("a failure", || {
        let failed = "gramwatt_grid_request_failures_total{provider=\"pue\",reason=\"network\"}";
        program
            .metrics()
            .find(failed)
            .filter(|count| *count >= 1.0)?;
        Some(pue(&program))
    });
    // What was told last goes on, as it would have without the restart.
    assert_eq!(told, (1.75, "live".to_owned()));
}

/// Joules and market-based grams so far.
fn market(program: &Program) -> Option<(f64, f64)> {
    let series = program.metrics();
    Some((
        series.find("gramwatt_node_energy_joules_total")?,
        series.find("gramwatt_node_market_co2e_grams_total")?,
    ))
}

#[test]
fn hours_of_a_contract_are_booked_and_the_rest_is_unknown() {
    let (machine, flags) = machine(&[], "");
    let now = jiff::Timestamp::now();
    let at = |seconds: i64| jiff::Timestamp::from_second(now.as_second() + seconds).unwrap();
    // A span that ends soon, and nothing after it.
    let rows = format!("from,until,intensity\n{},{},0.036\n", at(-3600), at(10));
    let hours = machine.write("hours.csv", rows);
    let text = format!(
        "grid: {{zone: DE, market: {{file: {}, unit: kg/kWh}}}}\nsensors: {{interval: 200ms}}\n",
        hours.display()
    );
    machine.write("gramwatt.yml", &text);
    // The model of the memory draws something all the time.
    let program = Program::start(&flags);
    let before = crate::program::until("the contract", || market(&program));
    let after = crate::program::until("grams of the contract", || {
        market(&program).filter(|now| now.1 > before.1)
    });
    let grams = (after.0 - before.0) / 3.6e6 * 36.0;
    assert!(
        (after.1 - before.1 - grams).abs() < 1e-9 + grams * 1e-6,
        "{before:?} {after:?}"
    );
    // The span ends: joules go on, grams do not.
    let still = crate::program::until("joules without grams", || {
        let first = market(&program)?;
        let then = crate::program::until("more joules", || {
            market(&program).filter(|now| now.0 > first.0)
        });
        (then.1 <= first.1).then_some(then)
    });
    assert!(still.1 >= after.1);
    assert_eq!(
        program
            .metrics()
            .get("gramwatt_grid_provider_up{provider=\"market\"}"),
        1.0
    );
    // A file that is not there is a failure, and leaves nothing known.
    std::fs::remove_file(&hours).unwrap();
    drop(program);
    std::fs::remove_dir_all(machine.state()).unwrap();
    std::fs::create_dir(machine.state()).unwrap();
    let program = Program::start(&flags);
    let failed = "gramwatt_grid_request_failures_total{provider=\"market\",reason=\"network\"}";
    crate::program::until("a failure", || {
        program.metrics().find(failed).filter(|count| *count >= 1.0)
    });
    assert_eq!(market(&program), None);
    assert!(program.log.text().contains("no market-based intensity"));
}

#[test]
fn a_pue_that_was_told_holds_over_a_restart_while_nobody_tells_it() {
    let replica = Replica::new(|_| ("200 OK", "{\"pue\": 1.5}".to_owned()));
    let (machine, flags) = machine(&[], "");
    let text = format!(
        "grid: {{intensity: 100}}\nnode: {{pue: {{type: json, url: \"http://{}/dcim\", pointer: /pue}}}}\n",
        replica.address
    );
    machine.write("gramwatt.yml", &text);
    let program = Program::start(&flags);
    crate::program::until("the PUE is told", || {
        (pue(&program) == (1.5, "live".to_owned())).then_some(())
    });
    program.crash();
    replica.change(|_| ("500 Internal Server Error", String::new()));
    let program = Program::start(&flags);
    // From its first page on, and not 1 until somebody answers.
    assert_eq!(pue(&program).0, 1.5);
}
