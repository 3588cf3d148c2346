//! The whole program against replicas of grid APIs: real HTTP, by `base_url`.

use crate::program::{Program, run, until};
use crate::replica::{Page, Replica};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

const TOKEN: &str = "t0p-s3cret-t0ken";

fn ok(body: &Value) -> Page {
    ("200 OK".to_owned(), body.to_string().into_bytes())
}

/// Electricity Maps' answer for this hour.
fn this_hour(grams: f64) -> impl Fn(&str) -> Page + Send {
    move |path| {
        let now = jiff::Timestamp::now().as_second();
        let hour = jiff::Timestamp::from_second(now - now % 3600).unwrap();
        let value = json!({"carbonIntensity": grams, "datetime": hour.to_string(), "isEstimated": true,
                           "emissionFactorType": "lifecycle", "temporalGranularity": "hourly"});
        let mut body = json!({"zone": "DE"});
        if path.contains("/latest") {
            for (key, value) in value.as_object().unwrap() {
                body[key] = value.clone();
            }
        } else {
            body["history"] = json!([value]);
        }
        ok(&body)
    }
}

struct Site {
    folder: TempDir,
}

impl Site {
    fn new(providers: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let token = folder.path().join("token");
        let providers = providers.replace("TOKEN", &token.display().to_string());
        let config =
            format!("grid: {{zone: DE, providers: [{providers}]}}\nsensors: {{interval: 200ms}}\n");
        fs::write(folder.path().join("gramwatt.yaml"), config).unwrap();
        Self { folder }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("gramwatt.yaml")
    }

    fn arguments(&self) -> Vec<String> {
        vec![
            format!("--config.file={}", self.config().display()),
            format!(
                "--state.directory={}",
                self.folder.path().join("state").display()
            ),
            "--sensor.nvml.library=/nowhere".to_owned(),
        ]
    }
}

fn info(page: &str) -> String {
    let line = page
        .lines()
        .find(|line| line.starts_with("gramwatt_grid_info"));
    line.unwrap_or_default().to_owned()
}

fn page(program: &Program) -> String {
    let answer = program.get("/metrics");
    answer.body
}

#[test]
fn grams_use_the_intensity_of_the_moment_and_say_whose_it_is() {
    let replica = Replica::new(this_hour(123.0));
    let base = format!("http://{}", replica.address);
    let site = Site::new(&format!(
        "{{type: electricity-maps, token_file: TOKEN, base_url: \"{base}\"}}"
    ));
    let program = Program::start(site.arguments());
    let live = until("a live intensity", || {
        let page = page(&program);
        info(&page).contains("tier=\"live\"").then_some(page)
    });
    let told = info(&live);
    assert!(
        told.contains("provider=\"electricity-maps\"") && told.contains("estimated=\"true\""),
        "{told}"
    );
    let series = program.metrics();
    let factor = "gramwatt_grid_carbon_intensity_grams_per_kwh{grid_zone=\"DE\",signal=\"average\",scope=\"lifecycle\"}";
    assert_eq!(series.get(factor), 123.0);
    assert_eq!(
        series.get("gramwatt_grid_provider_up{provider=\"electricity-maps\"}"),
        1.0
    );
    // Grams that are booked from now on are no estimates.
    let sums = || {
        let series = program.metrics();
        let name = |name: &str| series.find(&format!("gramwatt_node_{name}_total"));
        Some((
            name("energy_joules")?,
            name("co2e_grams")?,
            name("estimated_co2e_grams")?,
        ))
    };
    let before = until("joules", sums);
    let after = until("more joules", || {
        sums().filter(|after| after.0 > before.0 + 1.0)
    });
    let grams = (after.0 - before.0) / 3.6e6 * 123.0;
    assert!(
        (after.1 - before.1 - grams).abs() < 1e-9 + grams * 1e-6,
        "{before:?} {after:?}"
    );
    assert_eq!(after.2, before.2);
    // The token went where it belongs, and is nowhere else.
    let asked = replica.asked();
    assert!(
        asked.iter().all(|head| head
            .to_lowercase()
            .contains(&format!("auth-token: {TOKEN}"))),
        "{asked:?}"
    );
    for path in ["/metrics", "/", "/?live"] {
        assert!(!program.get(path).body.contains(TOKEN), "{path}");
    }
}

#[test]
fn a_provider_that_fails_is_told_of_and_the_average_stands_in() {
    let replica = Replica::new(|_| {
        (
            "401 Unauthorized".to_owned(),
            b"{\"message\":\"no\"}".to_vec(),
        )
    });
    let base = format!("http://{}", replica.address);
    let site = Site::new(&format!(
        "{{type: electricity-maps, token_file: TOKEN, base_url: \"{base}\"}}"
    ));
    let program = Program::start(site.arguments());
    let failures =
        "gramwatt_grid_request_failures_total{provider=\"electricity-maps\",reason=\"denied\"}";
    until("a failure", || {
        program
            .metrics()
            .find(failures)
            .filter(|count| *count >= 1.0)
    });
    let told = info(&page(&program));
    assert!(
        told.contains("tier=\"static\"") && told.contains("provider=\"bundled\""),
        "{told}"
    );
    let log = program.log.text();
    assert!(
        log.contains("HTTP status 401") && log.contains("check the token"),
        "{log}"
    );
    assert!(!log.contains(TOKEN));
    // A reload asks anew, with what is right by then.
    replica.change(this_hour(77.0));
    assert_eq!(program.reload().status, 200);
    until("a live intensity", || {
        info(&page(&program))
            .contains("tier=\"live\"")
            .then_some(())
    });
}

#[test]
fn what_was_told_before_a_restart_is_known_after_it() {
    let replica = Replica::new(this_hour(321.0));
    let base = format!("http://{}", replica.address);
    let site = Site::new(&format!(
        "{{type: electricity-maps, token_file: TOKEN, base_url: \"{base}\"}}"
    ));
    let program = Program::start(site.arguments());
    until("a live intensity", || {
        info(&page(&program))
            .contains("tier=\"live\"")
            .then_some(())
    });
    program.crash();
    replica.change(|_| ("503 Service Unavailable".to_owned(), Vec::new()));
    let program = Program::start(site.arguments());
    until("what was kept", || {
        let page = page(&program);
        let is_known = page.contains("signal=\"average\",scope=\"lifecycle\"} 321");
        (is_known && info(&page).contains("provider=\"electricity-maps\"")).then_some(())
    });
}

#[test]
fn providers_need_a_zone_and_right_keys() {
    let site = Site::new("{type: energy-charts}");
    for (text, told) in [
        (
            "grid: {intensity: 300, providers: [{type: energy-charts}]}",
            "grid.zone",
        ),
        (
            "grid: {zone: DE, providers: [{type: enrgy-charts}]}",
            "enrgy-charts",
        ),
        (
            "grid: {zone: DE, providers: [{type: electricity-maps}]}",
            "token_file",
        ),
        (
            "grid: {zone: DE, providers: [{type: energy-charts, token: x}]}",
            "token",
        ),
        ("grid: {zone: DE, max_age: 3d}", "0s to 48h"),
        (
            "grid: {zones: [DE, FR], providers: [{type: entsoe, token_file: /t, eic: 10YDOM-1001A082L}]}",
            "leave eic out",
        ),
        (
            "grid: {zone_map: {map: {a: DE, b: FR}}, providers: [{type: file, path: /a, unit: g/kWh, \
             factors: direct}]}",
            "zones: [DE]",
        ),
        (
            "grid: {zone: DE, providers: [{type: static}, {type: energy-charts}]}",
            "write {type: static} last",
        ),
    ] {
        fs::write(site.config(), text).unwrap();
        let output = run(["check-config", &site.config().display().to_string()]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}: {error}");
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn a_relay_takes_no_zones_values_for_anothers() {
    let site =
        Site::new("{type: json, url: 'http://x', pointer: /a, unit: g/kWh, factors: direct}");
    let ask = |zones: &[&str], entries: &str| {
        let config = fs::read_to_string(site.config()).unwrap();
        fs::write(site.config(), config.replace("factors: direct}", entries)).unwrap();
        let mut arguments = site.arguments();
        arguments.extend(
            ["grid", "--once"]
                .iter()
                .chain(zones)
                .map(|word| (*word).to_owned()),
        );
        let output = run(arguments);
        let [out, error] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), out + &error)
    };
    let (code, told) = ask(&["DE", "FR"], "factors: direct}");
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("write {zone} into url"), "{told}");
    // It is asked about its zone, and fails, and not about the other.
    let (code, told) = ask(
        &["DE", "FR"],
        "factors: direct, zones: [FR]}, {type: static}",
    );
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("json                 FR"), "{told}");
    assert!(!told.contains("json                 DE"), "{told}");
}

/// A relay that asks the replica of Electricity Maps about two zones.
fn relay(site: &Site) -> Program {
    let mut arguments = site.arguments();
    arguments.splice(0..0, ["grid", "DE", "FR"].map(str::to_owned));
    Program::start(arguments)
}

#[test]
fn a_relay_asks_once_for_all_and_its_nodes_outlive_it() {
    let zones = |path: &str| {
        let (status, body) = this_hour(210.0)(path);
        if path.contains("zone=FR") {
            let body = String::from_utf8(body).unwrap().replace("\"DE\"", "\"FR\"");
            return (status, body.replace("210.0", "35.0").into_bytes());
        }
        (status, body)
    };
    let replica = Replica::new(zones);
    let base = format!("http://{}", replica.address);
    let site = Site::new(&format!(
        "{{type: electricity-maps, token_file: TOKEN, base_url: \"{base}\"}}"
    ));
    let relay = relay(&site);
    let of = |zone: &str| {
        format!(
            "gramwatt_grid_carbon_intensity_grams_per_kwh{{grid_zone=\"{zone}\",signal=\"average\",scope=\"lifecycle\"}}"
        )
    };
    until("both zones", || {
        let series = relay.metrics();
        (series.find(&of("DE")) == Some(210.0) && series.find(&of("FR")) == Some(35.0))
            .then_some(())
    });
    let page = page(&relay);
    assert!(
        !page.contains("gramwatt_node") && !page.contains("gramwatt_device"),
        "{page}"
    );
    assert!(!page.contains(TOKEN));
    for reference in [
        "gramwatt_reference_zone_grams_per_kwh{grid_zone=\"DE\",",
        "gramwatt_reference_cloud_grams_per_kwh{provider=\"aws\",cloud_region=\"eu-central-1\",",
        "gramwatt_reference_cloud_pue_ratio{provider=\"gcp\",cloud_region=\"europe-north1\",",
        "gramwatt_reference_accelerator_rated_power_watts{accelerator=\"NVIDIA H100 SXM\",",
        "gramwatt_reference_accelerator_embodied_high_co2e_grams{accelerator=\"NVIDIA H100 SXM\",",
    ] {
        assert!(page.contains(reference), "{reference}");
    }
    let people = relay.get("/").body;
    assert!(
        people.contains("Relay of 2 zones") && people.contains("href=\"./v1/intensity?zone=DE\""),
        "{people}"
    );
    let (_, people) = people.split_once("<body>").unwrap();
    assert!(
        !people.contains("evice") && !people.contains(TOKEN),
        "{people}"
    );
    // The sheet, its mark, and what is not there.
    let sheet = until("the history too", || {
        let answer = relay.get("/v1/intensity?zone=FR");
        (answer.status == 200).then_some(answer)
    });
    let sheet: Value = serde_json::from_str(&sheet.body).unwrap();
    assert_eq!(
        (&sheet["zone"], &sheet["tier"]),
        (&json!("FR"), &json!("live"))
    );
    assert_eq!(sheet["current"]["grams_per_kwh"], json!(35.0));
    assert_eq!(relay.get("/v1/intensity").status, 400);
    let missing = relay.get("/v1/intensity?zone=XX");
    assert!(
        missing.status == 404 && missing.body.contains("DE, FR"),
        "{}",
        missing.body
    );
    // A thousand nodes ask the relay, and the provider hears of none of them.
    until("the present and the past of both zones", || {
        (replica.asked().len() == 4).then_some(())
    });
    for _ in 0..1000 {
        assert_eq!(relay.get("/v1/intensity?zone=DE").status, 200);
    }
    assert_eq!(replica.asked().len(), 4, "one for each zone and period");
    // A node that knows only the relay.
    let node = Site::new(&format!(
        "{{type: relay, url: \"http://{}\"}}",
        relay.address
    ));
    let program = Program::start(node.arguments());
    let told = until("the relay's word", || {
        Some(info(&crate::intensity::page(&program))).filter(|told| told.contains("live"))
    });
    assert!(
        told.contains("provider=\"electricity-maps\""),
        "whose it is, not who passed it on: {told}"
    );
    assert_eq!(program.metrics().get(&of("DE")), 210.0);
    // It goes on without the relay, and so does the next process.
    relay.crash();
    program.crash();
    let program = Program::start(node.arguments());
    until("what was kept", || {
        program
            .metrics()
            .find(&of("DE"))
            .filter(|grams| *grams == 210.0)
    });
}

#[test]
fn what_providers_answer_is_told_as_a_table() {
    let replica = Replica::new(this_hour(50.0));
    let base = format!("http://{}", replica.address);
    let site = Site::new(&format!(
        "{{type: electricity-maps, token_file: TOKEN, base_url: \"{base}\"}}"
    ));
    let ask = |zone: &str| {
        let mut arguments = site.arguments();
        arguments.extend(["grid", "--once", zone].map(str::to_owned));
        let output = run(arguments);
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, table) = ask("DE");
    assert_eq!(code, Some(0), "{table}");
    assert!(
        table.contains("50.0  lifecycle, 1 values, valid from 20"),
        "{table}"
    );
    // The replica always speaks of DE.
    let (code, table) = ask("FR");
    assert_eq!(code, Some(1), "{table}");
    assert!(
        table.contains("FAILED  the answer is not what is documented: it is about zone \"DE\""),
        "{table}"
    );
    assert!(
        table.contains("mend: ") && !table.contains(TOKEN),
        "{table}"
    );
}

#[test]
fn the_doctor_tells_who_is_asked_about_which_zone_and_asks_nobody() {
    let replica = Replica::new(this_hour(50.0));
    let site = Site::new("");
    let token = site.folder.path().join("token").display().to_string();
    let told = |place: &str, token: &str| {
        let provider = format!(
            "{{type: electricity-maps, token_file: {token}, base_url: \"http://{}\"}}",
            replica.address
        );
        let config = format!("grid: {{{place}, providers: [{provider}]}}");
        fs::write(site.config(), config).unwrap();
        let mut arguments = site.arguments();
        arguments.push("doctor".to_owned());
        let output = run(arguments);
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (_, text) = told("zone: DE", &token);
    for line in [
        "place    DE: grid.zone in the configuration",
        "not asked  electricity-maps: about the average intensity of DE",
        "intensity.json: nothing of DE yet",
        "gramwatt grid --once",
    ] {
        assert!(text.contains(line), "no {line}: {text}");
    }
    assert!(!text.contains(TOKEN));
    let (_, text) = told("cloud: {provider: aws, region: eu-central-1}", &token);
    assert!(
        text.contains("place    DE, aws eu-central-1: grid.cloud in the configuration"),
        "{text}"
    );
    let (code, text) = told("zone: DE", "/nowhere/token");
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("UNREADABLE electricity-maps: /nowhere/token: ")
            && text.contains("mend: write the secret to that file"),
        "{text}"
    );
    assert_eq!(replica.asked().len(), 0);
}
