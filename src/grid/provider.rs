//! Who tells the intensity of a zone: one file for each provider, each a few pure functions that say what
//! to ask and what an answer means. Asking itself, with its manners, is the same for all
//! ([`super::fetch`]).
//!
//! A new provider is one file in `provider/`, one line in [`providers!`](self) below, and a replica's
//! bodies in `tests/replicas/`.

use super::series::{Point, Scope, Signal};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

pub mod mix;
pub mod own;
pub mod read;
mod terms;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// What is now, or was last.
    Latest,
    /// What will be.
    Forecast,
    /// What was over the last days, for a seasonal forecast.
    History,
}

impl What {
    /// For people and for the cache.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Forecast => "forecast",
            Self::History => "history",
        }
    }
}

/// How a request shows who asks. The secret itself comes from the provider's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// It does not.
    None,
    /// A header: its name, and what stands before the token.
    Header(&'static str, &'static str),
    /// A key of the query.
    Query(&'static str),
    /// A token that lasts for a while, had by name and password from this URL (basic authentication, an
    /// answer of JSON with `token`), and then sent as a bearer's.
    Login {
        /// Where.
        url: String,
        /// How long it is good for.
        lasts: Duration,
    },
}

/// One thing to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What for.
    pub what: What,
    /// An absolute URL, without secrets; `file://` and a path as it is for a file on this machine.
    pub url: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// How it shows who asks.
    pub auth: Auth,
    /// How often there is something new.
    pub every: Duration,
}

impl Request {
    /// A request that needs no secret.
    #[must_use]
    pub fn open(what: What, url: String, every: Duration) -> Self {
        Self {
            what,
            url,
            headers: Vec::new(),
            auth: Auth::None,
            every,
        }
    }
}

/// What a provider lets its users do, and what it can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Least time between two requests, so that its limit is kept whatever happens.
    pub apart: Duration,
    /// How long after the end of a value the next one may be missing in the ordinary course of things.
    pub lag: Duration,
    /// Whether its values are means of a month or a year: never live.
    pub coarse: bool,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What its values count.
    pub scope: Scope,
    /// The values, in any order.
    pub points: Vec<Point>,
    /// Whose they are, where another one only passes them on.
    pub of: Option<Origin>,
}

/// Who told the values first, and what that one can know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The provider's name.
    pub provider: String,
    /// As in [`Manners`].
    pub lag: Duration,
    /// As in [`Manners`].
    pub coarse: bool,
    /// Who told what is ahead, where that is another one.
    #[serde(default)]
    pub forecaster: Option<String>,
}

impl Origin {
    /// The longest lag that is believed: observed values are `live` for as long.
    const LAG: Duration = Duration::from_secs(31 * 86400);

    /// Whether it can be shown: a name that is one, and values that come to an end.
    #[must_use]
    pub fn is_believable(&self) -> bool {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name =
            |name: &String| (1..=64).contains(&name.len()) && name.chars().all(is_of_name);
        let mut names = std::iter::once(&self.provider).chain(&self.forecaster);
        names.all(is_name) && self.lag <= Self::LAG
    }
}

/// Why an answer is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    /// It is not of the documented form.
    #[error("the answer is not what is documented: {0}")]
    Form(Cow<'static, str>),
    /// The provider says why it has nothing.
    #[error("the provider says: {0}")]
    Refused(String),
    /// The documented form, with nothing in it.
    #[error("the answer holds no value")]
    Empty,
    /// A quantity that is none of ours, such as a percentile.
    #[error("the answer is in {0:?}, which is no mass of CO2e for each energy")]
    Unit(String),
    /// A number that cannot be true.
    #[error("{0}")]
    Absurd(String),
}

/// A provider, as it is configured. All its functions are pure.
pub trait Provider: Send {
    /// The value of the `provider` label: the `type` of its configuration.
    fn name(&self) -> &'static str;
    /// What its values answer.
    fn signal(&self) -> Signal;
    /// What it allows.
    fn manners(&self) -> Manners;
    /// The file that its secret is in.
    fn secret(&self) -> Option<&PathBuf> {
        None
    }
    /// What makes it tell the same whatever zone it is asked about, and what to write instead; `None` where
    /// nothing does.
    fn tie(&self) -> Option<&'static str> {
        None
    }
    /// Whether it is to be asked about a zone at all.
    fn serves(&self, _zone: &str) -> bool {
        true
    }
    /// Whether its answers say what moment they are for. Of others the same answer again says something new:
    /// that it still holds.
    fn is_dated(&self) -> bool {
        true
    }
    /// A mark of what its configuration makes its values, such as a region or a unit: what was told under
    /// another one is none of its values.
    fn terms(&self) -> &str {
        ""
    }
    /// Whether an answer is all that it has to tell from its first value on: what it leaves out is taken back.
    fn is_whole(&self) -> bool {
        false
    }
    /// What to ask for a zone.
    ///
    /// # Errors
    /// Where it has nothing of the zone: what it has, or what to configure.
    fn requests(&self, zone: &str, now: Timestamp) -> Result<Vec<Request>, String>;
    /// What an answer means.
    ///
    /// # Errors
    /// Where it means nothing.
    fn read(&self, what: What, zone: &str, body: &[u8], now: Timestamp) -> Result<Answer, Garbage>;
}

/// Declares the providers once: module, `type` in the configuration, and what makes one of it.
macro_rules! providers {
    ($($(#[$doc:meta])* $name:ident = $type:literal as $variant:ident),+ $(,)?) => {
        $(pub mod $name;)+

        /// An entry of `grid.providers`.
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
        #[serde(tag = "type")]
        pub enum Entry {
            $($(#[$doc])* #[serde(rename = $type)] $variant($name::Config),)+
        }

        impl Entry {
            /// The provider that it configures.
            ///
            /// # Errors
            /// Where its values contradict one another.
            pub fn open(&self) -> Result<Box<dyn Provider>, String> {
                terms::check(self)?;
                match self {
                    $(Self::$variant(config) => Ok(Box::new(terms::Agreed::new($name::open(config)?, self))),)+
                }
            }
        }
    };
}

providers! {
    /// Gramwatt's own relay, which asks once for a whole cluster.
    relay = "relay" as Relay,
    /// Electricity Maps, v3 or v4.
    electricity_maps = "electricity-maps" as ElectricityMaps,
    /// energy-charts.info of Fraunhofer ISE: countries of Europe.
    energy_charts = "energy-charts" as EnergyCharts,
    /// WattTime: the marginal intensity of regions all over the world, or their average.
    watttime = "watttime" as WattTime,
    /// The Carbon Intensity API of Great Britain's system operator: the whole, or one of its regions.
    uk_carbon_intensity = "uk-carbon-intensity" as UkCarbonIntensity,
    /// éCO2mix of RTE: France.
    rte_eco2mix = "rte-eco2mix" as RteEco2mix,
    /// Energinet: the two halves of Denmark.
    energinet = "energinet" as Energinet,
    /// Ember: means of years or months, of almost every country.
    ember = "ember" as Ember,
    /// ENTSO-E's transparency platform: generation of bidding zones of Europe, by plant type.
    entsoe = "entsoe" as Entsoe,
    /// The US Energy Information Administration: generation of balancing authorities, by fuel.
    eia = "eia" as Eia,
    /// Open Electricity: regions of Australia.
    open_electricity = "open-electricity" as OpenElectricity,
    /// A CSV or JSON file that the site writes itself.
    file = "file" as File,
    /// Any URL that answers JSON.
    json = "json" as Json,
    /// A PromQL query on an existing server.
    prometheus = "prometheus" as Prometheus,
    /// The bundled average of the zone, in its place in the chain: the last. It stands there whether it is
    /// written or not.
    bundled = "static" as Static,
}
