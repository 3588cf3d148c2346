//! Basic authentication: who may ask, without letting guessers have the processor.

use super::webconfig::Hash;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::crypto::ring;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;

/// Most checks that one peer may have waiting: enough for a pair of scrapers behind one address.
const PER_PEER: usize = 4;
/// Most checks waiting at all.
const WAITING: usize = 64;
/// Most remembered proofs. There is one a user, and more only for passwords beyond bcrypt's 72 bytes.
const REMEMBERED: usize = 256;
/// Longest `Authorization` value that is looked at, in bytes.
const MAX_CREDENTIALS: usize = 4096;

/// The standard alphabet, padding optional (RFC 4648 section 4).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What came of looking at a request's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are right, or none are needed.
    Welcome,
    /// They are missing or wrong.
    Refused,
    /// Too many checks are waiting; ask again in a second.
    Later,
}

/// The users in force, and which credentials have been proved since.
pub struct Users {
    hashes: BTreeMap<String, Hash>,
    salt: [u8; 32],
    proved: Mutex<HashSet<Digest>>,
}

type Digest = [u8; 32];

impl Users {
    /// The users with their bcrypt hashes; nobody is asked for anything if there are none.
    #[must_use]
    pub fn new(hashes: BTreeMap<String, Hash>) -> Self {
        let mut salt = [0; 32];
        // Without randomness the salt is zero: what is remembered stays a SHA-256 in memory.
        let _ = ring::default_provider().secure_random.fill(&mut salt);
        Self {
            hashes,
            salt,
            proved: Mutex::default(),
        }
    }

    /// Whether credentials are asked for.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.hashes.is_empty()
    }

    /// Whether these are the same users with the same hashes.
    #[must_use]
    pub fn same(&self, hashes: &BTreeMap<String, Hash>) -> bool {
        self.hashes == *hashes
    }

    fn proved(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.proved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A salted SHA-256 of the credentials: neither they nor a plain hash of them stay in memory.
    fn digest(&self, user: &str, password: &str) -> Option<Digest> {
        let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let mut hash = suite.tls13()?.common.hash_provider.start();
        hash.update(&self.salt);
        hash.update(&(user.len() as u64).to_be_bytes());
        hash.update(user.as_bytes());
        hash.update(password.as_bytes());
        hash.finish().as_ref().try_into().ok()
    }

    fn remember(&self, digest: Digest) {
        let mut proved = self.proved();
        if proved.len() >= REMEMBERED {
            proved.clear();
        }
        proved.insert(digest);
    }

    /// What an unknown user is compared with, so that the answer takes as long as for a known one:
    /// the dearest hash there is.
    fn stranger(&self) -> Option<&Hash> {
        self.hashes.values().max_by_key(|hash| hash.cost())
    }

    /// One bcrypt, whether or not the user exists.
    fn check(&self, user: &str, password: &str) -> bool {
        let known = self.hashes.get(user);
        let Some(hash) = known.or_else(|| self.stranger()) else {
            return false;
        };
        let right = bcrypt::verify(password, hash.text()).unwrap_or(false);
        right && known.is_some()
    }
}

/// The queue of checks: one at a time, and after a failure as long a pause as it took, so that
/// guessing costs at most half of one core.
#[derive(Clone)]
pub struct Desk {
    turn: Arc<Semaphore>,
    waiting: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arc::default(),
        }
    }
}

/// A place in the queue, given back when dropped.
struct Place {
    waiting: Arc<Mutex<HashMap<IpAddr, usize>>>,
    peer: IpAddr,
}

impl Place {
    fn take(waiting: &Arc<Mutex<HashMap<IpAddr, usize>>>, peer: IpAddr) -> Option<Self> {
        let mut places = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let own = places.get(&peer).copied().unwrap_or(0);
        if own >= PER_PEER || places.values().sum::<usize>() >= WAITING {
            return None;
        }
        places.insert(peer, own + 1);
        Some(Self {
            waiting: Arc::clone(waiting),
            peer,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match places.get_mut(&self.peer) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(places.remove(&self.peer)),
        }
    }
}

impl Desk {
    /// Looks at the `Authorization` header of a request of `peer`.
    pub async fn admit(&self, users: &Arc<Users>, header: Option<&[u8]>, peer: IpAddr) -> Verdict {
        if !users.any() {
            return Verdict::Welcome;
        }
        let Some((user, password)) = header.and_then(credentials) else {
            return Verdict::Refused;
        };
        let digest = users.digest(&user, &password);
        if digest.is_some_and(|digest| users.proved().contains(&digest)) {
            return Verdict::Welcome;
        }
        let Some(place) = Place::take(&self.waiting, peer) else {
            return Verdict::Later;
        };
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else {
            return Verdict::Later;
        };
        // While this one waited, the same credentials may have been proved.
        if digest.is_some_and(|digest| users.proved().contains(&digest)) {
            return Verdict::Welcome;
        }
        let checked = Arc::clone(users);
        let (sent, answer) = tokio::sync::oneshot::channel();
        // Not awaited here: a client that hangs up must not end the check's turn before the check.
        tokio::spawn(async move {
            let begun = Instant::now();
            let check = move || checked.check(&user, &password);
            let right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
            let _ = sent.send(right);
            if !right {
                tokio::time::sleep(begun.elapsed()).await;
            }
            drop((turn, place));
        });
        if !answer.await.unwrap_or(false) {
            tracing::debug!(%peer, "wrong user or password");
            return Verdict::Refused;
        }
        if let Some(digest) = digest {
            users.remember(digest);
        }
        Verdict::Welcome
    }
}

/// User and password of an `Authorization: Basic` value. Source: RFC 7617.
#[must_use]
pub fn credentials(header: &[u8]) -> Option<(String, String)> {
    if header.len() > MAX_CREDENTIALS {
        return None;
    }
    let header = std::str::from_utf8(header).ok()?;
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64.decode(encoded.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(bytes: &[u8]) -> String {
        BASE64.encode(bytes)
    }

    #[test]
    fn known_credentials() {
        // RFC 7617 section 2.
        let header = b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        let expected = Some(("Aladdin".to_owned(), "open sesame".to_owned()));
        assert_eq!(credentials(header), expected);
        assert_eq!(credentials(b"basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ "), expected);
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Basic !!",
            "Basic QQ===",
            "Bearer QWxhZGRpbjo=",
            "Basic QWxh",
        ] {
            assert_eq!(credentials(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(credentials(&[b'a'; MAX_CREDENTIALS + 1]), None);
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_comes_back(user in "[^:]{0,20}", password in any::<String>()) {
            let header = format!("Basic {}", encode(format!("{user}:{password}").as_bytes()));
            prop_assert_eq!(credentials(header.as_bytes()), Some((user, password)));
        }

        #[test]
        fn anything_is_survived(header in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = credentials(&header);
        }
    }

    fn users() -> Arc<Users> {
        let hash = bcrypt::hash("secret", 4).unwrap();
        Arc::new(Users::new(
            [("anna".to_owned(), Hash::try_from(hash).unwrap())].into(),
        ))
    }

    fn header(user: &str, password: &str) -> Vec<u8> {
        format!("Basic {}", encode(format!("{user}:{password}").as_bytes())).into_bytes()
    }

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn right_wrong_unknown_and_none() {
        let (desk, users) = (Desk::default(), users());
        let cases = [
            (Some(header("anna", "secret")), Verdict::Welcome),
            (Some(header("anna", "Secret")), Verdict::Refused),
            (Some(header("bert", "secret")), Verdict::Refused),
            (Some(header("", "")), Verdict::Refused),
            (None, Verdict::Refused),
        ];
        for (header, expected) in cases {
            assert_eq!(
                desk.admit(&users, header.as_deref(), PEER).await,
                expected,
                "{header:?}"
            );
        }
        let nobody = Arc::new(Users::new(BTreeMap::new()));
        assert_eq!(desk.admit(&nobody, None, PEER).await, Verdict::Welcome);
        assert_eq!(users.proved().len(), 1, "only what was right is remembered");
    }

    #[tokio::test]
    async fn a_proved_user_never_queues_behind_guessers() {
        let (desk, users) = (Desk::default(), users());
        let right = header("anna", "secret");
        assert_eq!(
            desk.admit(&users, Some(&right), PEER).await,
            Verdict::Welcome
        );
        let _held = Arc::clone(&desk.turn).try_acquire_owned().unwrap();
        assert_eq!(
            desk.admit(&users, Some(&right), PEER).await,
            Verdict::Welcome
        );
    }

    #[tokio::test]
    async fn one_peer_cannot_fill_the_queue() {
        let (desk, users) = (Desk::default(), users());
        let _held: Vec<_> = (0..PER_PEER)
            .map(|_| Place::take(&desk.waiting, PEER).unwrap())
            .collect();
        let guess = header("anna", "guess");
        assert_eq!(desk.admit(&users, Some(&guess), PEER).await, Verdict::Later);
        let other = "10.0.0.9".parse().unwrap();
        assert_eq!(
            desk.admit(&users, Some(&guess), other).await,
            Verdict::Refused
        );
    }

    #[test]
    fn the_stranger_costs_what_the_dearest_user_costs() {
        let hash = |cost| Hash::try_from(bcrypt::hash("x", cost).unwrap()).unwrap();
        let users = Users::new([("a".to_owned(), hash(4)), ("b".to_owned(), hash(5))].into());
        assert_eq!(users.stranger().unwrap().cost(), 5);
        assert!(
            !users.check("nobody", "x"),
            "even with the password of the hash compared with"
        );
    }
}
