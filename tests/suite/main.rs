//! Whole-program tests, one crate so that they are linked once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod amdgpu;
mod bad_input;
mod books;
mod cli;
mod command;
mod golden;
mod ipmi;
mod doors;
mod machine;
mod moving;
mod nvml;
mod pages;
mod pdu;
mod program;
mod prometheus;
mod redfish;
mod repo;
mod wedged;
