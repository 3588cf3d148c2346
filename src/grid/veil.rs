//! Keeps secrets out of what is said. A provider may quote what it was sent, whole or cut off, and so
//! they are taken out of its answer before anybody reads that, and out of every message besides.

use super::provider::read::escaped;

/// What stands where a secret stood.
const HIDDEN: &str = "<secret>";

/// A secret shorter than this is not taken out of an answer, whose figures may have it in them by chance.
const SHORT: usize = 8;

/// What a key of a query has in it whose value is a secret.
const KEYS: [&str; 6] = ["auth", "token", "key", "secret", "password", "signature"];

/// The secrets of one request, in the forms in which an answer may quote them.
#[derive(Clone, Default)]
pub struct Veil(Vec<String>);

impl Veil {
    /// Takes a secret in.
    pub fn hide(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        let json = serde_json::to_string(secret).unwrap_or_default();
        let json = json
            .trim_start_matches('"')
            .trim_end_matches('"')
            .to_owned();
        let percent = escaped(secret);
        let forms = [
            // Some languages escape the slash in JSON.
            json.replace('/', "\\/"),
            json,
            percent.to_ascii_lowercase(),
            percent,
            secret.to_owned(),
        ];
        self.0.extend(forms);
        // A form that another one is part of comes after it.
        self.0.sort_by_key(|form| std::cmp::Reverse(form.len()));
        self.0.dedup();
    }

    /// Takes in what an address shows of secrets, and gives the address without them.
    pub fn address(&mut self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let host_ends = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(host_ends);
        let host = match host.rsplit_once('@') {
            Some((who, host)) => {
                self.hide(who.split_once(':').map_or(who, |(_, password)| password));
                host
            }
            None => host,
        };
        let mut shown = if scheme.is_empty() {
            String::new()
        } else {
            format!("{scheme}://")
        };
        shown.push_str(host);
        let Some((path, query)) = path.split_once('?') else {
            return shown + path;
        };
        shown.push_str(path);
        for (number, part) in query.split('&').enumerate() {
            shown.push(if number == 0 { '?' } else { '&' });
            match part.split_once('=') {
                Some((key, value)) if is_secret(key) => {
                    self.hide(value);
                    shown.push_str(key);
                    shown.push('=');
                    shown.push_str(HIDDEN);
                }
                _ => shown.push_str(part),
            }
        }
        shown
    }

    /// A text for people.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for form in &self.0 {
            if text.contains(form.as_str()) {
                text = text.replace(form.as_str(), HIDDEN);
            }
        }
        text
    }

    /// An answer, before it is read.
    #[must_use]
    pub fn body(&self, mut body: Vec<u8>) -> Vec<u8> {
        for form in self.0.iter().filter(|form| form.len() >= SHORT) {
            body = without(body, form.as_bytes());
        }
        body
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    KEYS.iter().any(|word| key.contains(word))
}

fn without(body: Vec<u8>, form: &[u8]) -> Vec<u8> {
    let is_at = |from: usize| body.get(from..).is_some_and(|rest| rest.starts_with(form));
    if !(0..body.len()).any(is_at) {
        return body;
    }
    let (mut out, mut from) = (Vec::with_capacity(body.len()), 0);
    while let Some(byte) = body.get(from) {
        if is_at(from) {
            out.extend_from_slice(HIDDEN.as_bytes());
            from += form.len();
        } else {
            out.push(*byte);
            from += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_all_its_forms() {
        let mut veil = Veil::default();
        veil.hide("a/b\"c+d=e\\f");
        for quoted in [
            "a/b\"c+d=e\\f",
            r#"a/b\"c+d=e\\f"#,
            r#"a\/b\"c+d=e\\f"#,
            "a%2Fb%22c%2Bd%3De%5Cf",
            "a%2fb%22c%2bd%3de%5cf",
        ] {
            let said = format!("bad token {quoted}!");
            assert_eq!(veil.text(&said), "bad token <secret>!", "{quoted}");
            assert_eq!(
                veil.body(said.into_bytes()),
                b"bad token <secret>!",
                "{quoted}"
            );
        }
    }

    #[test]
    fn a_short_secret_does_not_break_the_figures_of_an_answer() {
        let mut veil = Veil::default();
        veil.hide("300");
        veil.hide("");
        assert_eq!(veil.body(b"{\"grams\":300}".to_vec()), b"{\"grams\":300}");
        assert_eq!(veil.text("bad token 300"), "bad token <secret>");
    }

    #[test]
    fn an_address_is_shown_without_secrets() {
        let mut veil = Veil::default();
        for (url, shown) in [
            ("https://host/a?zone=DE&b", "https://host/a?zone=DE&b"),
            ("https://me:hunter2@host", "https://host"),
            (
                "http://host:1/a?Api_Key=hunter2&zone=DE",
                "http://host:1/a?Api_Key=<secret>&zone=DE",
            ),
            (
                "http://host?securityToken=hunter2",
                "http://host?securityToken=<secret>",
            ),
            ("file:///a/b?c@d", "file:///a/b?c@d"),
        ] {
            assert_eq!(veil.address(url), shown);
        }
        assert_eq!(veil.text("hunter2"), HIDDEN);
    }
}
