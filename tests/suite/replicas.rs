//! The real client against replicas of APIs that misbehave, one by one.

use crate::replica::{Page, Replica, write};
use gramwatt::grid::fetch::{Asker, Failure};
use gramwatt::grid::provider::{Answer, Auth, Entry, Garbage, Manners, Provider, Request, What};
use gramwatt::grid::schedule::{Outcome, Schedule, Step};
use gramwatt::grid::series::{Nature, Point, Scope, Series, Signal};
use gramwatt::http::{Client, Settings, Trust};
use jiff::Timestamp;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TOKEN: &str = "t0p-s3cret-t0ken";

fn noon() -> Timestamp {
    "2026-01-05T12:30:00Z".parse().unwrap()
}

fn client(timeout: Duration) -> Client {
    let settings = Settings {
        trust: Trust::System,
        timeout,
        proxy: false,
    };
    Client::new(&settings).unwrap()
}

/// Asks Electricity Maps, with a token.
struct Desk {
    _folder: TempDir,
    asker: Asker,
}

impl Desk {
    fn new(replica: &Replica) -> Self {
        Self::patient(replica, Duration::from_secs(20))
    }

    fn patient(replica: &Replica, timeout: Duration) -> Self {
        let folder = TempDir::new().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, TOKEN).unwrap();
        let entry: Entry = serde_json::from_value(
            json!({"type": "electricity-maps", "token_file": token, "base_url": replica.url()}),
        )
        .unwrap();
        let asker = Asker::new(entry.open().unwrap(), vec!["DE".into()], client(timeout));
        Self {
            _folder: folder,
            asker,
        }
    }

    fn ask(&mut self) -> Result<Option<Answer>, Failure> {
        self.asker.ask(0, 0, noon())
    }

    fn fails(&mut self) -> Failure {
        let failure = self.ask().unwrap_err();
        assert!(!format!("{failure:?}").contains(TOKEN), "{failure:?}");
        failure
    }
}

fn latest(grams: f64) -> Vec<u8> {
    json!({"zone": "DE", "carbonIntensity": grams, "datetime": "2026-01-05T12:00:00.000Z",
           "isEstimated": false, "emissionFactorType": "lifecycle", "temporalGranularity": "hourly"})
    .to_string()
    .into_bytes()
}

fn page(status: &str, body: impl Into<Vec<u8>>) -> Page {
    (status.to_owned(), body.into())
}

fn grams(answer: Result<Option<Answer>, Failure>) -> f64 {
    let answer = answer.unwrap().unwrap();
    answer.points[0].intensity.0
}

#[test]
fn every_bad_status_has_its_reason_and_its_mend() {
    for (status, reason, mend) in [
        ("400 Bad Request", "status", "base_url"),
        ("401 Unauthorized", "denied", "token"),
        ("403 Forbidden", "denied", "account"),
        ("404 Not Found", "status", "zone"),
        ("429 Too Many Requests", "limit", "relay"),
        ("500 Oh", "status", "wait"),
        ("503 Gone fishing", "status", "wait"),
        // Nobody asked whether anything has changed.
        ("304 Not Modified", "status", "base_url"),
    ] {
        let replica = Replica::new(move |_| page(status, format!("{{\"error\":\"{TOKEN}\"}}")));
        let failure = Desk::new(&replica).fails();
        assert_eq!(failure.reason, reason, "{status}");
        assert!(failure.mend.contains(mend), "{status}: {}", failure.mend);
        assert!(
            failure.message.contains(&status[..3]),
            "{}",
            failure.message
        );
        assert!(failure.place.contains("zone=DE"), "{}", failure.place);
    }
}

#[test]
fn who_wants_to_be_left_alone_is_left_alone() {
    let date = "429 No\r\nDate: Mon, 05 Jan 2026 12:00:00 GMT\r\nRetry-After: Mon, 05 Jan 2026 12:20:00 GMT";
    // Without a date of its own, by this machine's clock.
    let soon = Timestamp::now() + Duration::from_secs(1200);
    let soon = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&soon)
        .unwrap();
    let dateless = format!("429 No\r\nRetry-After: {}", soon);
    for status in ["429 No\r\nRetry-After: 1200", date, dateless.as_str()] {
        let status = status.to_owned();
        let replica = Replica::new(move |_| page(&status, "slow down"));
        let failure = Desk::new(&replica).fails();
        let wait = failure.wait.unwrap();
        assert!((1190..=1200).contains(&wait.as_secs()), "{wait:?}");
        // Both requests of the provider wait so long, not only the one that was refused.
        let second = Duration::from_secs(1);
        let mut schedule = Schedule::new([second * 300, second * 300], second, second);
        assert_eq!(schedule.step(second), Step::Ask(0));
        schedule.went(0, Outcome::Badly(failure.wait), second, 0.5);
        assert_eq!(schedule.step(second), Step::Wait(second + wait));
        assert_eq!(schedule.step(second + wait), Step::Ask(1));
    }
}

#[test]
fn a_refusal_is_one_however_its_body_ends() {
    let replica = Replica::mannered(|_, to| {
        let _ = write!(
            to,
            "HTTP/1.1 429 No\r\nRetry-After: 77\r\nContent-Length: 1000\r\n\r\nslow do"
        );
    });
    let failure = Desk::new(&replica).fails();
    assert_eq!(
        (failure.reason, failure.wait),
        ("limit", Some(Duration::from_secs(77)))
    );
    let replica = Replica::new(|_| page("403 No", vec![b'x'; 9 << 20]));
    assert_eq!(Desk::new(&replica).fails().reason, "denied");
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let mut whole = latest(300.0);
    whole.truncate(60);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![b' '; 64 << 20]).unwrap();
    let bomb = packed.finish().unwrap();
    let other = String::from_utf8(latest(300.0))
        .unwrap()
        .replace("DE", TOKEN);
    for (status, body, told) in [
        ("200 OK", b"<html>log in".to_vec(), "HTML or XML"),
        ("200 OK", whole, "line 1 column"),
        ("200 OK", Vec::new(), "no value"),
        ("200 OK", b"[]".to_vec(), "line 1 column"),
        ("200 OK", vec![0xff; 100], "line 1 column"),
        ("200 OK\r\nContent-Encoding: gzip", bomb, "line 1 column"),
        ("200 OK", other.into_bytes(), "it is about zone"),
    ] {
        let replica = Replica::new(move |_| page(status, body.clone()));
        let failure = Desk::new(&replica).fails();
        assert_eq!(failure.reason, "answer", "{failure:?}");
        assert!(
            failure.message.contains(told),
            "{told}: {}",
            failure.message
        );
        assert!(
            !replica.asked()[0].to_lowercase().contains("gzip"),
            "nothing packed is asked for"
        );
    }
}

#[test]
fn what_ends_too_early_too_late_or_never_is_given_up() {
    let short = Replica::mannered(|_, to| {
        let _ = write!(
            to,
            "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{{\"zone\":"
        );
    });
    assert_eq!(Desk::new(&short).fails().reason, "network");
    let silent = Replica::mannered(|_, _| {});
    assert_eq!(Desk::new(&silent).fails().reason, "network");
    // 100 MB, with and without saying so beforehand.
    for head in ["Content-Length: 104857600\r\n", ""] {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let large = Replica::mannered(move |_, to| {
            let _ = write!(to, "HTTP/1.1 200 OK\r\n{head}Connection: close\r\n\r\n");
            while count.load(Ordering::Relaxed) < 100 << 20
                && to.write_all(&[b' '; 1 << 16]).is_ok()
            {
                count.fetch_add(1 << 16, Ordering::Relaxed);
            }
        });
        let failure = Desk::new(&large).fails();
        assert!(failure.message.contains("larger than"), "{failure:?}");
        assert!(sent.load(Ordering::Relaxed) < 64 << 20, "it hangs up");
    }
    let drip = Replica::mannered(|_, to| {
        let _ = write!(to, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while to.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let start = Instant::now();
    let failure = Desk::patient(&drip, Duration::from_millis(300)).fails();
    assert!(failure.message.contains("in time"), "{failure:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn nobody_is_followed_and_no_token_goes_elsewhere() {
    let other = Replica::new(|_| page("200 OK", latest(1.0)));
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let head = format!("{status}\r\nLocation: {}/v4?auth-token=x", other.url());
        let replica = Replica::new(move |_| page(&head, ""));
        let failure = Desk::new(&replica).fails();
        assert!(failure.mend.contains("do not follow"), "{failure:?}");
        assert!(replica.asked()[0].contains(TOKEN));
    }
    assert!(other.asked().is_empty());
}

#[test]
fn what_has_not_changed_is_not_sent_again_but_what_was_not_understood_is() {
    let turn = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&turn);
    let replica = Replica::mannered(move |head, to| {
        let marked = head.to_lowercase().contains("if-none-match: \"7\"");
        match (count.fetch_add(1, Ordering::Relaxed), marked) {
            (0, _) => write(
                to,
                "200 OK\r\nETag: \"7\"",
                b"<html>a proxy's page, with a mark",
            ),
            (_, true) => write(to, "304 Not Modified\r\nETag: \"7\"", b""),
            (_, false) => write(to, "200 OK\r\nETag: \"7\"", &latest(300.0)),
        }
    });
    let mut desk = Desk::new(&replica);
    assert_eq!(desk.fails().reason, "answer");
    assert_eq!(grams(desk.ask()), 300.0);
    assert_eq!(desk.ask(), Ok(None));
    // Another request is another page.
    assert!(desk.asker.ask(0, 1, noon()).is_err());
    assert!(
        !replica
            .asked()
            .last()
            .unwrap()
            .to_lowercase()
            .contains("if-none-match")
    );
    // A mark without measure is not kept.
    let mark = "x".repeat(5000);
    let replica = Replica::new(move |_| page(&format!("200 OK\r\nETag: \"{mark}\""), latest(2.0)));
    let mut desk = Desk::new(&replica);
    assert_eq!(grams(desk.ask()), 2.0);
    assert_eq!(grams(desk.ask()), 2.0);
    assert!(!replica.asked()[1].to_lowercase().contains("if-none-match"));
}

#[test]
fn a_value_without_a_time_holds_again_each_time_that_it_is_told() {
    let replica = Replica::mannered(|head, to| {
        if head.to_lowercase().contains("if-none-match") {
            return write(to, "304 Not Modified\r\nETag: \"7\"", b"");
        }
        let body = b"{\"value\": 300, \"time\": \"2026-01-05T12:00Z\"}";
        write(to, "200 OK\r\nETag: \"7\"", body);
    });
    let asker = |time: &str| {
        let text = format!(
            "{{type: json, url: \"{}/now\", pointer: /value, {time} unit: g/kWh, factors: direct}}",
            replica.url()
        );
        let entry: Entry = serde_yaml::from_str(&text).unwrap();
        let client = client(Duration::from_secs(20));
        Asker::new(entry.open().unwrap(), vec!["DE".into()], client)
    };
    let mut undated = asker("");
    for minutes in [0, 5] {
        let now = noon() + Duration::from_secs(60 * minutes);
        let answer = undated.ask(0, 0, now).unwrap().unwrap();
        assert_eq!(answer.points[0].from, now);
    }
    let mut dated = asker("time_pointer: /time,");
    assert_eq!(grams(dated.ask(0, 0, noon())), 300.0);
    assert_eq!(dated.ask(0, 0, noon()), Ok(None));
}

/// Points that a site's own API gives as JSON, by the provider that reads any.
fn own(body: &str, unit: &str, time: &str) -> Result<Option<Answer>, Failure> {
    let body = body.to_owned();
    let replica = Replica::new(move |_| page("200 OK", body.clone()));
    let entry: Entry = serde_json::from_value(
        json!({"type": "json", "url": replica.url() + "/now", "pointer": "/value", "time_pointer": time,
               "unit": unit, "factors": "direct"}),
    )
    .unwrap();
    let client = client(Duration::from_secs(20));
    Asker::new(entry.open().unwrap(), vec!["DE".into()], client).ask(0, 0, noon())
}

#[test]
fn a_wrong_unit_is_refused_and_time_zones_are_one_time() {
    // Pounds for each MWh that are said to be grams are believed as far as they can be; grams said to be
    // kilograms are not.
    let mut series = Series::default();
    for (value, refused) in [(300.0, 1), (-1.0, 1), (0.3, 0)] {
        let body = json!({"value": value, "time": "2026-01-05T12:00Z"}).to_string();
        let answer = own(&body, "kg/kWh", "/time").unwrap().unwrap();
        assert_eq!(
            series.take(answer.scope, &answer.points, noon()),
            refused,
            "{value}"
        );
    }
    assert_eq!(series.latest(noon()).unwrap().intensity.0, 300.0);
    for time in [
        json!("2026-01-05T12:00:00Z"),
        json!("2026-01-05T13:00:00+01:00"),
        json!("2026-01-05T07:00-05:00"),
        json!("2026-01-05T17:45:00+05:45"),
        json!(1_767_614_400),
        json!(1_767_614_400_000_i64),
    ] {
        let body = json!({"value": 1.0, "time": time}).to_string();
        let answer = own(&body, "g/kWh", "/time").unwrap().unwrap();
        assert_eq!(
            answer.points[0].from.to_string(),
            "2026-01-05T12:00:00Z",
            "{time}"
        );
    }
    for body in [
        "{\"value\":1e999,\"time\":0}",
        "{\"value\":\"NaN\",\"time\":0}",
        "{\"value\":1,\"time\":1e300}",
    ] {
        assert_eq!(
            own(body, "g/kWh", "/time").unwrap_err().reason,
            "answer",
            "{body}"
        );
    }
}

/// What a site's file of local times says.
fn file(rows: &[String], now: &str) -> Vec<Point> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("intensity.csv");
    fs::write(&path, format!("from,intensity\n{}\n", rows.join("\n"))).unwrap();
    let entry: Entry = serde_json::from_value(
        json!({"type": "file", "path": path, "unit": "g/kWh", "factors": "direct"}),
    )
    .unwrap();
    let client = client(Duration::from_secs(1));
    let mut asker = Asker::new(entry.open().unwrap(), vec!["DE".into()], client);
    let answer = asker.ask(0, 0, now.parse().unwrap()).unwrap().unwrap();
    let mut series = Series::default();
    assert_eq!(
        series.take(answer.scope, &answer.points, now.parse().unwrap()),
        0
    );
    series.past().copied().collect()
}

#[test]
fn days_on_which_the_clocks_change_have_as_many_hours_as_they_have() {
    for (zone, day, hours) in [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/Los_Angeles", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
    ] {
        let date: jiff::civil::Date = day.parse().unwrap();
        // The offsets of the time zone database, as this machine may have none: winter and summer.
        let (winter, summer) = match zone {
            "Europe/Berlin" => (1, 2),
            "America/New_York" => (-5, -4),
            _ => (-8, -7),
        };
        let (before, after) = if hours == 23 {
            (winter, summer)
        } else {
            (summer, winter)
        };
        let local = |hour: i64, offset: i8| {
            let offset = jiff::tz::Offset::constant(offset);
            let start = jiff::tz::Offset::constant(before)
                .to_timestamp(date.at(0, 0, 0, 0))
                .unwrap();
            let at = start + jiff::SignedDuration::from_hours(hour);
            let sign = if offset.seconds() < 0 { '-' } else { '+' };
            format!(
                "{}{sign}{:02}:00",
                offset.to_datetime(at),
                offset.seconds().abs() / 3600
            )
        };
        // Berlin changes at 1:00 UTC, the US at 2:00 of local time.
        let change = if zone == "Europe/Berlin" && hours == 25 {
            3
        } else {
            2
        };
        let mut rows: Vec<String> = (0..hours)
            .map(|hour| {
                let offset = if hour < change { before } else { after };
                format!("{},{}", local(hour, offset), 100 + hour)
            })
            .collect();
        // Out of order, and one twice.
        rows.reverse();
        rows.push(rows[3].clone());
        let points = file(&rows, &format!("{}T12:00:00Z", date.tomorrow().unwrap()));
        assert_eq!(points.len() as i64, hours, "{zone} {day}");
        for (hour, pair) in points.windows(2).enumerate() {
            assert_eq!(pair[0].until, pair[1].from, "{zone} {day}");
            assert_eq!(
                pair[1].from - pair[0].from,
                jiff::SignedDuration::from_hours(1)
            );
            assert_eq!(pair[0].intensity.0, 100.0 + hour as f64);
        }
    }
}

#[test]
fn points_of_the_future_were_not_observed() {
    let told = |minutes: i64| {
        let from = noon() + jiff::SignedDuration::from_mins(minutes);
        let body = json!({"value": 100.0 + minutes as f64, "time": from.to_string()}).to_string();
        own(&body, "g/kWh", "/time").unwrap().unwrap()
    };
    let mut series = Series::default();
    for (minutes, refused) in [(-30, 0), (10, 0), (16, 1), (60, 1), (60 * 24 * 365, 1)] {
        let answer = told(minutes);
        assert_eq!(
            series.take(answer.scope, &answer.points, noon()),
            refused,
            "{minutes}"
        );
    }
    // A clock that is a little fast is believed, from when its time has come.
    assert_eq!(series.latest(noon()).unwrap().intensity.0, 70.0);
    let later = noon() + Duration::from_secs(600);
    assert_eq!(series.latest(later).unwrap().intensity.0, 110.0);
}

/// A provider whose token is had by a login.
struct Login {
    base: String,
    credentials: PathBuf,
}

impl Provider for Login {
    fn name(&self) -> &'static str {
        "login"
    }
    fn signal(&self) -> Signal {
        Signal::Marginal
    }
    fn manners(&self) -> Manners {
        Manners {
            apart: Duration::from_secs(1),
            lag: Duration::from_secs(300),
            coarse: false,
        }
    }
    fn secret(&self) -> Option<&PathBuf> {
        Some(&self.credentials)
    }
    fn requests(&self, _: &str, _: Timestamp) -> Result<Vec<Request>, String> {
        let every = Duration::from_secs(300);
        let auth = Auth::Login {
            url: format!("{}/login", self.base),
            lasts: Duration::from_secs(1800),
        };
        let request = Request::open(What::Latest, format!("{}/data", self.base), every);
        Ok(vec![Request { auth, ..request }])
    }
    fn read(&self, _: What, _: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage> {
        let text = String::from_utf8_lossy(body).into_owned();
        let grams = text.parse().map_err(|_| Garbage::Refused(text))?;
        let hour = Duration::from_secs(3600);
        Ok(Answer {
            scope: Scope::Direct,
            points: vec![Point::lasting(now, hour, grams, Nature::Measured)],
            of: None,
        })
    }
}

#[test]
fn a_login_is_renewed_when_it_ends_and_when_it_is_refused() {
    let logins = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&logins);
    let revoked = Arc::new(AtomicUsize::new(0));
    let gone = Arc::clone(&revoked);
    let replica = Replica::mannered(move |head, to| {
        if head.starts_with("GET /login ") {
            let basic = "Basic bWU6aHVudGVyMi1hbmQtbW9yZQ==";
            if !head.contains(basic) {
                return write(to, "401 No", b"bWU6aHVudGVyMi1hbmQtbW9yZQ==");
            }
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            return write(
                to,
                "200 OK",
                format!("{{\"token\":\"session-{number}\"}}").as_bytes(),
            );
        }
        let number: usize = head
            .rsplit_once("session-")
            .unwrap()
            .1
            .lines()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        match number {
            _ if number <= gone.load(Ordering::Relaxed) => write(to, "401 No", b"expired"),
            // The words of a provider that quotes what it was sent.
            9.. => write(
                to,
                "200 OK",
                format!("no data for session-{number}").as_bytes(),
            ),
            _ => write(to, "200 OK", b"412.5"),
        }
    });
    let folder = TempDir::new().unwrap();
    let credentials = folder.path().join("credentials");
    fs::write(&credentials, "username: me\npassword: hunter2-and-more\n").unwrap();
    let asked = replica.clone();
    let login = Login {
        base: replica.url(),
        credentials: credentials.clone(),
    };
    let mut asker = Asker::new(
        Box::new(login),
        vec!["DE".into()],
        client(Duration::from_secs(20)),
    );
    let mut ask = |minutes: i64| asker.ask(0, 0, noon() + jiff::SignedDuration::from_mins(minutes));
    let made = || logins.load(Ordering::Relaxed);
    for (minutes, logins) in [(0, 1), (5, 1), (26, 1), (27, 2), (53, 2), (54, 3)] {
        assert_eq!(grams(ask(minutes)), 412.5);
        assert_eq!(made(), logins, "after {minutes} minutes");
    }
    // The service has forgotten the session: there is a new one at once, and it is kept.
    revoked.store(3, Ordering::Relaxed);
    assert_eq!(grams(ask(55)), 412.5);
    assert_eq!(grams(ask(56)), 412.5);
    assert_eq!(made(), 4);
    // A new one that is refused too is not followed by ever more: who asks waits.
    revoked.store(99, Ordering::Relaxed);
    let before = asked.asked().len();
    assert_eq!(ask(57).unwrap_err().reason, "denied");
    assert_eq!(
        (made(), asked.asked().len() - before),
        (5, 3),
        "old, login, new"
    );
    assert_eq!(ask(58).unwrap_err().reason, "denied");
    assert_eq!((made(), asked.asked().len() - before), (6, 5), "login, new");
    revoked.store(3, Ordering::Relaxed);
    // A session that its answer quotes is not shown.
    logins.store(8, Ordering::Relaxed);
    let failure = ask(100).unwrap_err();
    assert_eq!(failure.message, "the provider says: no data for <secret>");
    // A login that is refused is told of where it was refused.
    fs::write(&credentials, "username: me\npassword: other\n").unwrap();
    revoked.store(99, Ordering::Relaxed);
    assert_eq!(ask(101).unwrap_err().reason, "denied");
    let failure = ask(102).unwrap_err();
    assert!(failure.place.ends_with("/login"), "{failure:?}");
    fs::write(&credentials, "hunter2-and-more").unwrap();
    let failure = ask(103).unwrap_err();
    assert_eq!(failure.reason, "secret");
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
}
