//! What is wrong with a configuration, in words that tell what to write instead.

/// The parser's error with the nearest known key added where one was mistyped.
pub(crate) fn explain(error: &serde_yaml::Error, yaml: &str) -> String {
    let said = error.to_string();
    let text = placed(plain(&said), error.location());
    if let Some(line) = tabbed(error.location(), yaml) {
        return format!("{text}; line {line} begins with a tab: YAML is indented with spaces");
    }
    match suggestion(&said) {
        Some(meant) => format!("{text}; did you mean `{meant}`?"),
        None => text,
    }
}

/// The line that is indented with a tab, where the parser stopped there or right below it.
fn tabbed(place: Option<serde_yaml::Location>, yaml: &str) -> Option<usize> {
    let stopped = place?.line();
    (stopped.saturating_sub(1)..=stopped).rev().find(|number| {
        let line = number.checked_sub(1).and_then(|n| yaml.lines().nth(n));
        line.is_some_and(|line| {
            let text = line.trim_start();
            line.strip_suffix(text)
                .is_some_and(|space| space.contains('\t'))
        })
    })
}

/// The message with its place, which the parser leaves out for the very beginning.
fn placed(message: String, place: Option<serde_yaml::Location>) -> String {
    match place {
        Some(place) if !message.contains(" at line ") => {
            format!(
                "{message} at line {} column {}",
                place.line(),
                place.column()
            )
        }
        _ => message,
    }
}

/// What the parser calls things, and what a person does.
const WORDS: [(&str, &str); 13] = [
    ("expected f64", "expected a number"),
    ("expected usize", "expected a whole number of at least 0"),
    ("expected u32", "expected a whole number of at least 0"),
    ("expected u64", "expected a whole number of at least 0"),
    ("expected a sequence", "expected a list"),
    ("expected a map", "expected keys with values"),
    ("invalid type: sequence", "invalid type: a list"),
    ("invalid type: map", "invalid type: keys with values"),
    ("invalid type: unit value", "invalid type: nothing"),
    ("invalid type: floating point", "invalid type: number"),
    ("unknown variant", "unknown word"),
    ("unknown field", "unknown key"),
    ("missing field", "missing key"),
];

/// The message without the parser's words and the names of our types, which mean nothing to who wrote
/// the file.
fn plain(message: &str) -> String {
    let text = match message.split_once("expected struct ") {
        None => message.to_owned(),
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_alphanumeric());
            let section = before.split_once(": invalid").map_or("", |(key, _)| key);
            let example = example(section);
            format!("{before}expected keys with values, such as `{example}`{rest}")
        }
    };
    WORDS
        .iter()
        .fold(text, |text, (theirs, ours)| text.replacen(theirs, ours, 1))
}

/// What may stand in a section.
fn example(section: &str) -> &'static str {
    match section {
        "node" => "pue: 1.3",
        "grid" => "zone: DE",
        "grid.cloud" => "{provider: aws, region: eu-central-1}",
        "grid.market" => "intensity: 0",
        "embodied" => "lifetime_years: 5",
        "sensors" => "interval: 1s",
        "path" => "sysfs: /host/sys",
        "state" => "directory: /run/gramwatt",
        "web" => "max_requests: 40",
        "log" => "level: info",
        entry if entry.starts_with("grid.providers") => "type: energy-charts",
        family if family.starts_with("sensors.") => "enabled: false",
        _ => "grid: {zone: DE}",
    }
}

/// The nearest of the names that the message says were expected.
fn suggestion(message: &str) -> Option<String> {
    let (before, expected) = message.split_once("expected")?;
    let wrong = quoted(before).last()?;
    let nearest = quoted(expected)
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .min_by_key(|(distance, _)| *distance)?;
    (nearest.0 <= 1 + wrong.chars().count() / 3).then(|| nearest.1.to_owned())
}

/// The names between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_mended_and_a_stranger_is_not() {
        let near = "grid: unknown field `zoen`, expected one of `zone`, `cloud` at line 2 column 3";
        assert_eq!(suggestion(near).as_deref(), Some("zone"));
        let far = "unknown field `temperature`, expected one of `zone`, `cloud`";
        assert_eq!(suggestion(far), None);
        assert_eq!(suggestion("invalid type: string"), None);
    }
}
