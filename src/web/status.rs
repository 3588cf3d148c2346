//! The status page.

use crate::snapshot::Snapshot;

/// The page of that snapshot, HTML without JavaScript.
#[must_use]
pub fn render(_: &Snapshot) -> String {
    "<!doctype html><meta charset=utf-8><title>Gramwatt</title>\
     <p><a href=\"metrics\">Metrics</a>\n"
        .to_owned()
}
