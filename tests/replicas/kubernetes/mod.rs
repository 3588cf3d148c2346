//! Replicas of a kubelet and of an API server, for the unit tests and those of the whole program.

#![allow(dead_code, unreachable_pub)]

pub mod kubelet;
pub mod pods;
pub mod server;
pub mod tls;
