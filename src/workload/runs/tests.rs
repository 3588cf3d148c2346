use super::*;
use tempfile::TempDir;

/// A made-up process: its parent, its children, ticks of its own and of its children, its pages.
struct Process {
    pid: u32,
    parent: u32,
    children: &'static str,
    ticks: (u64, u64),
    pages: u64,
    inner: u32,
    user: u32,
}

/// This one acts with root's rights.
const ELEVATED: u32 = 103;

fn write(proc: &TempDir, process: &Process) {
    let Process {
        pid,
        parent,
        children,
        ticks: (own, of_children),
        pages,
        inner,
        user,
    } = process;
    let folder = proc.path().join(pid.to_string());
    let task = folder.join("task").join(pid.to_string());
    fs::create_dir_all(&task).unwrap();
    fs::write(task.join("children"), children).unwrap();
    let zeros = "0 ".repeat(9);
    let stat = format!(
        "{pid} (a ) b) S {parent} {zeros}{own} 0 {of_children} 0 20 0 1 0 {} 0 {pages} 0 0\n",
        1000 + pid
    );
    fs::write(folder.join("stat"), stat).unwrap();
    let effective = if *pid == ELEVATED { 0 } else { *user };
    let status = format!("Name:\tx\nUid:\t{user}\t{effective}\t0\t0\nNSpid:\t{pid}\t{inner}\n");
    fs::write(folder.join("status"), status).unwrap();
}

fn process(pid: u32, parent: u32, children: &'static str, ticks: (u64, u64)) -> Process {
    Process {
        pid,
        parent,
        children,
        ticks,
        pages: 1,
        inner: pid,
        user: 7,
    }
}

fn head(pid: u32) -> Head {
    Head {
        pid,
        started: u64::from(1000 + pid),
        children_alone: true,
        before: Some(Duration::ZERO),
    }
}

#[test]
fn a_family_is_all_that_descend_and_what_those_that_ended_used_is_kept() {
    let proc = TempDir::new().unwrap();
    write(&proc, &process(10, 1, "11 12", (500, 0)));
    write(&proc, &process(11, 10, "13", (100, 0)));
    write(&proc, &process(12, 10, "", (0, 50)));
    write(&proc, &process(13, 11, "", (25, 0)));
    write(&proc, &process(14, 1, "", (9000, 0)));
    let roster = Roster::default();
    roster.add("run".into(), head(10));
    let mut families = Families::new(proc.path(), roster.clone());
    let seen = families.look(Duration::from_secs(9));
    assert_eq!(
        seen[0].cpu,
        Duration::from_millis(1750),
        "not the head's own"
    );
    assert_eq!((seen[0].processes, seen[0].alive), (3, true));
    assert_eq!(seen[0].memory, 3 * rustix::param::page_size() as u64);
    assert_eq!(families.run_of(13, false).as_deref(), Some("run"));
    assert_eq!(families.run_of(14, false), None);
    // 12 and 13 end and are waited for; 11 has done 1 s more.
    fs::remove_dir_all(proc.path().join("12")).unwrap();
    fs::remove_dir_all(proc.path().join("13")).unwrap();
    write(&proc, &process(10, 1, "11", (600, 50)));
    write(&proc, &process(11, 10, "", (200, 25)));
    assert_eq!(
        families.look(Duration::from_secs(9))[0].cpu,
        Duration::from_secs(1)
    );
    // Between the end of one and its parent's hearing of it something is missing: nothing goes backwards.
    write(&proc, &process(11, 10, "", (200, 0)));
    assert_eq!(families.look(Duration::from_secs(9))[0].cpu, Duration::ZERO);
    write(&proc, &process(11, 10, "", (230, 25)));
    assert_eq!(
        families.look(Duration::from_secs(9))[0].cpu,
        Duration::from_millis(300)
    );
}

#[test]
fn a_head_that_is_gone_or_another_is_told_and_one_that_worked_before_begins_now() {
    let proc = TempDir::new().unwrap();
    write(&proc, &process(10, 1, "", (500, 0)));
    let roster = Roster::default();
    let old = Head {
        before: None,
        children_alone: false,
        ..head(10)
    };
    roster.add("old".into(), old.clone());
    roster.add("other".into(), Head { started: 5, ..old });
    let mut families = Families::new(proc.path(), roster.clone());
    let seen = families.look(Duration::from_secs(9));
    assert_eq!((seen[0].cpu, seen[0].alive), (Duration::ZERO, true));
    assert!(!seen[1].alive);
    write(&proc, &process(10, 1, "", (600, 0)));
    assert_eq!(
        families.look(Duration::from_secs(9))[0].cpu,
        Duration::from_secs(1)
    );
    roster.remove("old");
    roster.remove("other");
    assert_eq!(families.look(Duration::from_secs(9)), []);
}

#[test]
fn who_asks_may_name_itself_and_its_ancestors_of_the_same_user_alone() {
    let proc = TempDir::new().unwrap();
    // In a container, where 100 is 1 and 101 is 8; 50 is the runtime's.
    write(
        &proc,
        &Process {
            user: 0,
            inner: 50,
            ..process(50, 0, "100", (0, 0))
        },
    );
    write(
        &proc,
        &Process {
            inner: 1,
            ..process(100, 50, "101 102", (0, 0))
        },
    );
    write(
        &proc,
        &Process {
            inner: 8,
            ..process(101, 100, "", (0, 0))
        },
    );
    write(
        &proc,
        &Process {
            inner: 9,
            ..process(102, 100, "", (0, 0))
        },
    );
    let path = proc.path();
    assert_eq!(ancestor(path, 101, 7, 8), Some((101, 1101)), "itself");
    assert_eq!(ancestor(path, 101, 7, 1), Some((100, 1100)), "its shell");
    assert_eq!(ancestor(path, 101, 7, 9), None, "its brother");
    assert_eq!(ancestor(path, 101, 7, 50), None, "another user's");
    assert_eq!(ancestor(path, 77, 7, 77), None, "nobody");
    assert_eq!(ancestor(path, 101, 0, 8), None, "not who asks");
    write(&proc, &process(ELEVATED, 100, "", (0, 0)));
    assert_eq!(
        ancestor(path, ELEVATED, 7, 103),
        None,
        "with another's rights"
    );
    assert_eq!(ancestor(path, ELEVATED, 0, 103), None, "nor with its own");
}

#[test]
fn what_a_run_did_until_its_end_is_told_once_and_nothing_after() {
    let proc = TempDir::new().unwrap();
    write(&proc, &process(10, 1, "", (100, 0)));
    let own = Head {
        children_alone: false,
        before: Some(Duration::from_secs(1)),
        ..head(10)
    };
    let roster = Roster::default();
    for run in ["gone", "goes on"] {
        roster.add(run.into(), own.clone());
    }
    let mut families = Families::new(proc.path(), roster.clone());
    let now = Duration::from_secs(9);
    assert!(families.look(now).iter().all(|seen| seen.cpu.is_zero()));
    write(&proc, &process(10, 1, "", (150, 0)));
    let by_then = used(proc.path(), &roster.head("gone").unwrap());
    assert_eq!(by_then, Some(Duration::from_millis(1500)));
    roster.end("gone", by_then);
    roster.end("gone", None);
    // It does more, and another run in the same process goes on.
    write(&proc, &process(10, 1, "", (400, 0)));
    let seen = families.look(now);
    let cpu: Vec<Duration> = seen.iter().map(|seen| seen.cpu).collect();
    assert_eq!(cpu, [3000, 500].map(Duration::from_millis), "{seen:?}");
    roster.end("goes on", used(proc.path(), &own));
    fs::remove_dir_all(proc.path().join("10")).unwrap();
    assert_eq!(families.look(now)[0].cpu, Duration::ZERO);
    assert_eq!(families.look(now), []);
}

#[test]
fn a_run_that_ends_between_two_looks_has_all_that_it_did() {
    let proc = TempDir::new().unwrap();
    let roster = Roster::default();
    roster.add("short".into(), head(10));
    roster.end("short", Some(Duration::from_millis(600)));
    let seen = Families::new(proc.path(), roster).look(Duration::from_secs(9));
    assert_eq!(
        (seen[0].cpu, seen[0].alive),
        (Duration::from_millis(600), false)
    );
}

#[test]
fn a_child_that_leaves_unwaited_costs_no_more_than_two_looks() {
    let proc = TempDir::new().unwrap();
    write(&proc, &process(10, 1, "11 12", (0, 0)));
    write(&proc, &process(11, 10, "", (10_000, 0)));
    write(&proc, &process(12, 10, "", (100, 0)));
    let roster = Roster::default();
    roster.add("run".into(), head(10));
    let mut families = Families::new(proc.path(), roster);
    let look = |families: &mut Families| families.look(Duration::from_secs(9))[0].cpu;
    assert_eq!(look(&mut families), Duration::from_secs(101));
    write(&proc, &process(10, 1, "12", (0, 0)));
    let told: Vec<u64> = (2..6)
        .map(|seconds| {
            write(&proc, &process(12, 10, "", (100 * seconds, 0)));
            look(&mut families).as_secs()
        })
        .collect();
    assert_eq!(told, [0, 0, 1, 1]);
}

#[test]
fn a_process_on_an_accelerator_is_its_runs_after_its_end_and_nobodys_under_its_number() {
    let proc = TempDir::new().unwrap();
    write(&proc, &process(10, 1, "11", (0, 0)));
    write(&proc, &process(11, 10, "", (1, 0)));
    let roster = Roster::default();
    roster.add("run".into(), head(10));
    let mut families = Families::new(proc.path(), roster);
    families.look(Duration::from_secs(9));
    assert_eq!(families.run_of(11, false).as_deref(), Some("run"));
    write(&proc, &process(10, 1, "", (0, 0)));
    families.look(Duration::from_secs(10));
    assert_eq!(families.run_of(11, false), None, "somebody else's by now");
    assert_eq!(families.run_of(11, true).as_deref(), Some("run"));
    families.look(Duration::from_secs(100));
    assert_eq!(families.run_of(11, true), None);
}
