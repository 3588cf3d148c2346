//! The pages of the latest snapshot, encoded once for all who ask before the next one.

use super::status::{self, View};
use crate::exposition;
use crate::snapshot::Snapshot;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// A page made from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The metrics as OpenMetrics.
    OpenMetrics,
    /// The metrics in the classic format.
    Text,
    /// The status page, HTML.
    Status,
    /// The status page that reloads itself.
    LiveStatus,
}

/// The pages made so far of one snapshot: at most four, plain and compressed.
pub struct Pages {
    telemetry_path: String,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    of: Option<Arc<Snapshot>>,
    pages: Vec<(Page, bool, Bytes)>,
}

impl Pages {
    /// No page yet; the status page will link to the metrics at that path.
    #[must_use]
    pub fn new(telemetry_path: &str) -> Self {
        Self {
            telemetry_path: telemetry_path.to_owned(),
            kept: Mutex::default(),
        }
    }

    /// The page of that snapshot, compressed with gzip or not.
    #[must_use]
    pub fn get(&self, snapshot: &Arc<Snapshot>, page: Page, gzip: bool) -> Bytes {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, snapshot)) {
            *kept = Kept {
                of: Some(Arc::clone(snapshot)),
                pages: Vec::new(),
            };
        }
        let plain = kept.get(page, false, || self.render(snapshot, page).into());
        if gzip {
            kept.get(page, true, || compress(&plain))
        } else {
            plain
        }
    }

    fn render(&self, snapshot: &Arc<Snapshot>, page: Page) -> String {
        let view = |live| View {
            telemetry_path: &self.telemetry_path,
            live,
        };
        match page {
            Page::OpenMetrics => exposition::openmetrics(snapshot),
            Page::Text => exposition::text(snapshot),
            Page::Status => status::render(snapshot, view(false)),
            Page::LiveStatus => status::render(snapshot, view(true)),
        }
    }
}

impl Kept {
    fn get(&mut self, page: Page, gzip: bool, make: impl FnOnce() -> Bytes) -> Bytes {
        let found = self
            .pages
            .iter()
            .find(|(of, zipped, _)| (*of, *zipped) == (page, gzip));
        if let Some((.., bytes)) = found {
            return bytes.clone();
        }
        let bytes = make();
        self.pages.push((page, gzip, bytes.clone()));
        bytes
    }
}

/// Fast rather than small: the page is read once and thrown away.
fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn compressed_and_plain_say_the_same() {
        let (pages, snapshot) = (Pages::new("/metrics"), Arc::new(Snapshot::default()));
        for page in [
            Page::OpenMetrics,
            Page::Text,
            Page::Status,
            Page::LiveStatus,
        ] {
            let mut unpacked = Vec::new();
            let packed = pages.get(&snapshot, page, true);
            flate2::read::GzDecoder::new(&packed[..])
                .read_to_end(&mut unpacked)
                .unwrap();
            assert_eq!(unpacked, pages.get(&snapshot, page, false));
            assert!(!unpacked.is_empty());
        }
    }

    #[test]
    fn a_page_is_made_once_and_a_new_snapshot_makes_a_new_one() {
        let pages = Pages::new("/metrics");
        let first = Arc::new(Snapshot::default());
        let one = pages.get(&first, Page::Text, false);
        assert_eq!(one.as_ptr(), pages.get(&first, Page::Text, false).as_ptr());
        let second = Arc::new(Snapshot {
            demo: true,
            ..Snapshot::default()
        });
        assert_ne!(one.as_ptr(), pages.get(&second, Page::Text, false).as_ptr());
        assert_eq!(pages.kept.lock().unwrap().pages.len(), 1);
    }
}
