//! Who is asked for the intensity, how each answers, and what to do where one does not.

use super::format::count;
use crate::snapshot::{Grid, ProviderHealth, Snapshot};
use maud::{Markup, html};

/// Each provider's health; nothing where none is configured.
#[must_use]
pub fn section(snapshot: &Snapshot) -> Markup {
    html! {
        @if !snapshot.providers.is_empty() {
            section aria-labelledby="providers" {
                h2 #providers { "Providers of intensity" }
                table.providers {
                    caption { "In the order in which they are trusted." }
                    thead {
                        tr {
                            th scope="col" { "Provider" }
                            th scope="col" { "State" }
                            th.n scope="col" { "Requests" }
                            th scope="col" { "Failures" }
                        }
                    }
                    tbody { @for provider in snapshot.providers.iter() { (row(provider)) } }
                }
            }
        }
    }
}

fn row(provider: &ProviderHealth) -> Markup {
    let failures: Vec<String> = provider
        .failures
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(reason, number)| format!("{reason}\u{a0}{number}"))
        .collect();
    html! {
        tr {
            th scope="row" { span.id { (provider.name) } }
            td {
                @match &provider.trouble {
                    Some(trouble) => {
                        span.wrong { "✗ fails" }
                        small { (trouble.message) ": " a href="#mend" { "what to do" } }
                    }
                    None if provider.up => span.well { "✓ well" },
                    None => span.limited { "… not heard yet" },
                }
            }
            td.n { (provider.requests) }
            td { @if failures.is_empty() { "none" } @else { (failures.join(", ")) } }
        }
    }
}

/// How many fail, as a part of the verdict.
#[must_use]
pub fn failing(providers: &[ProviderHealth]) -> Option<String> {
    let ill: Vec<&str> = providers
        .iter()
        .filter(|provider| provider.trouble.is_some())
        .map(|provider| provider.name.as_str())
        .collect();
    let of = count(providers.len(), "provider");
    match ill.as_slice() {
        [] => None,
        [name] => Some(format!("{name}, 1 of {of} of intensity, fails")),
        many => Some(format!("{} of {of} of intensity fail", many.len())),
    }
}

/// That a fixed number stands in for what providers do not tell, as a part of the verdict.
#[must_use]
pub fn stand_in(providers: &[ProviderHealth], grid: &Grid) -> Option<String> {
    let is_fixed = !providers.is_empty() && grid.tier == "static";
    let yet = if providers.iter().any(|provider| provider.up) {
        "no provider tells the intensity of the moment"
    } else {
        "no provider has told the intensity of the moment yet"
    };
    is_fixed.then(|| format!("{yet}, and a fixed number stands in for {}", grid.zone))
}

/// What is wrong with each, and the mend, as items of a list.
#[must_use]
pub fn mends(providers: &[ProviderHealth]) -> Markup {
    html! {
        @for provider in providers {
            @if let Some(trouble) = &provider.trouble {
                li {
                    p {
                        strong { (provider.name) } " tells no intensity: " (trouble.message) " ("
                        code { (trouble.place) } ")"
                    }
                    p.do {
                        @if trouble.mend.is_empty() {
                            "No mend is known; " code { "gramwatt grid --once" } " asks again and tells what \
                             comes."
                        } @else { (trouble.mend) }
                    }
                }
            }
        }
    }
}
