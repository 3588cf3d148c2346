//! The configuration reference, made from the configuration itself.

use super::Config;
use schemars::{Schema, schema_for};
use serde_json::Value;
use std::fmt::Write;

/// Every key with its type, default and meaning, as a Markdown table.
#[must_use]
pub fn reference() -> String {
    let schema = schema_for!(Config);
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut out = String::from("| key | default | meaning |\n|---|---|---|\n");
    rows(schema.as_value(), &schema, "", &defaults, &mut out);
    out
}

fn rows(object: &Value, root: &Schema, prefix: &str, defaults: &Value, out: &mut String) {
    let Some(properties) = object.get("properties").and_then(Value::as_object) else {
        return;
    };
    let required = object.get("required").and_then(Value::as_array);
    // A section may be left out with all that it requires; an entry of a list is there.
    let required = required.filter(|_| prefix.contains('['));
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|key| key == name));
    for (name, property) in properties {
        // The word that tells the kinds of entry apart is in their names.
        if property.get("const").is_some() {
            continue;
        }
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        let inner = resolve(property, root);
        let default = defaults.get(name).or_else(|| property.get("default"));
        let default = default.unwrap_or(&Value::Null);
        let meaning = property
            .get("description")
            .or_else(|| inner.get("description"));
        let meaning = meaning
            .and_then(Value::as_str)
            .unwrap_or("")
            .replace('\n', " ");
        if inner.get("properties").is_some() {
            rows(inner, root, &key, default, out);
        } else {
            let default = match default {
                Value::Null if is_required(name) => "required".to_owned(),
                default => shown(default),
            };
            let _ = writeln!(out, "| `{key}` | {default} | {meaning} |");
        }
        if let Some(entry) = inner.get("items") {
            entries(resolve(entry, root), root, &format!("{key}[]"), out);
        } else if kinds(inner).is_some_and(|kinds| kinds.iter().all(is_section)) {
            entries(inner, root, &key, out);
        }
    }
}

/// The kinds that a value may be of.
fn kinds(value: &Value) -> Option<&Vec<Value>> {
    value.get("oneOf").and_then(Value::as_array)
}

/// Whether a kind has keys, and is no word.
fn is_section(kind: &Value) -> bool {
    kind.pointer("/properties/type/const").is_some()
}

/// The keys of a list's entries, or of a value, which may be of several kinds.
fn entries(entry: &Value, root: &Schema, key: &str, out: &mut String) {
    let Some(kinds) = kinds(entry) else {
        return rows(entry, root, key, &Value::Null, out);
    };
    // What all kinds have, before what each has of its own.
    rows(entry, root, key, &Value::Null, out);
    let key = key.trim_end_matches("[]");
    for kind in kinds {
        let word = kind
            .pointer("/properties/type/const")
            .and_then(Value::as_str);
        let key = format!("{key}[{}]", word.unwrap_or_default());
        let meaning = kind
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or("")
            .replace('\n', " ");
        let _ = writeln!(out, "| `{key}` |  | {meaning} |");
        rows(kind, root, &key, &Value::Null, out);
    }
}

/// Follows references and optional values to the schema that tells the fields.
fn resolve<'a>(property: &'a Value, root: &'a Schema) -> &'a Value {
    let alternatives = property.get("anyOf").and_then(Value::as_array);
    let inner = alternatives.and_then(|all| all.first()).unwrap_or(property);
    let Some(reference) = inner.get("$ref").and_then(Value::as_str) else {
        return inner;
    };
    root.pointer(reference.trim_start_matches('#'))
        .unwrap_or(inner)
}

fn shown(default: &Value) -> String {
    match default {
        Value::Null => "unset".into(),
        Value::Object(map) if map.is_empty() => "none".into(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
