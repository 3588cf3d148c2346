//! What the grid is like, as the books and the page need it: one value that goes to the engine whenever it
//! changes.

use crate::grid::zone::Outlook;
use crate::snapshot::{Grid, ProviderHealth};
use jiff::Timestamp;
use std::sync::Arc;

/// The grid at a moment.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// Since when they hold, on the wall clock; `None`: since now.
    pub since: Option<Timestamp>,
    /// When something else is in force if nothing new is told; `None`: never, as far as is known.
    pub until: Option<Timestamp>,
    /// The average intensity in force; `None` where nobody knows it.
    pub grid: Option<Arc<Grid>>,
    /// The marginal one.
    pub marginal: Option<Arc<Grid>>,
    /// The hours ahead.
    pub outlook: Option<Arc<Outlook>>,
    /// How the providers answer.
    pub providers: Arc<[ProviderHealth]>,
}
