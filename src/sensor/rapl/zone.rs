//! What the names and limits of powercap zones mean; nothing here reads a file.

use crate::sensor::{Kind, MeterClass, Part, Scope};
use crate::units::Watts;
use std::fmt;
use std::sync::Arc;

/// The drivers that count energy, most trusted first: both read the same counters where both are there,
/// and only the first has all of them.
const CONTROLS: [&str; 2] = ["intel-rapl", "intel-rapl-mmio"];

/// A zone's address: its driver, and its place in that driver's tree. Orders by trust, then as the
/// kernel counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    control: usize,
    index: Vec<u32>,
}

impl Address {
    /// Reads `intel-rapl:a` or `intel-rapl:0:1`; the numbers are hexadecimal (`dev_set_name` with
    /// `%s:%x` in drivers/powercap/powercap_sys.c). `None` for what is no zone of RAPL.
    pub(super) fn parse(entry: &str) -> Option<Self> {
        let (name, index) = entry.split_once(':')?;
        let control = CONTROLS.iter().position(|control| *control == name)?;
        let index: Option<Vec<u32>> = index
            .split(':')
            .map(|part| u32::from_str_radix(part, 16).ok())
            .collect();
        let index = index.filter(|index| index.len() <= 2)?;
        Some(Self { control, index })
    }

    /// The zone that this one is inside of.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, index) = self.index.split_last().filter(|(_, up)| !up.is_empty())?;
        Some(Self {
            control: self.control,
            index: index.to_vec(),
        })
    }

    /// Whether the same driver shows both.
    pub(super) fn is_kin(&self, other: &Self) -> bool {
        self.control == other.control
    }

    /// The driver's name.
    pub(super) fn driver(&self) -> &'static str {
        CONTROLS.get(self.control).copied().unwrap_or_default()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.driver())?;
        self.index.iter().try_for_each(|part| write!(f, ":{part:x}"))
    }
}

/// What becomes of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is read.
    Read(Part),
    /// It is there, and would be wrong to show.
    LeaveOut {
        /// What it is called.
        subject: String,
        /// Why.
        why: &'static str,
    },
}

/// What a zone of this name inside that zone measures (names: `rapl_domain_names` and
/// `rapl_package_register_powercap` in drivers/powercap/intel_rapl_common.c).
pub(super) fn role(name: &str, inside: Option<&str>, is_amd: bool) -> Role {
    let package = inside.filter(|name| is_package(name));
    Role::Read(match (name, package) {
        (_, _) if is_package(name) => device(name, Kind::Cpu),
        ("core", Some(package)) if is_amd => {
            return Role::LeaveOut {
                subject: format!("{package} core"),
                why: "on AMD this counter is that of one core, not of all cores of the package \
                      (MSR_AMD_CORE_ENERGY_STATUS is read on the lead CPU only)",
            };
        }
        ("core" | "uncore", Some(package)) => Part::Domain {
            device: package.into(),
            domain: name.into(),
        },
        ("dram", Some(package)) => {
            let which = package.strip_prefix("package").unwrap_or_default();
            device(&format!("dram{which}"), Kind::Dram)
        }
        _ if is_psys(name) => meter(name.into(), Scope::Node(MeterClass::Psys)),
        _ => {
            let path: Vec<_> = ["rapl"].into_iter().chain(inside).chain([name]).collect();
            meter(tidy(&path.join("-")).into(), Scope::Unknown)
        }
    })
}

fn device(id: &str, kind: Kind) -> Part {
    Part::Device {
        id: id.into(),
        kind,
    }
}

fn meter(id: Arc<str>, scope: Scope) -> Part {
    Part::Meter { id, scope }
}

/// `package-0` or `package-0-die-1`.
fn is_package(name: &str) -> bool {
    name.strip_prefix("package-")
        .is_some_and(|rest| match rest.split_once("-die-") {
            Some((package, die)) => is_number(package) && is_number(die),
            None => is_number(rest),
        })
}

fn is_psys(name: &str) -> bool {
    name == "psys" || name.strip_prefix("psys-").is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The package of a die's device; `None` for what is no die.
pub(super) fn package_of_die(part: &Part) -> Option<&str> {
    match part {
        Part::Device { id, .. } if id.starts_with("package-") => {
            id.split_once("-die-").map(|(package, _)| package)
        }
        _ => None,
    }
}

/// A name that nobody has seen, as an identity: short, and without anything odd.
fn tidy(name: &str) -> String {
    name.chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect()
}

/// Powers that can be true of a part.
pub(super) struct Plausible {
    /// No firmware limit above this is believed.
    most: f64,
    /// The ceiling is never below this where a limit is known, ...
    floor: f64,
    /// ... and this where none is.
    unlimited: f64,
}

/// Packages: the hungriest server processor is rated at 500 W (Xeon 6900P, EPYC 9005). Memory: 24 modules
/// at 20 W. Platforms: an 8-GPU node is rated at 10.2 kW (DGX H100 user guide); a platform that has a
/// limit is a laptop or a desktop. Parts of a package are no hungrier than it.
/// AMD's packages have no limits to read: the same is believed of them as of those that hwmon reads.
pub(super) fn plausible(part: &Part) -> Plausible {
    match part {
        Part::Device { .. } | Part::Domain { .. } => Plausible {
            most: 2000.0,
            floor: 500.0,
            unlimited: 1500.0,
        },
        Part::Meter { .. } => Plausible {
            most: 20_000.0,
            floor: 2000.0,
            unlimited: 12_000.0,
        },
    }
}

impl Plausible {
    /// A limit that firmware gives in microwatts; 0 and absurd values mean that there is none.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn limit(&self, microwatts: u64) -> Option<Watts> {
        let watts = microwatts as f64 * 1e-6;
        (1.0..=self.most).contains(&watts).then_some(Watts(watts))
    }

    /// The most the part can draw, seen over an interval, given its highest limit: twice that, as
    /// limits hold for averages and boards may raise them, but not below the floor.
    pub(super) fn ceiling(&self, limit: Option<Watts>) -> Watts {
        limit.map_or(Watts(self.unlimited), |limit| limit.times(2.0).max(Watts(self.floor)))
    }

    /// What the part draws at its highest limit, to tell how soon its counter goes round.
    pub(super) fn full(&self, limit: Option<Watts>) -> Watts {
        limit.unwrap_or(Watts(self.unlimited))
    }
}

/// Slack of [`is_mirror`] in microjoules: two copies of one counter may be a tick (1 ms) apart, which at
/// 500 W is half a joule.
const MIRROR_SLACK: u64 = 1_000_000;

/// Whether two counters are one: `second` was read between `before` and `after` of the first, and a
/// counter only goes up, to its `range` and round. Counters of two parts are joules apart a
/// moment after they start.
pub(super) fn is_mirror(before: u64, second: u64, after: u64, range: Option<u64>) -> bool {
    let range = range.map_or(1 << 64, u128::from).max(1);
    let ahead = |to: u64| (range + u128::from(to) - u128::from(before).min(range)) % range;
    let slack = u128::from(MIRROR_SLACK);
    (ahead(second) + slack) % range <= ahead(after) + 2 * slack
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, inside: Option<&str>) -> Part {
        match role(name, inside, false) {
            Role::Read(part) => part,
            Role::LeaveOut { .. } => panic!("{name} is left out"),
        }
    }

    #[test]
    fn zones_are_numbered_in_hexadecimal() {
        let mut entries = ["intel-rapl:10", "intel-rapl-mmio:0", "intel-rapl:a", "intel-rapl:9:1"];
        entries.sort_by_key(|entry| Address::parse(entry));
        let sorted = ["intel-rapl:9:1", "intel-rapl:a", "intel-rapl:10", "intel-rapl-mmio:0"];
        assert_eq!(entries, sorted);
        let nested = Address::parse("intel-rapl:1f:b").unwrap();
        assert_eq!(nested.to_string(), "intel-rapl:1f:b");
        assert_eq!(nested.parent(), Address::parse("intel-rapl:1f"));
        assert_eq!(nested.parent().unwrap().parent(), None);
        for none in ["intel-rapl", "intel-rapl:", "intel-rapl:x", "dtpm:0", "intel-rapl:0:1:2"] {
            assert_eq!(Address::parse(none), None, "{none}");
        }
    }

    #[test]
    fn each_name_is_its_part() {
        let psys = Scope::Node(MeterClass::Psys);
        for (name, inside, part) in [
            ("package-1", None, device("package-1", Kind::Cpu)),
            ("package-0-die-1", None, device("package-0-die-1", Kind::Cpu)),
            ("dram", Some("package-1"), device("dram-1", Kind::Dram)),
            ("dram", Some("package-0-die-1"), device("dram-0-die-1", Kind::Dram)),
            ("psys", None, meter("psys".into(), psys)),
            ("psys-1", None, meter("psys-1".into(), psys)),
            ("dram", None, meter("rapl-dram".into(), Scope::Unknown)),
            ("package-x", None, meter("rapl-package-x".into(), Scope::Unknown)),
            ("co\"re", Some("package-0"), meter("rapl-package-0-co-re".into(), Scope::Unknown)),
        ] {
            assert_eq!(read(name, inside), part);
        }
        for domain in ["core", "uncore"] {
            let part = Part::Domain {
                device: "package-0".into(),
                domain: domain.into(),
            };
            assert_eq!(read(domain, Some("package-0")), part);
        }
    }

    #[test]
    fn one_core_is_not_the_cores() {
        assert!(matches!(role("core", Some("package-0"), true), Role::LeaveOut { .. }));
        assert!(matches!(role("package-0", None, true), Role::Read(_)));
    }

    #[test]
    fn absurd_limits_are_none() {
        let package = plausible(&device("package-0", Kind::Cpu));
        assert_eq!(package.limit(0), None);
        assert_eq!(package.limit(4_294_967_295_000_000), None);
        assert_eq!(package.limit(270_000_000), Some(Watts(270.0)));
        assert_eq!(package.ceiling(Some(Watts(350.0))), Watts(700.0));
        assert_eq!(package.ceiling(Some(Watts(15.0))), Watts(500.0));
        assert_eq!(package.ceiling(None), Watts(1500.0));
    }

    #[test]
    fn mirrors_move_together_even_round_the_end() {
        let range = Some(65_532_610_987);
        assert!(is_mirror(5_000_000_000, 5_000_000_000, 5_000_000_000, range));
        assert!(is_mirror(5_000_000_000, 5_020_000_000, 5_040_000_000, range));
        assert!(is_mirror(65_532_600_000, 100, 20_000, range));
        assert!(is_mirror(100, 65_532_600_000, 20_000, range));
        assert!(!is_mirror(5_000_000_000, 5_042_000_001, 5_040_000_000, range));
        assert!(!is_mirror(5_000_000_000, 4_990_000_000, 5_040_000_000, range));
        assert!(!is_mirror(0, 7_000_000_000, 10, None));
        assert!(is_mirror(9, 9, 9, Some(0)));
    }
}
