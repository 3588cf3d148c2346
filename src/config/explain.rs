//! What is wrong with a configuration, in words that tell what to write instead.

/// The parser's error with the nearest known key added where one was mistyped.
pub(crate) fn explain(error: &serde_yaml::Error) -> String {
    let text = placed(plain(&error.to_string()), error.location());
    match suggestion(&text) {
        Some(meant) => format!("{text}; did you mean `{meant}`?"),
        None => text,
    }
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

/// The message without the names of our types, which mean nothing to who wrote the file.
fn plain(message: &str) -> String {
    let Some((before, after)) = message.split_once("expected struct ") else {
        return message.to_owned();
    };
    let rest = after.trim_start_matches(|c: char| c.is_alphanumeric());
    format!("{before}expected keys with values, such as `interval: 1s`{rest}")
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
