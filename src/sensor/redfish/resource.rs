//! What Redfish resources say, as values: pure, and forgiving of whatever is not asked for.
//!
//! The properties are those of DMTF's schemas (DSP8010): `Power` v1.7, `EnvironmentMetrics` v1.3,
//! `PowerSupplyMetrics` v1.1, `Chassis` v1.25, `ServiceRoot` v1.16.

use serde_json::Value;

/// A resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource(Value);

/// What a property says that should be a number.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// Not there, or null: not told.
    Untold,
    /// A number that can be.
    Good(f64),
    /// Something else, as it stands there.
    Odd(String),
}

impl Figure {
    /// The number.
    pub fn good(&self) -> Option<f64> {
        match self {
            Self::Good(number) => Some(*number),
            _ => None,
        }
    }
}

/// What is said of a part of the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The last part of its path, or its number.
    pub id: String,
    /// Whether it is there and at work, by `Status.State`.
    pub is_active: bool,
    /// Watts.
    pub watts: Figure,
    /// Watts of the other side of a power supply.
    pub output: Figure,
}

/// Most that a chassis can draw: twice a rack of the densest kind, in watts. What is above cannot be true.
pub const MOST_WATTS: f64 = 100_000.0;

/// Most members of anything that are looked at.
pub const MOST_MEMBERS: usize = 128;

/// Longest path that is followed.
const LONGEST_PATH: usize = 512;

impl Resource {
    /// Reads a body. `None` for what is no JSON object.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        value.is_object().then_some(Self(value))
    }

    /// The path behind `Links.ContainedBy` and the like.
    pub fn link(&self, pointer: &str) -> Option<&str> {
        path(self.0.pointer(pointer)?)
    }

    /// The paths in a list of links.
    pub fn links(&self, pointer: &str) -> Vec<&str> {
        let list = self.0.pointer(pointer).and_then(Value::as_array);
        let all = list.into_iter().flatten().take(MOST_MEMBERS);
        all.filter_map(path).collect()
    }

    /// A text.
    pub fn text(&self, pointer: &str) -> &str {
        let text = self.0.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().trim()
    }

    /// Whether it is there and at work.
    pub fn is_active(&self) -> bool {
        is_active(&self.0)
    }

    /// Watts at a pointer.
    pub fn watts(&self, pointer: &str) -> Figure {
        figure(self.0.pointer(pointer), MOST_WATTS)
    }

    /// Whole joules of `EnergyJoules.Reading`. Not `EnergykWh`, which is too coarse to be a counter: it moves by
    /// 3.6 MJ (1 kWh) or a tenth of that at a step, hours of a node that idles.
    pub fn joules(&self) -> Figure {
        // 2^53: up to there a double tells whole joules.
        figure(self.0.pointer("/EnergyJoules/Reading"), 9.0e15)
    }

    /// The members of `Power.PowerControl`, the first of which is the whole chassis: further ones are parts of it
    /// (processors and memory on Lenovo's, accelerators on Cray's).
    pub fn controls(&self) -> Vec<Told> {
        let told = |(number, control): (usize, &Value)| Told {
            id: id(control, number),
            is_active: is_active(control),
            watts: figure(control.get("PowerConsumedWatts"), MOST_WATTS),
            output: Figure::Untold,
        };
        self.members("PowerControl").enumerate().map(told).collect()
    }

    /// The members of `Power.PowerSupplies`.
    pub fn supplies(&self) -> Vec<Told> {
        let told = |(number, supply): (usize, &Value)| {
            let output = ["PowerOutputWatts", "LastPowerOutputWatts"];
            let mut output = output.map(|name| figure(supply.get(name), MOST_WATTS)).into_iter();
            let output = output.find(|figure| *figure != Figure::Untold);
            Told {
                id: id(supply, number),
                is_active: is_active(supply),
                watts: figure(supply.get("PowerInputWatts"), MOST_WATTS),
                output: output.unwrap_or(Figure::Untold),
            }
        };
        self.members("PowerSupplies").enumerate().map(told).collect()
    }

    /// `PowerSupplyMetrics` of the power supply called `id`.
    pub fn supply(&self, id: &str) -> Told {
        Told {
            id: id.to_owned(),
            is_active: is_active(&self.0),
            watts: self.watts("/InputPowerWatts/Reading"),
            output: self.watts("/OutputPowerWatts/Reading"),
        }
    }

    /// What an error's body says, for people: the first message of `@Message.ExtendedInfo`.
    pub fn message(&self) -> Option<&str> {
        let extended = self.0.pointer("/error/@Message.ExtendedInfo/0/MessageId");
        let plain = self.0.pointer("/error/code");
        [extended, plain].into_iter().flatten().find_map(Value::as_str)
    }

    fn members(&self, name: &str) -> impl Iterator<Item = &Value> {
        let list = self.0.get(name).and_then(Value::as_array);
        list.into_iter().flatten().take(MOST_MEMBERS)
    }
}

/// The last part of a path.
pub fn last(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

/// A path that may be followed: on the BMC, and below `/redfish/`.
pub fn is_path(path: &str) -> bool {
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b));
    plain && path.starts_with("/redfish/") && path.len() <= LONGEST_PATH
}

fn path(link: &Value) -> Option<&str> {
    let path = link.get("@odata.id")?.as_str()?;
    is_path(path).then_some(path)
}

/// A member's own number, or its place.
fn id(member: &Value, number: usize) -> String {
    match member.get("MemberId") {
        Some(Value::String(id)) if !id.is_empty() => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => number.to_string(),
    }
}

/// Not so by `Status.State` where it is away, switched off, or without a feed. What says nothing is there, and so is
/// a spare, which draws a little.
fn is_active(value: &Value) -> bool {
    let state = value.pointer("/Status/State").and_then(Value::as_str);
    let away = ["Absent", "Disabled", "UnavailableOffline"];
    !state.is_some_and(|state| away.contains(&state))
}

fn figure(value: Option<&Value>, most: f64) -> Figure {
    match value {
        None | Some(Value::Null) => Figure::Untold,
        Some(value) => match value.as_f64() {
            Some(number) if (0.0..=most).contains(&number) => Figure::Good(number),
            _ => {
                let mut shown = value.to_string();
                shown.truncate(shown.char_indices().nth(40).map_or(shown.len(), |(at, _)| at));
                Figure::Odd(shown)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Resource {
        Resource::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_figure_is_a_number_that_can_be_or_nothing() {
        let odd = |text: &str| Figure::Odd(text.to_owned());
        for (json, figure) in [
            ("{}", Figure::Untold),
            (r#"{"PowerWatts":null}"#, Figure::Untold),
            (r#"{"PowerWatts":{"Reading":null}}"#, Figure::Untold),
            (r#"{"PowerWatts":{"Reading":374}}"#, Figure::Good(374.0)),
            (r#"{"PowerWatts":{"Reading":0}}"#, Figure::Good(0.0)),
            (r#"{"PowerWatts":{"Reading":-1}}"#, odd("-1")),
            (r#"{"PowerWatts":{"Reading":65535000}}"#, odd("65535000")),
            (r#"{"PowerWatts":{"Reading":1e308}}"#, odd("1e+308")),
            (r#"{"PowerWatts":{"Reading":"374"}}"#, odd("\"374\"")),
            (r#"{"PowerWatts":{"Reading":{}}}"#, odd("{}")),
        ] {
            assert_eq!(of(json).watts("/PowerWatts/Reading"), figure, "{json}");
        }
    }

    #[test]
    fn only_paths_on_the_bmc_are_followed() {
        for (path, good) in [
            ("/redfish/v1/Chassis/Self", true),
            ("/redfish/v1/Chassis/RackMount%2FBaseboard", true),
            ("//elsewhere.example/redfish/", false),
            ("https://elsewhere.example/redfish/v1", false),
            ("@elsewhere.example/redfish/", false),
            ("/redfish/v1/Chassis\r\nHost: x", false),
            ("/etc/passwd", false),
        ] {
            assert_eq!(is_path(path), good, "{path}");
        }
        assert!(!is_path(&format!("/redfish/{}", "a".repeat(600))));
        assert_eq!(last("/redfish/v1/Chassis/Self/"), "Self");
    }
}
