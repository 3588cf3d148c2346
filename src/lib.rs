//! Gramwatt: sensor threads read devices; the ledger turns readings into monotonic joules; the node
//! reconciles devices with wall meters; carbon multiplies each increment by the grid intensity and PUE
//! of that moment; the engine publishes an immutable snapshot; the exposition encodes the latest
//! snapshot; HTTP returns it.
//!
//! The modules, in reading order:

pub mod units;
pub mod clock;
pub mod sensor;
pub mod sampler;
pub mod workload;
pub mod ledger;
pub mod node;
pub mod carbon;
pub mod embodied;
pub mod attribution;
pub mod grid;
pub mod engine;
pub mod run;
pub mod snapshot;
pub mod state;
pub mod exposition;
pub mod output;
pub mod web;
pub mod data;
pub mod file;
pub mod secret;
pub mod http;
pub mod config;
pub mod cli;
pub mod log;
pub mod setup;
pub mod probe;
pub mod process;
pub mod app;
pub mod relay;
pub mod once;
pub mod report;
pub mod doctor;
pub mod estimate;
