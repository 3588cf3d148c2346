//! The server in this process, asked over real sockets.

pub mod certificates;
mod client;
mod crowd;
mod plain;
mod guarded;
