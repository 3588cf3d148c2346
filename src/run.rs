//! Runs: single commands, what each used, and what it will come to.
//!
//! A run is told over a local socket (`server`), by `gramwatt run` (`command`) or by anybody's own program; the engine's
//! `book` knows of it, `workload::runs` sees what its processes do, and `attribution::runs` says what of the joules is
//! theirs.

pub mod api;
pub mod book;
mod child;
mod client;
pub mod command;
pub mod config;
pub mod greener;
mod marks;
pub mod outlook;
mod own;
pub mod pattern;
mod places;
pub mod predict;
mod pump;
pub mod server;
mod show;
mod spawn;
mod terminal;
mod text;
mod trend;
