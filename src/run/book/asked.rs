//! What is asked of the book, and why it may not be done.

use super::burst::AGAIN;
use crate::run::api::Done;
use crate::units::Grams;
use crate::workload::runs::{Born, Head, Id};
use std::time::Duration;

/// Something that is asked of the book.
#[derive(Clone, Debug)]
pub enum Request {
    /// A run begins.
    Begin(Box<Beginning>),
    /// One is so far.
    Progress(Id, u32, Done),
    /// One is over.
    End {
        /// Which.
        id: Id,
        /// Who says so.
        user: u32,
        /// 0 where all went well.
        exit_code: i32,
        /// CPU time that its processes had used by then.
        used: Option<Duration>,
    },
}

/// A run that begins.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// What it is known by.
    pub id: Id,
    /// What it is called.
    pub name: String,
    /// The number of its user, and the name.
    pub user: (u32, String),
    /// The head of its processes, ...
    pub head: Head,
    /// ... and those that it descends from.
    pub ancestors: Vec<Born>,
    /// The most that it should emit.
    pub budget: Option<Grams>,
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such run.
    #[error("there is no run {0}: it has ended some time ago, or never began here")]
    Unknown(String),
    /// It is somebody else's.
    #[error("run {0} is another user's")]
    Foreign(String),
    /// It has ended.
    #[error("run {0} has ended")]
    Ended(String),
    /// It would be inside of another.
    #[error(
        "this process belongs to the run {0} already, and its energy is booked there: give that one more progress, or \
         begin the new one outside of it"
    )]
    Inside(String),
    /// Another would be inside of it.
    #[error(
        "the run {0} goes on inside of this process, and its energy would be booked twice: end it first"
    )]
    Around(String),
    /// There are too many.
    #[error(
        "there are {0} runs already, and no more are kept: end one (runs.max, and a quarter of it for each user)"
    )]
    TooMany(usize),
    /// They come too fast.
    #[error(
        "many runs of this user have begun in a short time: one more each {} s; let one run hold several commands",
        AGAIN.as_secs()
    )]
    TooFast,
    /// Nobody looks who does what here.
    #[error(
        "nobody looks here who uses the machine (workloads.source: none), so that no run can be told apart"
    )]
    Blind,
}
