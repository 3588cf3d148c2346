//! The time between two processes of one boot, when nobody looked and nobody was told anything: which
//! factors its energy meets.

use super::began;
use crate::carbon::{Factor, Term};
use crate::clock::Moment;
use crate::grid::conditions::Conditions;
use crate::state::State;
use crate::units::GramsPerKwh;
use jiff::Timestamp;

/// The factor that the grid's conditions make of the one before.
pub(super) fn met(conditions: &Conditions, before: Factor) -> Factor {
    let grid = conditions.grid.as_ref();
    Factor {
        intensity: grid.map(|grid| grid.intensity),
        live: grid.is_some_and(|grid| grid.tier == "live"),
        ..before
    }
}

/// How long that factor stands.
pub(super) fn term(conditions: &Conditions) -> Option<Term> {
    let tier = conditions.grid.as_ref().map_or("", |grid| grid.tier);
    conditions.until.map(|until| Term {
        tier: tier.to_owned(),
        until,
    })
}

impl State {
    /// When the last factor ended, where that was before `now`. Of a live one whose end was not kept, as
    /// in files of before, nothing is known beyond the last reading.
    #[must_use]
    pub fn ended(&self, now: Moment) -> Option<Timestamp> {
        let end = match &self.term {
            Some(term) => term.until,
            None if self.timeline.now().live => {
                let read = self.accounts.iter().map(|account| account.at().boot).max();
                let ago = now.boot.saturating_sub(read.unwrap_or(now.boot));
                now.wall.checked_sub(ago).unwrap_or(Timestamp::MIN)
            }
            None => return None,
        };
        (end < now.wall).then_some(end)
    }

    /// Lets the factors follow that were in force from the end of the last one until `now`: those of
    /// `meanwhile`, oldest first; `usual`, which is no live one, where nothing is known of that time.
    /// What the site's contracts give and its PUE stay as they were last told.
    pub fn follow(&mut self, meanwhile: &[Conditions], usual: Option<GramsPerKwh>, now: Moment) {
        let Some(end) = self.ended(now) else {
            return;
        };
        let last = self.timeline.now();
        let usual = Factor {
            intensity: usual,
            live: false,
            ..last
        };
        let is_known = |conditions: &&Conditions| conditions.since.is_some_and(|at| at >= end);
        let known = meanwhile.iter().filter(is_known);
        let known: Vec<_> = known.map(|one| (one.since, met(one, last))).collect();
        if known.first().is_none_or(|(since, _)| *since > Some(end)) {
            self.timeline.change(began(Some(end), now), usual);
        }
        for (since, factor) in known {
            self.timeline.change(began(since, now), factor);
        }
        // Up to now all is told: from here on it is for who comes next.
        self.term = Some(Term {
            tier: String::new(),
            until: now.wall,
        });
    }
}

#[cfg(test)]
mod tests;
