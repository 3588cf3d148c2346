//! A BMC on a port of its own: the far side of RMCP+ (IPMI v2.0, chapter 13), written from the specification and
//! not from our client. ipmitool talks to it too, which shows that it is one.

use aes::Aes128;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// Kinds of payload.
pub const MESSAGE: u8 = 0x00;
pub const OPENED: u8 = 0x11;
pub const RAKP2: u8 = 0x13;
pub const RAKP4: u8 = 0x15;

/// Watts, and the answer that says so.
pub fn reading(watts: u16) -> Vec<u8> {
    let [low, high] = watts.to_le_bytes();
    let mut answer = vec![0x00, 0xdc, low, high, 1, 0, 0xff, 3, low, high];
    answer.extend([0x10, 0x20, 0x30, 0x40, 0xe8, 0x03, 0, 0, 0x40]);
    answer
}

/// What becomes of a packet of this kind on its way out: none, one, or many.
pub type Twist = Box<dyn FnMut(u8, Vec<u8>) -> Vec<Vec<u8>> + Send>;

/// What the BMC is, and what it has seen.
pub struct State {
    pub suites: Vec<u8>,
    /// Whether a suite that it does not know is met with silence.
    pub is_mute: bool,
    pub username: String,
    pub password: String,
    pub key: Option<[u8; 20]>,
    /// The highest privilege of the account.
    pub privilege: u8,
    /// To Get Power Reading, from the completion code on.
    pub answer: Vec<u8>,
    pub twist: Option<Twist>,
    pub opens: u32,
    pub names: u32,
    pub proofs: u32,
    pub readings: u32,
    pub privileges: Vec<u8>,
    pub closes: u32,
    /// What a client has done that it must not.
    pub violations: Vec<String>,
    session: Session,
}

#[derive(Clone, Default)]
struct Session {
    suite: u8,
    console: u32,
    managed: u32,
    theirs: Vec<u8>,
    ours: [u8; 16],
    /// Privilege, length of the name, name.
    role: Vec<u8>,
    secret: Vec<u8>,
    heard: u32,
    sent: u32,
    is_open: bool,
}

pub struct Bmc {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Bmc {
    pub fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            suites: vec![3, 17],
            is_mute: false,
            username: "monitor".into(),
            password: "hunter2".into(),
            key: None,
            privilege: 4,
            answer: reading(321),
            twist: None,
            opens: 0,
            names: 0,
            proofs: 0,
            readings: 0,
            privileges: Vec::new(),
            closes: 0,
            violations: Vec::new(),
            session: Session::default(),
        }));
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || serve(&socket, &shared));
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// As after a restart: no session is known.
    pub fn forget(&self) {
        self.state().session = Session::default();
    }
}

impl Drop for Bmc {
    fn drop(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = socket.send_to(b"end", self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn serve(socket: &UdpSocket, state: &Mutex<State>) {
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        if &buffer[..length] == b"end" {
            return;
        }
        let mut state = state.lock().unwrap();
        let Some((kind, packet)) = state.answer(&buffer[..length]) else {
            continue;
        };
        let packets = match &mut state.twist {
            Some(twist) => twist(kind, packet),
            None => vec![packet],
        };
        for packet in packets {
            let _ = socket.send_to(&packet, from);
        }
    }
}

fn hash(suite: u8, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let whole = parts.concat();
    if suite == 17 {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(&whole);
        mac.finalize().into_bytes().to_vec()
    } else {
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key).unwrap();
        mac.update(&whole);
        mac.finalize().into_bytes().to_vec()
    }
}

fn code_length(suite: u8) -> usize {
    if suite == 17 { 16 } else { 12 }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
}

fn plain(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![6, 0, 0xff, 7, 6, kind, 0, 0, 0, 0, 0, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).unwrap().to_le_bytes());
    packet.extend(payload);
    packet
}

fn negated_sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

impl State {
    fn answer(&mut self, packet: &[u8]) -> Option<(u8, Vec<u8>)> {
        if packet[..4] != [6, 0, 0xff, 7] {
            self.violations.push(format!("no RMCP: {packet:02x?}"));
            return None;
        }
        if packet[4] == 0 {
            return self.before(packet).map(|packet| (MESSAGE, packet));
        }
        let length = usize::from(u16::from_le_bytes([packet[14], packet[15]]));
        match packet[5] {
            0x10 => self.open(&packet[16..16 + length]).map(|p| (OPENED, p)),
            0x12 => Some((RAKP2, self.second(&packet[16..16 + length]))),
            0x14 => Some((RAKP4, self.fourth(&packet[16..16 + length]))),
            0xc0 => self.sealed(packet, length).map(|p| (MESSAGE, p)),
            kind => {
                self.violations.push(format!("payload {kind:#x}"));
                None
            }
        }
    }

    /// Get Channel Authentication Capabilities in the format of v1.5, which ipmitool asks first.
    fn before(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let message = &packet[14..];
        if message[5] != 0x38 {
            self.violations
                .push(format!("before a session: {message:02x?}"));
            return None;
        }
        let body = [0, 1, 0x80, 0x04, 0x02, 0, 0, 0, 0];
        let answer = Self::message(message, &body);
        let mut packet = vec![6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        packet.push(u8::try_from(answer.len()).unwrap());
        packet.extend(answer);
        Some(packet)
    }

    fn open(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        self.opens += 1;
        assert_eq!(payload.len(), 32);
        let algorithms = [12, 20, 28].map(|at| payload[at]);
        let suite = match algorithms {
            [1, 1, 1] => 3,
            [3, 4, 1] => 17,
            _ => 0,
        };
        if !self.suites.contains(&suite) {
            let refusal = plain(
                OPENED,
                &[&[payload[0], 0x04, 0, 0], &payload[4..8]].concat(),
            );
            return (!self.is_mute).then_some(refusal);
        }
        self.session = Session {
            suite,
            console: number(&payload[4..]),
            managed: 0x0200_0000 + self.opens,
            ours: [0x5a; 16],
            ..Session::default()
        };
        let mut answer = vec![payload[0], 0, 4, 0];
        answer.extend(&payload[4..8]);
        answer.extend(self.session.managed.to_le_bytes());
        answer.extend(&payload[8..]);
        Some(plain(OPENED, &answer))
    }

    fn guid() -> [u8; 16] {
        *b"a BMC of our own"
    }

    fn second(&mut self, payload: &[u8]) -> Vec<u8> {
        self.names += 1;
        let session = &mut self.session;
        let console = session.console.to_le_bytes();
        let refusal = |status| plain(RAKP2, &[&[payload[0], status, 0, 0][..], &console].concat());
        if number(&payload[4..]) != session.managed {
            return refusal(0x02);
        }
        session.theirs = payload[8..24].to_vec();
        session.role = [&[payload[24]], &payload[27..]].concat();
        if payload[28..] != *self.username.as_bytes() {
            return refusal(0x0d);
        }
        if payload[24] & 0x0f > self.privilege {
            return refusal(0x0a);
        }
        let proof = hash(
            session.suite,
            self.password.as_bytes(),
            &[
                &console,
                &session.managed.to_le_bytes(),
                &session.theirs,
                &session.ours,
                &Self::guid(),
                &session.role,
            ],
        );
        let head = [payload[0], 0, 0, 0];
        plain(
            RAKP2,
            &[&head[..], &console, &session.ours, &Self::guid(), &proof].concat(),
        )
    }

    fn fourth(&mut self, payload: &[u8]) -> Vec<u8> {
        self.proofs += 1;
        let session = &mut self.session;
        let console = session.console.to_le_bytes();
        let refusal = |status| plain(RAKP4, &[&[payload[0], status, 0, 0][..], &console].concat());
        if number(&payload[4..]) != session.managed {
            return refusal(0x02);
        }
        let password = self.password.as_bytes();
        let proof = hash(
            session.suite,
            password,
            &[&session.ours, &console, &session.role],
        );
        if payload[1] != 0 || payload[8..] != proof[..] {
            return refusal(0x0f);
        }
        let key = self.key.as_ref().map_or(password, |key| &key[..]);
        session.secret = hash(
            session.suite,
            key,
            &[&session.theirs, &session.ours, &session.role],
        );
        let check = hash(
            session.suite,
            &session.secret,
            &[
                &session.theirs,
                &session.managed.to_le_bytes(),
                &Self::guid(),
            ],
        );
        session.is_open = true;
        let head = [payload[0], 0, 0, 0];
        let check = &check[..code_length(session.suite)];
        plain(RAKP4, &[&head[..], &console, check].concat())
    }

    /// A packet in the session; one of a session that is not known is met with silence.
    fn sealed(&mut self, packet: &[u8], length: usize) -> Option<Vec<u8>> {
        let session = self.session.clone();
        if !session.is_open || number(&packet[6..]) != session.managed {
            return None;
        }
        let message = match self.unsealed(packet, length) {
            Ok(message) => message,
            Err(why) => {
                self.violations.push(why.to_owned());
                return None;
            }
        };
        let body = self.command(&message);
        let answer = Self::message(&message, &body);
        self.session.sent += 1;
        Some(seal(&session, self.session.sent, &answer))
    }

    fn unsealed(&mut self, packet: &[u8], length: usize) -> Result<Vec<u8>, &'static str> {
        let session = &mut self.session;
        let (signed, code) = packet.split_at(packet.len() - code_length(session.suite));
        let right = hash(session.suite, &derived(session, 1), &[&signed[4..]]);
        if right[..code.len()] != *code {
            return Err("wrong code");
        }
        let sequence = number(&packet[10..]);
        if sequence <= session.heard {
            return Err("sequence number used twice");
        }
        session.heard = sequence;
        let trailer = &signed[16 + length..];
        let padding = usize::from(trailer[trailer.len() - 2]);
        let right = [vec![0xff; padding], vec![trailer[trailer.len() - 2], 7]].concat();
        if trailer != right || (signed.len() - 4) % 4 != 0 {
            return Err("wrong trailer");
        }
        let mut blocks = packet[32..16 + length].to_vec();
        let key: [u8; 16] = derived(session, 2)[..16].try_into().unwrap();
        let iv: [u8; 16] = packet[16..32].try_into().unwrap();
        let cipher = cbc::Decryptor::<Aes128>::new(&key.into(), &iv.into());
        cipher.decrypt_padded::<NoPadding>(&mut blocks).unwrap();
        let padding = usize::from(blocks.pop().unwrap());
        let rest = blocks.split_off(blocks.len() - padding);
        if padding > 15 || !rest.iter().copied().eq((1..).take(padding)) {
            return Err("wrong padding");
        }
        let sums = [&blocks[..3], &blocks[3..]].map(negated_sum);
        if sums != [0, 0] || blocks[0] != 0x20 || blocks[3] != 0x81 {
            return Err("wrong message");
        }
        Ok(blocks)
    }

    fn command(&mut self, message: &[u8]) -> Vec<u8> {
        let data = &message[6..message.len() - 1];
        match (message[1] >> 2, message[5]) {
            (0x2c, 0x02) if data == [0xdc, 1, 0, 0] => {
                self.readings += 1;
                self.answer.clone()
            }
            (0x06, 0x3b) => {
                self.privileges.push(data[0]);
                vec![0, data[0]]
            }
            (0x06, 0x3c) => {
                self.closes += 1;
                self.session.is_open = data != self.session.managed.to_le_bytes();
                vec![0]
            }
            _ => vec![0xc1],
        }
    }

    /// The answer to a message.
    fn message(asked: &[u8], body: &[u8]) -> Vec<u8> {
        let mut answer = vec![asked[3], asked[1] | 4];
        answer.push(negated_sum(&answer));
        let tail = [&[0x20, asked[4], asked[5]], body].concat();
        answer.extend(&tail);
        answer.push(negated_sum(&tail));
        answer
    }
}

/// K1 or K2.
fn derived(session: &Session, which: u8) -> Vec<u8> {
    hash(session.suite, &session.secret, &[&[which; 20]])
}

fn seal(session: &Session, sequence: u32, message: &[u8]) -> Vec<u8> {
    let padding = 15 - message.len() % 16;
    let mut blocks = message.to_vec();
    blocks.extend((1..).take(padding));
    blocks.push(u8::try_from(padding).unwrap());
    let iv = [0x33; 16];
    let key: [u8; 16] = derived(session, 2)[..16].try_into().unwrap();
    let length = blocks.len();
    let cipher = cbc::Encryptor::<Aes128>::new(&key.into(), &iv.into());
    cipher
        .encrypt_padded::<NoPadding>(&mut blocks, length)
        .unwrap();
    let mut packet = vec![6, 0, 0xff, 7, 6, 0xc0];
    packet.extend(session.console.to_le_bytes());
    packet.extend(sequence.to_le_bytes());
    packet.extend(u16::try_from(16 + length).unwrap().to_le_bytes());
    packet.extend(iv);
    packet.extend(blocks);
    while (packet.len() - 4 + 2) % 4 != 0 {
        packet.push(0xff);
    }
    // Headers, IV and blocks leave two bytes short of a multiple of four.
    packet.extend([2, 7]);
    let code = hash(session.suite, &derived(session, 1), &[&packet[4..]]);
    packet.extend(&code[..code_length(session.suite)]);
    packet
}
