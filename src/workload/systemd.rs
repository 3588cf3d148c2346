//! Units of systemd: which of them are workloads.

use super::{About, Identity, Manager};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `workloads.systemd`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Units that are workloads, with `*` for any text.
    pub include: Vec<String>,
    /// Units that are none, although they are included: they are the system's.
    pub exclude: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            include: vec!["*".into()],
            exclude: Vec::new(),
        }
    }
}

impl Config {
    /// Whether a unit is a workload.
    #[must_use]
    pub fn wants(&self, unit: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, unit));
        any(&self.include) && !any(&self.exclude)
    }
}

/// What a unit is called.
#[must_use]
pub fn identity(unit: &Arc<str>) -> (Identity, About) {
    let identity = Identity {
        manager: Manager::Systemd,
        namespace: "".into(),
        name: Arc::clone(unit),
        container: "".into(),
    };
    (identity, About::default())
}

/// Whether a text is what a pattern means, in which `*` is any text.
#[must_use]
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or("")) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or(""),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text, fit) in [
            ("*", "", true),
            ("*", "x", true),
            ("", "", true),
            ("", "x", false),
            ("a.service", "a.service", true),
            ("a.service", "a.services", false),
            ("user@*.service", "user@1000.service", true),
            ("user@*.service", "user@.service", true),
            ("user@*.service", "user@1000.slice", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("*ab", "aab", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_excluded_is_the_systems() {
        let config: Config = serde_yaml::from_str("exclude: ['systemd-*']").unwrap();
        assert!(config.wants("nginx.service") && !config.wants("systemd-journald.service"));
        let config: Config = serde_yaml::from_str("include: ['train-*']").unwrap();
        assert!(config.wants("train-1.service") && !config.wants("nginx.service"));
    }
}
