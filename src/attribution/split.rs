//! The formulae by which one device's energy is divided: pure functions from who did what to shares.
//!
//! Processors: what they draw at rest is taken off first; the rest goes by CPU time. That is the rule of
//! Kepler and CEEMS with the idle part kept apart. Its limits: all CPU time counts the same, whatever the
//! clock, the instructions and the socket were. Memory: what it draws at rest is taken off; the rest goes
//! by the mean of the shares of CPU time and of memory held, because its power follows accesses, which
//! nobody counts for each workload. Accelerators: whoever holds one alone has all of it; several share its
//! rest equally (or by the slices they hold), and what it draws beyond by how busy each kept it.

use super::{Idle, To};
use std::time::Duration;

/// A part of one device's energy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Whose.
    pub to: To,
    /// How much of it, 0 to 1.
    pub part: f64,
    /// Of it, what was drawn beyond the device's rest.
    pub dynamic: f64,
    /// Whether it was held and not used.
    pub reserved: Option<bool>,
}

impl Share {
    fn rest(to: To, part: f64) -> Self {
        Self {
            to,
            part,
            dynamic: 0.0,
            reserved: None,
        }
    }
    fn work(to: To, part: f64) -> Self {
        Self {
            dynamic: part,
            ..Self::rest(to, part)
        }
    }
}

/// The shares of a processor's or memory's energy, of which `rest` (0 to 1) is drawn by it idle.
///
/// `work` are shares of what was done, which sum up to 1 at most: what is missing is the system's.
/// `requests` are shares of what was asked for, which sum up to 1 at most: what is missing is idle.
#[must_use]
pub fn processor(
    rest: f64,
    policy: Idle,
    work: &[(To, f64)],
    requests: &[(To, f64)],
) -> Vec<Share> {
    let rest = unit(rest);
    let mut shares = Vec::with_capacity(2 * work.len() + 2);
    let beyond = 1.0 - rest;
    let worked = by_weight(work, To::System);
    shares.extend(
        worked
            .iter()
            .map(|(to, part)| Share::work(*to, beyond * part)),
    );
    let is_at_rest = work.iter().all(|(_, part)| *part <= 0.0);
    match policy {
        Idle::Separate => shares.push(Share::rest(To::Idle, rest)),
        Idle::Proportional if is_at_rest => shares.push(Share::rest(To::Idle, rest)),
        Idle::Proportional => {
            shares.extend(
                worked
                    .iter()
                    .map(|(to, part)| Share::rest(*to, rest * part)),
            );
        }
        Idle::ByRequest => {
            let asked = by_weight(requests, To::Idle);
            shares.extend(asked.iter().map(|(to, part)| Share::rest(*to, rest * part)));
        }
    }
    shares.retain(|share| share.part > 0.0);
    shares
}

/// The part of a processor's or memory's energy, and of it what was drawn beyond rest, of somebody who did `work` of
/// all that was done, where all that is known of sums up to `known`: what [`processor`] gives a workload that does
/// the same, but for requests, which nobody makes for a part of a workload.
#[must_use]
pub fn part_of_processor(rest: f64, policy: Idle, work: f64, known: f64) -> (f64, f64) {
    let rest = unit(rest);
    let work = unit(work) / known.max(1.0);
    let at_rest = match policy {
        Idle::Proportional => rest * work,
        Idle::Separate | Idle::ByRequest => 0.0,
    };
    let beyond = (1.0 - rest) * work;
    (beyond + at_rest, beyond)
}

/// Shares that sum up to 1: those given, scaled down where they are more than all, and `remainder` for what
/// they lack.
fn by_weight(given: &[(To, f64)], remainder: To) -> Vec<(To, f64)> {
    let sum: f64 = given.iter().map(|(_, part)| part.max(0.0)).sum();
    let scale = if sum > 1.0 { sum.recip() } else { 1.0 };
    let mut parts: Vec<(To, f64)> = given
        .iter()
        .filter(|(_, part)| *part > 0.0)
        .map(|(to, part)| (*to, part * scale))
        .collect();
    if sum < 1.0 {
        parts.push((remainder, 1.0 - sum));
    }
    parts
}

/// Somebody on an accelerator during all of a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct User {
    /// Who.
    pub to: To,
    /// Share of the accelerator's slices where it is divided in hardware.
    pub slices: Option<f64>,
    /// How busy it kept what it holds, 0 to 1.
    pub busy: Option<f64>,
}

/// The shares of an accelerator's energy, of which `rest` (0 to 1; `None`: nobody knows) is drawn by it idle.
/// `utilization` is the whole device's; below `idle_below` it counts as not used.
#[must_use]
pub fn accelerator(
    rest: Option<f64>,
    users: &[User],
    utilization: Option<f64>,
    idle_below: f64,
) -> Vec<Share> {
    let reserved = |user: &User| {
        let busy = user.busy.or(utilization);
        busy.map(|busy| busy < idle_below)
    };
    let known = unit(rest.unwrap_or(0.0));
    match users {
        [] => vec![Share::rest(To::Idle, 1.0)],
        [user] if user.slices.is_none() => vec![Share {
            to: user.to,
            part: 1.0,
            dynamic: 1.0 - known,
            // Whoever holds it alone is measured by the device's own figure, if it has one.
            reserved: utilization.or(user.busy).map(|busy| busy < idle_below),
        }],
        _ => {
            let held = held(users);
            let work = worked(users, &held);
            let mut shares: Vec<Share> = users
                .iter()
                .zip(held.iter().zip(&work))
                .map(|(user, (held, work))| Share {
                    to: user.to,
                    part: known * held + (1.0 - known) * work,
                    dynamic: (1.0 - known) * work,
                    reserved: reserved(user),
                })
                .collect();
            let free = 1.0 - held.iter().sum::<f64>();
            shares.push(Share::rest(To::Idle, known * free));
            shares.retain(|share| share.part > 0.0);
            shares
        }
    }
}

/// The part of the accelerator that each holds: by slices, else all the same.
fn held(users: &[User]) -> Vec<f64> {
    if users.iter().any(|user| user.slices.is_some()) {
        let slices: Vec<(To, f64)> = users
            .iter()
            .map(|user| (user.to, user.slices.unwrap_or(0.0).max(0.0)))
            .collect();
        let sum: f64 = slices.iter().map(|(_, part)| part).sum();
        let scale = if sum > 1.0 { sum.recip() } else { 1.0 };
        return slices.iter().map(|(_, part)| part * scale).collect();
    }
    #[allow(clippy::cast_precision_loss)]
    let each = (users.len() as f64).recip();
    vec![each; users.len()]
}

/// The part of the work that each did: how busy it was times what it holds of a divided one. Equal, or by
/// slices, where nobody tells or nobody did anything.
fn worked(users: &[User], held: &[f64]) -> Vec<f64> {
    let is_divided = users.iter().any(|user| user.slices.is_some());
    let is_told = users
        .iter()
        .any(|user| user.busy.is_some_and(|busy| busy > 0.0));
    // Of one whom nobody tells of among others of whom somebody does, the work is not known: none.
    let weight = |(user, held): (&User, &f64)| {
        let size = if is_divided { *held } else { 1.0 };
        if is_told {
            size * user.busy.unwrap_or(0.0).max(0.0)
        } else {
            *held
        }
    };
    let weights: Vec<f64> = users.iter().zip(held).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        #[allow(clippy::cast_precision_loss)]
        return vec![(users.len() as f64).recip(); users.len()];
    }
    weights.iter().map(|weight| weight / sum).collect()
}

/// The part of a device's energy over a time that it draws at rest.
#[must_use]
pub fn rest(joules: f64, idle_watts: f64, time: Duration) -> f64 {
    let idle = idle_watts.max(0.0) * time.as_secs_f64();
    if joules <= 0.0 {
        1.0
    } else {
        unit(idle / joules)
    }
}

fn unit(part: f64) -> f64 {
    if part.is_nan() {
        0.0
    } else {
        part.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: To = To::Tenant(1);
    const B: To = To::Tenant(2);

    /// What each has, whatever the order; and that it is all.
    fn parts(shares: &[Share]) -> Vec<(To, f64)> {
        let sum: f64 = shares.iter().map(|share| share.part).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{shares:?}");
        let mut parts: std::collections::BTreeMap<To, f64> = std::collections::BTreeMap::new();
        for share in shares {
            assert!(share.dynamic <= share.part + 1e-12);
            *parts.entry(share.to).or_default() += share.part;
        }
        parts
            .into_iter()
            .map(|(to, part)| (to, (part * 1e6).round() / 1e6))
            .collect()
    }

    #[test]
    fn a_processor_goes_by_cpu_time_beyond_its_rest() {
        let work = [(A, 0.5), (B, 0.25)];
        let asked = [(A, 0.25), (B, 0.25)];
        let with = |policy| parts(&processor(0.4, policy, &work, &asked));
        let separate = vec![(To::Idle, 0.4), (To::System, 0.15), (A, 0.3), (B, 0.15)];
        assert_eq!(with(Idle::Separate), separate);
        assert_eq!(
            with(Idle::Proportional),
            [(To::System, 0.25), (A, 0.5), (B, 0.25)]
        );
        let asked = vec![(To::Idle, 0.2), (To::System, 0.15), (A, 0.4), (B, 0.25)];
        assert_eq!(with(Idle::ByRequest), asked);
    }

    #[test]
    fn a_run_that_is_all_of_a_workload_has_what_the_workload_has() {
        for work in [vec![(A, 0.5), (B, 0.25)], vec![(A, 0.9), (B, 0.3)]] {
            let known: f64 = work.iter().map(|(_, part)| part).sum();
            for policy in [Idle::Separate, Idle::Proportional] {
                let shares = processor(0.4, policy, &work, &[]);
                let of = shares.iter().filter(|share| share.to == A);
                let whole: f64 = of.map(|share| share.part).sum();
                let (part, dynamic) = part_of_processor(0.4, policy, work[0].1, known);
                assert!((part - whole).abs() < 1e-12 && dynamic <= part);
            }
        }
    }

    #[test]
    fn clocks_that_disagree_give_nobody_more_than_all() {
        // 1.2 s of CPU time in a second of which the machine says that it was busy for one.
        let work = [(A, 0.9), (B, 0.3)];
        let shares = processor(0.0, Idle::Separate, &work, &[]);
        assert_eq!(parts(&shares), [(A, 0.75), (B, 0.25)]);
    }

    #[test]
    fn a_machine_at_rest_is_idle_under_each_policy() {
        for policy in [Idle::Separate, Idle::Proportional, Idle::ByRequest] {
            assert_eq!(parts(&processor(1.0, policy, &[], &[])), [(To::Idle, 1.0)]);
        }
        let jitter = processor(0.9, Idle::Proportional, &[], &[]);
        assert_eq!(parts(&jitter), [(To::Idle, 0.9), (To::System, 0.1)]);
    }

    fn user(to: To, busy: Option<f64>) -> User {
        User {
            to,
            slices: None,
            busy,
        }
    }

    #[test]
    fn who_holds_an_accelerator_alone_has_all_of_it() {
        let alone = accelerator(Some(0.3), &[user(A, Some(0.2))], Some(0.02), 0.05);
        assert_eq!(parts(&alone), [(A, 1.0)]);
        assert_eq!(alone[0].reserved, Some(true), "by the device's own figure");
        let busy = accelerator(Some(0.3), &[user(A, None)], Some(0.9), 0.05);
        assert_eq!((busy[0].reserved, busy[0].dynamic), (Some(false), 0.7));
        let untold = accelerator(None, &[user(A, None)], None, 0.05);
        assert_eq!(untold[0].reserved, None, "nobody knows");
        assert_eq!(
            parts(&accelerator(Some(0.3), &[], Some(0.5), 0.05)),
            [(To::Idle, 1.0)]
        );
    }

    #[test]
    fn who_shares_one_has_an_equal_part_of_its_rest_and_what_it_did() {
        let users = [user(A, Some(0.6)), user(B, Some(0.2))];
        let shares = accelerator(Some(0.2), &users, Some(0.8), 0.05);
        assert_eq!(parts(&shares), [(A, 0.7), (B, 0.3)]);
        // Nobody knows the rest: all goes by what each did.
        assert_eq!(
            parts(&accelerator(None, &users, None, 0.05)),
            [(A, 0.75), (B, 0.25)]
        );
        let idle = accelerator(
            Some(0.2),
            &[user(A, Some(1.0)), user(B, Some(0.0))],
            None,
            0.05,
        );
        assert_eq!(parts(&idle), [(A, 0.9), (B, 0.1)]);
        assert_eq!(idle[1].reserved, Some(true));
    }

    #[test]
    fn without_figures_it_is_equal() {
        let users = [user(A, None), user(B, None)];
        assert_eq!(
            parts(&accelerator(Some(0.2), &users, None, 0.05)),
            [(A, 0.5), (B, 0.5)]
        );
        let silent = [user(A, Some(0.0)), user(B, Some(0.0))];
        assert_eq!(
            parts(&accelerator(Some(1.0), &silent, None, 0.05)),
            [(A, 0.5), (B, 0.5)]
        );
    }

    #[test]
    fn slices_weigh_and_those_that_nobody_holds_are_idle() {
        let slice = |to, slices, busy| User {
            to,
            slices: Some(slices),
            busy,
        };
        let held = [slice(A, 3.0 / 7.0, None), slice(B, 1.0 / 7.0, None)];
        let shares = parts(&accelerator(Some(0.7), &held, None, 0.05));
        assert_eq!(shares, [(To::Idle, 0.3), (A, 0.525), (B, 0.175)]);
        // Activity of a larger instance weighs more.
        let busy = [slice(A, 0.5, Some(0.5)), slice(B, 0.25, Some(0.5))];
        let shares = parts(&accelerator(Some(0.0), &busy, None, 0.05));
        assert_eq!(shares, [(A, 0.666_667), (B, 0.333_333)]);
    }

    #[test]
    fn the_part_at_rest_is_no_more_than_all() {
        let second = Duration::from_secs(1);
        assert_eq!(rest(100.0, 40.0, second), 0.4);
        assert_eq!(rest(30.0, 40.0, second), 1.0);
        assert_eq!(rest(0.0, 40.0, second), 1.0);
        assert_eq!(rest(f64::NAN, 40.0, second), 0.0);
    }
}
