//! Whole-program tests, one crate so that they are linked once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod books;
mod golden;
mod machine;
mod pages;
mod repo;
