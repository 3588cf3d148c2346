//! Bundled tables.
