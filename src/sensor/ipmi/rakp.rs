//! How a session is opened: each side proves to the other that it knows the account's password (IPMI v2.0,
//! 13.17 to 13.24 and 13.31).

use super::config::CipherSuite;
use super::crypto::Keys;
use super::packet;

/// Kinds of the payloads.
pub(super) const OPEN: u8 = 0x10;
pub(super) const OPENED: u8 = 0x11;
pub(super) const FIRST: u8 = 0x12;
pub(super) const SECOND: u8 = 0x13;
pub(super) const THIRD: u8 = 0x14;
pub(super) const FOURTH: u8 = 0x15;

/// Beside the privilege: the account is looked up by its name alone.
const BY_NAME: u8 = 0x10;

/// Our side.
pub(super) struct Console<'a> {
    pub(super) suite: CipherSuite,
    /// Comes back with each answer.
    pub(super) tag: u8,
    /// What the BMC calls us, not 0.
    pub(super) id: u32,
    pub(super) random: [u8; 16],
    pub(super) privilege: u8,
    pub(super) username: &'a [u8],
    pub(super) password: &'a [u8],
    /// The BMC's own key; the password where it has none.
    pub(super) key: &'a [u8],
}

/// The BMC's side.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Managed {
    pub(super) id: u32,
    pub(super) random: [u8; 16],
    pub(super) guid: [u8; 16],
}

/// What is not the answer that it should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Amiss {
    /// It is for somebody else, or none at all: the right one may still come.
    Stranger,
    /// The BMC says no.
    Status(u8),
    /// It does not know the password that we know.
    Proof,
    /// It wants other algorithms.
    Suite,
}

impl Console<'_> {
    /// Asks for a session with the algorithms of our suite.
    pub(super) fn open(&self) -> Vec<u8> {
        // Privilege 0: the highest that the algorithms allow. RAKP message 1 says which.
        let mut payload = vec![self.tag, 0, 0, 0];
        payload.extend(self.id.to_le_bytes());
        payload.extend(self.wanted());
        packet::plain(OPEN, &payload)
    }

    /// Three algorithms, each after its kind and length.
    fn wanted(&self) -> Vec<u8> {
        let algorithms = (0..).zip(self.suite.algorithms());
        algorithms
            .flat_map(|(kind, algorithm)| [kind, 0, 0, 8, algorithm, 0, 0, 0])
            .collect()
    }

    /// What the BMC calls itself.
    pub(super) fn opened(&self, payload: &[u8]) -> Result<u32, Amiss> {
        let rest = match self.addressed(payload) {
            Err(Amiss::Status(0x04..=0x07 | 0x10 | 0x11)) => return Err(Amiss::Suite),
            rest => rest?,
        };
        let (id, rest) = rest.split_first_chunk().ok_or(Amiss::Stranger)?;
        let chosen = rest.get(..24).ok_or(Amiss::Stranger)?;
        let algorithms = [4, 12, 20].map(|at| chosen[at] & 0x3f);
        match u32::from_le_bytes(*id) {
            0 => Err(Amiss::Stranger),
            _ if algorithms != self.suite.algorithms() => Err(Amiss::Suite),
            id => Ok(id),
        }
    }

    /// RAKP message 1: who we are.
    pub(super) fn first(&self, managed: u32) -> Vec<u8> {
        let mut payload = vec![self.tag, 0, 0, 0];
        payload.extend(managed.to_le_bytes());
        payload.extend(self.random);
        payload.extend([self.role()[0], 0, 0]);
        payload.extend(&self.role()[1..]);
        packet::plain(FIRST, &payload)
    }

    /// Privilege, length of the name, and the name, as they are hashed.
    fn role(&self) -> Vec<u8> {
        let length = u8::try_from(self.username.len()).unwrap_or(u8::MAX);
        let mut role = vec![BY_NAME | self.privilege, length];
        role.extend(self.username);
        role
    }

    /// RAKP message 2: who the BMC is, and its proof.
    pub(super) fn second(&self, id: u32, payload: &[u8]) -> Result<Managed, Amiss> {
        let rest = self.addressed(payload)?;
        let (random, rest) = rest.split_first_chunk().ok_or(Amiss::Stranger)?;
        let (guid, proof) = rest.split_first_chunk().ok_or(Amiss::Stranger)?;
        let managed = Managed {
            id,
            random: *random,
            guid: *guid,
        };
        let (console, bmc) = (self.id.to_le_bytes(), id.to_le_bytes());
        let parts: [&[u8]; 6] = [&console, &bmc, &self.random, random, guid, &self.role()];
        let whole = proof.len() == self.suite.hash(&[], &[]).len();
        if whole && self.suite.agrees(self.password, &parts, proof) {
            Ok(managed)
        } else {
            Err(Amiss::Proof)
        }
    }

    /// RAKP message 3: our proof.
    pub(super) fn third(&self, managed: &Managed) -> Vec<u8> {
        let mut payload = vec![self.tag, 0, 0, 0];
        payload.extend(managed.id.to_le_bytes());
        let console = self.id.to_le_bytes();
        let parts: [&[u8]; 3] = [&managed.random, &console, &self.role()];
        payload.extend(self.suite.hash(self.password, &parts));
        packet::plain(THIRD, &payload)
    }

    /// RAKP message 4: the BMC has the session's keys too.
    pub(super) fn fourth(&self, managed: &Managed, payload: &[u8]) -> Result<Keys, Amiss> {
        let proof = self.addressed(payload)?;
        let secret = self
            .suite
            .hash(self.key, &[&self.random, &managed.random, &self.role()]);
        let keys = Keys::new(self.suite, secret);
        let id = managed.id.to_le_bytes();
        let parts: [&[u8]; 3] = [&self.random, &id, &managed.guid];
        let whole = proof.len() == self.suite.code_length();
        if whole && self.suite.agrees(&keys.session, &parts, proof) {
            Ok(keys)
        } else {
            Err(Amiss::Proof)
        }
    }

    /// What follows the head of an answer that is ours and says yes.
    fn addressed<'p>(&self, payload: &'p [u8]) -> Result<&'p [u8], Amiss> {
        // A refusal may end after its status, as OpenIPMI's does.
        let rest = match payload {
            [tag, ..] if *tag != self.tag => return Err(Amiss::Stranger),
            [_, 0, _, _, rest @ ..] => rest,
            [_, 0, ..] | [_] | [] => return Err(Amiss::Stranger),
            [_, status, ..] => return Err(Amiss::Status(*status)),
        };
        let (id, rest) = rest.split_first_chunk().ok_or(Amiss::Stranger)?;
        if u32::from_le_bytes(*id) == self.id {
            Ok(rest)
        } else {
            Err(Amiss::Stranger)
        }
    }
}
