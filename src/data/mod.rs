//! Bundled tables: grid zones, cloud regions, rated powers and manufacturing footprints, each row with
//! its source, licence and vintage.
//!
//! The tables are CSV files beside this one; `README.md` there tells how each was made. A lookup
//! parses its table and keeps nothing, because lookups happen at start and reload only.

mod accelerators;
mod cloud;
mod cpus;
mod embodied;
mod equivalents;
mod hardware;
mod nearest;
mod reference;
mod search;
mod table;
mod zones;

pub use accelerators::{Accelerator, accelerators};
pub use cloud::{CloudRegion, cloud_providers, cloud_region, cloud_regions, nearest_cloud_regions};
pub use cpus::{RatedPower, rated_power};
pub use embodied::{Embodied, embodied};
pub use equivalents::{Equivalent, equivalents};
pub use hardware::{Found, Hardware, NotFound, find_hardware};
pub use nearest::nearest_texts;
pub use reference::{Board, Reference, Site};
pub use search::search;
pub use table::Source;
pub use zones::{Zone, nearest_zones, zone, zones};
