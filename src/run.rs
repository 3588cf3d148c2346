//! Runs: single commands, what each used, and what it will come to.
//!
//! A run is told over a local socket (`server`), by `gramwatt run` or by anybody's own program; the engine's `book`
//! knows of it, `workload::runs` sees what its processes do, and `attribution::runs` says what of the joules that is.

pub mod api;
pub mod book;
pub mod config;
pub mod outlook;
pub mod pattern;
pub mod predict;
pub mod server;
mod show;
mod trend;
