//! DCMI's Get Power Reading (Data Center Manageability Interface Specification v1.5, 6.6.1).

use super::trouble::Trouble;
use crate::units::Watts;

/// Network function of group extensions (IPMI v2.0, table 5-1).
pub(super) const NETFN: u8 = 0x2c;

/// Get Power Reading.
pub(super) const COMMAND: u8 = 0x02;

/// DCMI's group.
const GROUP: u8 = 0xdc;

/// Its data: the group, mode 1 (system power statistics), and two bytes that this mode does not use.
pub(super) const REQUEST: [u8; 4] = [GROUP, 0x01, 0x00, 0x00];

/// Bytes of a whole answer, completion code and group included.
const LENGTH: usize = 19;

/// Where the state stands in an answer, and its bit that says that power is measured.
const STATE: usize = 18;
const ACTIVE: u8 = 0x40;

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Power {
    /// The power of the moment, above 0 and below 65535 W.
    Watts(Watts),
    /// The BMC could measure, and does not.
    Inactive,
    /// The BMC does not know the command: it has no DCMI.
    Unknown(u8),
}

/// Reads an answer, from its completion code on. What follows a whole answer is a later version's, and left
/// alone.
///
/// # Errors
/// For a completion code that is a failure, for what is no answer to this question, and for power that
/// cannot be true: 0 W from a machine that runs is what firmware says that cannot read its supplies.
pub fn parse(answer: &[u8]) -> Result<Power, Trouble> {
    match answer.first() {
        Some(0) => {}
        // Invalid command, or invalid for this logical unit.
        Some(code @ (0xc1 | 0xc2)) => return Ok(Power::Unknown(*code)),
        Some(code) => return Err(Trouble::Code(*code)),
        None => return Err(Trouble::Malformed(Vec::new())),
    }
    let Some(answer) = answer.first_chunk::<LENGTH>().filter(|all| all[1] == GROUP) else {
        return Err(Trouble::Malformed(answer.to_vec()));
    };
    if answer[STATE] & ACTIVE == 0 {
        return Ok(Power::Inactive);
    }
    match u16::from_le_bytes([answer[2], answer[3]]) {
        watts @ (0 | u16::MAX) => Err(Trouble::Absurd(watts)),
        watts => Ok(Power::Watts(Watts(f64::from(watts)))),
    }
}
