//! What the models of PDU are asked, and what their answers mean.

use super::config::{self, Entry, Model};
use super::trouble::Trouble;
use crate::sensor::Value;
use crate::units::{JOULES_PER_KWH, Watts};
use async_snmp::{Oid, Value as Answer, oid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an outlet's number stands in a configured OID.
pub(super) const OUTLET: &str = "{outlet}";

/// Coarsest step of an energy register that is booked, in joules: 1 Wh. The node pays back what its devices
/// ran ahead of the meter for up to 60 s (`node.rs`): a register that stands still for longer would leave
/// the node above its meter. At 60 W, the least that a server draws, a step of 1 Wh takes those 60 s; one of
/// 0.1 kWh takes 12 minutes at 500 W.
const FINE: f64 = JOULES_PER_KWH / 1000.0;

/// Most that one outlet can carry: 32 A on each of three phases of 400 V are 22 kW (IEC 60309), the largest
/// outlet of a rack PDU.
pub(super) const OUTLET_CEILING: Watts = Watts(25e3);

/// Most that one PDU can carry: 125 A on each of three phases of 400 V are 87 kW.
pub(super) const PDU_CEILING: Watts = Watts(100e3);

/// What a register that is only shown may seem to draw: the energy of minutes comes in one step of it, up to
/// 1 kWh (3.6 MJ) between two reads a second apart.
pub(super) const STEP_CEILING: Watts = Watts(1e7);

/// An OID of a PDU that we know nothing of.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written")]
pub struct Measure {
    /// Checked.
    pub(super) oid: String,
    pub(super) unit: Unit,
    pub(super) scale: f64,
}

/// `oids`, as they are written.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Measure")]
pub(super) struct Written {
    /// Such as `1.3.6.1.4.1.1718.4.1.8.3.1.7.1.1.{outlet}`: `{outlet}` stands for the outlet's number.
    oid: String,
    /// What one count is, before `scale`: `W`, `J`, `Wh` or `kWh`.
    unit: Unit,
    /// What the number read is multiplied by; 1 where nothing is given.
    #[serde(default = "one")]
    scale: f64,
}

fn one() -> f64 {
    1.0
}

/// `unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Unit {
    /// Power.
    W,
    /// Energy.
    J,
    /// Energy.
    Wh,
    /// Energy.
    #[serde(rename = "kWh")]
    Kwh,
}

impl Unit {
    pub(super) fn is_power(self) -> bool {
        self == Self::W
    }

    /// Watts, or joules.
    fn size(self) -> f64 {
        match self {
            Self::W | Self::J => 1.0,
            Self::Wh => JOULES_PER_KWH / 1000.0,
            Self::Kwh => JOULES_PER_KWH,
        }
    }
}

impl Measure {
    fn size(&self) -> f64 {
        self.unit.size() * self.scale
    }

    /// Whether a register's step is small enough to be booked.
    pub(super) fn is_fine(&self) -> bool {
        self.size() <= FINE
    }
}

impl From<Measure> for Written {
    fn from(Measure { oid, unit, scale }: Measure) -> Self {
        Self { oid, unit, scale }
    }
}

impl TryFrom<Written> for Measure {
    type Error = String;
    fn try_from(Written { oid, unit, scale }: Written) -> Result<Self, String> {
        if config::oid(&oid, 1).is_none() {
            return Err(format!(
                "{oid:?} is no OID: give numbers, such as 1.3.6.1.4.1.318.1.1.26.9.4.3.1.7.{{outlet}}"
            ));
        }
        if !(1e-9..=1e9).contains(&scale) {
            return Err(format!(
                "scale: {scale} is no factor of a reading: give a number above 0, such as 0.1"
            ));
        }
        Ok(Self { oid, unit, scale })
    }
}

/// What one outlet (or the whole PDU) is asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The objects, in the order in which [`Question::judge`] takes the answers.
    pub(super) oids: Vec<Oid>,
    kind: Kind,
    ceiling: Watts,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Power and energy, where there are OIDs for them: the size of a count in watts, and in joules.
    Scaled {
        power: Option<f64>,
        energy: Option<f64>,
    },
    /// Raritan: sensors that describe themselves.
    Described,
}

/// What an outlet tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Told {
    /// What is booked.
    pub(super) booked: Value,
    /// The other of power and energy, to be shown beside.
    pub(super) beside: Option<Value>,
}

/// PowerNet-MIB: rPDU2OutletMeteredStatusPower (W) and -Energy (0.1 kWh), by outlet.
fn apc_outlet() -> [Oid; 2] {
    let column = |column: u32| oid!(1, 3, 6, 1, 4, 1, 318, 1, 1, 26, 9, 4, 3, 1).child(column);
    [column(7), column(11)]
}

/// PowerNet-MIB: rPDU2DeviceStatusPower (0.01 kW) and -Energy (0.1 kWh), by PDU of a group: the first.
fn apc_device() -> [Oid; 2] {
    let column = |column: u32| oid!(1, 3, 6, 1, 4, 1, 318, 1, 1, 26, 4, 3, 1).child(column);
    [column(5), column(9)]
}

/// PDU2-MIB: what is asked of each sensor of an outlet, by PDU (1: the PX has no other), outlet and type.
fn raritan(outlet: u32, sensor: u32) -> [Oid; 5] {
    let index = |table: Oid, column: u32| table.child(column).child(1).child(outlet).child(sensor);
    // outletSensorConfigurationTable and outletSensorMeasurementsTable.
    let about = |column| index(oid!(1, 3, 6, 1, 4, 1, 13742, 6, 3, 5, 4, 1), column);
    let now = |column| index(oid!(1, 3, 6, 1, 4, 1, 13742, 6, 5, 4, 3, 1), column);
    // -IsAvailable, -Value, -Units, -DecimalDigits, -Resolution.
    [now(2), now(4), about(6), about(7), about(9)]
}

/// SensorTypeEnumeration and SensorUnitsEnumeration of PDU2-MIB: the type, and the unit that it has.
const ACTIVE_POWER: (u32, u64) = (5, 3);
const ACTIVE_ENERGY: (u32, u64) = (8, 5);

/// What a PDU is asked, in the order of the outlets; one question for a whole PDU.
pub(super) fn questions(entry: &Entry, outlets: &[u32]) -> Vec<Question> {
    if entry.whole {
        return vec![question(entry, None)];
    }
    let ask = |outlet: &u32| question(entry, Some(*outlet));
    outlets.iter().map(ask).collect()
}

fn question(entry: &Entry, outlet: Option<u32>) -> Question {
    let ceiling = outlet.map_or(PDU_CEILING, |_| OUTLET_CEILING);
    let (oids, kind) = match (entry.model, outlet) {
        (Model::Raritan, outlet) => {
            let outlet = outlet.unwrap_or(1);
            let sensors = [ACTIVE_POWER, ACTIVE_ENERGY].map(|(kind, _)| raritan(outlet, kind));
            (sensors.concat(), Kind::Described)
        }
        (Model::Apc, outlet) => {
            let (columns, watts) = match outlet {
                Some(_) => (apc_outlet(), 1.0),
                None => (apc_device(), 10.0),
            };
            let kind = Kind::Scaled {
                power: Some(watts),
                energy: Some(JOULES_PER_KWH / 10.0),
            };
            let row = outlet.unwrap_or(1);
            (columns.map(|column| column.child(row)).to_vec(), kind)
        }
        (Model::Generic, outlet) => {
            let of = |power| entry.oids.iter().find(|m| m.unit.is_power() == power);
            let (power, energy) = (of(true), of(false));
            let asked = [power, energy].into_iter().flatten();
            let kind = Kind::Scaled {
                power: power.map(Measure::size),
                energy: energy.map(Measure::size),
            };
            let named = |m: &Measure| config::oid(&m.oid, outlet.unwrap_or(1));
            (asked.filter_map(named).collect(), kind)
        }
    };
    Question {
        oids,
        kind,
        ceiling,
    }
}

/// A register's value, the joules of a count, and those of the smallest step it takes.
#[derive(Clone, Copy, Debug)]
struct Register {
    value: Value,
    step: f64,
}

impl Question {
    /// What the answers to the OIDs mean, one for each.
    pub(super) fn judge(&self, answers: &[Answer]) -> Result<Told, Trouble> {
        let (power, energy) = match self.kind {
            Kind::Scaled { power, energy } => self.scaled(power, energy, answers)?,
            Kind::Described => self.described(answers)?,
        };
        let power = power.map(Value::Power);
        match (power, energy) {
            (power, Some(energy)) if energy.step <= FINE => Ok(Told {
                booked: energy.value,
                beside: power,
            }),
            (Some(power), energy) => Ok(Told {
                booked: power,
                beside: energy.map(|energy| energy.value),
            }),
            (None, Some(energy)) => Err(Trouble::coarse(energy.step / FINE)),
            (None, None) => Err(Trouble::unmeasured()),
        }
    }

    fn scaled(
        &self,
        power: Option<f64>,
        energy: Option<f64>,
        answers: &[Answer],
    ) -> Result<(Option<Watts>, Option<Register>), Trouble> {
        let mut answers = answers.iter();
        let mut next = |wanted: Option<f64>| Some((answers.next()?, wanted?));
        let power = if power.is_some() { next(power) } else { None };
        let energy = if energy.is_some() { next(energy) } else { None };
        let power = match power {
            Some((answer, size)) => self.watts(answer, size)?,
            None => None,
        };
        let energy = match energy {
            Some((answer, size)) => register(answer, size, size)?,
            None => None,
        };
        Ok((power, energy))
    }

    fn described(&self, answers: &[Answer]) -> Result<(Option<Watts>, Option<Register>), Trouble> {
        let (power, energy) = answers.split_at(answers.len() / 2);
        let power = match sensor(power, ACTIVE_POWER.1)? {
            Some(Described { value, scale, .. }) => self.watts(value, scale)?,
            None => None,
        };
        let energy = match sensor(energy, ACTIVE_ENERGY.1)? {
            Some(Described { value, scale, step }) => {
                register(value, scale * Unit::Wh.size(), step * Unit::Wh.size())?
            }
            None => None,
        };
        Ok((power, energy))
    }

    fn watts(&self, answer: &Answer, size: f64) -> Result<Option<Watts>, Trouble> {
        let Some(number) = number(answer)? else {
            return Ok(None);
        };
        let watts = Watts(number * size);
        if (Watts::ZERO..=self.ceiling).contains(&watts) {
            return Ok(Some(watts));
        }
        Err(Trouble::absurd(&format!("{:.1} W", watts.0)))
    }
}

/// A number; `None` where there is no such object, or the model does not support it, which APC's say by -1.
fn number(answer: &Answer) -> Result<Option<f64>, Trouble> {
    match answer {
        Answer::Integer(-1)
        | Answer::NoSuchObject
        | Answer::NoSuchInstance
        | Answer::EndOfMibView
        | Answer::Null => Ok(None),
        Answer::Integer(n) => Ok(Some(f64::from(*n))),
        Answer::Gauge32(n) | Answer::Counter32(n) | Answer::UInteger32(n) => {
            Ok(Some(f64::from(*n)))
        }
        // Some agents give decimals as text.
        Answer::OctetString(text) => {
            let number = std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.trim().parse::<f64>().ok())
                .filter(|number| number.is_finite());
            number.map(Some).ok_or_else(|| Trouble::odd("a text"))
        }
        other => Err(Trouble::odd(other.kind().as_str())),
    }
}

/// A register, the joules of whose count are `size`. Counters of SNMP go round at their width (RFC 2578);
/// what is written as an integer or a gauge is not known to.
fn register(answer: &Answer, size: f64, step: f64) -> Result<Option<Register>, Trouble> {
    let (raw, wraps_at) = match answer {
        Answer::Counter32(n) => (u64::from(*n), Some(1 << 32)),
        Answer::Counter64(n) => (*n, None),
        Answer::Gauge32(n) | Answer::UInteger32(n) => (u64::from(*n), None),
        Answer::Integer(n) if *n >= 0 => (u64::from(n.unsigned_abs()), None),
        Answer::OctetString(text) => {
            let text = std::str::from_utf8(text).ok();
            let raw = text.and_then(|text| text.trim().parse().ok());
            (raw.ok_or_else(|| Trouble::odd("a text"))?, None)
        }
        other => {
            return match number(other)? {
                None => Ok(None),
                Some(number) => Err(Trouble::absurd(&format!("{number} counts"))),
            };
        }
    };
    let value = Value::Counter {
        raw,
        unit: size,
        wraps_at,
    };
    Ok(Some(Register { value, step }))
}

/// A Raritan sensor that is there and can be read.
struct Described<'a> {
    value: &'a Answer,
    scale: f64,
    /// Smallest difference of two readings.
    step: f64,
}

/// Takes the answers to [`raritan`]; `None` where the outlet has no such sensor.
fn sensor(answers: &[Answer], unit: u64) -> Result<Option<Described<'_>>, Trouble> {
    let [available, value, units, digits, resolution] = answers else {
        return Ok(None);
    };
    let (Some(available), Some(_)) = (number(available)?, number(value)?) else {
        return Ok(None);
    };
    // TruthValue (RFC 2579): true is 1. What is not available reads 0, which is no power.
    if available.to_bits() != 1f64.to_bits() {
        return Err(Trouble::unavailable());
    }
    let whole = |answer| Ok::<_, Trouble>(number(answer)?.map(|number| number as u64));
    if whole(units)? != Some(unit) {
        return Err(Trouble::odd("a unit that it should not have"));
    }
    let digits = match number(digits)? {
        Some(digits) if (0.0..=9.0).contains(&digits) => digits,
        _ => return Err(Trouble::odd("no number of decimal digits")),
    };
    let scale = 10f64.powf(-digits);
    let step = number(resolution)?.unwrap_or(1.0).max(1.0) * scale;
    Ok(Some(Described { value, scale, step }))
}
