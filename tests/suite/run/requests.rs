//! What is no request at all, or too much of one.

use super::socket::{Asker, begin, refused};
use super::{Exporter, answered, over};
use crate::program::{Program, answer, gramwatt};
use serde_json::{Value as Json, json};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

#[test]
fn what_is_no_request_is_refused_in_words_and_changes_nothing() {
    let exporter = Exporter::start();
    let long = json!({"name": "x".repeat(129)}).to_string();
    let deep = "[".repeat(8000);
    for (body, said) in [
        ("", "EOF"),
        ("{", "EOF"),
        ("no JSON", "expected"),
        (&deep, "invalid type"),
        ("[]", "invalid length 0"),
        ("{}", "missing field `name`"),
        (r#"{"name": 5}"#, "expected a string"),
        (
            r#"{"name": "a", "colour": "red"}"#,
            "unknown field `colour`",
        ),
        (r#"{"name": "a", "name": "b"}"#, "duplicate field"),
        (r#"{"name": "a"} b"#, "trailing"),
        (r#"{"name": ""}"#, "1 to 128 characters"),
        (r#"{"name": " "}"#, "1 to 128 characters"),
        (r#"{"name": "a\nb"}"#, "none of control"),
        (r#"{"name": "a\u0000b"}"#, "none of control"),
        (r#"{"name": "a\u0085b"}"#, "none of control"),
        (&long, "1 to 128 characters"),
        (r#"{"name": "a", "budget_grams": -1}"#, "budget_grams"),
        (r#"{"name": "a", "budget_grams": 0}"#, "budget_grams"),
        (r#"{"name": "a", "budget_grams": 1e999}"#, "out of range"),
        (r#"{"name": "a", "budget_grams": NaN}"#, "expected"),
        (r#"{"name": "a", "pid": -1}"#, "pid"),
        (r#"{"name": "a", "pid": 4294967296}"#, "4294967296"),
    ] {
        let said = if said == "pid" { "invalid value" } else { said };
        refused(&exporter, "POST", "/v1/runs", body, (400, said));
    }
    refused(
        &exporter,
        "POST",
        "/v1/runs",
        r#"{"name": "a", "pid": 0}"#,
        (422, "pid 0"),
    );
    assert_eq!(exporter.runs(), [] as [Json; 0]);
    let id = begin(&exporter, "a");
    for (body, said) in [
        ("{}", "missing field `done`"),
        (r#"{"done": 1}"#, "missing field `total`"),
        (r#"{"done": 1, "total": 2, "of": 3}"#, "unknown field `of`"),
        (r#"{"done": "1", "total": 2}"#, "expected f64"),
        (r#"{"done": NaN, "total": 2}"#, "expected"),
        (r#"{"done": 1e999, "total": 2}"#, "out of range"),
        (r#"{"done": -1, "total": 2}"#, "at least 0"),
        (r#"{"done": 1, "total": 0}"#, "total above 0"),
        (r#"{"done": 1, "total": -2}"#, "total above 0"),
    ] {
        refused(
            &exporter,
            "POST",
            &format!("/v1/runs/{id}/progress"),
            body,
            (400, said),
        );
    }
    for body in [
        "{}",
        r#"{"exit_code": "0"}"#,
        r#"{"exit_code": 1.5}"#,
        r#"{"exit_code": 0, "a": 1}"#,
    ] {
        refused(
            &exporter,
            "POST",
            &format!("/v1/runs/{id}/end"),
            body,
            (400, ""),
        );
    }
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/metrics", 404),
        ("GET", "/v2/runs", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/runs/none", 404),
        ("POST", "/v1/runs/none/end", 404),
        ("DELETE", "/v1/runs", 405),
        ("PUT", "/v1/node", 405),
        ("GET", "/v1/runs/none/end", 405),
        ("POST", "/v1/runs/none", 405),
        ("POST", "/v1/runs/none/more/end", 405),
    ] {
        let body = r#"{"exit_code": 0}"#;
        refused(&exporter, method, path, body, (status, ""));
    }
    let runs = exporter.runs();
    assert_eq!(
        (runs.len(), &runs[0]["state"], &runs[0]["progress"]),
        (1, &json!("running"), &Json::Null)
    );
}

#[test]
fn sizes_and_connections_are_bounded() {
    let exporter = Exporter::start();
    // Much is announced and little more than the limit sent.
    let head = "POST /v1/runs HTTP/1.0\r\nContent-Length: 1000000000\r\n\r\n";
    let mut stream = exporter.say(&format!("{head}{}", "x".repeat(9000)));
    let (status, said) = answered(&mut stream);
    assert_eq!(status, 413, "{said}");
    assert!(
        said["error"]
            .as_str()
            .unwrap()
            .contains("at most 8192 bytes")
    );
    // A head without end.
    let mut stream = exporter.say(&format!(
        "GET /v1/runs HTTP/1.1\r\nX: {}",
        "x".repeat(8 << 10)
    ));
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    assert_eq!(answer(&all).unwrap().status, 431);
    // What is no HTTP.
    let mut stream = exporter.say("begin, please\r\n\r\n");
    all.clear();
    let _ = stream.read_to_end(&mut all);
    assert_eq!(answer(&all).unwrap().status, 400);
    // Those that begin and leave.
    for text in [
        "",
        "PO",
        "POST /v1/runs HTTP/1.1\r\n",
        "POST /v1/runs HTTP/1.1\r\nContent-Length: 9\r\n\r\n{\"na",
    ] {
        drop(exporter.say(text));
    }
    assert_eq!(exporter.ask("GET", "/v1/runs", ""), (200, json!([])));
    // 8 of a user's that say half of it are waited for, and the next waits until one leaves.
    let half = "GET /v1/runs HTTP/1.0\r\n";
    let mut slow: Vec<UnixStream> = (0..8).map(|_| exporter.say(half)).collect();
    let mut next = exporter.say("GET /v1/node HTTP/1.0\r\n\r\n");
    next.set_nonblocking(true).unwrap();
    assert!(next.read(&mut [0]).is_err());
    next.set_nonblocking(false).unwrap();
    drop(slow.pop());
    assert_eq!(answered(&mut next).0, 200);
    // Beyond so many they are turned away.
    slow.extend((0..160).map(|_| exporter.say(half)));
    let turned_away = slow.last_mut().unwrap();
    all.clear();
    let _ = turned_away.read_to_end(&mut all);
    assert!(all.is_empty(), "{}", String::from_utf8_lossy(&all));
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED in part: another user needs root, to become another user");
        return;
    }
    // And another user has places of their own.
    fs::set_permissions(exporter.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let other = "os.setgroups([]); os.setgid(65534); os.setuid(65534)\nask('GET', '/v1/node')\n";
    assert_eq!(Asker::new(&exporter, other).answer(0).0, 200);
}

/// Who connects and then is another user, as by a program of another's rights, has no process to begin a run of.
#[test]
fn who_asks_is_who_connected() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: another user's process needs root, to become another user");
        return;
    }
    let exporter = Exporter::start();
    fs::set_permissions(exporter.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Connects as nobody, and is root when it asks: for itself, and for the first process of all.
    let text = "
os.setresgid(65534, 65534, 0)
for body in ({'name': 'stolen'}, {'name': 'stolen', 'pid': 1}):
    os.seteuid(65534)
    connection = http.client.HTTPConnection('localhost')
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(sys.argv[1])
    os.seteuid(0)
    connection.request('POST', '/v1/runs', json.dumps(body))
    answer = connection.getresponse()
    print(answer.status, answer.read().decode(), end='', flush=True)
";
    let mut asker = Asker::new(&exporter, text);
    for number in [0, 1] {
        let (status, said) = asker.answer(number);
        assert_eq!(status, 422, "{said}");
    }
    assert!(exporter.runs().is_empty());
}

/// Where nobody looks who uses the machine there is nothing to tell runs by.
#[test]
fn a_run_is_refused_where_nobody_looks() {
    let folder = tempfile::TempDir::new().unwrap();
    let at = |flag: &str, name: &str| format!("--{flag}={}", folder.path().join(name).display());
    std::fs::write(
        folder.path().join("gramwatt.yml"),
        "workloads: {source: none}\n",
    )
    .unwrap();
    let _program = Program::start([
        at("config.file", "gramwatt.yml"),
        at("state.directory", "state"),
    ]);
    let mark = folder.path().join("mark");
    let socket = at("socket", "state/runs.sock");
    let asked = |who: &str| {
        let mut run = gramwatt(["run", &format!("--by={who}"), &socket]);
        over(run.args(["--", "touch"]).arg(&mark))
    };
    let run = asked("exporter");
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.err.contains("(workloads.source: none)"), "{run:?}");
    assert!(!mark.exists());
    // Nobody's job fails for that, unless it is asked for.
    let run = asked("auto");
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.err.contains(
        "(workloads.source: none), so that no run can be told apart; so this process measures\n"
    ));
    assert!(
        run.err.contains("measured    by itself") && mark.exists(),
        "{run:?}"
    );
}
