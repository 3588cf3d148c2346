//! The machine as the model sees it: its packages, what each is rated at, and where every CPU belongs.
//! Pure: what the files say goes in.

use super::cpuinfo::CpuInfo;
use super::formula::{DRAM_PER_GIB, IDLE_SHARE, Rating, dram_power, rate};
use super::stat::Ticks;
use super::Config;
use crate::data::RatedPower;
use crate::sensor::{About, Kind, Part, Reading, Source, Value};
use crate::units::Watts;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A part never draws more than this many times what it is rated at: short boosts are about twice.
const CEILING: f64 = 3.0;

/// What the files say, apart from ticks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// The CPUs that are on line, in the order of `/proc/stat`.
    pub cpus: Vec<u32>,
    /// The package of each, in the same order.
    pub packages: Vec<u32>,
    /// The processors' description.
    pub info: CpuInfo,
    /// Whether a hypervisor runs this machine.
    pub virtual_: bool,
    /// Bytes of memory; `None` where they cannot be read.
    pub memory: Option<u64>,
    /// The bundled table's row of the model.
    pub row: Option<RatedPower>,
}

/// Packages with their sources and ticks.
#[derive(Default)]
pub(super) struct Machine {
    cpus: Vec<Cpu>,
    packages: Vec<Package>,
    /// What it was made from.
    pub facts: Facts,
}

struct Cpu {
    number: u32,
    /// Index into the packages.
    package: usize,
    last: Option<Ticks>,
}

struct Package {
    id: u32,
    cpus: usize,
    rating: Rating,
    source: Arc<Source>,
    dram: Option<(Arc<Source>, Watts)>,
    /// Ticks of its CPUs between the last two readings.
    passed: Ticks,
}

impl Machine {
    /// Sets up packages and sources. Memory is split evenly over the packages, whose names for it
    /// (`dram-0`) RAPL uses too.
    pub fn new(facts: Facts, config: &Config) -> Self {
        let ids: BTreeSet<u32> = facts.packages.iter().copied().collect();
        let per_gib = config.dram_watts_per_gib.unwrap_or(DRAM_PER_GIB);
        let share = facts.memory.map(|bytes| bytes / ids.len().max(1) as u64);
        let packages: Vec<Package> = ids
            .into_iter()
            .map(|id| {
                let cpus = facts.packages.iter().filter(|p| **p == id).count();
                let table = facts.row.as_ref().map(|row| row.watts);
                let rating = rate(config.cpu_watts, table, cpus, facts.virtual_);
                Package {
                    id,
                    cpus,
                    rating,
                    source: cpu_source(id, &facts, rating.watts()),
                    dram: share.map(|bytes| {
                        let watts = dram_power(bytes, per_gib);
                        (dram_source(id, bytes, watts), watts)
                    }),
                    passed: Ticks::default(),
                }
            })
            .collect();
        let cpus = facts
            .cpus
            .iter()
            .zip(&facts.packages)
            .map(|(number, id)| Cpu {
                number: *number,
                package: packages.iter().position(|p| p.id == *id).unwrap_or(0),
                last: None,
            })
            .collect();
        Self {
            cpus,
            packages,
            facts,
        }
    }

    /// Whether these are the CPUs that this machine was set up with.
    pub fn has(&self, numbers: impl Iterator<Item = u32>) -> bool {
        numbers.eq(self.cpus.iter().map(|cpu| cpu.number))
    }

    /// Takes over the baselines of the machine that this one replaces, so that a CPU that comes or
    /// goes costs the others nothing.
    pub fn continue_from(&mut self, old: &Self) {
        for cpu in &mut self.cpus {
            cpu.last = old
                .cpus
                .iter()
                .find(|c| c.number == cpu.number)
                .and_then(|c| c.last);
        }
    }

    /// Takes the ticks of a reading, CPU by CPU in the order of [`Facts::cpus`]. A CPU whose ticks
    /// stepped back counts for nothing this time.
    pub fn record(&mut self, ticks: impl Iterator<Item = Ticks>) {
        for package in &mut self.packages {
            package.passed = Ticks::default();
        }
        for (cpu, now) in self.cpus.iter_mut().zip(ticks) {
            let passed = cpu.last.replace(now).and_then(|last| now.since(last));
            if let (Some(passed), Some(package)) = (passed, self.packages.get_mut(cpu.package)) {
                package.passed = package.passed.plus(passed);
            }
        }
    }

    /// The mean power of each package between the last two readings. A package of which no time is
    /// known to have passed has none.
    pub fn cpu_readings(&self) -> impl Iterator<Item = Reading> + '_ {
        self.packages.iter().filter_map(|package| {
            let load = package.passed.load()?;
            let watts = super::formula::cpu_power(package.rating.watts(), load);
            let mut reading = Reading::new(&package.source, Value::Modelled(watts));
            reading.utilization = Some(load);
            Some(reading)
        })
    }

    /// The power of each package's memory.
    pub fn dram_readings(&self) -> impl Iterator<Item = Reading> + '_ {
        self.packages
            .iter()
            .filter_map(|package| package.dram.as_ref())
            .map(|(source, watts)| Reading::new(source, Value::Modelled(*watts)))
    }

    /// What `doctor` says of the packages: how many, what each is rated at, and why.
    pub fn describe_cpus(&self) -> String {
        let kind = if self.facts.virtual_ {
            "virtual machine"
        } else {
            "bare metal"
        };
        let model = match self.facts.info.model.as_str() {
            "" => "of unknown model",
            model => model,
        };
        let ratings: Vec<String> = self
            .packages
            .iter()
            .map(|p| {
                let why = self.why(p.rating);
                let (id, cpus, watts) = (p.id, p.cpus, p.rating.watts().0);
                format!("package-{id} with {cpus} logical CPUs: {watts} W rated ({why})")
            })
            .collect();
        format!(
            "would be modelled if no sensor reads it: from load and rated power; {kind}, {model}; {}; \
             idle share {IDLE_SHARE:.2} (Cloud Carbon Footprint 2021), curve 2u - u^1.4 \
             (Fan, Weber, Barroso, ISCA 2007)",
            ratings.join("; ")
        )
    }

    /// What `doctor` says of the memory; `None` where its size is unknown.
    pub fn describe_dram(&self, config: &Config) -> Option<String> {
        let gib = self.facts.memory? as f64 / f64::from(1 << 30);
        let (per_gib, why) = match config.dram_watts_per_gib {
            Some(watts) => (watts, "sensors.model.dram_watts_per_gib"),
            None => (DRAM_PER_GIB, "Cloud Carbon Footprint 2021"),
        };
        let packages = self.packages.len();
        Some(format!(
            "would be modelled if no sensor reads it: {gib:.1} GiB x {per_gib} W/GiB ({why}), \
             split evenly over {packages} package(s)"
        ))
    }

    /// Whether some package's rated power is a guess from its number of CPUs.
    pub fn guesses(&self) -> bool {
        let guess = |p: &Package| matches!(p.rating, Rating::Fallback(_) | Rating::Share(_));
        self.packages.iter().any(guess)
    }

    fn why(&self, rating: Rating) -> String {
        let row = |row: &RatedPower| {
            let (model, watts) = (&row.model, row.watts.0);
            let (title, vintage) = (&row.source.title, &row.source.vintage);
            format!("table row {model:?}, {watts} W, {title}, {vintage}")
        };
        let row = self.facts.row.as_ref().map(row).unwrap_or_default();
        let count = "3.5 W a logical CPU, Cloud Carbon Footprint 2021";
        match rating {
            Rating::Configured(_) => "sensors.model.cpu_watts".into(),
            Rating::Table(_) => row,
            Rating::Share(_) => format!("{count}, as a share of the host's package: {row}"),
            Rating::Fallback(_) => format!("{count}: the model is not in the table"),
        }
    }
}

/// The package of each CPU. x86 says it in cpuinfo, by the numbers that RAPL names its zones by.
/// Elsewhere the firmware's numbers have gaps or are missing (-1), and packages count from 0 in their
/// order, as the sockets of hwmon do. A CPU that nothing is known of goes to the first package.
pub(super) fn packages(
    cpus: &[u32],
    info: &CpuInfo,
    topology: impl Fn(u32) -> Option<i64>,
) -> Vec<u32> {
    if let Some(first) = info.packages.values().min() {
        let of = |cpu| *info.packages.get(cpu).unwrap_or(first);
        return cpus.iter().map(of).collect();
    }
    let ids: Vec<Option<i64>> = cpus
        .iter()
        .map(|cpu| topology(*cpu).filter(|id| *id >= 0))
        .collect();
    let order: BTreeSet<i64> = ids.iter().flatten().copied().collect();
    let rank = |id: &Option<i64>| id.map_or(0, |id| order.range(..id).count());
    ids.iter()
        .map(|id| u32::try_from(rank(id)).unwrap_or(0))
        .collect()
}

fn cpu_source(id: u32, facts: &Facts, rated: Watts) -> Arc<Source> {
    Arc::new(Source {
        part: Part::Device {
            id: format!("package-{id}").into(),
            kind: Kind::Cpu,
        },
        about: About {
            vendor: facts.info.vendor.clone(),
            model: facts.info.model.clone(),
            is_piece: facts.virtual_,
            driver: "model".into(),
            ..About::default()
        },
        ceiling: rated.times(CEILING), holds: &[] })
}

fn dram_source(id: u32, bytes: u64, watts: Watts) -> Arc<Source> {
    Arc::new(Source {
        part: Part::Device {
            id: format!("dram-{id}").into(),
            kind: Kind::Dram,
        },
        about: About {
            driver: "model".into(),
            memory_bytes: Some(bytes),
            ..About::default()
        },
        ceiling: watts.times(CEILING), holds: &[] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_x86_keep_their_numbers() {
        let info = CpuInfo::parse(
            "processor: 0\nphysical id: 2\nprocessor: 1\nphysical id: 5\nprocessor: 2\nphysical id: 2\n",
        );
        let of = packages(&[0, 1, 2, 9], &info, |_| Some(77));
        assert_eq!(of, vec![2, 5, 2, 2]);
    }

    #[test]
    fn packages_of_arm_count_from_0() {
        let info = CpuInfo::default();
        let of = packages(&[0, 1, 2, 3], &info, |cpu| Some(if cpu < 2 { 36 } else { 3180 }));
        assert_eq!(of, vec![0, 0, 1, 1]);
        assert_eq!(packages(&[0, 1], &info, |_| Some(-1)), vec![0, 0]);
        assert_eq!(packages(&[0, 1], &info, |_| None), vec![0, 0]);
    }
}
