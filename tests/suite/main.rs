//! Whole-program tests, one crate so that they are linked once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerting;
mod amdgpu;
mod around;
mod bad_input;
mod books;
mod chart;
mod cli;
mod command;
mod dashboards;
mod day;
mod golden;
mod gpu;
mod image;
mod intensity;
mod ipmi;
mod lab;
mod doors;
mod downtime;
mod estimate;
mod machine;
mod moving;
mod nvml;
mod packages;
mod pages;
#[path = "../replicas/kubernetes/mod.rs"]
mod kubernetes;
mod pdu;
mod place;
mod pods;
mod prediction;
mod program;
mod prometheus;
mod redfish;
mod replica;
mod replicas;
mod repo;
mod report;
mod rules;
mod run;
mod runs;
mod secrets;
mod shares;
mod systemd;
mod tools;
mod truth;
mod wedged;
