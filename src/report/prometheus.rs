//! A Prometheus, Thanos, Mimir or VictoriaMetrics that is asked for a history.
//!
//! Source: Prometheus, "HTTP API", instant queries and range queries.

use crate::grid::provider::read::escaped;
use crate::http::{self, Client, Settings, Trust};
use crate::secret::{self, Credentials, SecretError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Longest that a query may take: what Prometheus itself allows (`--query.timeout`, 2 min), and the way.
const TIMEOUT: Duration = Duration::from_secs(150);
/// Largest answer: 100,000 workloads have about 30 MB.
const LARGEST: u64 = 256 << 20;
/// Warnings that are kept.
const WARNINGS: usize = 8;

/// Where the server is, and how it lets us in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Its address, with its prefix where it has one (`https://mimir/prometheus`).
    pub url: String,
    /// A file whose only line is a bearer token.
    pub token_file: Option<PathBuf>,
    /// A file of YAML with `username` and `password`.
    pub credentials_file: Option<PathBuf>,
    /// The authorities that its certificate may be of, in PEM; the machine's own where there is none.
    pub ca_file: Option<PathBuf>,
}

/// Labels without the metric's name, by name.
pub type Labels = BTreeMap<String, String>;

/// A series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What it is of.
    pub labels: Labels,
    /// Times in Unix seconds, and finite values.
    pub samples: Vec<(f64, f64)>,
}

impl Series {
    /// A label's value; empty where it is not set, as in PromQL.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// The newest value; 0 where there is none.
    #[must_use]
    pub fn last(&self) -> f64 {
        self.samples.last().map_or(0.0, |(_, value)| *value)
    }
}

/// Why there is no answer. The messages name the server and what can be done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file of secrets is of no use.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// No answer.
    #[error("{url}: {error}: {}", error.mend())]
    Network {
        /// Who was asked.
        url: String,
        /// Why.
        error: http::Error,
    },
    /// An answer that is none.
    #[error("{url}: {said}")]
    Refused {
        /// Who was asked.
        url: String,
        /// What it said, and what to do.
        said: String,
    },
}

/// Asks one server. What it warned of is kept for the report.
pub struct Server {
    client: Client,
    url: String,
    headers: Vec<(String, String)>,
    warnings: Vec<String>,
}

impl Server {
    /// A server that has not been asked yet.
    ///
    /// # Errors
    /// Where a file that `access` names cannot be used.
    pub fn new(access: &Access) -> Result<Self, Failure> {
        let url = access.url.trim_end_matches('/').to_owned();
        let trust = access.ca_file.clone().map(Trust::Authorities);
        let settings = Settings {
            trust: trust.unwrap_or_default(),
            timeout: TIMEOUT,
            proxy: true,
        };
        let mut headers = vec![("Accept".to_owned(), "application/json".to_owned())];
        if let Some(file) = &access.token_file {
            let token = secret::line(file, "a bearer token in a single line")?;
            headers.push((
                "Authorization".to_owned(),
                format!("Bearer {}", token.reveal()),
            ));
        }
        if let Some(file) = &access.credentials_file {
            let who: Credentials = secret::keys(file, "the keys username and password")?;
            headers.push(("Authorization".to_owned(), http::basic(&who)));
        }
        let client = Client::new(&settings);
        let client = client.map_err(|error| Failure::Network {
            url: url.clone(),
            error,
        })?;
        Ok(Self {
            client,
            url,
            headers,
            warnings: Vec::new(),
        })
    }

    /// What the server warned of so far, such as partial answers of Thanos.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The answer at a moment, in Unix seconds. A range selector answers its samples as they are.
    ///
    /// # Errors
    /// No answer, or one that is none.
    pub fn instant(&mut self, query: &str, at: i64) -> Result<Vec<Series>, Failure> {
        let query = escaped(query);
        self.ask(&format!("query?query={query}&time={at}"))
    }

    /// The answers at `first`, `first + step`, ... up to `last`, in Unix seconds.
    ///
    /// # Errors
    /// As [`Server::instant`].
    pub fn range(
        &mut self,
        query: &str,
        (first, last): (i64, i64),
        step: i64,
    ) -> Result<Vec<Series>, Failure> {
        let query = escaped(query);
        self.ask(&format!(
            "query_range?query={query}&start={first}&end={last}&step={step}"
        ))
    }

    fn ask(&mut self, path: &str) -> Result<Vec<Series>, Failure> {
        let url = format!("{}/api/v1/{path}", self.url);
        let reply = self.client.get(&url, &self.headers, LARGEST);
        let reply = reply.map_err(|error| Failure::Network {
            url: self.url.clone(),
            error,
        })?;
        let told = read(reply.status, &reply.body).map_err(|said| Failure::Refused {
            url: self.url.clone(),
            said,
        })?;
        for warning in told.warnings {
            let warning = short(&warning);
            if self.warnings.len() < WARNINGS && !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        Ok(told.series)
    }
}

#[derive(Deserialize)]
struct Told {
    status: String,
    #[serde(rename = "errorType", default)]
    kind: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<One>),
    Matrix(Vec<Many>),
    Scalar((f64, String)),
    String((f64, String)),
}

#[derive(Deserialize)]
struct One {
    metric: Labels,
    value: (f64, String),
}

#[derive(Deserialize)]
struct Many {
    metric: Labels,
    values: Vec<(f64, String)>,
}

struct Answer {
    series: Vec<Series>,
    warnings: Vec<String>,
}

/// Reads an answer, or says in words why it is none.
fn read(status: u16, body: &[u8]) -> Result<Answer, String> {
    let told: Result<Told, _> = serde_json::from_slice(body);
    let told = match told {
        Ok(told) => told,
        Err(_) if status != 200 => return Err(refusal(status)),
        Err(error) => return Err(no_json(body, &error)),
    };
    if told.status != "success" {
        let said = short(&format!("{}: {}", told.kind, told.error));
        return Err(format!("Prometheus says {said}"));
    }
    let series = match told.data {
        Some(Data::Vector(all)) => {
            let all = all.into_iter();
            all.map(|one| (one.metric, vec![one.value])).collect()
        }
        Some(Data::Matrix(all)) => {
            let all = all.into_iter();
            all.map(|one| (one.metric, one.values)).collect()
        }
        Some(Data::Scalar(value) | Data::String(value)) => vec![(Labels::new(), vec![value])],
        None => return Err("an answer without data: is this a Prometheus?".to_owned()),
    };
    Ok(Answer {
        series: series.into_iter().map(of_texts).collect(),
        warnings: told.warnings,
    })
}

/// Values come as texts; what is no finite number is none.
fn of_texts((mut labels, samples): (Labels, Vec<(f64, String)>)) -> Series {
    labels.remove("__name__");
    let samples = samples.into_iter().filter_map(|(at, value)| {
        let value: f64 = value.parse().ok()?;
        value.is_finite().then_some((at, value))
    });
    Series {
        labels,
        samples: samples.collect(),
    }
}

fn no_json(body: &[u8], error: &serde_json::Error) -> String {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => "an empty answer: is this a Prometheus?".to_owned(),
        Some(b'<') => "HTML in place of JSON: this is not the API of a Prometheus, or a login page stands before it; \
             give the address under which /api/v1/query answers"
            .to_owned(),
        Some(_) => format!(
            "no answer of a Prometheus (line {} column {} of its JSON): give the address under which /api/v1/query \
             answers",
            error.line(),
            error.column()
        ),
    }
}

/// What a status without a reason means.
fn refusal(status: u16) -> String {
    let mend = match status {
        301..=308 => "it sends elsewhere: give the address that it sends to",
        401 => "it wants to know who asks: give --token-file or --credentials-file",
        403 => "who asks may not: check the token or the account",
        404 => {
            "no API of a Prometheus is here: is a prefix missing, such as /prometheus (Mimir) or /select/0/prometheus \
             (VictoriaMetrics)?"
        }
        502..=504 => "it, or what stands before it, is not ready: try again, or ask for less",
        _ => "give the address under which /api/v1/query answers",
    };
    format!("HTTP status {status}: {mend}")
}

/// The beginning of a text that somebody else wrote, on one line.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> String {
        read(status, body.as_bytes()).err().unwrap()
    }

    #[test]
    fn an_answer_is_read_and_what_is_no_number_is_left_out() {
        let body = r#"{"status":"success","warnings":["partial"],"data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"x","cluster":"fra"},"values":[[1,"2"],[2,"NaN"],[3,"4e3"]]}]}}"#;
        let answer = read(200, body.as_bytes()).unwrap();
        assert_eq!(answer.warnings, ["partial"]);
        assert_eq!(answer.series.len(), 1);
        let series = &answer.series[0];
        assert_eq!(series.labels.len(), 1);
        assert_eq!((series.label("cluster"), series.label("x")), ("fra", ""));
        assert_eq!(series.samples, [(1.0, 2.0), (3.0, 4000.0)]);
        assert_eq!(series.last(), 4000.0);
    }

    #[test]
    fn whatever_is_no_answer_is_told_with_a_mend() {
        let error = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples"}"#;
        for (status, body, words) in [
            (
                422,
                error,
                "execution: query processing would load too many samples",
            ),
            (200, "<!doctype html>", "HTML in place of JSON"),
            (200, "", "empty answer"),
            (200, "{\"status\":\"success\"}", "without data"),
            (200, "{}", "line 1 column 2"),
            (302, "", "sends elsewhere"),
            (401, "Unauthorized", "--token-file"),
            (404, "<html>", "a prefix missing"),
            (503, "", "not ready"),
        ] {
            let said = said(status, body);
            assert!(said.contains(words), "{status} {body}: {said}");
        }
    }
}
