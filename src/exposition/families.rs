//! The table of metric families: name, type, labels, meaning and where the values come from. The page
//! and the README's table are both made from it.

mod device;
mod grid;
mod health;
mod node;
mod reference;
mod run;
mod workload;

use crate::snapshot::Snapshot;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;
use std::sync::Arc;

/// One metric family.
pub(super) struct Family {
    base: &'static str,
    unit: Option<&'static str>,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
    samples: fn(&Snapshot, Emit<'_>),
    /// Names of labels that a configuration adds; their values come after those of `labels`.
    more: fn(&Snapshot) -> &[Arc<str>],
}

/// Takes label values, in the order of the family's labels, and a value.
type Emit<'a> = &'a mut dyn FnMut(&[&str], f64);

/// The types that a page of ours has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Info,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Info => "info",
        }
    }
}

impl Family {
    /// The name that a query uses.
    pub fn name(&self) -> String {
        let unit = self
            .unit
            .map_or_else(String::new, |unit| format!("_{unit}"));
        let suffix = match self.kind {
            Kind::Gauge => "",
            Kind::Counter => "_total",
            Kind::Info => "_info",
        };
        format!("{}{unit}{suffix}", self.base)
    }

    pub fn encode(
        &self,
        snapshot: &Snapshot,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        let mut any = false;
        (self.samples)(snapshot, &mut |_, _| any = true);
        if !any {
            return Ok(());
        }
        let unit = self.unit.map(|unit| Unit::Other(unit.to_owned()));
        let kind = match self.kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
            Kind::Info => MetricType::Info,
        };
        let mut metric = encoder.encode_descriptor(self.base, self.help, unit.as_ref(), kind)?;
        let mut result = Ok(());
        let more = (self.more)(snapshot);
        let names: Vec<&str> = self
            .labels
            .iter()
            .copied()
            .chain(more.iter().map(|n| &**n))
            .collect();
        (self.samples)(snapshot, &mut |values, value| {
            let labels = Labels {
                names: &names,
                values,
            };
            result = result.and_then(|()| match self.kind {
                Kind::Info => metric.encode_info(&labels),
                // An empty set of labels would be written as braces with nothing between them.
                _ if values.is_empty() => self.value(&mut metric, value),
                _ => self.value(&mut metric.encode_family(&labels)?, value),
            });
        });
        result
    }
}

impl Family {
    fn value(&self, metric: &mut MetricEncoder<'_>, value: f64) -> Result<(), fmt::Error> {
        match self.kind {
            Kind::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
            _ => metric.encode_gauge(&value),
        }
    }
}

/// Names and values side by side. An empty value is the same as no label, and is left out.
#[derive(Debug)]
struct Labels<'a> {
    names: &'a [&'a str],
    values: &'a [&'a str],
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        let pairs = self
            .names
            .iter()
            .zip(self.values)
            .filter(|(_, value)| !value.is_empty());
        let mut pairs = pairs;
        pairs.try_for_each(|(name, value)| (*name, *value).encode(encoder.encode_label()))
    }
}

/// A value without labels, where it is known.
fn single(emit: Emit<'_>, value: Option<f64>) {
    if let Some(value) = value {
        emit(&[], value);
    }
}

const NONE: &[&str] = &[];

const fn family(
    base: &'static str,
    unit: Option<&'static str>,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    samples: fn(&Snapshot, Emit<'_>),
) -> Family {
    Family {
        base,
        unit,
        kind,
        labels,
        help,
        samples,
        more: |_| &[],
    }
}

/// Every family, in the order of the page.
pub(super) fn all() -> impl Iterator<Item = &'static Family> {
    [
        device::FAMILIES,
        node::FAMILIES,
        workload::FAMILIES,
        run::FAMILIES,
        grid::FAMILIES,
        reference::FAMILIES,
        health::FAMILIES,
    ]
    .into_iter()
    .flatten()
}

/// Counts as Prometheus has them; exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn counted(count: u64) -> f64 {
    count as f64
}
