//! The workloads' books: a page for each identity, the tenants that book on it, and what has no page.

use super::page::{Amount, Amounts, Common, Page, Tenant, add, called};
use super::{Policy, To};
use crate::sensor::Kind;
use crate::units::{Grams, Joules, Watts};
use crate::workload::{About, Identity, Owner};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// So long a tenant's energy waits for its name; then it is called by what is known of it.
const NAMELESS: Duration = Duration::from_secs(10);

/// What must be kept over a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    pages: Vec<(Identity, Page)>,
    common: Vec<(Common, Amounts)>,
    ended: Amounts,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub pages: BTreeMap<Arc<Identity>, Page>,
    pub common: BTreeMap<Common, Amounts>,
    /// What was used by workloads that have left the page.
    pub ended: Amounts,
    tenants: BTreeMap<u32, Tenant>,
    numbers: BTreeMap<Owner, u32>,
    next: u32,
}

impl Accounts {
    /// Goes on with earlier books. Whoever was here then has ended until it is seen again.
    pub fn restore(saved: Saved, now: Duration) -> Self {
        let pages = saved.pages.into_iter().map(|(identity, mut page)| {
            page.ended.get_or_insert(now);
            (Arc::new(identity), page)
        });
        Self {
            pages: pages.collect(),
            common: saved.common.into_iter().collect(),
            ended: saved.ended,
            ..Self::default()
        }
    }

    /// Books to nobody what the devices have come to beyond all that is in these books.
    pub fn level(&mut self, devices: impl Iterator<Item = (Kind, Joules, Option<Grams>)>) {
        let mut missing: BTreeMap<Kind, (Joules, Option<Grams>)> = BTreeMap::new();
        for (kind, joules, grams) in devices {
            let sum = missing.entry(kind).or_default();
            sum.0 += joules;
            sum.1 = grams
                .map(|grams| sum.1.unwrap_or(Grams::ZERO) + grams)
                .or(sum.1);
        }
        for (kind, (joules, grams)) in missing {
            let booked = self.total(kind);
            let amount = Amount {
                joules: (joules - booked.joules).max(Joules::ZERO),
                grams: grams
                    .map(|all| (all - booked.grams.unwrap_or(Grams::ZERO)).max(Grams::ZERO)),
                ..Amount::default()
            };
            add(
                self.common.entry(Common::Unattributed).or_default(),
                kind,
                &amount,
            );
        }
    }

    /// All that is in these books of a kind.
    pub fn total(&self, kind: Kind) -> Amount {
        let pages = self.pages.values().map(|page| &page.amounts);
        let waiting = self.tenants.values().map(|tenant| &tenant.waiting);
        let all = pages
            .chain(waiting)
            .chain(self.common.values())
            .chain([&self.ended]);
        let mut sum = Amount::default();
        for amount in all.filter_map(|amounts| amounts.get(&kind)) {
            sum.add(amount);
        }
        sum
    }

    /// What must be kept for [`Accounts::restore`]. Energy that waits for a name is nobody's after a restart.
    pub fn save(&self) -> Saved {
        let pages = self.pages.iter();
        Saved {
            pages: pages
                .map(|(identity, page)| ((**identity).clone(), page.clone()))
                .collect(),
            common: self
                .common
                .iter()
                .map(|(common, amounts)| (*common, amounts.clone()))
                .collect(),
            ended: self.ended.clone(),
        }
    }

    /// The number of somebody who is, or was, here.
    pub fn tenant(&mut self, owner: &Owner, since: Option<Duration>, at: Duration) -> To {
        if let Some(number) = self.numbers.get(owner) {
            if let Some(tenant) = self.tenants.get_mut(number) {
                tenant.seen = at;
                // Whoever is seen again has not ended.
                tenant.ended = None;
            }
            return To::Tenant(*number);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.numbers.insert(owner.clone(), number);
        let tenant = Tenant {
            owner: owner.clone(),
            name: None,
            about: Arc::default(),
            seen: at,
            since: since.unwrap_or(at).min(at),
            ended: None,
            waiting: Amounts::new(),
            merged: None,
        };
        self.tenants.insert(number, tenant);
        To::Tenant(number)
    }

    /// The number of somebody who was here and has gone, without bringing it back.
    pub fn tenant_of_late(&mut self, owner: &Owner, since: Option<Duration>, at: Duration) -> To {
        if let Some(number) = self.numbers.get(owner) {
            return To::Tenant(*number);
        }
        let to = self.tenant(owner, since, at);
        if let To::Tenant(number) = to {
            self.end(number, at);
        }
        to
    }

    /// A tenant has ended.
    pub fn end(&mut self, number: u32, at: Duration) {
        if let Some(tenant) = self.tenants.get_mut(&number) {
            tenant.ended.get_or_insert(at);
        }
    }

    /// Whoever was not seen at the last census has ended.
    pub fn seen_all(&mut self, at: Duration) {
        for tenant in self.tenants.values_mut().filter(|tenant| tenant.seen < at) {
            tenant.ended.get_or_insert(at);
        }
    }

    /// Gives a tenant its name, and a page where there is room.
    pub fn name(
        &mut self,
        owner: &Owner,
        identity: &Arc<Identity>,
        about: &Arc<About>,
        kinds: &[Kind],
        policy: &Policy,
        at: Duration,
    ) {
        let Some(number) = self.numbers.get(owner).copied() else {
            return;
        };
        let Some(tenant) = self.tenants.get_mut(&number) else {
            return;
        };
        if tenant.about != *about {
            tenant.about = Arc::clone(about);
            if let Some(page) = self.pages.get_mut(identity) {
                page.about = Arc::clone(about);
            }
        }
        if tenant.name.as_ref() != Some(identity) {
            tenant.name = Some(Arc::clone(identity));
            tenant.merged = None;
        }
        self.open(number, kinds, policy, at);
    }

    /// Sees to it that a named tenant has a page, or is one of those that have none.
    fn open(&mut self, number: u32, kinds: &[Kind], policy: &Policy, at: Duration) {
        let Some(tenant) = self.tenants.get(&number) else {
            return;
        };
        let Some(identity) = tenant.name.clone() else {
            return;
        };
        let (about, merged) = (Arc::clone(&tenant.about), tenant.merged.is_some());
        if !self.pages.contains_key(&identity) {
            if merged {
                return;
            }
            if self.pages.len() >= policy.max && !self.make_room() {
                let Some(tenant) = self.tenants.get_mut(&number) else {
                    return;
                };
                tenant.merged = Some(Joules::ZERO);
                for (kind, amount) in std::mem::take(&mut tenant.waiting) {
                    add(self.common.entry(Common::Other).or_default(), kind, &amount);
                }
                return;
            }
            let amounts = kinds.iter().map(|kind| (*kind, Amount::opened(at)));
            let page = Page {
                about,
                amounts: amounts.collect(),
                means: None,
                ended: None,
            };
            self.pages.insert(Arc::clone(&identity), page);
        }
        let (Some(tenant), Some(page)) =
            (self.tenants.get_mut(&number), self.pages.get_mut(&identity))
        else {
            return;
        };
        for (kind, amount) in std::mem::take(&mut tenant.waiting) {
            add(
                &mut page.amounts,
                kind,
                &Amount {
                    opened: at,
                    ..amount
                },
            );
        }
    }

    /// Takes the page of the workload that has ended first; its joules stay in the sums. False where all live.
    fn make_room(&mut self) -> bool {
        let ended = self
            .pages
            .iter()
            .filter_map(|(identity, page)| Some((page.ended?, identity)));
        let first = ended.min().map(|(_, identity)| Arc::clone(identity));
        first.is_some_and(|identity| self.close(&identity))
    }

    fn close(&mut self, identity: &Arc<Identity>) -> bool {
        let Some(page) = self.pages.remove(identity) else {
            return false;
        };
        for (kind, amount) in &page.amounts {
            add(&mut self.ended, *kind, amount);
        }
        true
    }

    /// Books a share.
    pub fn book(&mut self, to: To, kind: Kind, amount: &Amount, means: Option<&'static str>) {
        let common = match to {
            To::Idle => Common::Idle,
            To::System => Common::System,
            To::Unattributed => Common::Unattributed,
            To::Tenant(number) => match self.tenants.get_mut(&number) {
                None => Common::Unattributed,
                Some(Tenant {
                    merged: Some(merged),
                    ..
                }) => {
                    *merged += amount.joules;
                    Common::Other
                }
                Some(tenant) => {
                    let page = tenant
                        .name
                        .as_ref()
                        .and_then(|name| self.pages.get_mut(name));
                    match page {
                        Some(page) => {
                            add(&mut page.amounts, kind, amount);
                            page.means = means.or(page.means);
                        }
                        None => add(&mut tenant.waiting, kind, amount),
                    }
                    return;
                }
            },
        };
        add(self.common.entry(common).or_default(), kind, amount);
    }

    /// Lets go of what has ended long enough ago, names what has waited for too long, and gives a page to
    /// whoever among those without one has come to be larger than the smallest that has one.
    pub fn tend(&mut self, kinds: &[Kind], policy: &Policy, now: Duration) {
        let late: Vec<(u32, Owner, Arc<About>)> = self
            .tenants
            .iter()
            .filter(|(_, tenant)| {
                tenant.name.is_none() && now.saturating_sub(tenant.since) >= NAMELESS
            })
            .map(|(number, tenant)| (*number, tenant.owner.clone(), Arc::clone(&tenant.about)))
            .collect();
        for (number, owner, about) in late {
            let identity = Arc::new(called(&owner));
            self.name(&owner, &identity, &about, kinds, policy, now);
            let _ = number;
        }
        self.end_pages(now);
        let over: Vec<Arc<Identity>> = self
            .pages
            .iter()
            .filter(|(_, page)| page.stays(policy).is_some_and(|until| now >= until))
            .map(|(identity, _)| Arc::clone(identity))
            .collect();
        for identity in over {
            self.close(&identity);
        }
        self.forget_tenants(now);
        self.promote(kinds, policy, now);
    }

    /// A page has ended when all its tenants have.
    fn end_pages(&mut self, now: Duration) {
        let mut live: BTreeMap<&Arc<Identity>, Option<Duration>> = BTreeMap::new();
        for tenant in self.tenants.values() {
            let Some(name) = &tenant.name else { continue };
            let ended = live.entry(name).or_insert(tenant.ended);
            *ended = ended.zip(tenant.ended).map(|(a, b)| a.max(b));
        }
        for (identity, page) in &mut self.pages {
            page.ended = match live.get(identity) {
                Some(ended) => *ended,
                None => page.ended.or(Some(now)),
            };
        }
    }

    /// Tenants are kept as long as energy of their time may come in, and their name.
    fn forget_tenants(&mut self, now: Duration) {
        let old = |tenant: &Tenant| {
            tenant
                .ended
                .is_some_and(|ended| now.saturating_sub(ended) > super::KEPT)
        };
        let over: Vec<u32> = self
            .tenants
            .iter()
            .filter(|(_, tenant)| old(tenant))
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            let Some(tenant) = self.tenants.remove(&number) else {
                continue;
            };
            self.numbers.remove(&tenant.owner);
            for (kind, amount) in &tenant.waiting {
                add(
                    self.common.entry(Common::Unattributed).or_default(),
                    *kind,
                    amount,
                );
            }
        }
    }

    fn promote(&mut self, kinds: &[Kind], policy: &Policy, now: Duration) {
        let merged = self.tenants.iter();
        let largest = merged
            .filter(|(_, tenant)| tenant.ended.is_none())
            .filter_map(|(number, tenant)| Some((*number, tenant.merged?)))
            .max_by(|(_, a), (_, b)| a.0.total_cmp(&b.0));
        let Some((number, joules)) = largest else {
            return;
        };
        if self.pages.len() >= policy.max {
            let pages = self.pages.iter();
            let smallest = pages
                .map(|(identity, page)| (Arc::clone(identity), page.joules()))
                .min_by(|(_, a), (_, b)| a.0.total_cmp(&b.0));
            let Some((identity, least)) = smallest else {
                return;
            };
            // Twice, so that two of a size do not change places all the time.
            if joules <= least.times(2.0) {
                return;
            }
            self.close(&identity);
            let losing = self.tenants.values_mut();
            for tenant in losing.filter(|tenant| tenant.name.as_ref() == Some(&identity)) {
                tenant.merged = Some(Joules::ZERO);
            }
        }
        if let Some(tenant) = self.tenants.get_mut(&number) {
            tenant.merged = None;
        }
        self.open(number, kinds, policy, now);
    }

    /// The identity of a tenant that has a page, or `other` for one that has none.
    pub fn named(&self, number: u32) -> Result<&Arc<Identity>, Common> {
        let tenant = self.tenants.get(&number).ok_or(Common::Unattributed)?;
        if tenant.merged.is_some() {
            return Err(Common::Other);
        }
        tenant.name.as_ref().ok_or(Common::Unattributed)
    }

    /// CPUs that a tenant has asked for.
    pub fn cpus(&self, to: To) -> Option<f64> {
        match to {
            To::Tenant(number) => self.tenants.get(&number)?.about.cpus,
            _ => None,
        }
    }

    /// How many workloads have no series of their own.
    pub fn merged(&self) -> usize {
        let live = self
            .tenants
            .values()
            .filter(|tenant| tenant.ended.is_none());
        live.filter(|tenant| tenant.merged.is_some()).count()
    }

    /// What waits for a name, by kind.
    pub fn waiting(&self) -> Amounts {
        let mut sum = Amounts::new();
        for tenant in self.tenants.values() {
            for (kind, amount) in &tenant.waiting {
                add(&mut sum, *kind, amount);
            }
        }
        sum
    }
}

/// The power of a device as it was last divided.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub kind: Kind,
    pub until: Duration,
    pub watts: Vec<(To, Watts)>,
}
