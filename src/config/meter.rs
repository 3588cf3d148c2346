//! `node.meter`: one word, or several classes in the order in which they are trusted.

use crate::node::Choice;
use crate::sensor::MeterClass;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::fmt;

/// `node.meter`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Meter(Vec<MeterClass>);

/// What may be written.
const WORDS: &[&str] = &[
    "auto", "none", "pdu", "psu", "bmc", "cray", "acpi", "board", "psys",
];

impl Default for Meter {
    fn default() -> Self {
        Self(MeterClass::ALL.to_vec())
    }
}

impl From<&Meter> for Choice {
    fn from(meter: &Meter) -> Self {
        Self(meter.0.clone())
    }
}

impl Meter {
    fn word<E: Error>(word: &str) -> Result<Self, E> {
        match word {
            "auto" => Ok(Self::default()),
            "none" => Ok(Self(Vec::new())),
            word => Ok(Self(vec![class(word)?])),
        }
    }

    fn list<E: Error>(classes: Vec<MeterClass>) -> Result<Self, E> {
        let twice = |(place, class)| {
            classes
                .get(..place)
                .is_some_and(|before| before.contains(class))
        };
        if classes.is_empty() || classes.iter().enumerate().any(twice) {
            return Err(E::custom(
                "name each class of meter once, or write `none` or `auto`",
            ));
        }
        Ok(Self(classes))
    }
}

fn class<E: Error>(word: &str) -> Result<MeterClass, E> {
    if ["auto", "none"].contains(&word) {
        return Err(E::custom(
            "auto and none stand alone: a list names classes of meter, most trusted first",
        ));
    }
    let mut classes = MeterClass::ALL.into_iter();
    let found = classes.find(|class| class.label() == word);
    found.ok_or_else(|| E::unknown_variant(word, WORDS))
}

impl<'de> Deserialize<'de> for Meter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Words)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Meter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auto, none, a class of meter or a list of classes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Meter, E> {
        if !text.contains(',') {
            return Meter::word(text);
        }
        let classes = text.split(',').map(|word| class(word.trim()));
        Meter::list(classes.collect::<Result<_, E>>()?)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Meter, A::Error> {
        let mut classes = Vec::new();
        while let Some(word) = seq.next_element::<String>()? {
            classes.push(class(&word)?);
        }
        Meter::list(classes)
    }
}

impl Serialize for Meter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            _ if *self == Self::default() => serializer.serialize_str("auto"),
            [] => serializer.serialize_str("none"),
            [class] => serializer.serialize_str(class.label()),
            classes => serializer.collect_seq(classes.iter().map(|class| class.label())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Vec<MeterClass>, String> {
        let meter: Result<Meter, _> = serde_yaml::from_str(yaml);
        meter
            .map(|meter| meter.0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_word_or_a_list_in_order() {
        assert_eq!(read("auto").unwrap(), MeterClass::ALL);
        assert_eq!(read("none").unwrap(), []);
        assert_eq!(read("psys").unwrap(), [MeterClass::Psys]);
        let both = [MeterClass::Acpi, MeterClass::Bmc];
        assert_eq!(read("[acpi, bmc]").unwrap(), both);
        assert_eq!(read("acpi, bmc").unwrap(), both);
        for (text, told) in [
            ("wall", "expected one of"),
            ("[acpi, none]", "stand alone"),
            ("[auto]", "stand alone"),
            ("auto, bmc", "stand alone"),
            ("[]", "write `none`"),
            ("[acpi, bmc, acpi]", "once"),
            ("7", "a class of meter"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn it_is_written_as_it_was_read() {
        for text in ["auto", "none", "psu"] {
            let meter: Meter = serde_yaml::from_str(text).unwrap();
            assert_eq!(serde_json::to_value(meter).unwrap(), text);
        }
        let list: Meter = serde_yaml::from_str("[acpi, bmc]").unwrap();
        assert_eq!(
            serde_json::to_value(list).unwrap(),
            serde_json::json!(["acpi", "bmc"])
        );
    }
}
