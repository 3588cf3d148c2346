//! What is known of each chip, as data; a new chip is a new row.

use super::channel::{Channel, Facts};
use crate::sensor::{Kind, MeterClass, Part, Scope, sysfs};
use std::collections::BTreeSet;

/// One row: which sensors it speaks of, and what they are. The first row that fits is the one.
struct Rule {
    /// The chip's name, or its beginning and a `*`.
    chip: &'static str,
    /// Which of its channels; `None` for all.
    channel: Option<Channel>,
    text: Text,
    /// Fits only where another sensor's text begins so and ends in the same number.
    beside: Option<&'static str>,
    role: Role,
}

/// What a sensor's label, or its OEM information, must be.
enum Text {
    Any,
    None,
    Is(&'static str),
    /// This, and then a number.
    Numbered(&'static str),
    Has(&'static str),
}

/// What a sensor is. In names, `{n}` stands for the number at the end of its text, `{k}` for the first
/// number that is free, `{text}` for its text or else its channel, `{chip}` for the chip, `{tail}` for the
/// last part of its device's path, and `{pci}` for the same where that is a PCI address.
enum Role {
    Device(&'static str, Kind, Maker),
    /// A device, with other kinds whose power its reading holds too.
    Holder(&'static str, Kind, Maker, &'static [Kind]),
    Domain(&'static str, &'static str),
    Meter(&'static str, Scope),
    LeaveOut(&'static str),
}

/// Who made a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// Nobody knows.
    Unknown,
    /// Whoever `/proc/cpuinfo` says.
    Processor,
    /// A maker, and the model where the chip tells it.
    Known(&'static str, &'static str),
    /// NVIDIA, and the board's model from the device tree.
    Jetson,
}

const INTEL: Maker = Maker::Known("Intel", "");
const GRACE: Maker = Maker::Known("NVIDIA", "Grace");
const NODE: Scope = Scope::Node(MeterClass::Acpi);
const BOARD: Scope = Scope::Node(MeterClass::Board);

const fn rule(chip: &'static str, text: Text, role: Role) -> Rule {
    Rule {
        chip,
        channel: None,
        text,
        beside: None,
        role,
    }
}

const fn channel(chip: &'static str, channel: Channel, role: Role) -> Rule {
    Rule {
        channel: Some(channel),
        ..rule(chip, Text::Any, role)
    }
}

const fn beside(chip: &'static str, text: Text, other: &'static str, role: Role) -> Rule {
    Rule {
        beside: Some(other),
        ..rule(chip, text, role)
    }
}

const fn rail(label: &'static str, kind: Kind) -> Rule {
    let holds = &[Kind::Cpu, Kind::Dram];
    rule("ina3221", Text::Is(label), Role::Holder("{text}", kind, Maker::Jetson, holds))
}

/// Sources: amd_energy, Documentation/hwmon/amd_energy.rst of Linux 5.8. i915 and xe,
/// Documentation/ABI/testing/sysfs-driver-intel-{i915,xe}-hwmon. Grace, NVIDIA Grace Performance Tuning
/// Guide, power telemetry: of a socket, `Grace` holds `CPU` and `SysIO`, and `Module` holds `Grace` and
/// the GPU. Jetson rails, Jetson Linux Developer Guide, power monitors of each module; a rail that feeds
/// several parts has the kind of the part that draws most, or `soc`.
const RULES: &[Rule] = &[
    rule(
        "amd_energy",
        Text::Numbered("Esocket"),
        Role::Device("package-{n}", Kind::Cpu, Maker::Processor),
    ),
    rule(
        "amd_energy",
        Text::Numbered("Ecore"),
        Role::LeaveOut("a core is inside its socket, which is read"),
    ),
    channel("i915", Channel::Energy(1), Role::Device("gpu-{pci}", Kind::Gpu, INTEL)),
    rule(
        "i915_gt*",
        Text::Any,
        Role::LeaveOut("a tile is inside its card, which the chip i915 reads"),
    ),
    channel("xe", Channel::Energy(1), Role::Device("gpu-{pci}", Kind::Gpu, INTEL)),
    channel("xe", Channel::Energy(2), Role::Domain("gpu-{pci}", "package")),
    rule(
        "amdgpu",
        Text::Any,
        Role::LeaveOut("the family amdgpu reads it, which knows APUs and energy counters"),
    ),
    rule(
        "power_meter",
        Text::Numbered("Grace Power Socket "),
        Role::Holder("package-{n}", Kind::Cpu, GRACE, &[Kind::Dram]),
    ),
    beside(
        "power_meter",
        Text::Numbered("CPU Power Socket "),
        "Grace Power Socket ",
        Role::Domain("package-{n}", "cpu"),
    ),
    rule(
        "power_meter",
        Text::Numbered("CPU Power Socket "),
        Role::Device("package-{n}", Kind::Cpu, GRACE),
    ),
    beside(
        "power_meter",
        Text::Numbered("SysIO Power Socket "),
        "Grace Power Socket ",
        Role::Domain("package-{n}", "sysio"),
    ),
    rule(
        "power_meter",
        Text::Numbered("SysIO Power Socket "),
        Role::Device("sysio-{n}", Kind::Soc, GRACE),
    ),
    rule(
        "power_meter",
        Text::Numbered("Module Power Socket "),
        Role::Meter("module-{n}", Scope::Module),
    ),
    rule(
        "power_meter",
        Text::Has(" Power Socket "),
        Role::Meter("acpi-{text}", Scope::Unknown),
    ),
    rule("power_meter", Text::Any, Role::Meter("acpi-{k}", NODE)),
    // The whole module, its input; the rails below are inside.
    rule("ina3221", Text::Is("VDD_IN"), Role::Meter("{text}", BOARD)),
    rule("ina3221", Text::Is("POM_5V_IN"), Role::Meter("{text}", BOARD)),
    // AGX Orin, which has no input rail: the first three are its sum.
    rail("VDD_GPU_SOC", Kind::Gpu),
    rail("VDD_CPU_CV", Kind::Cpu),
    rail("VIN_SYS_5V0", Kind::Soc),
    rule(
        "ina3221",
        Text::Is("VDDQ_VDD2_1V8AO"),
        Role::Domain("vin_sys_5v0", "{text}"),
    ),
    // AGX Xavier, without an input rail too.
    rail("GPU", Kind::Gpu),
    rail("CPU", Kind::Cpu),
    rail("SOC", Kind::Soc),
    rail("CV", Kind::Soc),
    rail("VDDRQ", Kind::Dram),
    rail("SYS5V", Kind::Soc),
    // Orin NX and Nano, Xavier NX, TX2 NX.
    rail("VDD_CPU_GPU_CV", Kind::Soc),
    rail("VDD_CPU_GPU", Kind::Soc),
    rail("VDD_SOC", Kind::Soc),
    // TX2.
    rail("VDD_SYS_GPU", Kind::Gpu),
    rail("VDD_SYS_CPU", Kind::Cpu),
    rail("VDD_SYS_SOC", Kind::Soc),
    rail("VDD_SYS_DDR", Kind::Dram),
    // TX1 and Nano.
    rail("VDD_GPU", Kind::Gpu),
    rail("VDD_CPU", Kind::Cpu),
    rail("POM_5V_GPU", Kind::Gpu),
    rail("POM_5V_CPU", Kind::Cpu),
    rule("ina3221", Text::Is("NC"), Role::LeaveOut("not connected")),
    rule("ina3221", Text::None, Role::LeaveOut("no label, so not connected")),
    rule("ina3221", Text::Any, Role::Meter("{text}", Scope::Rail)),
    rule("*", Text::Any, Role::Meter("{chip}-{tail}-{text}", Scope::Unknown)),
];

/// Chips whose power is volts x amperes, and their first and last rail: the seventh input of an INA3221 is
/// the sum of the shunts, no rail (Documentation/hwmon/ina3221.rst).
pub(super) const RAILS: &[(&str, u32, u32)] = &[("ina3221", 1, 3)];

/// What becomes of a sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is read as this part.
    Read(Part, Maker, &'static [Kind]),
    /// It is not read, and why.
    LeaveOut(&'static str),
}

/// What each sensor is, all seen together: some are told by what stands beside them, and no two have the
/// same identity. Those that come first keep theirs whatever comes after.
pub(super) fn outcomes(all: &[Facts]) -> Vec<Outcome> {
    let mut taken = BTreeSet::new();
    all.iter()
        .map(|facts| {
            let fitting = RULES.iter().filter(|rule| rule.fits(facts, all));
            fitting
                .filter_map(|rule| rule.role.of(facts, &mut taken))
                .next()
                .unwrap_or(Outcome::LeaveOut("no rule fits"))
        })
        .collect()
}

impl Rule {
    fn fits(&self, facts: &Facts, all: &[Facts]) -> bool {
        let chip = match self.chip.strip_suffix('*') {
            Some(start) => facts.key.chip.starts_with(start),
            None => facts.key.chip == self.chip,
        };
        chip && self.channel.is_none_or(|channel| channel == facts.key.channel)
            && self.text.fits(facts.text.as_deref())
            && self.beside.is_none_or(|other| {
                let number = facts.text.as_deref().and_then(number);
                all.iter().filter_map(|facts| facts.text.as_deref()).any(|text| {
                    Text::Numbered(other).fits(Some(text)) && self::number(text) == number
                })
            })
    }
}

impl Text {
    fn fits(&self, text: Option<&str>) -> bool {
        match (self, text) {
            (Self::Any, _) | (Self::None, None) => true,
            (Self::Is(whole), Some(text)) => text == *whole,
            (Self::Numbered(start), Some(text)) => text
                .strip_prefix(start)
                .is_some_and(|rest| rest.len() <= 4 && rest.parse::<u16>().is_ok()),
            (Self::Has(part), Some(text)) => text.contains(part),
            (_, _) => false,
        }
    }
}

impl Role {
    /// The outcome for one sensor; `None` where a name's part is missing, so that the next rule serves.
    fn of(&self, facts: &Facts, taken: &mut BTreeSet<String>) -> Option<Outcome> {
        Some(match self {
            Self::Device(id, kind, maker) => {
                return Self::Holder(id, *kind, *maker, &[]).of(facts, taken);
            }
            Self::Holder(id, kind, maker, holds) => {
                let id = fresh(id, facts, taken)?.into();
                Outcome::Read(Part::Device { id, kind: *kind }, *maker, holds)
            }
            Self::Domain(device, domain) => {
                let device = fill(device, facts)?;
                let domain = fill(domain, facts)?;
                if !taken.insert(format!("{device}/{domain}")) {
                    return Some(Outcome::LeaveOut("another sensor reads the same part"));
                }
                let (device, domain) = (device.into(), domain.into());
                Outcome::Read(Part::Domain { device, domain }, Maker::Unknown, &[])
            }
            Self::Meter(id, scope) => {
                let id = fresh(id, facts, taken)?.into();
                Outcome::Read(Part::Meter { id, scope: *scope }, Maker::Unknown, &[])
            }
            Self::LeaveOut(why) => Outcome::LeaveOut(why),
        })
    }
}

/// A name that nothing else has: told apart by the device's path, or else by a number.
fn fresh(pattern: &str, facts: &Facts, taken: &mut BTreeSet<String>) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    if !pattern.contains("{k}") {
        let name = fill(pattern, facts)?;
        let tail = Some(tidy(&facts.tail)).filter(|tail| !tail.is_empty());
        names.push(name.clone());
        names.extend(tail.map(|tail| format!("{name}-{tail}")));
        let numbered = (2..=taken.len() + 2).map(|n| format!("{name}-{n}"));
        names.extend(numbered);
    } else {
        names.extend((0..=taken.len()).map(|k| pattern.replace("{k}", &k.to_string())));
    }
    names.into_iter().find(|name| taken.insert(name.clone()))
}

fn fill(pattern: &str, facts: &Facts) -> Option<String> {
    let text = facts.text.as_deref();
    let mut name = pattern.to_owned();
    if name.contains("{n}") {
        name = name.replace("{n}", &number(text?)?.to_string());
    }
    if name.contains("{pci}") {
        let pci = Some(facts.tail.as_str()).filter(|tail| sysfs::is_pci(tail))?;
        name = name.replace("{pci}", pci);
    }
    let text = text.map_or_else(|| facts.key.channel.to_string(), str::to_lowercase);
    let name = name
        .replace("{chip}", &tidy(&facts.key.chip))
        .replace("{tail}", &tidy(&facts.tail))
        .replace("{text}", &tidy(&text));
    // A chip without a device leaves a gap where its path would be.
    Some(name.replace("--", "-"))
}

/// The number at the end.
fn number(text: &str) -> Option<u16> {
    text.rsplit(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// A text as part of an identity: short, and without anything odd.
fn tidy(text: &str) -> String {
    text.trim()
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || "-_.:".contains(c) { c } else { '-' })
        .collect()
}
