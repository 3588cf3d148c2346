//! No secret is anywhere, whatever the providers say who were sent it.

use crate::program::{Program, run, until};
use crate::replica::{Page, Replica, write};
use serde_json::json;
use std::fs;
use tempfile::TempDir;

/// What every secret begins with, so that one that is cut off is found too.
const MARK: &str = "S3CR3T";

/// What a replica does with what it was sent.
#[derive(Clone, Copy, Debug)]
enum Echo {
    Refusal,
    Redirect,
    Error,
    /// In a message whose end is not shown, and lies inside the secret.
    Cut,
    Zone,
    Sheet,
    Broken,
}

const ECHOES: [Echo; 7] = [
    Echo::Refusal,
    Echo::Redirect,
    Echo::Error,
    Echo::Cut,
    Echo::Zone,
    Echo::Sheet,
    Echo::Broken,
];

/// The secret as it came, with what stood around it.
fn sent(head: &str) -> String {
    let found = head.lines().find(|line| line.contains(MARK));
    let line = found.unwrap_or("nothing");
    let start = line.find(MARK).unwrap_or(0);
    let value = &line[start..];
    value
        .split([' ', '&'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn echo(how: Echo, head: &str) -> Page {
    let secret = sent(head);
    // So long that what is shown of it ends inside the secret.
    let cut = format!("{} {secret}", "x".repeat(110 - MARK.len()));
    let page = |status: &str, body: String| (status.to_owned(), body.into_bytes());
    let ok = |body: serde_json::Value| page("200 OK", body.to_string());
    match how {
        Echo::Refusal => page(
            "403 Forbidden",
            json!({"error": format!("invalid token {secret}")}).to_string(),
        ),
        Echo::Redirect => page(
            &format!("302 Found\r\nLocation: http://127.0.0.1:1/?token={secret}"),
            secret,
        ),
        Echo::Error => ok(
            json!({"status": "error", "errorType": secret, "error": secret, "success": false,
                   "message": secret}),
        ),
        Echo::Cut => {
            ok(json!({"status": "error", "errorType": "auth", "error": cut, "success": false}))
        }
        Echo::Zone => ok(
            json!({"zone": secret, "unit": secret, "units": secret, "value": secret, "time": secret,
                   "status": "success", "carbonIntensity": 100, "datetime": secret,
                   "data": {"resultType": secret, "result": [secret]},
                   "response": {"frequency": secret, "data": [{"period": secret, "fueltype": secret,
                                "value": secret, "value-units": secret, "respondent": secret}]}}),
        ),
        Echo::Sheet => {
            let line = json!({"from": "2026-01-05T12:00:00Z", "until": "2026-01-05T13:00:00Z",
                              "grams_per_kwh": 300, "nature": "measured"});
            ok(
                json!({"zone": "DE", "signal": "average", "scope": "lifecycle", "provider": secret,
                      "tier": secret, "current": line, "lag_seconds": 10, "coarse": false,
                      "forecast_by": secret, "forecast_provider": secret, "history": [line], "forecast": []}),
            )
        }
        Echo::Broken => page("200 OK\r\nETag: x", format!("{{\"token\": {secret}")),
    }
}

struct Site {
    folder: TempDir,
}

impl Site {
    fn new(how: Echo) -> Self {
        let folder = TempDir::new().unwrap();
        let replica = Replica::mannered(move |head, to| {
            let (status, body) = echo(how, head);
            write(to, &status, &body);
        });
        let token = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("{MARK}-{name}-a/b+c=d\"e\n")).unwrap();
            path
        };
        let url = replica.url();
        let mine = url.replace("http://", &format!("http://me:{MARK}-password@"));
        let providers = json!([
            {"type": "electricity-maps", "token_file": token("em"), "base_url": url},
            {"type": "energy-charts", "base_url": mine},
            {"type": "entsoe", "token_file": token("entsoe"), "base_url": url},
            {"type": "eia", "token_file": token("eia"), "base_url": url},
            {"type": "open-electricity", "token_file": token("oe"), "base_url": url},
            {"type": "json", "url": format!("{url}/now?zone={{zone}}&api_key={MARK}-in-the-url"), "pointer": "/value",
             "time_pointer": "/time", "unit": "g/kWh", "factors": "direct", "token_file": token("json")},
            {"type": "prometheus", "url": url, "query": "a{z=\"{zone}\"}", "unit": "g/kWh", "factors": "direct",
             "token_file": token("prometheus")},
            {"type": "relay", "url": url, "token_file": token("relay")},
        ]);
        let config = json!({"grid": {"zone": "DE", "zones": ["DE", "US-CAL-CISO", "AU-NSW"],
                                     "providers": providers}});
        fs::write(folder.path().join("gramwatt.yaml"), config.to_string()).unwrap();
        Self { folder }
    }

    fn arguments(&self, command: &[&str]) -> Vec<String> {
        let folder = self.folder.path().display();
        let mut all: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        all.extend([
            format!("--config.file={folder}/gramwatt.yaml"),
            format!("--state.directory={folder}/state"),
            "--sensor.nvml.library=/nowhere".to_owned(),
            "--log.level=trace".to_owned(),
        ]);
        all
    }
}

fn clean(what: &str, text: &str) {
    for part in [MARK, "UzNDUjNU"] {
        if let Some(place) = text.find(part) {
            let start = text[..place].rfind('\n').unwrap_or(0);
            panic!("{what}: {:.600}", &text[start..]);
        }
    }
}

/// All that a program shows, once it has asked everybody.
fn watch(site: &Site, command: &[&str], how: Echo, providers: &[&str]) {
    let program = Program::start(site.arguments(command));
    let page = until("everybody is asked", || {
        let page = program.get("/metrics").body;
        let is_asked = |name: &&str| {
            let series = format!("gramwatt_grid_requests_total{{provider=\"{name}\"}} ");
            page.lines()
                .any(|line| line.strip_prefix(&series).is_some_and(|count| count != "0"))
        };
        providers.iter().all(is_asked).then_some(page)
    });
    let what = format!("{command:?} {how:?}");
    clean(&what, &page);
    for path in [
        "/",
        "/?live",
        "/v1/intensity?zone=DE",
        "/v1/intensity?zone=AU-NSW",
        "/v1/intensity",
    ] {
        let answer = program.get(path);
        clean(&format!("{what} {path}"), &(answer.head + &answer.body));
    }
    let log = program.log.text();
    assert!(log.contains("no intensity"), "{log}");
    clean(&what, &log);
    program.terminate();
    for entry in fs::read_dir(site.folder.path().join("state")).unwrap() {
        let path = entry.unwrap().path();
        let kept = fs::read(&path).unwrap_or_default();
        clean(&path.display().to_string(), &String::from_utf8_lossy(&kept));
    }
}

#[test]
fn no_secret_is_in_what_a_relay_shows() {
    let all = [
        "electricity-maps",
        "energy-charts",
        "entsoe",
        "eia",
        "open-electricity",
        "json",
        "prometheus",
        "relay",
    ];
    for how in ECHOES {
        watch(&Site::new(how), &["grid"], how, &all);
    }
}

#[test]
fn no_secret_is_in_what_a_node_shows() {
    let all = [
        "electricity-maps",
        "energy-charts",
        "entsoe",
        "json",
        "prometheus",
        "relay",
    ];
    for how in [Echo::Cut, Echo::Sheet] {
        watch(&Site::new(how), &[], how, &all);
    }
}

#[test]
fn no_secret_is_in_what_commands_print() {
    for how in ECHOES {
        let site = Site::new(how);
        for command in [
            &["grid", "--once"][..],
            &["doctor"],
            &["once"],
            &["check-config"],
        ] {
            let output = run(site.arguments(command));
            for text in [&output.stdout, &output.stderr] {
                clean(
                    &format!("{command:?} {how:?}"),
                    &String::from_utf8_lossy(text),
                );
            }
        }
        // And with a file of secrets that is none.
        for name in ["em", "json"] {
            fs::write(site.folder.path().join(name), format!("{MARK}\n{MARK}\n")).unwrap();
        }
        let output = run(site.arguments(&["grid", "--once"]));
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            table.contains("FAILED") && table.contains("only line is the token"),
            "{table}"
        );
        clean("a bad file", &table);
    }
}
