//! The workloads' books as they stand, for a snapshot.

use super::page::{Amount, Amounts, Common};
use super::{Attribution, PATIENCE, To};
use crate::sensor::Kind;
use crate::snapshot::{SourceHealth, Trouble, Unlisted, Use, Workload, Workloads};
use crate::units::{Joules, Watts};
use crate::workload::Identity;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Whose some power is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Common(Common),
    Identity(Arc<Identity>),
}

impl Attribution {
    /// Everything as it is at `now` (time since boot), where `devices` are the device's books.
    #[must_use]
    pub fn report(
        &self,
        devices: impl Iterator<Item = (Kind, Joules)>,
        now: Duration,
    ) -> Workloads {
        let watts = self.watts(now);
        let mut pending = self.pending_amounts();
        let mut list = Vec::new();
        for (identity, page) in &self.accounts.pages {
            let uses = page.amounts.iter().map(|(kind, amount)| {
                let is_new = now < amount.opened + self.policy.introduce;
                if is_new {
                    pending.entry(*kind).or_default().add(amount);
                }
                let whose = Whose::Identity(Arc::clone(identity));
                shown(*kind, amount, is_new, watts.get(&(whose, *kind)).copied())
            });
            list.push(Workload {
                manager: identity.manager.label(),
                namespace: Arc::clone(&identity.namespace),
                name: Arc::clone(&identity.name),
                container: Arc::clone(&identity.container),
                about: Some(Arc::clone(&page.about)),
                gpu_split: page.means.unwrap_or(""),
                uses: uses.collect(),
            });
        }
        for (common, amounts) in &self.accounts.common {
            let uses = amounts.iter().map(|(kind, amount)| {
                let watts = watts.get(&(Whose::Common(*common), *kind)).copied();
                shown(*kind, amount, false, watts)
            });
            list.push(Workload {
                manager: common.label(),
                namespace: "".into(),
                name: common.label().into(),
                container: "".into(),
                about: None,
                gpu_split: "",
                uses: uses.collect(),
            });
        }
        let mut all = Joules::ZERO;
        for (_, joules) in devices {
            all += joules;
        }
        let (pending, ended) = (
            unlisted(&pending, "pending"),
            unlisted(&self.accounts.ended, "ended"),
        );
        let unlisted: Vec<Unlisted> = pending.chain(ended).collect();
        let uses = list.iter().flat_map(|workload| &workload.uses);
        let known = uses.map(|used| used.joules).sum::<Joules>()
            + unlisted.iter().map(|unlisted| unlisted.joules).sum();
        Workloads {
            list,
            unlisted,
            rests: self.rests_in_force(),
            merged: self.accounts.merged(),
            labels: Arc::clone(&self.policy.labels),
            label_names: Arc::clone(&self.policy.label_names),
            sources: self.sources(),
            residual: all - known,
        }
    }

    /// The power of each, as devices were last divided.
    fn watts(&self, now: Duration) -> BTreeMap<(Whose, Kind), Watts> {
        let mut sum: BTreeMap<(Whose, Kind), Watts> = BTreeMap::new();
        let fresh = |until: Duration| now.saturating_sub(until) <= PATIENCE;
        for flow in self.flows.values().filter(|flow| fresh(flow.until)) {
            for (to, watts) in &flow.watts {
                let whose = match to {
                    To::Idle => Whose::Common(Common::Idle),
                    To::System => Whose::Common(Common::System),
                    To::Unattributed => Whose::Common(Common::Unattributed),
                    To::Tenant(number) => match self.accounts.named(*number) {
                        Ok(identity) => Whose::Identity(Arc::clone(identity)),
                        Err(common) => Whose::Common(common),
                    },
                };
                *sum.entry((whose, flow.kind)).or_default() += *watts;
            }
        }
        sum
    }

    /// What waits, by kind: of devices, and of workloads that have no name yet.
    fn pending_amounts(&self) -> Amounts {
        let mut pending = self.accounts.waiting();
        for waits in self.pending.values() {
            let amount = Amount {
                joules: waits.joules(),
                grams: waits.grams(),
                ..Amount::default()
            };
            pending.entry(waits.kind).or_default().add(&amount);
        }
        pending
    }

    fn rests_in_force(&self) -> Vec<(Arc<str>, Kind, Watts)> {
        let rest = |(device, pending): (&Arc<str>, &super::Pending)| {
            let set = self.set_rest(device, pending.kind);
            let watts = set.or_else(|| self.rests.of(device))?;
            Some((Arc::clone(device), pending.kind, watts))
        };
        self.pending.iter().filter_map(rest).collect()
    }

    fn sources(&self) -> Vec<SourceHealth> {
        let trouble = |fault: &crate::sensor::Fault| Trouble {
            place: fault.place.clone(),
            message: fault.cause.to_string(),
            mend: fault.mend.clone(),
        };
        let health = |health: &crate::workload::Health| SourceHealth {
            source: health.source,
            up: health.faults.is_empty(),
            faults: health.faults.iter().map(trouble).collect(),
        };
        self.health.iter().map(health).collect()
    }
}

/// What is new is shown with 0, for a scrape to see where it began.
fn shown(kind: Kind, amount: &Amount, is_new: bool, watts: Option<Watts>) -> Use {
    let some = if is_new { Amount::default() } else { *amount };
    Use {
        kind,
        watts,
        joules: some.joules,
        grams: amount.grams.map(|_| some.grams.unwrap_or_default()),
        reserved: amount.reserved.map(|_| some.reserved.unwrap_or_default()),
    }
}

fn unlisted(amounts: &Amounts, reason: &'static str) -> impl Iterator<Item = Unlisted> {
    amounts.iter().map(move |(kind, amount)| Unlisted {
        kind: *kind,
        reason,
        joules: amount.joules,
        grams: amount.grams,
    })
}
