//! The web configuration in force, and its replacement when the files change.

use super::auth::Users;
use super::tls;
use super::webconfig::{self, Material, Rate, WebConfigError};
use hyper::header::{HeaderName, HeaderValue};
use rustls::ServerConfig;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What the web configuration comes to.
pub struct Access {
    /// TLS, if it is spoken.
    pub tls: Option<Arc<ServerConfig>>,
    /// Headers of every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who may ask.
    pub users: Arc<Users>,
    /// How often.
    pub bucket: Option<Arc<Bucket>>,
    /// The files it was read from, as they were just before.
    files: Vec<(PathBuf, Print)>,
}

impl Access {
    /// Everybody, in plain HTTP.
    fn open() -> Self {
        Self {
            tls: None,
            headers: Vec::new(),
            users: Arc::new(Users::new(Default::default())),
            bucket: None,
            files: Vec::new(),
        }
    }

    /// Reads the file at `path` and those that it names. Keeps of `before` what has not changed: a
    /// new certificate makes nobody prove a password again.
    fn read(path: &Path, before: &Self) -> Result<(Self, Vec<String>), WebConfigError> {
        let refuse = |reason: String| WebConfigError::new(path, reason);
        let mut files = vec![printed(path)];
        let bytes = tls::read(path).map_err(refuse)?;
        let text = String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8 text".to_owned()))?;
        let config = webconfig::parse(&text, path)?;
        let mut warnings = config.warnings;
        let server = match &config.tls {
            None => None,
            Some(section) => {
                let materials = [
                    Some(&section.cert),
                    Some(&section.key),
                    section.client_ca.as_ref(),
                ];
                files.extend(materials.into_iter().flatten().filter_map(
                    |material| match material {
                        Material::File(path) => Some(printed(path)),
                        Material::Inline(_) => None,
                    },
                ));
                let (server, more) = tls::server(section, config.http2).map_err(refuse)?;
                warnings.extend(more);
                Some(server)
            }
        };
        let users = match before.users.same(&config.users) {
            true => Arc::clone(&before.users),
            false => Arc::new(Users::new(config.users)),
        };
        let bucket = config.rate.map(|rate| match &before.bucket {
            Some(bucket) if bucket.rate == rate => Arc::clone(bucket),
            _ => Arc::new(Bucket::new(rate)),
        });
        Ok((
            Self {
                tls: server,
                headers: config.headers,
                users,
                bucket,
                files,
            },
            warnings,
        ))
    }
}

/// Looks whether the web configuration at `path` could be served with, as the start does.
///
/// # Errors
/// What is wrong with it or with a file that it names.
pub fn check(path: &Path) -> Result<Vec<String>, WebConfigError> {
    Access::read(path, &Access::open()).map(|(_, warnings)| warnings)
}

/// A token bucket.
pub struct Bucket {
    rate: Rate,
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        Self {
            rate,
            level: Mutex::new((f64::from(rate.burst), Instant::now())),
        }
    }

    /// Takes a token at `now`, if there is one.
    ///
    /// # Errors
    /// The time until there is.
    pub fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = self.rate.interval.as_secs_f64();
        let grown = now.saturating_duration_since(level.1).as_secs_f64() / interval;
        *level = ((level.0 + grown).min(f64::from(self.rate.burst)), now);
        if level.0 < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - level.0) * interval));
        }
        level.0 -= 1.0;
        Ok(())
    }
}

/// What tells a file from its successor; `None` while it cannot be looked at.
type Print = Option<(u64, u64, u64, i64, i64)>;

fn print(path: &Path) -> Print {
    let data = std::fs::metadata(path).ok()?;
    Some((
        data.dev(),
        data.ino(),
        data.size(),
        data.mtime(),
        data.mtime_nsec(),
    ))
}

fn printed(path: &Path) -> (PathBuf, Print) {
    (path.to_owned(), print(path))
}

/// The access in force; replaced as a whole, never half.
pub struct InForce {
    path: Option<PathBuf>,
    now: Mutex<Arc<Access>>,
    watch: Mutex<Watch>,
}

#[derive(Default)]
struct Watch {
    /// The files as they were at the last look, if they were not those in force.
    seen: Option<Vec<Print>>,
    /// Why they were not accepted, if they were tried.
    complaint: Option<WebConfigError>,
}

impl InForce {
    /// Reads the web configuration for the first time; without a path everybody is let in.
    ///
    /// # Errors
    /// What is wrong with it or with a file that it names.
    pub fn start(path: Option<&Path>) -> Result<Self, WebConfigError> {
        let mut access = Access::open();
        if let Some(path) = path {
            let (read, warnings) = Access::read(path, &access)?;
            warn(path, &warnings);
            access = read;
        }
        Ok(Self {
            path: path.map(Path::to_owned),
            now: Mutex::new(Arc::new(access)),
            watch: Mutex::default(),
        })
    }

    /// The access in force.
    pub fn now(&self) -> Arc<Access> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files and puts into force what has changed and stayed the same for two looks, so
    /// that a file half written is not taken for a whole one. Blocks on the file system. What is not
    /// accepted is logged once, and tried again at each look.
    pub fn look(&self) {
        let before = self.now();
        let mut watch = self.watch();
        let seen: Vec<Print> = before.files.iter().map(|(path, _)| print(path)).collect();
        let same = before.files.iter().map(|(_, print)| print).eq(&seen);
        if same && watch.complaint.is_none() {
            watch.seen = None;
            return;
        }
        if watch.seen.as_ref() != Some(&seen) {
            watch.seen = Some(seen);
            return;
        }
        let _ = self.replace(&before, &mut watch);
    }

    /// Reads the files now. Blocks on the file system.
    ///
    /// # Errors
    /// What is wrong with them; what was in force stays in force.
    pub fn reload(&self) -> Result<(), WebConfigError> {
        let before = self.now();
        self.replace(&before, &mut self.watch())
    }

    fn replace(&self, before: &Access, watch: &mut Watch) -> Result<(), WebConfigError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let read = Access::read(path, before).and_then(|(access, warnings)| {
            if access.tls.is_some() == before.tls.is_some() {
                return Ok((access, warnings));
            }
            let reason = "TLS cannot be switched on or off while serving; restart for that";
            Err(WebConfigError::new(path, reason))
        });
        match read {
            Ok((access, warnings)) => {
                tracing::info!(file = %path.display(), "web configuration read again");
                warn(path, &warnings);
                *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
                *watch = Watch::default();
                Ok(())
            }
            Err(error) => {
                if watch.complaint.as_ref() != Some(&error) {
                    tracing::warn!(%error, "the web configuration stays as it was");
                    watch.complaint = Some(error.clone());
                }
                Err(error)
            }
        }
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn(path: &Path, warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(file = %path.display(), "{warning}");
    }
}

#[cfg(test)]
mod tests;
