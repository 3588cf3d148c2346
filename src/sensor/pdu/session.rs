//! One PDU asked: secrets from their files, a session that lasts while all goes well, and answers in the
//! order of the questions.

use super::config::{self, Authentication, Entry, Pdu, Privacy, Version};
use super::model::{Question, Told};
use super::trouble::{Terms, Trouble};
use super::wire::{self, Line, Wire};
use crate::secret::{self, Secret};
use async_snmp::client::ResponseShapePolicy;
use async_snmp::{
    Auth, AuthProtocol, Client, ClientBuilder, DecodeConfig, DesSaltState, Error, Oid,
    PersistedDesSaltState, PrivProtocol, Retry, UsmConfig, Value,
};
use serde::Deserialize;
use std::convert::Infallible;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;

/// Objects asked for at once. Small agents have small buffers: 10 fit into 484 bytes, which every agent must
/// take (RFC 3417, 3.2).
const OBJECTS: usize = 10;

/// Who asks, as it stands in the files.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Proof {
    Community(Secret),
    User(User),
}

/// A file of credentials.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    username: String,
    auth_password: Secret,
    privacy_password: Option<Secret>,
}

/// How a PDU is asked.
#[derive(Debug)]
pub(super) struct Manner {
    pub(super) host: String,
    pub(super) version: Version,
    file: PathBuf,
    authentication: Authentication,
    privacy: Privacy,
    timeout: Duration,
    retries: u32,
}

impl Manner {
    /// As the configuration says; `named` replaces the node's name.
    pub(super) fn new(pdu: &Pdu, named: impl Fn(&str) -> String) -> Self {
        let entry: &Entry = pdu.entry();
        let files = [&entry.community_file, &entry.credentials_file];
        let file = files.into_iter().flatten().next();
        let file = file.map_or_else(String::new, |file| file.to_string_lossy().into_owned());
        Self {
            host: named(&entry.host),
            version: entry.version,
            file: named(&file).into(),
            authentication: entry.authentication.unwrap_or_default(),
            privacy: entry.privacy.unwrap_or_default(),
            timeout: pdu.timeout(),
            retries: pdu.retries(),
        }
    }

    /// For people.
    pub(super) fn told(&self) -> &'static str {
        match (self.version, self.privacy) {
            (Version::Two, _) => "SNMP v2c",
            (Version::Three, Privacy::None) => "SNMP v3, signed and not hidden",
            (Version::Three, _) => "SNMP v3",
        }
    }

    fn proof(&self) -> Result<Proof, Trouble> {
        let file: &Path = &self.file;
        let found = match self.version {
            Version::Two => secret::line(file, "a community on one line").map(Proof::Community),
            Version::Three => secret::keys(
                file,
                "the keys username, auth_password and privacy_password",
            )
            .map(Proof::User),
        };
        found.map_err(|error| Trouble::secret(&error))
    }

    pub(super) fn auth(&self, proof: &Proof) -> Result<Auth, Trouble> {
        let user = match proof {
            Proof::Community(community) => {
                return Ok(Auth::v2c(community.reveal().as_bytes().to_vec()));
            }
            Proof::User(user) => user,
        };
        // SnmpAdminString of at most 32 octets (RFC 3414, 5).
        if !(1..=32).contains(&user.username.len()) {
            return Err(Trouble::unfit("username has 1 to 32 characters"));
        }
        let authentication = match self.authentication {
            Authentication::Md5 => AuthProtocol::Md5,
            Authentication::Sha => AuthProtocol::Sha1,
            Authentication::Sha224 => AuthProtocol::Sha224,
            Authentication::Sha256 => AuthProtocol::Sha256,
            Authentication::Sha384 => AuthProtocol::Sha384,
            Authentication::Sha512 => AuthProtocol::Sha512,
        };
        let privacy = match self.privacy {
            Privacy::None => None,
            Privacy::Des => Some(PrivProtocol::Des),
            Privacy::Aes => Some(PrivProtocol::Aes128),
        };
        let config = UsmConfig::new(user.username.clone().into_bytes());
        let signed = user.auth_password.reveal();
        let config = match (privacy, &user.privacy_password) {
            (None, _) => config.auth(authentication, signed),
            (Some(privacy), Some(hidden)) => {
                config.auth_priv(authentication, signed, privacy, hidden.reveal())
            }
            (Some(_), None) => {
                return Err(Trouble::unfit(
                    "privacy_password is missing (or set privacy: none)",
                ));
            }
        };
        // RFC 3414, 11.2; nothing else can be amiss with them.
        let config =
            config.map_err(|_| Trouble::unfit("SNMP v3 passwords have at least 8 characters"))?;
        Ok(config.into())
    }

    /// What makes each request by DES unlike all others under the same key (RFC 3414, 8.1.1.1). Nothing is
    /// kept over a restart but the time of day, which serves as the number of the start.
    fn salts() -> Result<DesSaltState, Box<Error>> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = now.unwrap_or_default().as_secs() % u64::from(u32::MAX >> 2);
        let start = u32::try_from(seconds).unwrap_or(1).max(1);
        let salts = PersistedDesSaltState::new(start)
            .and_then(|start| DesSaltState::restart(start, |_| Ok::<(), Infallible>(())));
        salts.map_err(|error| Box::new(Error::Config(error.to_string().into())))
    }

    pub(super) fn client<L: Line>(&self, auth: Auth, wire: Wire<L>) -> Result<Client<Wire<L>>, Box<Error>> {
        // As the standard says, but for what follows a whole message, which some agents leave there.
        let mut decoding = DecodeConfig::STRICT;
        decoding.trailing_bytes = true;
        let retry = Retry::fixed(self.retries, Duration::ZERO).unwrap_or_else(|_| Retry::none());
        ClientBuilder::new(auth)
            .request_timeout(self.timeout)
            .retry(retry)
            .max_oids_per_request(OBJECTS)
            .response_shape_policy(ResponseShapePolicy::Strict)
            .decode_config(decoding)
            // Agents refuse wrong users and passwords, and some a wrong time, in reports that they cannot
            // sign. To heed them lets a forger say no, or have one request signed with a time of his; what
            // is read is believed only when it is signed.
            .allow_unauthenticated_v3_time_correction(true)
            .des_salt_state(Self::salts()?)
            .build_with_transport(wire)
    }
}

/// A session, for as long as the secrets stay what they are.
struct Open<L: Line> {
    client: Client<Wire<L>>,
    strays: Arc<AtomicU32>,
    proof: Proof,
    /// It has had answers before.
    old: bool,
}

/// What asks one PDU.
pub(super) struct Session {
    pub(super) manner: Manner,
    runtime: Option<Runtime>,
    open: Option<Open<UdpSocket>>,
}

impl Session {
    pub(super) fn new(manner: Manner) -> Self {
        Self {
            manner,
            runtime: None,
            open: None,
        }
    }

    /// Asks all questions: an answer to each, or why there is none to any.
    pub(super) fn ask(
        &mut self,
        questions: &[&Question],
    ) -> Result<Vec<Result<Told, Trouble>>, Trouble> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Trouble::system)?,
        };
        // The library's own log would be on ours at every turn that fails; the faults say it in our words.
        let nobody = tracing::subscriber::NoSubscriber::default();
        let answers = tracing::subscriber::with_default(nobody, || {
            let answers = self.ask_by(&runtime, questions);
            match answers {
                // Somebody is there, and an old session is none of his: he may be another than before.
                Err(trouble) if trouble.estranged && self.open.take().is_some_and(|o| o.old) => {
                    self.ask_by(&runtime, questions)
                }
                answers => answers,
            }
        });
        self.runtime = Some(runtime);
        if answers.is_err() {
            // The next turn looks the name up, and finds the agent's engine, anew.
            self.open = None;
        }
        answers
    }

    fn ask_by(
        &mut self,
        runtime: &Runtime,
        questions: &[&Question],
    ) -> Result<Vec<Result<Told, Trouble>>, Trouble> {
        let (open, manner) = self.open(runtime)?;
        let answers = runtime.block_on(ask(&open.client, &open.strays, manner, questions));
        if let (Ok(_), Some(open)) = (&answers, &mut self.open) {
            open.old = true;
        }
        answers
    }

    fn open(&mut self, runtime: &Runtime) -> Result<(&Open<UdpSocket>, &Manner), Trouble> {
        let proof = self.manner.proof()?;
        let known = self.open.take().filter(|open| open.proof == proof);
        let open = match known {
            Some(open) => open,
            None => self.connect(proof, runtime)?,
        };
        Ok((self.open.insert(open), &self.manner))
    }

    fn connect(&self, proof: Proof, runtime: &Runtime) -> Result<Open<UdpSocket>, Trouble> {
        let auth = self.manner.auth(&proof)?;
        let (host, port) = config::address(&self.manner.host)
            .ok_or_else(|| Trouble::nameless(&std::io::ErrorKind::InvalidInput.into()))?;
        let addresses: Vec<SocketAddr> = (host, port)
            .to_socket_addrs()
            .map_err(|error| Trouble::nameless(&error))?
            .collect();
        let line = runtime
            .block_on(wire::open(&addresses))
            .map_err(Trouble::system)?;
        let strays = Arc::new(AtomicU32::new(0));
        let wire = Wire {
            line,
            strays: Arc::clone(&strays),
        };
        let terms = Terms {
            version: self.manner.version,
            strays: false,
        };
        let client = self.manner.client(auth, wire);
        Ok(Open {
            client: client.map_err(|error| Trouble::of(&error, terms))?,
            strays,
            proof,
            old: false,
        })
    }
}

/// Asks for the objects of all questions together. Where the agent refuses that for one of them, each
/// question is asked by itself.
pub(super) async fn ask<L: Line + 'static>(
    client: &Client<Wire<L>>,
    strays: &AtomicU32,
    manner: &Manner,
    questions: &[&Question],
) -> Result<Vec<Result<Told, Trouble>>, Trouble> {
    let before = strays.load(Ordering::Relaxed);
    let trouble = |error: Box<Error>| {
        let terms = Terms {
            version: manner.version,
            strays: strays.load(Ordering::Relaxed) != before,
        };
        Trouble::of(&error, terms)
    };
    let all: Vec<Oid> = questions.iter().flat_map(|q| q.oids.clone()).collect();
    match values(client, &all).await.map_err(trouble) {
        Ok(values) => {
            let mut rest = values.as_slice();
            let judged = questions.iter().map(|question| {
                let (own, others) = rest.split_at_checked(question.oids.len()).unwrap_or((&[], &[]));
                rest = others;
                question.judge(own)
            });
            Ok(judged.collect())
        }
        Err(refused) if refused.partial && questions.len() > 1 => {
            let mut judged = Vec::new();
            for question in questions {
                let answer = match values(client, &question.oids).await.map_err(trouble) {
                    Ok(values) => question.judge(&values),
                    Err(trouble) if trouble.partial => Err(trouble),
                    Err(trouble) => return Err(trouble),
                };
                judged.push(answer);
            }
            Ok(judged)
        }
        Err(refused) if refused.partial => Ok(vec![Err(refused)]),
        Err(trouble) => Err(trouble),
    }
}

async fn values<L: Line + 'static>(
    client: &Client<Wire<L>>,
    oids: &[Oid],
) -> Result<Vec<Value>, Box<Error>> {
    let response = client.get_many(oids).await?;
    Ok(response.varbinds.into_iter().map(|bind| bind.value).collect())
}
