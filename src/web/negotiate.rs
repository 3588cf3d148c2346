//! What a client can read: `Accept` and `Accept-Encoding`, as pure functions of the header's text.
//!
//! Sources: RFC 9110 section 12.5 (the headers, quality values); Prometheus documentation, "Content
//! negotiation" (the media types, their versions and the `escaping` parameter).

/// The form of a metrics page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0 text, with the name escaping to be confirmed, if the client named one.
    OpenMetrics(Option<Escaping>),
    /// The classic Prometheus text format, version 0.0.4.
    Text,
}

/// A scheme of name escaping that leaves every name of this exporter as it is, so that confirming it
/// is true whatever is on the page. (`dots` is not among them: it would double our underscores.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// Names are sent as they are.
    AllowUtf8,
    /// Characters outside the classic set become underscores; we have none.
    Underscores,
    /// Characters outside the classic set become hexadecimal; we have none.
    Values,
}

impl Format {
    /// The `Content-Type` of a page in this form.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics(None) => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::OpenMetrics(Some(Escaping::AllowUtf8)) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
            }
            Self::OpenMetrics(Some(Escaping::Underscores)) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
            Self::OpenMetrics(Some(Escaping::Values)) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values"
            }
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The form to answer `accept` with (the header's values joined by commas; empty when there is none).
///
/// OpenMetrics is sent only to a client that names it and does not like classic text better; a
/// wildcard, an unknown type or no header at all gets classic text, which everything can read.
#[must_use]
pub fn format(accept: &str) -> Format {
    let mut open_metrics: Option<(u16, Option<Escaping>)> = None;
    let mut text = 0;
    for element in elements(accept) {
        match element.value.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => {
                let known = match element.parameter("version") {
                    None => true,
                    Some(version) => matches!(version, "1.0.0" | "0.0.1"),
                };
                if known && open_metrics.is_none_or(|(quality, _)| element.quality > quality) {
                    open_metrics = Some((element.quality, escaping(&element)));
                }
            }
            "text/plain" | "text/*" => text = text.max(element.quality),
            _ => {}
        }
    }
    match open_metrics {
        Some((quality, escaping)) if quality > 0 && quality >= text => {
            Format::OpenMetrics(escaping)
        }
        _ => Format::Text,
    }
}

fn escaping(element: &Element<'_>) -> Option<Escaping> {
    // Version 0.0.1 has no escaping parameter.
    if element.parameter("version") != Some("1.0.0") {
        return None;
    }
    match element.parameter("escaping") {
        Some("allow-utf-8") => Some(Escaping::AllowUtf8),
        Some("underscores") => Some(Escaping::Underscores),
        Some("values") => Some(Escaping::Values),
        _ => None,
    }
}

/// Whether an answer to `accept_encoding` (values joined by commas; empty when there is none) may be
/// compressed with gzip and the client does not like it better plain.
#[must_use]
pub fn gzip(accept_encoding: &str) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for element in elements(accept_encoding) {
        let place = match element.value.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => &mut gzip,
            "*" => &mut any,
            "identity" => &mut identity,
            _ => continue,
        };
        *place = (*place).max(Some(element.quality));
    }
    let quality = gzip.or(any).unwrap_or(0);
    quality > 0 && quality >= identity.unwrap_or(0)
}

/// One element of a list header: its value, its parameters, its quality in thousandths.
struct Element<'a> {
    value: &'a str,
    parameters: &'a str,
    quality: u16,
}

impl<'a> Element<'a> {
    fn parse(text: &'a str) -> Self {
        let (value, parameters) = text.split_once(';').unwrap_or((text, ""));
        let mut element = Self {
            value: value.trim(),
            parameters,
            quality: 1000,
        };
        if let Some(quality) = element.parameter("q") {
            element.quality = thousandths(quality);
        }
        element
    }

    /// The value of the first parameter of that name, quotes removed.
    fn parameter(&self, name: &str) -> Option<&'a str> {
        split_outside_quotes(self.parameters, ';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().trim_matches('"'))
        })
    }
}

fn elements(header: &str) -> impl Iterator<Item = Element<'_>> {
    split_outside_quotes(header, ',')
        .filter(|element| !element.trim().is_empty())
        .map(Element::parse)
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character| {
        quoted ^= character == '"';
        character == separator && !quoted
    })
}

/// `0.75` as 750. What is not a quality by RFC 9110 counts as 0: a client that writes nonsense gets
/// the form that needs no permission.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return 0;
    }
    let fraction = format!("{fraction:0<3}").parse().unwrap_or(0);
    match (whole, fraction) {
        ("1", 0) => 1000,
        ("0", fraction) => fraction,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPEN: Format = Format::OpenMetrics(None);

    #[test]
    fn formats() {
        let cases = [
            ("", Format::Text),
            ("*/*", Format::Text),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Format::Text,
            ),
            ("application/openmetrics-text", OPEN),
            ("application/openmetrics-text;version=0.0.1", OPEN),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", OPEN),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            (
                "application/openmetrics-text;version=1.0.0;q=0",
                Format::Text,
            ),
            (
                "application/openmetrics-text;q=0.5,text/plain;q=0.6",
                Format::Text,
            ),
            ("application/openmetrics-text;q=0.6,text/plain;q=0.5", OPEN),
            (
                "text/plain;version=0.0.4,application/openmetrics-text",
                OPEN,
            ),
            ("application/openmetrics-text;q=2", Format::Text),
            ("application/openmetrics-text;q=0.1234", Format::Text),
            (
                "application/vnd.google.protobuf;proto=a;encoding=delimited",
                Format::Text,
            ),
            // Prometheus 2.42.
            (
                "application/openmetrics-text;version=1.0.0,\
                 application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OPEN,
            ),
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                Format::OpenMetrics(Some(Escaping::AllowUtf8)),
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=dots",
                OPEN,
            ),
            (
                "application/openmetrics-text;version=0.0.1;escaping=values",
                OPEN,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=values",
                Format::OpenMetrics(Some(Escaping::Values)),
            ),
        ];
        for (accept, expected) in cases {
            assert_eq!(format(accept), expected, "{accept}");
        }
    }

    #[test]
    fn encodings() {
        let cases = [
            ("", false),
            ("gzip", true),
            ("GZIP;q=1.0", true),
            ("x-gzip", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;q=0.001", true),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("deflate, br", false),
            ("deflate, gzip;q=0.5, *;q=0.1", true),
            ("identity;q=1, gzip;q=0.5", false),
            ("identity;q=0, gzip;q=0.5", true),
            ("gzip;q=nonsense", false),
            (", ,gzip,", true),
        ];
        for (accept, expected) in cases {
            assert_eq!(gzip(accept), expected, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_answered(header in any::<String>()) {
            prop_assert!(format(&header).content_type().ends_with("charset=utf-8")
                || format(&header).content_type().contains("escaping="));
            let _ = gzip(&header);
        }

        #[test]
        fn a_refusal_is_honoured(rest in "[a-z/;=0-9. ,]{0,60}") {
            // Nothing that follows under another name turns "never gzip" into gzip.
            prop_assume!(!rest.contains("gzip"));
            let header = format!("gzip;q=0,{rest}");
            prop_assert!(!gzip(&header));
        }

        #[test]
        fn qualities_order_the_forms(open in 1u16..=1000, text in 0u16..=1000) {
            let quality = |q: u16| format!("{}.{:03}", q / 1000, q % 1000);
            let header = format!(
                "text/plain;q={},application/openmetrics-text;q={}", quality(text), quality(open));
            prop_assert_eq!(format(&header) == OPEN, open >= text);
        }
    }
}
