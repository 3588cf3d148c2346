//! One device's energy against the windows of its time: cut where anything changes, shared out piece by piece.

use super::page::Amount;
use super::pending::Chunk;
use super::split::{self, Share, User};
use super::windows::{Occupied, Window};
use super::{Attribution, To, runs};
use crate::sensor::Kind;
use crate::units::{Grams, Joules, Watts};
use crate::workload::census::Holder;
use crate::workload::runs::Id;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How the share of an accelerator was had, for the info series.
pub(super) type Means = Option<&'static str>;

/// A piece of energy and those who share it, with the parts that runs have in it.
pub(super) struct Piece {
    pub chunk: Chunk,
    pub shares: Vec<Share>,
    pub means: Means,
    pub runs: Vec<runs::Part>,
}

impl Piece {
    fn all(chunk: Chunk, to: To) -> Self {
        Self {
            chunk,
            shares: all(to),
            means: None,
            runs: Vec::new(),
        }
    }
}

impl Attribution {
    /// Cuts energy at the borders of the windows of its time, and says whose each piece is. What lies in no
    /// window is nobody's.
    pub(super) fn divided(&mut self, device: &Arc<str>, kind: Kind, chunk: Chunk) -> Vec<Piece> {
        if kind == Kind::Other && !self.policy.divide_other {
            return vec![Piece::all(chunk, To::System)];
        }
        let spans: Vec<(Duration, Duration)> = match kind {
            Kind::Gpu => spans(
                self.windows.accelerators.iter().map(|w| (w.from, w.to)),
                &chunk,
            ),
            _ => spans(
                self.windows.processors.iter().map(|w| (w.from, w.to)),
                &chunk,
            ),
        };
        let mut pieces = Vec::new();
        let mut left = Some(chunk);
        for (from, to) in spans {
            let Some(chunk) = left else { break };
            let (before, rest) = chunk.cut(from);
            pieces.extend(before.map(|piece| Piece::all(piece, To::Unattributed)));
            let (inside, after) = rest.map_or((None, None), |rest| rest.cut(to));
            left = after;
            if let Some(piece) = inside {
                self.inside(device, kind, piece, &mut pieces);
            }
        }
        pieces.extend(left.map(|piece| Piece::all(piece, To::Unattributed)));
        pieces
    }

    /// A piece that lies in one window.
    fn inside(&mut self, device: &Arc<str>, kind: Kind, piece: Chunk, pieces: &mut Vec<Piece>) {
        let set = self.set_rest(device, kind);
        if kind == Kind::Gpu {
            let windows = &self.windows.accelerators;
            let Some(window) = windows.iter().rev().find(|w| holds(w.from, w.to, &piece)) else {
                return;
            };
            // One that nobody is on does nothing, also where it does not tell how busy it is.
            let is_free = window.devices.get(device).is_none_or(Vec::is_empty);
            let busy = if is_free {
                Some(0.0)
            } else {
                piece.utilization
            };
            self.rests.learn(device, &piece, busy);
            let rest = set.or_else(|| self.rests.of(device));
            let idle_below = self.policy.idle_below;
            for mut piece in accelerator(window, device, piece, rest, idle_below) {
                let (chunk, shares) = (&piece.chunk, &piece.shares);
                piece.runs = runs::of_accelerator(&self.runs, window, device, chunk, shares);
                pieces.push(piece);
            }
            return;
        }
        let Some(window) = self
            .windows
            .processors
            .iter()
            .rev()
            .find(|w| holds(w.from, w.to, &piece))
        else {
            return;
        };
        if kind == Kind::Other {
            pieces.push(Piece {
                shares: beyond(window),
                runs: runs::of_other(window),
                ..Piece::all(piece, To::System)
            });
            return;
        }
        let Some(busy) = window.busy else {
            pieces.push(Piece::all(piece, To::Unattributed));
            return;
        };
        self.rests.learn(device, &piece, Some(busy));
        let rest = match set.or_else(|| self.rests.of(device)) {
            Some(Watts(watts)) => split::rest(piece.joules.0, watts, piece.time()),
            // Not seen at rest yet: as if power went by time.
            None => 1.0 - busy,
        };
        let work = if kind == Kind::Dram {
            &window.memory
        } else {
            &window.cpu
        };
        pieces.push(Piece {
            shares: split::processor(rest, self.policy.idle, work, &window.requests),
            runs: runs::of_processor(window, kind, rest, self.policy.idle),
            ..Piece::all(piece, To::System)
        });
    }

    /// What the configuration says that a device draws at rest.
    pub(super) fn set_rest(&self, device: &str, kind: Kind) -> Option<Watts> {
        let rests = &self.policy.rests;
        rests
            .get(device)
            .or_else(|| rests.get(kind.label()))
            .copied()
            .map(Watts)
    }

    /// Books a piece to those who share it, to the last joule.
    pub(super) fn share_out(
        &mut self,
        kind: Kind,
        piece: &Piece,
        flow: &mut BTreeMap<To, Joules>,
        now: Duration,
    ) {
        let Piece {
            chunk: piece,
            shares,
            means,
            runs,
        } = piece;
        // The largest takes what rounding leaves, so that nobody's share is negative.
        let largest = shares
            .iter()
            .enumerate()
            .max_by(|(_, a), (_, b)| a.part.total_cmp(&b.part));
        let Some(largest) = largest.map(|(i, _)| i) else {
            return;
        };
        let (mut joules, mut grams) = (piece.joules, piece.grams);
        let mut dynamic = Vec::new();
        let (others, last) = (
            shares.iter().enumerate().filter(|(i, _)| *i != largest),
            shares.iter().enumerate().skip(largest).take(1),
        );
        for (i, share) in others.chain(last) {
            let (some, of_grams) = if i == largest {
                (joules, grams)
            } else {
                let some = piece.joules.times(share.part);
                (some, piece.grams.map(|grams| grams.times(share.part)))
            };
            joules = joules - some;
            grams = grams
                .zip(of_grams)
                .map(|(all, some): (Grams, Grams)| all - some);
            let reserved = share
                .reserved
                .map(|idle| if idle { some } else { Joules::ZERO });
            let amount = Amount {
                joules: some,
                grams: of_grams,
                reserved,
                opened: now,
            };
            self.accounts.book(share.to, kind, &amount, *means);
            *flow.entry(share.to).or_default() += some;
            if share.dynamic > 0.0 {
                dynamic.push((share.to, piece.joules.0 * share.dynamic));
            }
        }
        if self.policy.divide_other && kind != Kind::Other {
            let runs = runs.iter();
            let runs: Vec<(Id, f64)> = runs
                .map(|run| (Arc::clone(&run.id), piece.joules.0 * run.dynamic))
                .collect();
            self.windows.note((piece.from, piece.to), &dynamic, &runs);
        }
    }
}

fn all(to: To) -> Vec<Share> {
    vec![Share {
        to,
        part: 1.0,
        dynamic: 0.0,
        reserved: None,
    }]
}

/// The windows that some energy lies in.
fn spans(
    windows: impl DoubleEndedIterator<Item = (Duration, Duration)>,
    chunk: &Chunk,
) -> Vec<(Duration, Duration)> {
    let later = windows
        .rev()
        .skip_while(|(from, _)| *from >= chunk.to && *from > chunk.from);
    let mut spans: Vec<(Duration, Duration)> =
        later.take_while(|(_, to)| *to > chunk.from).collect();
    spans.reverse();
    spans
}

fn holds(from: Duration, to: Duration, piece: &Chunk) -> bool {
    from <= piece.from && piece.to <= to
}

/// What only the meter sees, by what each drew beyond rest on the devices.
fn beyond(window: &Window) -> Vec<Share> {
    let sum: f64 = window.dynamic.values().sum();
    if sum <= 0.0 {
        return all(To::System);
    }
    let parts = window.dynamic.iter();
    parts
        .map(|(to, joules)| Share {
            to: *to,
            part: joules / sum,
            dynamic: 0.0,
            reserved: None,
        })
        .collect()
}

/// An accelerator's energy, cut where a holder comes or goes.
fn accelerator(
    window: &Occupied,
    device: &Arc<str>,
    piece: Chunk,
    rest: Option<Watts>,
    idle_below: f64,
) -> Vec<Piece> {
    let none = Vec::new();
    let holders = window.devices.get(device).unwrap_or(&none);
    let mut cuts: Vec<Duration> = holders
        .iter()
        .flat_map(|(_, holder)| [holder.since, holder.until])
        .flatten()
        .collect();
    cuts.sort_unstable();
    let mut parts: Vec<(Chunk, Vec<User>)> = Vec::new();
    let mut left = Some(piece);
    for at in cuts.into_iter().chain([piece.to]) {
        let Some(chunk) = left else { break };
        let (before, after) = chunk.cut(at);
        left = after;
        let Some(part) = before else { continue };
        let is_here = |holder: &Holder| {
            holder.since.is_none_or(|since| since <= part.from)
                && holder.until.is_none_or(|until| part.to <= until)
        };
        let here = holders.iter().filter(|(_, holder)| is_here(holder));
        let users = here.map(|(to, holder)| user(*to, holder)).collect();
        parts.push((part, users));
    }
    if let Some(rest) = rest {
        sharpen(&piece, &mut parts, rest);
    }
    let shared = |(part, users): (Chunk, Vec<User>)| {
        let rest = rest.map(|rest| split::rest(part.joules.0, rest.0, part.time()));
        Piece {
            shares: split::accelerator(rest, &users, part.utilization, idle_below),
            means: means(&users),
            ..Piece::all(part, To::Idle)
        }
    };
    parts.into_iter().map(shared).collect()
}

/// Where somebody came or went within a piece, nobody used more than the rest while nobody was there: what was drawn
/// beyond it is of the time in which somebody was. Else a job of two seconds would lose much of its energy to the
/// seconds around it, over which a reading is a mean.
fn sharpen(piece: &Chunk, parts: &mut [(Chunk, Vec<User>)], rest: Watts) {
    let seconds = |parts: &[(Chunk, Vec<User>)], free: bool| -> f64 {
        let of = parts.iter().filter(|(_, users)| users.is_empty() == free);
        of.map(|(part, _)| part.time().as_secs_f64()).sum()
    };
    let (free, used) = (seconds(parts, true), seconds(parts, false));
    if free <= 0.0 || used <= 0.0 || piece.joules <= Joules::ZERO {
        return;
    }
    let mean = piece.joules.0 / (free + used);
    let at_rest = rest.0.min(mean);
    let at_work = (piece.joules.0 - at_rest * free) / used;
    let (mut joules, mut grams) = (piece.joules, piece.grams);
    let last = parts.len() - 1;
    for (number, (part, users)) in parts.iter_mut().enumerate() {
        let watts = if users.is_empty() { at_rest } else { at_work };
        let some = joules.min(Joules(watts * part.time().as_secs_f64()));
        part.joules = if number == last { joules } else { some };
        part.grams = match piece.grams {
            Some(_) if number == last => grams,
            Some(all) => Some(all.times(part.joules.0 / piece.joules.0)),
            None => None,
        };
        joules = joules - part.joules;
        grams = grams
            .zip(part.grams)
            .map(|(all, some)| (all - some).max(Grams::ZERO));
    }
}

fn user(to: To, holder: &Holder) -> User {
    User {
        to,
        slices: holder
            .slices
            .map(|(held, all)| f64::from(held) / f64::from(all.max(1))),
        busy: holder.busy,
    }
}

fn means(users: &[User]) -> Means {
    let is_told = users
        .iter()
        .any(|user| user.busy.is_some_and(|busy| busy > 0.0));
    match users {
        [] => None,
        _ if users.iter().any(|user| user.slices.is_some()) => Some("mig"),
        [_] => Some("whole"),
        _ if is_told => Some("utilization"),
        _ => Some("equal"),
    }
}
