//! Snapshot to text: OpenMetrics 1.0, and the classic Prometheus format made from it.

mod classic;
mod families;

use crate::snapshot::Snapshot;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use std::fmt::{self, Write};
use std::sync::Arc;

/// OpenMetrics 1.0, with `# EOF`.
#[must_use]
pub fn openmetrics(snapshot: &Arc<Snapshot>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(Arc::clone(snapshot))));
    let mut out = String::with_capacity(16 << 10);
    // Writing to a string cannot fail, and no collector of ours does.
    let _ = prometheus_client::encoding::text::encode(&mut out, &registry);
    out
}

/// The classic text format, version 0.0.4.
#[must_use]
pub fn text(snapshot: &Arc<Snapshot>) -> String {
    classic::from_openmetrics(&openmetrics(snapshot))
}

/// The metric table of the README.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from("| name | type | labels | meaning |\n|---|---|---|---|\n");
    for family in families::all() {
        let labels = match family.labels {
            [] => String::new(),
            labels => format!("`{}`", labels.join("`, `")),
        };
        let (name, kind) = (family.name(), family.kind.name());
        let _ = writeln!(out, "| `{name}` | {kind} | {labels} | {} |", family.help);
    }
    out
}

#[derive(Debug)]
struct Page(Arc<Snapshot>);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        families::all().try_for_each(|family| family.encode(&self.0, &mut encoder))
    }
}

#[cfg(test)]
mod tests;
