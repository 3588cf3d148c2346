//! The two cipher suites that are spoken: their keyed hashes and their cipher, from the RustCrypto crates.

use super::config::CipherSuite;
use aes::Aes128;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

/// Bytes of a block of AES, of its key, and of what a packet begins its cipher with.
pub(super) const BLOCK: usize = 16;

/// Bytes of the constants that session keys are made of (IPMI v2.0, 13.32), whichever the hash.
const CONSTANT: usize = 20;

/// Longest key of a hash: a block of it.
const KEY: usize = 64;

impl CipherSuite {
    /// Numbers of its algorithms: authentication, integrity, confidentiality (IPMI v2.0, tables 13-17 to
    /// 13-19).
    pub(super) fn algorithms(self) -> [u8; 3] {
        match self {
            Self::Three => [0x01, 0x01, 0x01],
            Self::Seventeen => [0x03, 0x04, 0x01],
        }
    }

    /// Bytes of the code at the end of a packet, and of RAKP message 4: the hash cut to 96 or 128 bits.
    pub(super) fn code_length(self) -> usize {
        match self {
            Self::Three => 12,
            Self::Seventeen => 16,
        }
    }

    /// The keyed hash of `parts` one after another. A key is at most [`KEY`] bytes; ours are at most 32.
    pub(super) fn hash(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Three => fed::<Hmac<Sha1>>(&padded(key).into(), parts)
                .finalize()
                .into_bytes()
                .to_vec(),
            Self::Seventeen => fed::<Hmac<Sha256>>(&padded(key).into(), parts)
                .finalize()
                .into_bytes()
                .to_vec(),
        }
    }

    /// Whether `code` is that hash, or the first of its bytes. Takes as long whatever differs.
    pub(super) fn agrees(self, key: &[u8], parts: &[&[u8]], code: &[u8]) -> bool {
        let checked = match self {
            Self::Three => {
                fed::<Hmac<Sha1>>(&padded(key).into(), parts).verify_truncated_left(code)
            }
            Self::Seventeen => {
                fed::<Hmac<Sha256>>(&padded(key).into(), parts).verify_truncated_left(code)
            }
        };
        checked.is_ok()
    }
}

/// A key as the hash takes it in the end: with zeros up to a block, so that no length is wrong.
fn padded(key: &[u8]) -> [u8; KEY] {
    let mut whole = [0; KEY];
    whole.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    whole
}

fn fed<M: Mac + KeyInit>(key: &hmac::digest::Key<M>, parts: &[&[u8]]) -> M {
    let mut mac = <M as KeyInit>::new(key);
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// The keys of a session.
#[derive(Clone)]
pub struct Keys {
    pub(super) suite: CipherSuite,
    /// The session's own key (SIK), which the last message of the opening is checked with.
    pub(super) session: Vec<u8>,
    /// For the codes of packets (K1).
    pub(super) integrity: Vec<u8>,
    /// For the cipher (K2, its beginning).
    cipher: [u8; BLOCK],
}

impl Keys {
    /// All keys from the session's own.
    pub(super) fn new(suite: CipherSuite, session: Vec<u8>) -> Self {
        let integrity = suite.hash(&session, &[&[1; CONSTANT]]);
        let second = suite.hash(&session, &[&[2; CONSTANT]]);
        let mut cipher = [0; BLOCK];
        cipher.iter_mut().zip(&second).for_each(|(to, from)| *to = *from);
        Self {
            suite,
            session,
            integrity,
            cipher,
        }
    }

    /// Encrypts whole blocks.
    pub(super) fn encrypt(&self, iv: [u8; BLOCK], blocks: &mut [u8]) -> bool {
        let cipher = cbc::Encryptor::<Aes128>::new(&self.cipher.into(), &iv.into());
        let length = blocks.len();
        cipher.encrypt_padded::<NoPadding>(blocks, length).is_ok()
    }

    /// Decrypts whole blocks; false for what is none.
    pub(super) fn decrypt(&self, iv: [u8; BLOCK], blocks: &mut [u8]) -> bool {
        let cipher = cbc::Decryptor::<Aes128>::new(&self.cipher.into(), &iv.into());
        cipher.decrypt_padded::<NoPadding>(blocks).is_ok()
    }
}
