//! The per-CPU lines of `/proc/stat` (proc_stat(5)). Pure, and total over any bytes.
//!
//! Own parser, and not the `procfs` crate's, because it runs at every sample and must not allocate.

/// CPU numbers from here on are refused; the kernel's own limit (`NR_CPUS`) is 8192.
pub const MAX_CPUS: u32 = 16_384;

/// Where the time of a CPU went since boot, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    /// user + nice + system + irq + softirq. The kernel counts time that guests ran in user and nice
    /// already, so guest and guest_nice are not added.
    pub busy: u64,
    /// idle + iowait. The kernel moves time from iowait to idle, so only the sum is dependable.
    pub idle: u64,
    /// The hypervisor ran someone else: time has passed, and this machine used none of it.
    pub steal: u64,
}

impl Ticks {
    /// The ticks since an earlier reading; `None` where any of them stepped back, as they do when a
    /// CPU goes off and on line.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Self> {
        Some(Self {
            busy: self.busy.checked_sub(earlier.busy)?,
            idle: self.idle.checked_sub(earlier.idle)?,
            steal: self.steal.checked_sub(earlier.steal)?,
        })
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            busy: self.busy.saturating_add(other.busy),
            idle: self.idle.saturating_add(other.idle),
            steal: self.steal.saturating_add(other.steal),
        }
    }

    /// The busy share of the time that passed, 0 to 1; `None` where none has.
    #[must_use]
    pub fn load(self) -> Option<f64> {
        let passed = self.busy as f64 + self.idle as f64 + self.steal as f64;
        (passed > 0.0).then(|| self.busy as f64 / passed)
    }
}

/// The CPUs that are on line, in the order of the file, with their ticks. The line of the sum over all
/// CPUs, and every line that is cut, out of range or otherwise not as the kernel writes it, is passed
/// over.
pub fn cpus(text: &[u8]) -> impl Iterator<Item = (u32, Ticks)> + '_ {
    text.split(|b| *b == b'\n').filter_map(line)
}

fn line(line: &[u8]) -> Option<(u32, Ticks)> {
    let rest = std::str::from_utf8(line.strip_prefix(b"cpu")?).ok()?;
    let mut words = rest.split_ascii_whitespace();
    let number = words.next().filter(|_| !rest.starts_with(' '))?;
    let number = number.parse().ok().filter(|n| *n < MAX_CPUS)?;
    // user nice system idle, since ever; iowait irq softirq steal, by age of the kernel.
    let mut fields = [0_u64; 8];
    let mut count = 0;
    for (field, word) in fields.iter_mut().zip(words) {
        *field = word.parse().ok()?;
        count += 1;
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal] = fields;
    (count >= 4).then_some((
        number,
        Ticks {
            busy: [nice, system, irq, softirq]
                .into_iter()
                .fold(user, u64::saturating_add),
            idle: idle.saturating_add(iowait),
            steal,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(u32, Ticks)> {
        cpus(text.as_bytes()).collect()
    }

    fn ticks(busy: u64, idle: u64, steal: u64) -> Ticks {
        Ticks { busy, idle, steal }
    }

    #[test]
    fn a_file_of_today() {
        let text = "cpu  99 0 0 0 0 0 0 0 0 0\n\
                    cpu0 100 20 30 4000 500 6 7 80 90 10\n\
                    cpu11 1 2 3 4 5 6 7 8 1 2\n\
                    intr 167513 0 0\nctxt 5\ncpufreq 1 2 3 4\n";
        // Guest time (90, 10) is in user and nice already.
        let expected = vec![(0, ticks(163, 4500, 80)), (11, ticks(19, 9, 8))];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn old_short_and_broken_lines() {
        assert_eq!(read("cpu3 1 2 3 4"), vec![(3, ticks(6, 4, 0))]);
        for broken in [
            "",
            "cpu",
            "cpu0",
            "cpu0 1 2 3",
            "cpu 1 2 3 4 5",
            "cpu0 1 2 x 4",
            "cpu0 1 2 -3 4",
            "cpu-1 1 2 3 4",
            "cpu99999999999 1 2 3 4",
            "cpu16384 1 2 3 4",
            " cpu0 1 2 3 4",
            "cpu0 99999999999999999999999 2 3 4",
        ] {
            assert_eq!(read(broken), vec![], "{broken:?}");
        }
        assert_eq!(cpus(b"cpu0 \xff 2 3 4 5\ncpu1 1 1 1 1").count(), 1);
    }

    #[test]
    fn huge_counters_do_not_overflow() {
        let max = u64::MAX;
        let text = format!("cpu0 {max} {max} {max} {max} {max} {max} {max} {max}");
        let read = read(&text);
        assert_eq!(read, vec![(0, ticks(max, max, max))]);
        let load = read[0].1.plus(read[0].1).load().unwrap();
        assert!((load - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn stolen_time_is_passed_and_not_busy() {
        assert_eq!(ticks(25, 25, 50).load(), Some(0.25));
        assert_eq!(ticks(0, 10, 0).load(), Some(0.0));
        assert_eq!(ticks(0, 0, 0).load(), None);
    }

    #[test]
    fn a_step_back_is_no_delta() {
        let earlier = ticks(100, 1000, 5);
        assert_eq!(
            ticks(110, 1090, 5).since(earlier),
            Some(ticks(10, 90, 0))
        );
        assert_eq!(ticks(99, 1090, 5).since(earlier), None);
        assert_eq!(ticks(110, 999, 5).since(earlier), None);
        assert_eq!(ticks(110, 1090, 4).since(earlier), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_loads_from_0_to_1(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            for (number, ticks) in cpus(&text) {
                prop_assert!(number < MAX_CPUS);
                prop_assert!(ticks.load().is_none_or(|l| (0.0..=1.0).contains(&l)));
            }
        }

        #[test]
        fn any_numbers_are_read(fields in proptest::collection::vec(any::<u32>(), 4..12), cpu in 0..MAX_CPUS) {
            let words: Vec<String> = fields.iter().map(u32::to_string).collect();
            let text = format!("cpu{cpu} {}\n", words.join(" "));
            let got: Vec<_> = cpus(text.as_bytes()).collect();
            prop_assert_eq!(got.len(), 1);
            let (number, ticks) = got[0];
            prop_assert_eq!(number, cpu);
            let sum: u64 = fields.iter().take(8).map(|f| u64::from(*f)).sum();
            prop_assert_eq!(ticks.busy + ticks.idle + ticks.steal, sum);
        }
    }
}
