//! What runs have is what their workloads have, as far as it is theirs.

use super::world::{PUE, REST, Second, Used, World, of_pod, of_run, run};
use gramwatt::attribution::Idle;
use gramwatt::run::api::State;
use gramwatt::sensor::Kind;
use gramwatt::snapshot::Snapshot;
use gramwatt::units::JOULES_PER_KWH;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const KINDS: [Kind; 4] = [Kind::Cpu, Kind::Dram, Kind::Gpu, Kind::Other];

fn assert_part(page: &Snapshot, id: &str, pod: u8, kind: Kind, part: f64) {
    let (run, pod_has) = (of_run(page, id, kind), of_pod(page, pod, kind));
    assert!(pod_has.0 > 1.0, "pod {pod} has {} J of {kind:?}", pod_has.0);
    for (has, of) in [(run.0, pod_has.0), (run.1, pod_has.1)] {
        assert!(
            (has - part * of).abs() <= 1e-9 * of,
            "{id}: {has} of {of} of pod {pod} ({kind:?}), and not {part}"
        );
    }
}

/// Pod 1 is all of run a; half of pod 2 is run b; pod 3 is 30 % run c and 70 % run d. All accelerators are used: one
/// alone, one by two pods, one divided.
fn second(t: u32) -> Second {
    let wave = f64::from(t % 10);
    let pods = BTreeMap::from([
        (1, (2.0 + wave / 10.0, 4.0)),
        (2, (1.0, 2.0)),
        (3, (wave, 8.0)),
    ]);
    Second {
        cpu: REST + 10.0 * (4.0 + wave),
        dram: 12.0 + wave,
        gpus: [REST + 30.0 * wave, 250.0 - 10.0 * wave, 300.0],
        beyond: 40.0 + wave,
        others: 0.5,
        runs: BTreeMap::from([
            ("a", (1, pods[&1].0, 4.0)),
            ("b", (2, 0.5, 1.0)),
            ("c", (3, wave * 0.3, 2.4)),
            ("d", (3, wave * 0.7, 5.6)),
        ]),
        pods,
        holds: BTreeMap::from([
            (0, vec![(1, None, 0.9)]),
            (1, vec![(2, None, 0.3), (3, None, 0.6)]),
            (2, vec![(1, Some(3), 0.5), (3, Some(2), 1.0)]),
        ]),
        parts: vec![
            ("a", 0, 1, 1.0),
            ("a", 2, 1, 1.0),
            ("b", 1, 2, 0.5),
            ("c", 1, 3, 0.3),
            ("d", 1, 3, 0.7),
            ("c", 2, 3, 0.3),
            ("d", 2, 3, 0.7),
        ],
    }
}

#[test]
fn a_run_has_of_its_workload_as_much_as_is_its() {
    for idle in [Idle::Separate, Idle::Proportional] {
        let mut world = World::new(idle);
        for (pid, id) in [(11, "a"), (12, "b"), (13, "c"), (14, "d")] {
            world.begin(id, pid);
        }
        let mut page = None;
        for t in 0..120 {
            if t == 60 {
                world.emits(700.0);
            }
            if t == 90 {
                world.restart();
            }
            page = Some(world.passes(&second(t)));
        }
        let page = page.unwrap();
        for kind in KINDS {
            assert_part(&page, "a", 1, kind, 1.0);
            assert_part(&page, "b", 2, kind, 0.5);
            assert_part(&page, "c", 3, kind, 0.3);
            assert_part(&page, "d", 3, kind, 0.7);
        }
        let grams: f64 = KINDS.iter().map(|kind| of_pod(&page, 1, *kind).1).sum();
        assert!((run(&page, "a").grams().unwrap().0 - grams).abs() < 1e-9 * grams);
    }
}

/// Two of sixteen CPUs for a hundred seconds, at 10 W for each CPU that works, among others that come and go; half of
/// it at 300 and half at 600 g/kWh.
#[test]
fn a_burner_of_known_time_costs_what_it_must() {
    let mut world = World::new(Idle::Separate);
    let mut page = None;
    for t in 0..160 {
        if t == 30 {
            world.begin("burn", 11);
        }
        if t == 80 {
            world.emits(600.0);
        }
        if t == 130 {
            world.end("burn");
        }
        let burns = if (30..130).contains(&t) { 2.0 } else { 0.0 };
        let others = f64::from(t * 7 % 12);
        let second = Second {
            cpu: REST + 10.0 * (burns + others),
            pods: BTreeMap::from([(1, (burns, 1.0))]),
            others,
            runs: BTreeMap::from([("burn", (1, burns, 1.0))]),
            ..Second::default()
        };
        page = Some(world.passes(&second));
    }
    let page = page.unwrap();
    let (joules, grams) = of_run(&page, "burn", Kind::Cpu);
    assert!((joules - 2000.0).abs() < 1e-3, "{joules} J");
    let expected = 450.0 * PUE * 2000.0 / JOULES_PER_KWH;
    assert!(
        (grams - expected).abs() < 1e-6 * expected,
        "{grams} g and not {expected} g"
    );
    let run = run(&page, "burn");
    assert_eq!(
        (run.state, run.settled, run.watts()),
        (State::Succeeded, true, None)
    );
    assert_eq!(run.elapsed, Duration::from_secs(100));
}

/// An accelerator is its holder's all the while; a run has it from its beginning to its end, to the moment.
#[test]
fn a_run_has_its_workloads_accelerator_from_its_beginning_to_its_end() {
    let mut world = World::new(Idle::Separate);
    let mut page = None;
    for t in 0..80 {
        if t == 20 {
            world.begin("train", 11);
        }
        if t == 60 {
            world.end("train");
        }
        let second = Second {
            gpus: [400.0, 0.0, 0.0],
            pods: BTreeMap::from([(1, (0.0, 1.0))]),
            holds: BTreeMap::from([(0, vec![(1, None, 0.9)])]),
            runs: BTreeMap::from([("train", (1, 0.0, 0.0))]),
            parts: vec![("train", 0, 1, 1.0)],
            ..Second::default()
        };
        page = Some(world.passes(&second));
    }
    let page = page.unwrap();
    let (of_pod, of_run) = (
        of_pod(&page, 1, Kind::Gpu).0,
        of_run(&page, "train", Kind::Gpu).0,
    );
    assert!((of_pod - 80.0 * 400.0).abs() < 1.0, "{of_pod} J");
    assert!((of_run - 40.0 * 400.0).abs() < 1.0, "{of_run} J");
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const RUNS: [(&str, u8); 6] = [("a", 1), ("b", 1), ("c", 2), ("d", 2), ("e", 2), ("f", 3)];

/// A second of a random day: runs are parts of their pods, those that live.
fn random(dice: &mut Dice, live: &[(&'static str, u8)]) -> Second {
    let pods: BTreeMap<u8, (f64, f64)> = (1..=4)
        .map(|pod| (pod, (3.0 * dice.roll(), 8.0 * dice.roll())))
        .collect();
    // Parts of a pod that do not make more than all of it.
    let mut left = BTreeMap::new();
    let mut parts = |pod: u8, dice: &mut Dice| {
        let left: &mut f64 = left.entry(pod).or_insert(1.0);
        let part = if dice.roll() < 0.2 {
            *left
        } else {
            *left * dice.roll()
        };
        *left -= part;
        part
    };
    let shares: Vec<(&str, u8, f64)> = live
        .iter()
        .map(|(id, pod)| (*id, *pod, parts(*pod, dice)))
        .collect();
    let mut holds: BTreeMap<usize, Vec<(u8, Option<u32>, f64)>> = BTreeMap::new();
    for number in 0..3 {
        for pod in 1..=4 {
            if dice.roll() < 0.4 {
                let hold = (pod, (number == 2).then_some(1), dice.roll());
                holds.entry(number).or_default().push(hold);
            }
        }
    }
    let held = |number: usize, pod: u8| {
        holds
            .get(&number)
            .is_some_and(|all| all.iter().any(|hold| hold.0 == pod))
    };
    let on = (0..3).flat_map(|number| shares.iter().map(move |share| (number, share)));
    let on = on.filter(|(number, (_, pod, _))| held(*number, *pod));
    Second {
        cpu: 400.0 * dice.roll(),
        dram: 40.0 * dice.roll(),
        gpus: [0, 1, 2].map(|_| 500.0 * dice.roll()),
        beyond: 100.0 * dice.roll(),
        others: dice.roll(),
        runs: shares
            .iter()
            .map(|(id, pod, part)| (*id, (*pod, part * pods[pod].0, part * pods[pod].1)))
            .collect(),
        parts: on
            .map(|(number, (id, pod, part))| (*id, number, *pod, *part))
            .collect(),
        holds,
        pods,
    }
}

fn idle() -> impl Strategy<Value = Idle> {
    prop_oneof![
        Just(Idle::Separate),
        Just(Idle::Proportional),
        Just(Idle::ByRequest)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn runs_never_have_more_than_their_workloads(idle in idle(), seed: u64, length in 10..80_u32) {
        let (mut world, mut dice) = (World::new(idle), Dice(seed));
        let mut live: Vec<(&'static str, u8)> = Vec::new();
        let mut waiting = RUNS.to_vec();
        let mut before: BTreeMap<(String, Kind), Used> = BTreeMap::new();
        for _ in 0..length {
            if dice.roll() < 0.3 && let Some((id, pod)) = waiting.pop() {
                world.begin(id, 10 + u32::try_from(waiting.len()).unwrap());
                live.push((id, pod));
            }
            if dice.roll() < 0.1 && let Some((id, _)) = live.pop() {
                world.end(id);
            }
            if dice.roll() < 0.1 {
                let grams = 900.0 * dice.roll();
                world.emits(grams);
            }
            if dice.roll() < 0.05 {
                world.restart();
            }
            let second = random(&mut dice, &live);
            let page = world.passes(&second);
            for (pod, kind) in (1..=4).flat_map(|pod| KINDS.map(|kind| (pod, kind))) {
                let all = of_pod(&page, pod, kind);
                let shown = |id: &&str| page.runs.iter().any(|run| *run.id == **id);
                let its = RUNS.iter().filter(|run| run.1 == pod).map(|run| run.0).filter(shown);
                let sum = its.map(|id| of_run(&page, id, kind)).fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                prop_assert!(sum.0 <= all.0 * (1.0 + 1e-9) + 1e-6, "{kind:?} of pod {pod}: {} J of {} J", sum.0, all.0);
                prop_assert!(sum.1 <= all.1 * (1.0 + 1e-9) + 1e-9, "{kind:?} of pod {pod}: {} g of {} g", sum.1, all.1);
            }
            for run in &page.runs {
                for used in &run.uses {
                    let now = (used.joules.0, used.grams.map_or(0.0, |grams| grams.0));
                    let last = before.insert((run.id.to_string(), used.kind), now).unwrap_or_default();
                    prop_assert!(now.0 >= last.0 && now.1 >= last.1, "{} fell from {last:?} to {now:?}", run.id);
                }
            }
        }
    }
}
