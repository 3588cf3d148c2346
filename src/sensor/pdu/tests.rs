//! What can be written of a PDU and what cannot, what answers mean, and what a hostile peer can do.

use super::*;
use crate::config::Config as Whole;
use crate::sensor::Fault;
use crate::units::Watts;
use async_snmp::Value as Answer;
use async_snmp::message::{CommunityMessage, Message};
use bytes::Bytes;
use model::questions;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

fn parsed(entry: &str) -> Result<Config, String> {
    let text = format!("sensors: {{pdu: [{entry}]}}");
    Ok(Whole::parse(&text)?.sensors.pdu)
}

fn roots(node: &str) -> Roots {
    Roots {
        sys: "/nonexistent".into(),
        proc: "/nonexistent".into(),
        node: node.into(),
    }
}

#[test]
fn what_cannot_be_is_refused_in_plain_words() {
    let generic = "host: a, community_file: f, model: generic";
    for (entry, words) in [
        ("host: a, model: apc, outlets: [1]", "community_file"),
        ("host: a, model: apc, outlets: [1], credentials_file: f", "version: 3"),
        ("host: a, model: apc, outlets: [1], community_file: f, privacy: aes", "version: 3"),
        ("host: a, model: apc, outlets: [1], version: 3", "credentials_file"),
        (
            "host: a, model: apc, outlets: [1], version: 3, community_file: f, credentials_file: f",
            "no community",
        ),
        ("host: a, model: apc, outlets: [1], version: 1, community_file: f", "2c or 3"),
        ("host: a, model: apc, community_file: f", "whole: true"),
        ("host: a, model: apc, community_file: f, outlets: [1], whole: true", "not both"),
        ("host: a, model: raritan, community_file: f, whole: true", "several inlets"),
        ("host: a, model: apc, community_file: f, outlets: [0]", "no outlet 0"),
        ("host: a, model: apc, community_file: f, outlets: []", "1 to 32"),
        ("host: a, model: apc, community_file: f, outlets: [3, 3]", "booked twice"),
        ("host: a, model: apc, community_file: f, outlets: {x: [3], y: [3]}", "booked twice"),
        ("host: a, model: apc, community_file: f, outlets: {x: []}", "does not feed"),
        ("host: a, model: apc, community_file: f, outlets: {}", "at least one node"),
        ("host: a, model: apc, community_file: f, outlets: 3", "such as [3, 4]"),
        ("host: a, model: apc, community_file: f, outlets: [-1]", "such as [3, 4]"),
        ("host: 'a b', model: apc, community_file: f, outlets: [1]", "no host"),
        ("host: 'a:0', model: apc, community_file: f, outlets: [1]", "no host"),
        ("host: '', model: apc, community_file: f, outlets: [1]", "no host"),
        ("host: 'fe80::1:99999', model: apc, community_file: f, outlets: [1]", "no host"),
        ("host: a, model: dell, community_file: f, outlets: [1]", "`dell`"),
        ("host: a, model: apc, community_file: f, outlets: [1], interval: 500ms", "1s to 1m"),
        ("host: a, model: apc, community_file: f, outlets: [1], timeout: 1m", "100ms to 30s"),
        ("host: a, model: apc, community_file: f, outlets: [1], retries: 9", "0 to 5"),
        ("host: a, model: apc, community: public, outlets: [1]", "unknown key `community`"),
        (&format!("{generic}, outlets: [1]"), "needs oids"),
        (
            "host: a, model: apc, community_file: f, outlets: [1], oids: [{oid: '1.3.6.{outlet}', unit: W}]",
            "model: generic",
        ),
        (&format!("{generic}, outlets: [1], oids: [{{oid: 1.3.6.7, unit: W}}]"), "{outlet}"),
        (&format!("{generic}, whole: true, oids: [{{oid: '1.3.6.{{outlet}}', unit: W}}]"), "{outlet}"),
        (&format!("{generic}, whole: true, oids: [{{oid: a.b, unit: W}}]"), "no OID"),
        (&format!("{generic}, whole: true, oids: [{{oid: 9.3.6.1, unit: W}}]"), "no OID"),
        (&format!("{generic}, whole: true, oids: [{{oid: 1.3.6.1, unit: A}}]"), "`A`"),
        (&format!("{generic}, whole: true, oids: [{{oid: 1.3.6.1, unit: W, scale: 0}}]"), "scale"),
        (&format!("{generic}, whole: true, oids: [{{oid: 1.3.6.1, unit: W, scale: .nan}}]"), "scale"),
        (
            &format!("{generic}, whole: true, oids: [{{oid: 1.3.6.1, unit: kWh, scale: 0.1}}]"),
            "too coarse",
        ),
        (
            &format!("{generic}, whole: true, oids: [{{oid: 1.3.6.1, unit: J}}, {{oid: 1.3.6.2, unit: Wh}}]"),
            "at most one",
        ),
    ] {
        let message = parsed(&format!("{{{entry}}}")).unwrap_err();
        assert!(message.contains(words), "{entry}: {message}");
    }
}

#[test]
fn what_can_be_is_taken_and_can_be_written_down() {
    for entry in [
        "{host: a, model: apc, community_file: f, outlets: [1]}",
        "{host: 'a:1161', model: apc, community_file: f, whole: true, interval: 1s, retries: 0}",
        "{host: '[fe80::1]:161', model: raritan, version: 3, credentials_file: f, outlets: {x: [1]}}",
        "{host: 'fe80::1', model: raritan, version: '3', credentials_file: f, privacy: none, outlets: [9]}",
        "{host: a, version: 2c, model: generic, community_file: f, whole: true, \
         oids: [{oid: .1.3.6.1, unit: kWh, scale: 0.001}]}",
    ] {
        let config = parsed(entry).unwrap();
        let written = serde_yaml::to_string(&config).unwrap();
        let again: Config = serde_yaml::from_str(&written).unwrap();
        assert_eq!(config, again, "{written}");
    }
}

#[test]
fn names_are_short_where_they_can_be_and_unlike_where_they_must() {
    let named = |hosts: &[&str]| {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        labels(&hosts)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(named(&["a:1161"]), [some("a")]);
    assert_eq!(named(&["a", "b"]), [some("a"), some("b")]);
    assert_eq!(named(&["a", "a:7"]), [some("a:161"), some("a:7")]);
    assert_eq!(named(&["a", "a:161"]), [some("a:161"), None]);
    assert_eq!(named(&["pdu", "PDU"]), [some("pdu:161"), None]);
    let twice = "{host: a, model: apc, community_file: f, outlets: [1]}, \
                 {host: 'a:161', model: apc, community_file: f, outlets: [2]}";
    let found = discover(&roots("n"), &parsed(twice).unwrap());
    assert_eq!(found.sensors.len(), 1);
    assert_eq!(found.findings[1].state, Presence::Unreadable);
}

#[test]
fn nothing_is_asked_before_its_turn_and_the_nodes_name_stands_where_it_should() {
    let entry = "{host: 'pdu-{node}', model: apc, community_file: '/none/{node}', outlets: {n7: [2, 3]}}";
    let mut found = discover(&roots("n7"), &parsed(entry).unwrap());
    let finding = &found.findings[0];
    assert_eq!(finding.state, Presence::Unasked);
    assert_eq!(finding.subject, found.sensors[0].name());
    assert_eq!(finding.detail, "pdu-n7: APC, outlets 2, 3, SNMP v2c");
    let fault = found.sensors[0].read().bad.remove(0);
    assert_eq!(fault.place, "pdu-n7");
    assert!(fault.to_string().contains("/none/n7"), "{fault}");
}

/// Judges answers to the first question of an entry.
fn judged(entry: &str, answers: &[Answer]) -> Result<Told, String> {
    let config = parsed(entry).unwrap();
    let entry = config.0[0].entry();
    let outlets = entry.outlets.as_ref().map_or(&[][..], |o| o.of("n"));
    let question = questions(entry, outlets).remove(0);
    let told = question.judge(answers);
    told.map_err(|trouble| trouble.fault("x").to_string())
}

#[test]
fn answers_mean_what_the_mibs_say() {
    let apc = "{host: a, model: apc, community_file: f, outlets: [1]}";
    let watts = |power| Value::Power(Watts(power));
    let missing = [Answer::NoSuchObject, Answer::NoSuchInstance];
    for nothing in [&missing[..], &[Answer::Integer(-1), Answer::Integer(-1)]] {
        let told = judged(apc, nothing).unwrap_err();
        assert!(told.contains("does not measure"), "{told}");
    }
    for (power, told) in [
        (Answer::Integer(0), 0.0),
        (Answer::Gauge32(2300), 2300.0),
        (Answer::OctetString(Bytes::from_static(b" 12.5\n")), 12.5),
    ] {
        let told = watts(told);
        let found = judged(apc, &[power, Answer::Integer(-1)]).unwrap();
        assert_eq!((found.booked, found.beside), (told, None));
    }
    for power in [
        Answer::Integer(-2),
        Answer::Gauge32(u32::MAX),
        Answer::OctetString(Bytes::from_static(b"NaN")),
        Answer::OctetString(Bytes::from_static(b"\xff\x00")),
        Answer::Counter64(7),
        Answer::IpAddress([1, 2, 3, 4]),
    ] {
        assert!(judged(apc, &[power.clone(), Answer::Integer(1)]).is_err(), "{power:?}");
    }
    // What goes round at its width is known to.
    let joules = "{host: a, model: generic, community_file: f, whole: true, \
                  oids: [{oid: 1.3.6.1.9, unit: J, scale: 10}]}";
    let found = judged(joules, &[Answer::Counter32(7)]).unwrap();
    let counter = Value::Counter {
        raw: 7,
        unit: 10.0,
        wraps_at: Some(1 << 32),
    };
    assert_eq!(found.booked, counter);
    assert!(judged(joules, &[Answer::Integer(-7)]).is_err());
    // A short answer is none.
    assert!(judged(apc, &[]).is_err());
}

#[test]
fn raritans_descriptions_are_heeded() {
    let raritan = "{host: a, model: raritan, community_file: f, outlets: [1]}";
    let sensor = |available, value, unit, digits, step| {
        [
            Answer::Integer(available),
            Answer::Gauge32(value),
            Answer::Integer(unit),
            Answer::Gauge32(digits),
            Answer::Gauge32(step),
        ]
    };
    let none = || [const { Answer::NoSuchInstance }; 5];
    let of = |power: [Answer; 5], energy: [Answer; 5]| judged(raritan, &[power, energy].concat());
    let power = || sensor(1, 305, 3, 1, 1);
    let booked = |told: Result<Told, String>| told.unwrap().booked;
    let watts = Value::Power(Watts(30.5));
    let energy = |unit| Value::Counter {
        raw: 9,
        unit,
        wraps_at: None,
    };
    assert_eq!(booked(of(power(), none())), watts);
    assert_eq!(booked(of(power(), sensor(1, 9, 5, 0, 1))), energy(3600.0));
    assert_eq!(booked(of(none(), sensor(1, 9, 5, 1, 10))), energy(360.0));
    assert_eq!(booked(of(power(), sensor(1, 9, 5, 1, 100))), watts);
    for bad in [
        of(none(), none()),
        of(none(), sensor(1, 9, 5, 0, 100)),
        of(power(), sensor(2, 9, 5, 0, 1)),
        of(power(), sensor(1, 9, 6, 0, 1)),
        of(power(), sensor(1, 9, 5, 40, 1)),
        of(sensor(1, 305, 4, 1, 1), none()),
    ] {
        assert!(bad.is_err(), "{bad:?}");
    }
}

/// A peer that answers each datagram as it likes, until it is dropped.
struct Peer {
    port: u16,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl Peer {
    fn new(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                for datagram in answer(&buffer[..length]) {
                    let _ = socket.send_to(&datagram, from);
                }
            }
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("community"), "public").unwrap();
        std::fs::write(
            folder.path().join("credentials"),
            "username: ada\nauth_password: authauth\nprivacy_password: privpriv\n",
        )
        .unwrap();
        Self {
            port,
            done,
            thread: Some(thread),
            folder,
        }
    }

    fn file(&self, name: &str) -> String {
        Path::new(self.folder.path()).join(name).display().to_string()
    }

    fn fault(&self, version: &str) -> Fault {
        let file = match version {
            "3" => format!("credentials_file: '{}'", self.file("credentials")),
            _ => format!("community_file: '{}'", self.file("community")),
        };
        let entry = format!(
            "{{host: '127.0.0.1:{}', model: apc, outlets: [1], timeout: 100ms, retries: 0, version: {version}, {file}}}",
            self.port
        );
        let mut found = discover(&roots("n"), &parsed(&entry).unwrap());
        let mut readings = found.sensors[0].read();
        assert!(readings.good.is_empty(), "{readings:?}");
        readings.bad.remove(0)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// The request again, as a response, with a number of its own.
fn echo(request: &[u8], number: impl Fn(i32) -> i32, value: &Answer) -> Vec<u8> {
    let request = Bytes::copy_from_slice(request);
    let Ok(decoded) = Message::decode(request, async_snmp::DecodeConfig::STRICT) else {
        return Vec::new();
    };
    let Message::Community(message) = decoded.value else {
        return Vec::new();
    };
    let (_, community, pdu) = message.into_parts();
    let (id, _, mut binds) = pdu.standard().unwrap().clone().into_raw_parts();
    for bind in &mut binds {
        bind.value = value.clone();
    }
    let pdu = async_snmp::pdu::Pdu::from_raw_parts(
        number(id),
        async_snmp::pdu::PduBody::Standard {
            pdu_type: async_snmp::pdu::StandardPduType::Response,
            error_status: 0,
            error_index: 0,
        },
        binds,
    );
    let message = CommunityMessage::v2c(community, pdu).unwrap();
    message.encode().unwrap().to_vec()
}

#[test]
fn a_hostile_peer_gets_no_reading_and_no_panic() {
    for version in ["2c", "3"] {
        let silent = Peer::new(|_| Vec::new());
        let fault = silent.fault(version);
        assert_eq!(fault.reason(), "timeout");
        assert!(fault.to_string().contains("no answer in time"), "{fault}");

        for answer in [
            |_: &[u8]| vec![b"garbage".to_vec()],
            |request: &[u8]| vec![request.to_vec()],
            |request: &[u8]| vec![request[..request.len() / 2].to_vec()],
            |_: &[u8]| vec![vec![0x30; 65_000]],
            |_: &[u8]| vec![Vec::new()],
            |_: &[u8]| vec![[&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..], &[0x02; 40]].concat()],
        ] {
            let fault = Peer::new(answer).fault(version);
            assert_eq!(fault.reason(), "timeout", "{fault}");
            assert!(fault.to_string().contains("something else"), "{fault}");
        }
        let flood = Peer::new(|_| vec![b"garbage".to_vec(); 200]);
        let fault = flood.fault(version);
        assert!(["parse", "timeout"].contains(&fault.reason()), "{fault}");
    }
}

#[test]
fn an_answer_with_another_number_is_none() {
    let value = Answer::Integer(250);
    let late = value.clone();
    let fault = Peer::new(move |request| vec![echo(request, |id| id ^ 1, &late)]).fault("2c");
    assert_eq!(fault.reason(), "timeout");
    // The right one after a wrong one is.
    let both = Peer::new(move |request| {
        vec![echo(request, |id| id ^ 1, &value), echo(request, |id| id, &value)]
    });
    let entry = format!(
        "{{host: '127.0.0.1:{}', model: apc, outlets: [1], community_file: '{}'}}",
        both.port,
        both.file("community")
    );
    let mut found = discover(&roots("n"), &parsed(&entry).unwrap());
    let readings = found.sensors[0].read();
    assert_eq!(readings.good[0].value, Value::Power(Watts(250.0)), "{readings:?}");
}

/// A response to request 1.
fn response(status: i32, values: &[(&str, Answer)]) -> Vec<u8> {
    let bind = |(oid, value): &(&str, Answer)| {
        async_snmp::VarBind::new(async_snmp::Oid::parse(oid).unwrap(), value.clone())
    };
    let pdu = async_snmp::pdu::Pdu::from_raw_parts(
        1,
        async_snmp::pdu::PduBody::Standard {
            pdu_type: async_snmp::pdu::StandardPduType::Response,
            error_status: status,
            error_index: i32::from(![0, 16].contains(&status)),
        },
        values.iter().map(bind).collect(),
    );
    let message = CommunityMessage::v2c("public", pdu).unwrap();
    message.encode().unwrap().to_vec()
}

#[test]
fn an_agent_that_refuses_a_request_for_one_object_is_asked_for_each_outlet() {
    let config = parsed("{host: a, model: apc, community_file: f, outlets: [1, 2]}").unwrap();
    let replay = Replay::new(&config.0[0], Who::Community).unwrap();
    let table = "1.3.6.1.4.1.318.1.1.26.9.4.3.1";
    let (power, energy) = (format!("{table}.7.2"), format!("{table}.11.2"));
    let well = [(power.as_str(), Answer::Integer(40)), (energy.as_str(), Answer::Integer(9))];
    // noSuchName to all, noSuchName to the first outlet, values of the second (RFC 3416, 3).
    let echo = |outlets: &[u32]| {
        let ask = |outlet: &u32| [7, 11].map(|column| format!("{table}.{column}.{outlet}"));
        outlets.iter().flat_map(ask).collect::<Vec<_>>()
    };
    let refusal = |status, outlets: &[u32]| {
        let binds = echo(outlets);
        let binds: Vec<_> = binds.iter().map(|oid| (oid.as_str(), Answer::Null)).collect();
        response(status, &binds)
    };
    let answers = replay.hear([refusal(2, &[1, 2]), refusal(2, &[1]), response(0, &well)]);
    assert_eq!(answers.bad.len(), 1, "{answers:?}");
    assert!(answers.bad[0].to_string().contains("outlet 1: the PDU does not measure"));
    assert_eq!(answers.good[0].value, Value::Power(Watts(40.0)));
    // Values under the names of others are none.
    let others = [(energy.as_str(), Answer::Integer(40)), (power.as_str(), Answer::Integer(9))];
    let answers = replay.hear([response(0, &others)]);
    assert!(answers.good.is_empty(), "{answers:?}");
    for (status, reason) in [(16, "permission"), (5, "device")] {
        let answers = replay.hear([refusal(status, &[1, 2]), refusal(status, &[1]), refusal(status, &[2])]);
        assert!(answers.good.is_empty(), "{answers:?}");
        assert_eq!(answers.bad[0].reason(), reason);
    }
}

#[test]
fn a_name_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("community");
    std::fs::write(&file, "public").unwrap();
    let entry = format!(
        "{{host: no-such-host.invalid, model: apc, outlets: [1], community_file: '{}'}}",
        file.display()
    );
    let mut found = discover(&roots("n"), &parsed(&entry).unwrap());
    let fault = found.sensors[0].read().bad.remove(0);
    assert_eq!(fault.reason(), "vanished");
    assert!(fault.mend.contains("resolv.conf"), "{fault}");
}

#[test]
fn what_an_agent_said_once_is_heard_again() {
    let config = parsed("{host: a, model: raritan, community_file: f, outlets: [1]}").unwrap();
    // What Net-SNMP's agent answered to requests of number 1; the first byte tells who asked.
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/snmp");
    for (seed, who, heard) in [
        ("community", Who::Community, "2 good"),
        ("community_other", Who::Community, "an answer to something else"),
("anybody", Who::Anybody, "2 good"),
        ("user_digest", Who::User, "does not accept the user's auth_password"),
    ] {
        let bytes = std::fs::read(seeds.join(seed)).unwrap();
        let mut rest = &bytes[1..];
        let mut datagrams = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk() {
            let (datagram, after) = after.split_at(u16::from_be_bytes(*length).into());
            datagrams.push(datagram.to_vec());
            rest = after;
        }
        let replay = Replay::new(&config.0[0], who).unwrap();
        let readings = replay.hear(datagrams);
        let told = match readings.bad.first() {
            Some(fault) => fault.to_string(),
            None => format!("{} good", readings.good.len()),
        };
        assert!(told.contains(heard), "{seed}: {told}");
    }
}
