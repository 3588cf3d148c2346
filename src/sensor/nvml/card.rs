//! One physical GPU: what it is, what it tells, and its readings.

use super::ffi::{AVERAGE, Field, INSTANT, Library, Scope};
use crate::sensor::sysfs::Attribute;
use crate::sensor::{About, Kind, Part, Reading, Scope as Extent, Source, Value};
use crate::units::Watts;
use nvml_wrapper::error::NvmlError;
use std::path::Path;
use std::sync::Arc;

/// Joules in a count of the energy counter (nvml.h: millijoules).
const MILLIJOULE: f64 = 1e-3;

/// The most that is believed: the hungriest GPU there is draws 1400 W, with room for peaks.
const CEILING: Watts = Watts(3000.0);
/// The same of a module that holds two GPUs and a processor.
const MODULE_CEILING: Watts = Watts(6000.0);

/// What identifies a GPU over the library's lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) uuid: String,
    pub(crate) bdf: String,
}

impl Known {
    /// Its name in faults and findings.
    pub(crate) fn place(&self) -> String {
        if self.bdf.is_empty() {
            return self.uuid.clone();
        }
        format!("{} at {}", self.uuid, self.bdf)
    }
}

/// How the device's joules are had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// The energy counter.
    Counter,
    /// `nvmlDeviceGetPowerUsage`, which is a mean or of the moment by architecture.
    Usage,
    /// The power field of the GPU's own scope.
    Field(Field),
    /// Not at all: it tells neither energy nor power.
    Nothing,
}

/// Something beside the device that is read by a field.
struct Extra {
    source: Arc<Source>,
    field: Field,
}

/// A GPU that is read.
pub(super) struct Card {
    pub(super) known: Known,
    /// Where the library has its handle.
    pub(super) place: usize,
    pub(super) source: Arc<Source>,
    pub(super) means: Means,
    /// The module's meter, where the counter is the module's.
    module: Option<Arc<Source>>,
    extras: Vec<Extra>,
    has_load: bool,
    pub(super) limit: Option<Watts>,
    sleep: Attribute,
}

impl Card {
    /// Asks a GPU for all that does not change. Its counter is used if it answers now.
    pub(super) fn identify(
        library: &Library,
        place: usize,
        known: Known,
        driver: &str,
        sys: &Path,
    ) -> Result<Self, NvmlError> {
        let gpu = library.gpu(place)?;
        let model = maybe(gpu.name())?.unwrap_or_default();
        let counts = maybe(gpu.total_energy_consumption())?.is_some();
        let measures = maybe(gpu.power_usage())?.is_some();
        let fields = Fields::of(library, place);
        let whole_module = model.contains("GH200");
        let means = match fields.gpu {
            Some(field) if whole_module => Means::Field(field),
            _ if counts => Means::Counter,
            _ if measures => Means::Usage,
            Some(field) => Means::Field(field),
            None => Means::Nothing,
        };
        let about = About {
            vendor: "NVIDIA".to_owned(),
            model,
            uuid: known.uuid.clone(),
            pci_bus_id: known.bdf.clone(),
            driver: format!("nvidia {driver}").trim().to_owned(),
            memory_bytes: None,
            is_piece: false,
        };
        let id: Arc<str> = known.uuid.as_str().into();
        let holds = whole_module && means == Means::Counter;
        let part = Part::Device {
            id: Arc::clone(&id),
            kind: Kind::Gpu,
        };
        let device = Source {
            part,
            about: about.clone(),
            ceiling: if holds { MODULE_CEILING } else { CEILING },
            holds: if holds { &[Kind::Cpu, Kind::Dram] } else { &[] },
        };
        let module = Arc::new(Source {
            part: Part::Meter {
                id: format!("module-{id}").into(),
                scope: Extent::Module,
            },
            about: about.clone(),
            ceiling: MODULE_CEILING,
            holds: &[],
        });
        let memory = Arc::new(Source {
            part: Part::Domain {
                device: id,
                domain: "memory".into(),
            },
            about,
            ceiling: CEILING,
            holds: &[],
        });
        let counts_module = whole_module && counts && means != Means::Counter;
        let extra = |source: &Arc<Source>, field| Extra {
            source: Arc::clone(source),
            field,
        };
        let meter = fields.module.filter(|_| !counts_module);
        let mut extras: Vec<Extra> = meter.map(|field| extra(&module, field)).into_iter().collect();
        extras.extend(fields.memory.map(|field| extra(&memory, field)));
        Ok(Self {
            has_load: gpu.utilization_rates().is_ok(),
            limit: limit(library, place),
            sleep: Attribute::new(status(sys, &known.bdf)),
            place,
            source: Arc::new(device),
            means,
            module: counts_module.then_some(module),
            extras,
            known,
        })
    }

    /// Whether it is suspended, so that a call would wake it.
    pub(super) fn is_asleep(&mut self) -> bool {
        is_asleep(&mut self.sleep)
    }

    /// Reads it once.
    pub(super) fn read(&self, library: &Library, good: &mut Vec<Reading>) -> Result<(), NvmlError> {
        let gpu = library.gpu(self.place)?;
        let mut fields: Vec<Field> = self.extras.iter().map(|extra| extra.field).collect();
        let own = match self.means {
            Means::Counter => Some(counter(gpu.total_energy_consumption()?)),
            Means::Usage => Some(Value::Power(watts(gpu.power_usage()?))),
            Means::Field(field) => {
                fields.push(field);
                None
            }
            Means::Nothing => return Ok(()),
        };
        let mut powers = if fields.is_empty() {
            Vec::new()
        } else {
            library.powers(self.place, &fields)?
        };
        let value = match own {
            Some(value) => value,
            None => Value::Power(watts(powers.pop().flatten().ok_or(NvmlError::NoData)?)),
        };
        let load = if self.has_load { gpu.utilization_rates().ok() } else { None };
        let load = load.map(|rates| f64::from(rates.gpu) / 100.0);
        good.push(Reading {
            utilization: load.filter(|load| *load <= 1.0),
            power_limit: self.limit,
            ..Reading::new(&self.source, value)
        });
        for (extra, power) in self.extras.iter().zip(powers) {
            let reading = power.map(|power| Reading::new(&extra.source, Value::Power(watts(power))));
            good.extend(reading);
        }
        if let Some(module) = &self.module {
            let counter = counter(gpu.total_energy_consumption()?);
            good.push(Reading::new(module, counter));
        }
        Ok(())
    }
}

/// What the GPU tells by fields: the mean of a second where it can, else the power of the moment.
#[derive(Default)]
struct Fields {
    gpu: Option<Field>,
    module: Option<Field>,
    memory: Option<Field>,
}

impl Fields {
    /// A GPU that knows no fields has none; that is no failure.
    fn of(library: &Library, place: usize) -> Self {
        let scopes = [Scope::Gpu, Scope::Module, Scope::Memory];
        let all: Vec<Field> = scopes
            .iter()
            .flat_map(|&scope| [AVERAGE, INSTANT].map(|id| Field { id, scope }))
            .collect();
        let told = library.powers(place, &all).unwrap_or_default();
        let pick = |scope| {
            let mut both = all.iter().zip(&told);
            let found = both.find(|(field, power)| field.scope == scope && power.is_some());
            found.map(|(field, _)| *field)
        };
        Self {
            gpu: pick(Scope::Gpu),
            module: pick(Scope::Module),
            memory: pick(Scope::Memory),
        }
    }
}

/// The limit in force; `None` where the GPU does not tell.
pub(super) fn limit(library: &Library, place: usize) -> Option<Watts> {
    let limit = library.gpu(place).and_then(|gpu| gpu.enforced_power_limit());
    limit.ok().map(watts).filter(|limit| *limit > Watts::ZERO)
}

/// `00000000:3B:00.0` as sysfs writes it: `0000:3b:00.0`. NVML pads the domain to eight digits.
pub(crate) fn bdf(bus_id: &str) -> String {
    let lower = bus_id.trim().to_ascii_lowercase();
    let short = lower.split_once(':').and_then(|(domain, rest)| {
        let domain = u32::from_str_radix(domain, 16).ok()?;
        Some(format!("{domain:04x}:{rest}"))
    });
    short.unwrap_or(lower)
}

/// Where the kernel says whether it sleeps.
pub(crate) fn status(sys: &Path, bdf: &str) -> std::path::PathBuf {
    let device = sys.join("bus/pci/devices").join(bdf);
    device.join("power/runtime_status")
}

/// Whether the kernel says `suspended`.
pub(crate) fn is_asleep(status: &mut Attribute) -> bool {
    matches!(status.read_text(), Ok(status) if status == "suspended")
}

/// What the GPU does not support is `None`.
pub(crate) fn maybe<T>(answer: Result<T, NvmlError>) -> Result<Option<T>, NvmlError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(
            NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_),
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

fn counter(raw: u64) -> Value {
    Value::Counter {
        raw,
        unit: MILLIJOULE,
        wraps_at: None,
    }
}

fn watts(milliwatts: u32) -> Watts {
    Watts(f64::from(milliwatts) * 1e-3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_id_is_written_as_sysfs_writes_it() {
        assert_eq!(bdf("00000000:3B:00.0"), "0000:3b:00.0");
        assert_eq!(bdf("00010000:01:00.0"), "10000:01:00.0");
        assert_eq!(bdf("0009:01:00.0"), "0009:01:00.0");
        assert_eq!(bdf(""), "");
    }
}
