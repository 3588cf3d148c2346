use super::config::{CipherSuite, Config};
use super::crypto::Keys;
use super::dcmi::{self, Power};
use super::packet;
use super::rakp::{self, Amiss, Console, Managed};
use super::trouble::Trouble;
use super::{Bmc, Link};
use crate::sensor::Sensor;
use crate::units::Watts;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A whole answer: 321 W now, 1 to 1023 W, 320 W on average over a second.
const ANSWER: [u8; 19] = [
    0x00, 0xdc, 0x41, 0x01, 0x01, 0x00, 0xff, 0x03, 0x40, 0x01, 0x10, 0x20, 0x30, 0x40, 0xe8, 0x03,
    0x00, 0x00, 0x40,
];

fn with(at: usize, byte: u8) -> Vec<u8> {
    let mut answer = ANSWER.to_vec();
    answer[at] = byte;
    answer
}

#[test]
fn power_is_read_byte_by_byte() {
    let power = |answer: &[u8]| dcmi::parse(answer).unwrap();
    assert_eq!(power(&ANSWER), Power::Watts(Watts(321.0)));
    assert_eq!(power(&with(2, 0x42)), Power::Watts(Watts(322.0)));
    assert_eq!(power(&with(3, 0x05)), Power::Watts(Watts(1345.0)));
    // Minimum, maximum, average, time and period are the BMC's own affair.
    for at in 4..18 {
        assert_eq!(power(&with(at, 0xaa)), Power::Watts(Watts(321.0)), "{at}");
    }
    // Only one bit of the state says that it measures.
    for (state, active) in [(0x40, true), (0xff, true), (0x00, false), (0xbf, false)] {
        assert_eq!(power(&with(18, state)) != Power::Inactive, active, "{state:#x}");
    }
    // A later version may say more.
    let long = [&ANSWER[..], &[1, 2, 3]].concat();
    assert_eq!(power(&long), Power::Watts(Watts(321.0)));
    // Not active, whatever it says beside.
    let zero = [&ANSWER[..2], &[0; 17]].concat();
    assert_eq!(power(&zero), Power::Inactive);
}

#[test]
fn what_is_no_power_is_none() {
    for length in 0..ANSWER.len() {
        let error = dcmi::parse(&ANSWER[..length]).unwrap_err();
        assert!(matches!(error, Trouble::Malformed(_)), "{length}: {error}");
    }
    assert!(matches!(dcmi::parse(&with(1, 0xdd)), Err(Trouble::Malformed(_))));
    let mut zero = with(2, 0);
    zero[3] = 0;
    assert!(matches!(dcmi::parse(&zero), Err(Trouble::Absurd(0))));
    let mut full = with(2, 0xff);
    full[3] = 0xff;
    assert!(matches!(dcmi::parse(&full), Err(Trouble::Absurd(0xffff))));
}

#[test]
fn every_completion_code_is_absence_or_a_fault_with_words() {
    for code in 1..=u8::MAX {
        for answer in [vec![code], with(0, code)] {
            match dcmi::parse(&answer) {
                Ok(power) => {
                    assert_eq!(power, Power::Unknown(code));
                    assert!([0xc1, 0xc2].contains(&code));
                }
                Err(trouble) => {
                    let fault = trouble.fault("bmc:623");
                    assert!(fault.to_string().contains(&format!("{code:#04x}: ")), "{fault}");
                    assert!(!fault.mend.is_empty());
                    let reason = match code {
                        0xc3 => "timeout",
                        0xd4 => "permission",
                        _ => "device",
                    };
                    assert_eq!(fault.reason(), reason, "{fault}");
                }
            }
        }
    }
}

fn keys(suite: CipherSuite) -> Keys {
    Keys::new(suite, (0..32).collect())
}

const SUITES: [CipherSuite; 2] = [CipherSuite::Three, CipherSuite::Seventeen];

#[test]
fn the_hashes_are_those_of_their_standards() {
    // RFC 2202, test case 2, and RFC 4231, test case 2.
    let digests = [
        (CipherSuite::Three, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (
            CipherSuite::Seventeen,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
    ];
    for (suite, wanted) in digests {
        let code = suite.hash(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        let text: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, wanted);
        let short = &code[..suite.code_length()];
        assert!(suite.agrees(b"Jefe", &[b"what do ya want for nothing?"], short));
        assert!(!suite.agrees(b"Jeff", &[b"what do ya want for nothing?"], short));
    }
}

#[test]
fn a_sealed_packet_is_opened_by_its_keys_alone() {
    for suite in SUITES {
        let keys = keys(suite);
        for length in 0..70 {
            let message: Vec<u8> = (0..length).collect();
            let packet = packet::seal(&keys, 7, 9, [5; 16], &message).unwrap();
            let code = suite.code_length();
            assert_eq!((packet.len() - 4 - code) % 4, 0, "{length}");
            assert_eq!(packet::unseal(&keys, 7, &packet), Some((9, message)), "{length}");
            assert_eq!(packet::unseal(&keys, 8, &packet), None);
            let others = Keys::new(suite, vec![1; 20]);
            assert_eq!(packet::unseal(&others, 7, &packet), None);
            for cut in 0..packet.len() {
                assert_eq!(packet::unseal(&keys, 7, &packet[..cut]), None, "{cut}");
            }
            for at in 0..packet.len() {
                let mut wrong = packet.clone();
                wrong[at] ^= 0x10;
                assert_eq!(packet::unseal(&keys, 7, &wrong), None, "{length} {at}");
            }
        }
    }
}

#[test]
fn an_authentic_packet_may_still_be_wrong() {
    let keys = keys(CipherSuite::Seventeen);
    // With a right code, but of a length that is no block, or a padding that is none.
    for length in 0..100 {
        for fill in [0, 1, 15, 16, 255] {
            let payload = vec![fill; length];
            assert!(packet::decrypt(&keys, &payload).is_none_or(|message| message.len() < length));
        }
    }
}

#[test]
fn a_message_is_taken_for_the_answer_to_its_question_alone() {
    assert_eq!(
        packet::request(dcmi::NETFN, 5, dcmi::COMMAND, &dcmi::REQUEST),
        [0x20, 0xb0, 0x30, 0x81, 0x14, 0x02, 0xdc, 0x01, 0x00, 0x00, 0x8c]
    );
    let right = [0x81, 0xb4, 0xcb, 0x20, 0x14, 0x02, 0xc1, 0x09];
    assert_eq!(packet::answer(0x2c, 5, 2, &right), Some(&[0xc1][..]));
    assert_eq!(packet::answer(0x2c, 6, 2, &right), None);
    assert_eq!(packet::answer(0x2c, 5, 3, &right), None);
    assert_eq!(packet::answer(0x06, 5, 2, &right), None);
    for at in 0..right.len() {
        let mut wrong = right;
        wrong[at] ^= 4;
        assert_eq!(packet::answer(0x2c, 5, 2, &wrong), None, "{at}");
        assert_eq!(packet::answer(0x2c, 5, 2, &right[..at]), None, "{at}");
    }
    // Without a completion code.
    assert_eq!(packet::answer(0x2c, 5, 2, &[0x81, 0xb4, 0xcb, 0x20, 0x14, 0x02, 0xca]), None);
}

fn console(suite: CipherSuite) -> Console<'static> {
    Console {
        suite,
        tag: 0x42,
        id: 0x1122_3344,
        random: [0xa5; 16],
        privilege: 2,
        username: b"monitor",
        password: b"hunter2",
        key: b"hunter2",
    }
}

/// The BMC's part of an opening that goes well.
fn opening(console: &Console) -> [Vec<u8>; 3] {
    let suite = console.suite;
    let id = console.id.to_le_bytes();
    let managed = 0x0200_0001u32.to_le_bytes();
    let (random, guid) = ([0x5a; 16], [0x77; 16]);
    let role = [&[0x12, 7], console.username].concat();
    let parts: [&[u8]; 6] = [&id, &managed, &console.random, &random, &guid, &role];
    let proof = suite.hash(console.password, &parts);
    let secret = suite.hash(console.key, &[&console.random, &random, &role]);
    let check = suite.hash(&secret, &[&console.random, &managed, &guid]);
    let head = [console.tag, 0, 0, 0];
    let wanted = packet::unwrap(rakp::OPEN, &console.open()).unwrap()[8..].to_vec();
    [
        [&head[..], &id, &managed, &wanted].concat(),
        [&head[..], &id, &random, &guid, &proof].concat(),
        [&head[..], &id, &check[..suite.code_length()]].concat(),
    ]
}

#[test]
fn an_opening_that_is_cut_or_changed_anywhere_fails() {
    for suite in SUITES {
        let console = console(suite);
        let [opened, second, fourth] = opening(&console);
        let id = console.opened(&opened).unwrap();
        assert_eq!(id, 0x0200_0001);
        let managed = console.second(id, &second).unwrap();
        assert_eq!(managed.random, [0x5a; 16]);
        assert!(console.fourth(&managed, &fourth).is_ok());
        for (which, payload) in [&opened, &second, &fourth].into_iter().enumerate() {
            let accepted = |payload: &[u8]| match which {
                0 => console.opened(payload).is_ok_and(|found| found == id),
                1 => console.second(id, payload).is_ok(),
                _ => console.fourth(&managed, payload).is_ok(),
            };
            for cut in 0..payload.len() {
                assert!(!accepted(&payload[..cut]), "{which} cut at {cut}");
            }
            for at in 0..payload.len() {
                let mut wrong = payload.clone();
                wrong[at] ^= 0x01;
                // Reserved bytes and the privilege that is granted mean nothing to us, nor the kinds and
                // lengths beside the algorithms.
                let meant = match which {
                    0 => [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 16, 24, 32].contains(&at),
                    _ => ![2, 3].contains(&at),
                };
                assert_eq!(accepted(&wrong), !meant, "{which} changed at {at}");
            }
        }
    }
}

#[test]
fn refusals_are_told_apart() {
    let console = console(CipherSuite::Seventeen);
    // As OpenIPMI ends them, and as the specification does.
    for rest in [&[][..], &[0, 0, 0x44, 0x33, 0x22, 0x11]] {
        let said = |status| [&[0x42, status][..], rest].concat();
        for status in [0x04, 0x05, 0x06, 0x07, 0x10, 0x11] {
            assert_eq!(console.opened(&said(status)), Err(Amiss::Suite));
        }
        assert_eq!(console.opened(&said(0x01)), Err(Amiss::Status(0x01)));
        assert_eq!(console.second(1, &said(0x0d)), Err(Amiss::Status(0x0d)));
    }
    // A BMC that takes another suite than the one it was asked for.
    let [mut opened, ..] = opening(&console);
    opened[16] = 1;
    assert_eq!(console.opened(&opened), Err(Amiss::Suite));
    // Or no session at all.
    let [mut opened, ..] = opening(&console);
    opened[8..12].fill(0);
    assert_eq!(console.opened(&opened), Err(Amiss::Stranger));
    let managed = Managed {
        id: 1,
        random: [0; 16],
        guid: [0; 16],
    };
    let proof = [&[0x42, 0, 0, 0, 0x44, 0x33, 0x22, 0x11][..], &[0; 16]].concat();
    assert_eq!(console.fourth(&managed, &proof).err(), Some(Amiss::Proof));
}

#[test]
fn a_plain_packet_is_what_it_says() {
    let packet = packet::plain(rakp::OPENED, b"payload");
    assert_eq!(packet::unwrap(rakp::OPENED, &packet), Some(&b"payload"[..]));
    assert_eq!(packet::unwrap(rakp::SECOND, &packet), None);
    for cut in 0..packet.len() {
        assert_eq!(packet::unwrap(rakp::OPENED, &packet[..cut]), None);
    }
    let longer = [&packet[..], b"more"].concat();
    assert_eq!(packet::unwrap(rakp::OPENED, &longer), Some(&b"payload"[..]));
    let huge = packet::plain(rakp::OPENED, &[0; packet::LARGEST]);
    assert_eq!(packet::unwrap(rakp::OPENED, &huge), None);
}

/// Gives its answers one after another, and counts them.
struct Script(Vec<Vec<u8>>, Arc<AtomicUsize>);

impl Link for Script {
    fn ask(&mut self) -> Result<Vec<u8>, Trouble> {
        let turn = self.1.fetch_add(1, Ordering::Relaxed);
        Ok(self.0[turn].clone())
    }
}

#[test]
fn a_bmc_that_nobody_named_is_left_alone_until_it_has_measured() {
    let inactive = with(18, 0);
    let asked = Arc::<AtomicUsize>::default();
    let answers = vec![inactive.clone(), ANSWER.to_vec(), inactive, vec![0xc1], ANSWER.to_vec()];
    let link = Script(answers, Arc::clone(&asked));
    let mut bmc = Bmc::new("ipmi", "/dev/ipmi0".into(), Box::new(link), &Config::default(), false);
    for _ in 0..30 {
        let readings = bmc.read();
        assert!(readings.good.is_empty() && readings.bad.is_empty());
        assert_eq!(bmc.silence(), Some("its power measurement is not active"));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // Once it has measured it is missed when it does not, and asked at each turn.
    let told: Vec<_> = (0..4).map(|_| bmc.read()).map(|r| (r.good.len(), r.bad.len())).collect();
    assert_eq!(told, [(1, 0), (0, 1), (0, 1), (1, 0)]);
}
