//! One card: what it is, how its joules are had, and its readings.

use super::chips::{Chip, Nature};
use super::metrics::{self, JOULES, Metrics, Refusal, Version};
use super::trust::{Trust, Verdict};
use crate::sensor::sysfs::{self, Attribute};
use crate::sensor::{About, Cause, Fault, Kind, Part, Reading, Scope, Source, Value};
use crate::units::Watts;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The most that is believed: the hungriest package there is draws 1400 W, with room for peaks.
const CEILING: Watts = Watts(3000.0);

/// Watts for each microwatt (Documentation/hwmon/sysfs-interface.rst).
const MICRO: f64 = 1e-6;

/// Reads of an awake card between two looks at its limit.
const READS_PER_LOOK: u32 = 30;

/// What is known of a card without waking it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Facts {
    /// `gpu-` and its `unique_id`, or else its address.
    pub(super) id: String,
    /// `0000:03:00.0`.
    pub(super) address: String,
    /// Its files.
    pub(super) directory: PathBuf,
    /// The files of its hwmon chip.
    pub(super) hwmon: Option<PathBuf>,
    pub(super) chip: Option<&'static Chip>,
    pub(super) about: About,
    /// Whether it has the voltage that only APUs have.
    pub(super) has_northbridge: bool,
}

/// How a card's joules are had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Means {
    /// Nobody knows before it was awake once.
    Unknown,
    /// The accumulator of `gpu_metrics`.
    Counter(Version),
    /// Power, integrated; and why there is no counter.
    Power(&'static str),
    /// It is not read, and why.
    LeftOut(&'static str),
}

/// What `gpu_metrics` says.
enum Answer {
    Told(Metrics),
    /// The driver has no such table for this card.
    Nothing,
    Refused(Refusal),
}

/// A card that is read.
pub(super) struct Card {
    pub(super) facts: Facts,
    pub(super) source: Arc<Source>,
    pub(super) means: Means,
    pub(super) trust: Trust,
    metrics: Attribute,
    /// hwmon's power: the mean, then the moment.
    powers: Vec<Attribute>,
    busy: Attribute,
    cap: Option<Attribute>,
    sleep: Attribute,
    limit: Option<Watts>,
    /// Reads since the limit was looked at.
    reads: u32,
}

impl Card {
    pub(super) fn new(facts: Facts) -> Self {
        let file = |name: &str| Attribute::new(facts.directory.join(name));
        let sensor = |name: &str| facts.hwmon.as_ref().map(|hwmon| Attribute::new(hwmon.join(name)));
        let id: Arc<str> = facts.id.as_str().into();
        let part = if facts.nature() == Nature::Socket {
            Part::Meter {
                id: format!("module-{id}").into(),
                scope: Scope::Module,
            }
        } else {
            Part::Device {
                id,
                kind: Kind::Gpu,
            }
        };
        Self {
            source: Arc::new(Source {
                part,
                about: facts.about.clone(),
                ceiling: CEILING,
                holds: &[],
            }),
            means: Means::Unknown,
            trust: Trust::default(),
            metrics: file("gpu_metrics"),
            powers: ["power1_average", "power1_input"].into_iter().filter_map(sensor).collect(),
            busy: file("gpu_busy_percent"),
            cap: sensor("power1_cap"),
            sleep: file("power/runtime_status"),
            limit: None,
            reads: READS_PER_LOOK,
            facts,
        }
    }

    /// Reads it once; `None` while it sleeps, as reading would wake it, and where it is left out.
    pub(super) fn read(&mut self) -> Result<Option<Reading>, Fault> {
        let reading = if self.is_asleep() { Ok(None) } else { self.read_awake() };
        // It may have fallen asleep meanwhile: newer drivers then refuse, so as not to wake it.
        if !matches!(reading, Ok(Some(_))) && self.is_asleep() {
            self.trust.forget();
            return Ok(None);
        }
        reading
    }

    pub(super) fn is_asleep(&mut self) -> bool {
        matches!(self.sleep.read_text().as_deref(), Ok("suspended" | "suspending"))
    }

    fn read_awake(&mut self) -> Result<Option<Reading>, Fault> {
        if self.means == Means::Unknown {
            self.means = self.judge()?;
        }
        match self.means {
            Means::Counter(_) => self.count().map(Some),
            Means::Power(_) => self.measure(),
            Means::LeftOut(_) | Means::Unknown => Ok(None),
        }
    }

    /// Decides how its joules are had.
    fn judge(&mut self) -> Result<Means, Fault> {
        const APU: &str = "an APU: its socket holds the processor, which RAPL books";
        if self.facts.has_northbridge {
            return Ok(Means::LeftOut(APU));
        }
        let no_counter = match self.ask()? {
            Answer::Told(metrics) if metrics.is_apu => return Ok(Means::LeftOut(APU)),
            Answer::Told(metrics) => {
                let is_silent = metrics.energy.unwrap_or(0) == 0 && metrics.watts.unwrap_or(0.0) == 0.0;
                if self.facts.nature() == Nature::Half && is_silent {
                    return Ok(Means::LeftOut(
                        "the second die of a package: the first has the power of both",
                    ));
                }
                match self.no_counter(&metrics) {
                    None => return Ok(Means::Counter(metrics.version)),
                    Some(why) => why,
                }
            }
            Answer::Nothing => "it has no gpu_metrics",
            Answer::Refused(Refusal::Unknown(Version(1, _), _)) if self.has_power() => {
                "its version of gpu_metrics is newer than this gramwatt"
            }
            Answer::Refused(refusal) => return Err(self.refused(&refusal)),
        };
        Ok(match self.power()? {
            Some(_) => Means::Power(no_counter),
            None => Means::LeftOut(
                "tells neither energy nor power (a virtual function is measured on its host)",
            ),
        })
    }

    /// Why its accumulator is not booked; `None` where it is.
    fn no_counter(&self, metrics: &Metrics) -> Option<&'static str> {
        let counts = matches!(self.facts.nature(), Nature::Counts | Nature::Half);
        match metrics {
            _ if self.trust.broken.is_some() => self.trust.broken,
            Metrics { energy: None, .. } => Some("its energy counter is absent"),
            // Only MI300 and newer have had these.
            Metrics {
                version: Version(1, 4..),
                ..
            } => None,
            _ if counts => None,
            _ => Some("this chip's accumulator is not known to count"),
        }
    }

    fn count(&mut self) -> Result<Reading, Fault> {
        let metrics = match self.ask()? {
            Answer::Told(metrics) => metrics,
            Answer::Nothing => return Err(self.device("it is no longer there", RESET)),
            Answer::Refused(refusal) => return Err(self.refused(&refusal)),
        };
        let Some(raw) = metrics.energy else {
            return Err(self.device("the energy counter is absent, and was there", RESET));
        };
        match self.trust.judge(raw, metrics.watts) {
            Verdict::Good => {
                let value = Value::Counter {
                    raw,
                    unit: JOULES,
                    wraps_at: None,
                };
                Ok(self.reading(value, metrics.activity))
            }
            Verdict::Still => Err(self.device(
                "the energy counter stands still while the card draws power",
                "nothing to do: if it goes on so, the card's power is integrated instead",
            )),
            Verdict::Broken => {
                let why = self.trust.broken.unwrap_or_default();
                self.means = Means::Power(why);
                self.measure()?.ok_or_else(|| {
                    self.device(why, "the card tells no power either: reboot the machine; see dmesg for amdgpu")
                })
            }
        }
    }

    fn measure(&mut self) -> Result<Option<Reading>, Fault> {
        let Some(watts) = self.power()? else {
            return Err(self.device("the card tells no power any more", RESET));
        };
        Ok(Some(self.reading(Value::Power(watts), None)))
    }

    fn reading(&mut self, value: Value, activity: Option<f64>) -> Reading {
        self.reads += 1;
        if self.reads > READS_PER_LOOK {
            self.reads = 0;
            let cap = self.cap.as_mut().map(positive);
            self.limit = cap.and_then(Result::ok).filter(|limit| *limit > Watts::ZERO);
        }
        // What one die of a package does says nothing of the other.
        let is_half = self.facts.nature() == Nature::Half;
        let mut busy = || self.busy.read_u64().ok().and_then(metrics::share);
        Reading {
            utilization: if is_half { None } else { activity.or_else(&mut busy) },
            power_limit: self.limit,
            ..Reading::new(&self.source, value)
        }
    }

    /// Its power; `None` where it tells none. Of a package's second die, hwmon says 0 or nothing.
    fn power(&mut self) -> Result<Option<Watts>, Fault> {
        let is_half = self.facts.nature() == Nature::Half;
        let mut failure = None;
        for power in &mut self.powers {
            match positive(power) {
                Ok(watts) if !(is_half && watts == Watts::ZERO) => return Ok(Some(watts)),
                Ok(_) => {}
                Err(fault) if is_absent(&fault) => {}
                Err(fault) => failure = failure.or(Some(fault)),
            }
        }
        if let Some(fault) = failure {
            return Err(fault);
        }
        Ok(match self.ask()? {
            Answer::Told(metrics) => metrics.watts.filter(|watts| !is_half || *watts > 0.0).map(Watts),
            Answer::Nothing | Answer::Refused(_) => None,
        })
    }

    /// Whether hwmon tells its power.
    fn has_power(&mut self) -> bool {
        self.powers.iter_mut().any(|power| positive(power).is_ok())
    }

    fn ask(&mut self) -> Result<Answer, Fault> {
        match self.metrics.read_with(metrics::parse) {
            Ok(Ok(metrics)) => Ok(Answer::Told(metrics)),
            Ok(Err(refusal)) => Ok(Answer::Refused(refusal)),
            Err(fault) if is_absent(&fault) && self.facts.directory.exists() => Ok(Answer::Nothing),
            Err(fault) => Err(fault),
        }
    }

    fn refused(&self, refusal: &Refusal) -> Fault {
        match refusal {
            Refusal::Broken(what) => Fault {
                cause: Cause::Parse((*what).to_owned()),
                ..self.device(what, RESET)
            },
            Refusal::Unknown(version, size) => self.device(
                &format!("its layout {version} of {size} bytes is not known"),
                "upgrade gramwatt; if that does not help, report it with a copy of this file",
            ),
        }
    }

    /// A fault that the card's own answers show.
    fn device(&self, text: &str, mend: &str) -> Fault {
        Fault {
            place: self.metrics.path().display().to_string(),
            cause: Cause::Device(text.to_owned()),
            mend: mend.to_owned(),
        }
    }
}

const RESET: &str = "see dmesg for amdgpu and SMU; reset the card (amd-smi reset --gpureset) or power-cycle the \
                     machine";

impl Facts {
    pub(super) fn nature(&self) -> Nature {
        self.chip.map_or(Nature::Plain, |chip| chip.nature)
    }
}

/// The fault of a card that was there, and that the driver no longer lists.
pub(super) fn gone(card: &Card) -> Fault {
    let error = io::Error::new(io::ErrorKind::NotFound, "the driver no longer lists this card");
    Fault {
        place: format!("{} at {}", card.facts.id, card.facts.address),
        cause: Cause::Io(error),
        mend: "see dmesg for amdgpu and PCI errors; reseat it or power-cycle the machine; where it was taken out \
               on purpose, restart gramwatt to forget it"
            .to_owned(),
    }
}

/// Whether a file is not there, or the driver has nothing to say in it.
fn is_absent(fault: &Fault) -> bool {
    let unsupported = rustix::io::Errno::OPNOTSUPP.raw_os_error();
    match &fault.cause {
        Cause::Io(error) => {
            error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(unsupported)
        }
        Cause::Parse(_) | Cause::Device(_) => false,
    }
}

/// Microwatts. Whole numbers up to 2^53 are exact, which is 9 GW.
#[allow(clippy::cast_precision_loss)]
fn positive(file: &mut Attribute) -> Result<Watts, Fault> {
    let number = file.read_i64()?;
    if number < 0 {
        return Err(sysfs::unreadable(file.path(), number.to_string().as_bytes()));
    }
    Ok(Watts(number as f64 * MICRO))
}
