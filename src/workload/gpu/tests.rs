use super::means::{Record, Window};
use super::mig::{Part, Shares, shares};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000;
const START: u64 = 1_669_000_000 * SECOND;
const WINDOW: Duration = Duration::from_secs(5);

fn record(pid: u32, second: f64, percent: u32) -> Record {
    Record {
        pid,
        at: START.saturating_add_signed((second * 1e6) as i64),
        percent,
    }
}

/// A window that has seen all up to a time.
fn primed(second: f64) -> Window {
    let mut window = Window::default();
    assert_eq!(window.take(&[record(1, second, 50)], Duration::ZERO), None);
    window
}

fn take(window: &mut Window, records: &[Record]) -> Vec<(u32, f64)> {
    window.take(records, WINDOW).unwrap().into_iter().collect()
}

fn near(is: &[(u32, f64)], should: &[(u32, f64)]) {
    assert_eq!(is.len(), should.len(), "{is:?}");
    for (is, should) in is.iter().zip(should) {
        assert!(
            is.0 == should.0 && (is.1 - should.1).abs() < 1e-9,
            "{is:?}, {should:?}"
        );
    }
}

#[test]
fn a_record_of_each_process_is_its_mean() {
    let mut window = primed(0.0);
    assert_eq!(window.since(), START);
    let records = [record(7, 4.8, 60), record(8, 1.2, 30)];
    near(&take(&mut window, &records), &[(7, 0.6), (8, 0.3)]);
    assert_eq!(
        window.since(),
        START + 4_800_000,
        "the latest, whosever it is"
    );
}

#[test]
fn records_of_each_sample_are_divided_by_the_samples_of_the_window() {
    let mut window = primed(0.0);
    // One works all the time, another in the last second; five samples in a second.
    let mut records: Vec<Record> = (1..=25)
        .map(|n| record(7, f64::from(n) / 5.0, 40))
        .collect();
    records.extend((21..=25).map(|n| record(8, f64::from(n) / 5.0, 50)));
    near(&take(&mut window, &records), &[(7, 0.4), (8, 0.1)]);
    // One alone, for two of the five seconds.
    let records: Vec<Record> = (26..=35)
        .map(|n| record(9, f64::from(n) / 5.0, 90))
        .collect();
    near(&take(&mut window, &records), &[(9, 0.36)]);
}

#[test]
fn means_of_times_of_their_own_add_up_to_no_more_than_all() {
    let mut window = primed(0.0);
    let records = [record(7, 1.0, 90), record(8, 4.0, 60)];
    near(&take(&mut window, &records), &[(7, 0.6), (8, 0.4)]);
}

#[test]
fn garbage_is_dropped_and_moves_nothing() {
    let mut window = primed(0.0);
    let far = Record {
        pid: 9,
        at: START + 86_400 * SECOND,
        percent: 4,
    };
    let records = [
        record(7, 4.0, 50),
        record(8, 4.9, 4_294_967_295),
        record(8, 4.9, 101),
        record(0, 4.9, 10),
        record(6, -3.0, 10),
        far,
    ];
    near(&take(&mut window, &records), &[(7, 0.5)]);
    assert_eq!(window.since(), START + 4 * SECOND);
}

#[test]
fn no_records_are_processes_that_did_nothing() {
    let mut window = primed(0.0);
    near(&take(&mut window, &[]), &[]);
    assert_eq!(window.since(), START);
    let mut fresh = Window::default();
    assert_eq!(fresh.take(&[], Duration::ZERO), None);
    near(&take(&mut fresh, &[record(7, 4.0, 50)]), &[(7, 0.5)]);
}

#[test]
fn what_was_before_the_first_look_is_not_told() {
    let mut window = Window::default();
    let old = [record(7, -60.0, 100), record(8, -1.0, 10)];
    assert_eq!(window.take(&old, Duration::ZERO), None);
    assert_eq!(window.since(), START - SECOND);
}

#[test]
fn a_clock_that_is_set_costs_one_look() {
    let mut window = primed(0.0);
    assert_eq!(
        window.take(&[record(7, 7200.0, 50)], WINDOW),
        None,
        "forward"
    );
    near(&take(&mut window, &[record(7, 7205.0, 50)]), &[(7, 0.5)]);
    // Backward the driver has nothing newer to tell, until it is asked for all.
    let mut looks = 0;
    while window.since() != 0 {
        near(&take(&mut window, &[]), &[]);
        looks += 1;
        assert!(looks < 100);
    }
    assert_eq!(window.take(&[record(7, 65.0, 50)], WINDOW), None);
    assert_eq!(window.since(), START + 65 * SECOND);
    near(&take(&mut window, &[record(7, 70.0, 50)]), &[(7, 0.5)]);
}

#[test]
fn a_gpu_that_was_idle_for_long_goes_on_where_it_was() {
    let mut window = primed(0.0);
    while window.since() != 0 {
        take(&mut window, &[]);
    }
    // Asked for all, the driver tells the old again.
    near(&take(&mut window, &[record(1, 0.0, 50)]), &[]);
    near(
        &take(&mut window, &[record(1, 0.0, 50), record(7, 4.0, 80)]),
        &[(7, 0.8)],
    );
    assert_eq!(window.since(), START + 4 * SECOND);
}

proptest! {
    #[test]
    fn whatever_a_driver_tells_the_means_are_shares(
        looks in vec((vec((0..6_u32, any::<u64>(), 0..200_u32), 0..20), 0..20_000_u64), 1..30),
        far in any::<bool>(),
    ) {
        let mut window = Window::default();
        for (n, (records, elapsed)) in (0..).zip(looks) {
            let near = |at: u64| START + n * 5 * SECOND + at % (10 * SECOND);
            let record = |(pid, at, percent)| Record { pid, at: if far { at } else { near(at) }, percent };
            let records: Vec<Record> = records.into_iter().map(record).collect();
            let Some(means) = window.take(&records, Duration::from_millis(elapsed)) else { continue };
            let sum: f64 = means.values().sum();
            prop_assert!(sum <= 1.0 + 1e-9, "{sum}");
            for (pid, mean) in means {
                prop_assert!(pid != 0 && (0.0..=1.0).contains(&mean), "{pid}: {mean}");
                prop_assert!(records.iter().any(|record| record.pid == pid && record.percent <= 100));
            }
        }
    }
}

fn part(slices: u32, activity: Option<f64>) -> Part {
    Part { slices, activity }
}

#[test]
fn instances_share_by_slices_times_activity_and_idle_by_slices() {
    let is = shares(
        &[part(3, Some(1.0)), part(2, Some(0.5)), part(1, Some(0.0))],
        7,
    );
    assert_eq!(is.active, [0.75, 0.25, 0.0]);
    assert_eq!(is.idle, [3.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0]);
    assert!((is.unheld - 1.0 / 7.0).abs() < 1e-12);
    // Untold, it counts with all its slices; one on which nothing runs does not.
    let is = shares(&[part(3, None), part(1, None), part(3, Some(0.0))], 7);
    assert_eq!(is.active, [0.75, 0.25, 0.0]);
}

#[test]
fn shares_add_up_to_1_whatever_is_told() {
    let odd = [
        None,
        Some(0.0),
        Some(1.0),
        Some(f64::NAN),
        Some(-3.0),
        Some(f64::INFINITY),
        Some(1e-300),
    ];
    for of in [0, 1, 4, 7] {
        for slices in [0, 1, 7, u32::MAX] {
            for first in odd {
                for second in odd {
                    let is = shares(&[part(slices, first), part(1, second)], of);
                    let active: f64 = is.active.iter().sum();
                    let idle: f64 = is.idle.iter().sum::<f64>() + is.unheld;
                    assert!((active - 1.0).abs() < 1e-9, "{is:?}");
                    assert!((idle - 1.0).abs() < 1e-9, "{is:?}");
                    let all = is.active.iter().chain(&is.idle).chain([&is.unheld]);
                    assert!(
                        all.clone().all(|share| (0.0..=1.0).contains(share)),
                        "{is:?}"
                    );
                }
            }
        }
    }
    assert_eq!(
        shares(&[], 7),
        Shares {
            unheld: 1.0,
            ..Shares::default()
        }
    );
    assert_eq!(shares(&[part(0, None)], 0).active, [1.0]);
}

fn machine() -> Gpus {
    let card = |n: u32, instances: Vec<Instance>| Card {
        uuid: format!("GPU-{n}").into(),
        index: n,
        // Not always in the same order.
        minor: Some(3 - n),
        pci: format!("0000:{:02x}:00.0", 0x1a + n).into(),
        divided: !instances.is_empty(),
        instances,
        sight: Sight::Full,
    };
    let instance = |uuid: &str, gpu_instance, compute_instance| Instance {
        uuid: uuid.into(),
        gpu_instance,
        compute_instance,
        slices: 1,
        of: 7,
    };
    let divided = vec![
        instance("MIG-a", 7, 0),
        instance("MIG-b", 8, 0),
        instance("MIG-c", 8, 1),
    ];
    Gpus {
        cards: vec![card(0, Vec::new()), card(1, Vec::new()), card(2, divided)],
        ..Gpus::default()
    }
}

#[test]
fn a_device_is_found_by_each_of_its_names() {
    let gpus = machine();
    let found = |name: DeviceName| {
        let (card, instance) = gpus.resolve(&name)?;
        Some((
            card.to_string(),
            instance.map(|instance| instance.to_string()),
        ))
    };
    let uuid = |uuid: &str| DeviceName::Uuid(uuid.into());
    let whole = |n: u32| Some((format!("GPU-{n}"), None));
    let part = |uuid: &str| Some(("GPU-2".to_owned(), Some(uuid.to_owned())));
    assert_eq!(found(uuid("GPU-1")), whole(1));
    assert_eq!(found(uuid("MIG-b")), part("MIG-b"));
    assert_eq!(found(uuid("MIG-GPU-2/8/1")), part("MIG-c"));
    for none in [
        "",
        "GPU-",
        "GPU-9",
        "MIG-",
        "MIG-GPU-2",
        "MIG-GPU-2/",
        "MIG-GPU-2/8",
        "MIG-GPU-1/8/1",
    ] {
        assert_eq!(found(uuid(none)), None, "{none}");
    }
    assert_eq!(found(DeviceName::Index(1)), whole(1));
    assert_eq!(found(DeviceName::Minor(1)), whole(2));
    assert_eq!(found(DeviceName::Minor(9)), None);
    for pci in ["0000:1b:00.0", "00000000:1B:00.0"] {
        assert_eq!(found(DeviceName::Pci(pci.into())), whole(1));
    }
    assert_eq!(found(DeviceName::Pci("".into())), None);
    let instance = |minor, gpu_instance| DeviceName::Instance {
        minor,
        gpu_instance,
    };
    assert_eq!(found(instance(1, 7)), part("MIG-a"));
    assert_eq!(found(instance(1, 8)), None, "which of its two is not said");
    assert_eq!(found(instance(2, 7)), None);
}
