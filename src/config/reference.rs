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
    for (name, property) in properties {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        let default = defaults.get(name).unwrap_or(&Value::Null);
        let inner = resolve(property, root);
        let meaning = property
            .get("description")
            .or_else(|| inner.get("description"));
        let meaning = meaning
            .and_then(Value::as_str)
            .unwrap_or("")
            .replace('\n', " ");
        let entry = inner.get("items").map(|items| resolve(items, root));
        if inner.get("properties").is_some() {
            rows(inner, root, &key, default, out);
        } else {
            let _ = writeln!(out, "| `{key}` | {} | {meaning} |", shown(default));
        }
        if let Some(entry) = entry {
            rows(entry, root, &format!("{key}[]"), &Value::Null, out);
        }
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
