//! The socket of runs as anybody's program meets it: raw HTTP, of all kinds.

use super::{Exporter, QUICK, Started, over, python, shell};
use crate::pages;
use crate::program::{Killed, Series, gramwatt, until};
use serde_json::{Value as Json, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

pub(super) fn begin(exporter: &Exporter, name: &str) -> String {
    let (status, run) = exporter.ask("POST", "/v1/runs", &json!({ "name": name }).to_string());
    assert_eq!(
        (status, run["state"].as_str()),
        (201, Some("running")),
        "{run}"
    );
    run["id"].as_str().unwrap().to_owned()
}

/// Is refused in words.
pub(super) fn refused(
    exporter: &Exporter,
    method: &str,
    path: &str,
    body: &str,
    expected: (u16, &str),
) {
    let (status, said) = exporter.ask(method, path, body);
    let (expected, words) = expected;
    assert_eq!(status, expected, "{method} {path} {body:.100}: {said}");
    let error = said["error"].as_str().unwrap();
    assert!(
        error.contains(words),
        "{method} {path} {body:.100}: {error}"
    );
}

/// A run of budget, progress and prediction is all there while it goes on.
fn goes_on(page: &Series, series: &dyn Fn(&str, &str) -> String) {
    assert_eq!(page.get(&series("progress_ratio", "")), 0.75);
    assert_eq!(page.get(&series("budget_co2e_grams", "")), 1000.0);
    assert_eq!(page.get(&series("state", ",state=\"running\"")), 1.0);
    assert_eq!(page.find(&series("end_timestamp_seconds", "")), None);
    for kind in ["cpu", "dram"] {
        let kind = format!(",kind=\"{kind}\"");
        assert!(page.get(&series("energy_joules_total", &kind)) > 0.0);
        assert!(page.get(&series("co2e_grams_total", &kind)) > 0.0);
        assert!(page.find(&series("power_watts", &kind)).is_some());
    }
    for name in [
        "predicted_energy_joules",
        "predicted_co2e_grams",
        "first_predicted_energy_joules",
        "first_predicted_co2e_grams",
    ] {
        assert!(page.get(&series(name, "")) > 0.0);
    }
    let told = page.get(&series("predicted_end_timestamp_seconds", ""));
    assert!(told > page.get(&series("start_timestamp_seconds", "")));
}

#[test]
fn a_run_begins_tells_its_progress_and_ends() {
    let exporter = Exporter::with(&format!(
        "{QUICK}grid: {{intensity: 360}}\nruns: {{linger: 3s}}\n"
    ));
    let (status, node) = exporter.ask("GET", "/v1/node", "");
    assert_eq!(
        (status, &node["ready"], &node["pue"]),
        (200, &json!(true), &json!(1.0))
    );
    assert_eq!(node["grid"]["intensity"], json!(360.0));
    assert_eq!(exporter.ask("GET", "/v1/runs", ""), (200, json!([])));
    let begin = json!({"name": " a run, of \"mine\" ", "budget_grams": 1000.0}).to_string();
    let (status, run) = exporter.ask("POST", "/v1/runs", &begin);
    assert_eq!((status, &run["name"]), (201, &json!("a run, of \"mine\"")));
    let id = run["id"].as_str().unwrap().to_owned();
    assert!(id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(
        (&run["ended"], &run["progress"]),
        (&Json::Null, &Json::Null)
    );
    let path = format!("/v1/runs/{id}");
    for done in [1.0, 3.0] {
        let told = json!({"done": done, "total": 4.0});
        let (status, run) = exporter.ask("POST", &format!("{path}/progress"), &told.to_string());
        assert_eq!((status, &run["progress"]), (200, &told));
    }
    let labels = format!("run=\"a run, of \\\"mine\\\"\",run_id=\"{id}\"");
    let series = |name: &str, more: &str| format!("gramwatt_run_{name}{{{labels}{more}}}");
    let page = until("its prediction is on the page", || {
        let page = exporter.program().get("/metrics").body;
        page.contains("gramwatt_run_predicted_energy_joules{")
            .then_some(page)
    });
    pages::lint(&page);
    goes_on(&Series::of(&page), &series);
    // More than all of it is all of it.
    exporter.ask(
        "POST",
        &format!("{path}/progress"),
        r#"{"done": 5, "total": 4}"#,
    );
    until("it is all done", || {
        let page = exporter.program().metrics();
        (page.get(&series("progress_ratio", "")) == 1.0).then_some(())
    });
    let (status, run) = exporter.ask("POST", &format!("{path}/end"), r#"{"exit_code": 7}"#);
    assert_eq!((status, &run["state"]), (200, &json!("failed")));
    refused(
        &exporter,
        "POST",
        &format!("{path}/end"),
        r#"{"exit_code": 0}"#,
        (409, "has ended"),
    );
    refused(
        &exporter,
        "POST",
        &format!("{path}/progress"),
        r#"{"done": 1, "total": 2}"#,
        (409, "has ended"),
    );
    let page = exporter.program().get("/metrics").body;
    pages::lint(&page);
    let page = Series::of(&page);
    assert_eq!(page.get(&series("state", ",state=\"failed\"")), 1.0);
    assert_eq!(page.find(&series("state", ",state=\"running\"")), None);
    assert!(page.get(&series("end_timestamp_seconds", "")) > 1e9);
    let watts = format!("gramwatt_run_power_watts{{{labels}");
    assert_eq!(page.starting(&watts).count(), 0, "it has ended");
    // And then it leaves.
    until("it has left the page", || {
        let page = exporter.program().get("/metrics").body;
        (!page.contains("gramwatt_run")).then_some(())
    });
    refused(&exporter, "GET", &path, "", (404, &id));
    refused(
        &exporter,
        "POST",
        &format!("{path}/end"),
        r#"{"exit_code": 0}"#,
        (404, "no run"),
    );
}

/// A program that asks by itself: begins a run, tells the answer, and waits until its input ends.
const ASKS: &str = "
import http.client, json, os, socket, sys
def ask(method, path, body=None):
    connection = http.client.HTTPConnection('localhost')
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(sys.argv[1])
    connection.request(method, path, body and json.dumps(body))
    answer = connection.getresponse()
    print(answer.status, answer.read().decode(), end='', flush=True)
";

pub(super) struct Asker(Started);

impl Asker {
    pub(super) fn new(exporter: &Exporter, then: &str) -> Self {
        let mut words = python(&format!("{ASKS}{then}"));
        words.push(exporter.socket().into());
        let mut command = Command::new(&words[0]);
        Self(Started::new(
            command.args(&words[1..]).stdin(Stdio::piped()),
        ))
    }

    /// The next answer: so many lines are there.
    pub(super) fn answer(&mut self, number: usize) -> (u16, Json) {
        let out = &self.0.out;
        let err = &self.0.err;
        let line = until("an answer", || {
            assert!(err.text().is_empty(), "{}", err.text());
            let text = out.text();
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let line = lines.get(number).filter(|line| line.ends_with('\n'));
            line.map(|line| (*line).to_owned())
        });
        let (status, body) = line.split_once(' ').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap())
    }
}

const BEGINS: &str = "
ask('POST', '/v1/runs', {'name': 'mine'})
sys.stdin.read()
";

#[test]
fn runs_do_not_lie_in_one_another() {
    let exporter = Exporter::start();
    let id = begin(&exporter, "outer");
    let inside = "belongs to the run outer already";
    refused(
        &exporter,
        "POST",
        "/v1/runs",
        r#"{"name": "again"}"#,
        (409, inside),
    );
    let mut inner = Asker::new(&exporter, BEGINS);
    let (status, said) = inner.answer(0);
    assert!(
        status == 409 && said["error"].as_str().unwrap().contains(inside),
        "{said}"
    );
    // Another `gramwatt run` inside of it: its command does not begin.
    let mark = exporter.at("mark");
    let run = over(&mut exporter.run(&[], shell(&format!("touch {}", mark.display()))));
    assert!(run.code == 2 && run.err.contains(inside), "{run:?}");
    assert!(!mark.exists());
    exporter.ask("POST", &format!("/v1/runs/{id}/end"), r#"{"exit_code": 0}"#);
    // The other way round: it is our child that has a run.
    let mut inner = Asker::new(&exporter, BEGINS);
    assert_eq!(inner.answer(0).0, 201);
    refused(
        &exporter,
        "POST",
        "/v1/runs",
        r#"{"name": "around"}"#,
        (409, "the run mine goes on inside"),
    );
    // A stranger's process is none to begin with, and a child is a stranger.
    let pid = inner.0.pid();
    let body = json!({"name": "hers", "pid": pid}).to_string();
    refused(
        &exporter,
        "POST",
        "/v1/runs",
        &body,
        (422, &format!("pid {pid}: is neither who asks")),
    );
}

#[test]
fn a_user_has_a_quarter_of_the_places_and_what_has_ended_makes_room() {
    let exporter = Exporter::with(&format!("{QUICK}runs: {{max: 5}}\n"));
    let mut heads: Vec<Asker> = (0..2).map(|_| Asker::new(&exporter, BEGINS)).collect();
    for head in &mut heads {
        assert_eq!(head.answer(0).0, 201);
    }
    let mut third = Asker::new(&exporter, BEGINS);
    let (status, said) = third.answer(0);
    assert_eq!(status, 429);
    assert!(
        said["error"]
            .as_str()
            .unwrap()
            .contains("there are 2 runs already"),
        "{said}"
    );
    drop(heads);
    until("both are lost", || {
        exporter
            .runs()
            .iter()
            .all(|run| run["state"] == "lost" && run["settled"] == true)
            .then_some(())
    });
    for number in 0..6 {
        let id = begin(&exporter, &format!("run-{number}"));
        exporter.ask("POST", &format!("/v1/runs/{id}/end"), r#"{"exit_code": 0}"#);
        exporter.until_run(&format!("run-{number}"), |run| run["settled"] == true);
    }
    let mut names: Vec<String> = exporter
        .runs()
        .iter()
        .map(|run| run["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["run-1", "run-2", "run-3", "run-4", "run-5"]);
}

#[test]
fn another_users_run_is_seen_and_not_touched() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: another user's run needs root, to become another user");
        return;
    }
    let exporter = Exporter::start();
    fs::set_permissions(exporter.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let id = begin(&exporter, "roots");
    let text = format!(
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n\
         ask('GET', '/v1/runs/{id}')\n\
         ask('POST', '/v1/runs/{id}/progress', {{'done': 1, 'total': 2}})\n\
         ask('POST', '/v1/runs/{id}/end', {{'exit_code': 1}})\n\
         ask('POST', '/v1/runs', {{'name': 'others', 'pid': os.getppid()}})\n"
    );
    let mut other = Asker::new(&exporter, &text);
    assert_eq!(other.answer(0).0, 200);
    for number in [1, 2] {
        let (status, said) = other.answer(number);
        assert_eq!(status, 403, "{said}");
        assert_eq!(said["error"], json!(format!("run {id} is another user's")));
    }
    // Nor is a process of root's a head of theirs.
    assert_eq!(other.answer(3).0, 422);
    let (_, run) = exporter.ask("POST", &format!("/v1/runs/{id}/end"), r#"{"exit_code": 0}"#);
    assert_eq!(
        (&run["state"], &run["user"], &run["progress"]),
        (&json!("succeeded"), &json!("root"), &Json::Null)
    );
    // Theirs has their name, and root may end it.
    let theirs = "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n";
    let mut other = Asker::new(&exporter, &format!("{theirs}{BEGINS}"));
    let (_, run) = other.answer(0);
    assert_eq!(run["user"], json!("nobody"));
    let path = format!("/v1/runs/{}/end", run["id"].as_str().unwrap());
    assert_eq!(
        exporter.ask("POST", &path, r#"{"exit_code": 0}"#).1["state"],
        json!("succeeded")
    );
    // And theirs is `gramwatt run`, who can read no sensor.
    let run = exporter.run(&["--name=unprivileged"], shell("id -u; exit 3"));
    let mut words = python(
        "import os, sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\nos.execv(sys.argv[1], sys.argv[1:])",
    );
    words.push(run.get_program().to_owned());
    words.extend(run.get_args().map(ToOwned::to_owned));
    let run = over(Command::new(&words[0]).args(&words[1..]).current_dir("/"));
    if run.err.contains("PermissionError") {
        eprintln!("SKIPPED: the built program lies where another user cannot go");
        return;
    }
    assert_eq!((run.code, run.text().as_str()), (3, "65534\n"), "{run:?}");
    let run = exporter.until_run("unprivileged", |run| run["settled"] == true);
    assert_eq!(
        (&run["user"], &run["state"]),
        (&json!("nobody"), &json!("failed"))
    );
}

/// Joules of a run by kind, and what it is known by.
fn joules(page: &Series, name: &str) -> (String, f64) {
    let prefix = format!("gramwatt_run_energy_joules_total{{run=\"{name}\",run_id=\"");
    let all: Vec<(&str, f64)> = page.starting(&prefix).collect();
    let id = all
        .first()
        .map_or("", |(series, _)| &series[prefix.len()..prefix.len() + 8]);
    (id.to_owned(), all.iter().map(|(_, joules)| joules).sum())
}

#[test]
fn a_run_goes_on_over_a_crash_of_the_exporter_and_its_head_is_followed() {
    let mut exporter = Exporter::start();
    let burns = "
ask('POST', '/v1/runs', {'name': 'burns'})
while True: pass
";
    let burner = Asker::new(&exporter, burns);
    let mut run = exporter.run(&["--name=shell"], shell("read line; exit 4"));
    let mut run = Started::new(run.stdin(Stdio::piped()));
    exporter.until_run("shell", |run| run["state"] == "running");
    let (id, before) = until("it has used something", || {
        let found = joules(&exporter.program().metrics(), "burns");
        (found.1 > 0.0).then_some(found)
    });
    let last = joules(&exporter.program().metrics(), "burns").1;
    assert!(last >= before);
    exporter.crash();
    assert!(exporter.socket().exists(), "what a crash leaves behind");
    run.until_says("gramwatt: not measured from here on: ");
    exporter.again();
    let (same, after) = joules(&exporter.program().metrics(), "burns");
    assert_eq!(same, id);
    assert!(after >= last, "{after} J after {last} J");
    until("it goes on", || {
        (joules(&exporter.program().metrics(), "burns").1 > after).then_some(())
    });
    pages::lint(&exporter.program().get("/metrics").body);
    // `gramwatt run` has found it again, and reports.
    run.until_says("gramwatt: measured again");
    drop(run.child.0.stdin.take());
    let over = run.over();
    assert!(
        over.code == 4
            && over
                .err
                .contains("gramwatt: shell failed with code 4 after "),
        "{over:?}"
    );
    // Its head is killed: nobody says how it ended.
    drop(burner);
    let run = exporter.until_run("burns", |run| run["state"] == "lost");
    assert!(run["ended"].is_string());
    refused(
        &exporter,
        "POST",
        &format!("/v1/runs/{id}/end"),
        r#"{"exit_code": 0}"#,
        (409, "has ended"),
    );
}

#[test]
fn a_gramwatt_run_that_is_killed_is_lost() {
    let exporter = Exporter::start();
    let mut run = exporter.run(&["--name=killed"], shell("read line"));
    let run = Killed(run.stdin(Stdio::piped()).spawn().unwrap());
    exporter.until_run("killed", |run| run["processes"] == 1);
    drop(run);
    exporter.until_run("killed", |run| run["state"] == "lost");
}

/// Whatever is not a socket is left where it is, and the exporter says so and goes on.
#[test]
fn something_else_in_the_sockets_place_is_left_there() {
    let folder = tempfile::TempDir::new().unwrap();
    let place = folder.path().join("runs.sock");
    fs::write(&place, "mine").unwrap();
    fs::write(
        folder.path().join("gramwatt.yml"),
        format!("runs: {{socket: '{}'}}\n", place.display()),
    )
    .unwrap();
    let program = crate::program::Program::start([
        format!(
            "--config.file={}",
            folder.path().join("gramwatt.yml").display()
        ),
        format!(
            "--state.directory={}",
            folder.path().join("state").display()
        ),
    ]);
    until("it says so", || {
        program
            .log
            .text()
            .contains("no socket for runs")
            .then_some(())
    });
    assert_eq!(fs::read_to_string(&place).unwrap(), "mine");
    let socket = format!("--socket={}", place.display());
    let run = over(&mut gramwatt([
        "run",
        "--by=exporter",
        &socket,
        "--",
        "true",
    ]));
    assert!(
        run.code == 2 && run.err.contains("no exporter answers"),
        "{run:?}"
    );
    assert_eq!(program.get("/metrics").status, 200);
}
