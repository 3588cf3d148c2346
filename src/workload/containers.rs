//! Names of containers that no pod has, from the files in which docker and podman keep them.

use super::{About, Identity, Manager};
use crate::file;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// `workloads.containers`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where docker keeps its containers.
    pub docker: PathBuf,
    /// Where podman keeps its containers.
    pub podman: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            docker: "/var/lib/docker/containers".into(),
            podman: "/var/lib/containers/storage/overlay-containers".into(),
        }
    }
}

/// Largest file of either that is read.
const LARGEST: u64 = 4 << 20;

/// Docker's `config.v2.json`, as far as it is read.
#[derive(Deserialize)]
struct Docker {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Config")]
    config: Option<DockerConfig>,
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

/// An entry of podman's `containers.json`, as far as it is read.
#[derive(Deserialize)]
struct Podman {
    id: String,
    names: Option<Vec<String>>,
}

/// What a container is called: by its engine's file, or else the first twelve digits of its id, as engines show it.
#[must_use]
pub fn identity(config: &Config, id: &str, labels: &[Arc<str>]) -> (Identity, About) {
    let short = || id.get(..12).unwrap_or(id).to_owned();
    let (name, about) = docker(config, id, labels)
        .or_else(|| Some((podman(config, id)?, About::default())))
        .unwrap_or_else(|| (short(), About::default()));
    let name: String = name.trim_start_matches('/').chars().take(128).collect();
    let identity = Identity {
        manager: Manager::Container,
        namespace: "".into(),
        name: name.into(),
        container: "".into(),
    };
    let about = About {
        uid: id.to_owned(),
        ..about
    };
    (identity, about)
}

fn docker(config: &Config, id: &str, labels: &[Arc<str>]) -> Option<(String, About)> {
    let text = file::read(&config.docker.join(id).join("config.v2.json"), LARGEST).ok()?;
    let docker: Docker = serde_json::from_slice(&text).ok()?;
    let found = docker
        .config
        .and_then(|config| config.labels)
        .unwrap_or_default();
    let about = About {
        labels: labels
            .iter()
            .filter_map(|name| {
                Some((
                    Arc::clone(name),
                    found
                        .get(&**name)?
                        .chars()
                        .take(128)
                        .collect::<String>()
                        .into(),
                ))
            })
            .collect(),
        ..About::default()
    };
    Some((docker.name, about)).filter(|(name, _)| !name.is_empty())
}

fn podman(config: &Config, id: &str) -> Option<String> {
    let text = file::read(&config.podman.join("containers.json"), LARGEST).ok()?;
    let all: Vec<Podman> = serde_json::from_slice(&text).ok()?;
    let it = all.into_iter().find(|container| container.id == id)?;
    it.names?.into_iter().find(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn engines_tell_the_name_and_else_the_id_is_it() {
        let root = tempfile::tempdir().unwrap();
        let config = Config {
            docker: root.path().join("docker"),
            podman: root.path().join("podman"),
        };
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        fs::create_dir_all(config.docker.join(&a)).unwrap();
        fs::create_dir_all(&config.podman).unwrap();
        let text = r#"{"ID":"a","Name":"/train","Config":{"Labels":{"team":"vision","x":"y"}}}"#;
        fs::write(config.docker.join(&a).join("config.v2.json"), text).unwrap();
        fs::write(
            config.podman.join("containers.json"),
            format!(r#"[{{"id":"{b}","names":["web"]}}]"#),
        )
        .unwrap();
        let labels = ["team".into()];
        let (identity, about) = super::identity(&config, &a, &labels);
        assert_eq!((&*identity.name, about.label("team")), ("train", "vision"));
        assert_eq!(&*super::identity(&config, &b, &labels).0.name, "web");
        let c = "c".repeat(64);
        assert_eq!(
            &*super::identity(&config, &c, &labels).0.name,
            "cccccccccccc"
        );
    }
}
