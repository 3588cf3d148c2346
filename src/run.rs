//! `gramwatt run`: what one command costs, and what it will have cost at its end.

pub mod outlook;
pub mod pattern;
pub mod predict;
mod trend;
