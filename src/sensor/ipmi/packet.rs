//! Packets of RMCP+ and the IPMI messages in them, as bytes (IPMI v2.0, 13.6, 13.8 and 13.28).

use super::crypto::{BLOCK, Keys};

/// RMCP: version 6, no sequence number, class IPMI.
const RMCP: [u8; 4] = [0x06, 0x00, 0xff, 0x07];

/// The format of IPMI v2.0's sessions.
const FORMAT: u8 = 0x06;

/// Bytes of both headers.
const HEADER: usize = 16;

/// A payload that is encrypted and has a code.
const SEALED: u8 = 0xc0;

/// Of an IPMI message in a session.
const MESSAGE: u8 = 0x00;

/// What stands before a packet's code.
const NEXT_HEADER: u8 = 0x07;

/// The BMC's address, and that of software on the network.
const BMC: u8 = 0x20;
const SOFTWARE: u8 = 0x81;

/// Largest packet that is looked at; an answer of ours has less than 150 bytes.
pub(super) const LARGEST: usize = 1024;

fn header(kind: u8, session: u32, sequence: u32, length: usize) -> Vec<u8> {
    let mut packet = RMCP.to_vec();
    packet.extend([FORMAT, kind]);
    packet.extend(session.to_le_bytes());
    packet.extend(sequence.to_le_bytes());
    packet.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    packet
}

/// Kind, session, sequence number and what follows the headers, from its stated length on.
fn headed(packet: &[u8]) -> Option<(u8, u32, u32, usize, &[u8])> {
    let (header, rest) = packet.split_first_chunk::<HEADER>()?;
    if packet.len() > LARGEST || header[..4] != RMCP || header[4] != FORMAT {
        return None;
    }
    let number = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let length = usize::from(u16::from_le_bytes([header[14], header[15]]));
    Some((header[5], number(6), number(10), length, rest))
}

/// A packet outside any session.
pub(super) fn plain(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = header(kind, 0, 0, payload.len());
    packet.extend(payload);
    packet
}

/// The payload of a packet of this kind outside any session.
pub(super) fn unwrap(kind: u8, packet: &[u8]) -> Option<&[u8]> {
    let (found, session, sequence, length, rest) = headed(packet)?;
    ((found, session, sequence) == (kind, 0, 0)).then(|| rest.get(..length))?
}

/// A message in a session, encrypted and with its code. `iv` is random.
pub(super) fn seal(
    keys: &Keys,
    session: u32,
    sequence: u32,
    iv: [u8; BLOCK],
    message: &[u8],
) -> Option<Vec<u8>> {
    let mut blocks = message.to_vec();
    let padding = (BLOCK - (message.len() + 1) % BLOCK) % BLOCK;
    // 1, 2, 3 ... and how many, less than a block.
    blocks.extend((1..=u8::MAX).take(padding));
    blocks.push(u8::try_from(padding).ok()?);
    keys.encrypt(iv, &mut blocks).then_some(())?;
    let mut packet = header(SEALED | MESSAGE, session, sequence, BLOCK + blocks.len());
    packet.extend(iv);
    packet.extend(&blocks);
    // All that has a code, with these last two bytes, is a multiple of four.
    let padding = (4 - (packet.len() - RMCP.len() + 2) % 4) % 4;
    packet.extend(std::iter::repeat_n(0xff, padding));
    packet.extend([u8::try_from(padding).ok()?, NEXT_HEADER]);
    let code = keys.suite.hash(&keys.integrity, &[&packet[RMCP.len()..]]);
    packet.extend(code.iter().take(keys.suite.code_length()));
    Some(packet)
}

/// Sequence number and message of a packet in this session; `None` for one that was not made with its
/// keys.
pub(super) fn unseal(keys: &Keys, session: u32, packet: &[u8]) -> Option<(u32, Vec<u8>)> {
    let (kind, found, sequence, length, _) = headed(packet)?;
    if kind != SEALED | MESSAGE || found != session {
        return None;
    }
    let end = packet.len().checked_sub(keys.suite.code_length())?;
    let (signed, code) = packet.split_at_checked(end)?;
    let authentic = keys
        .suite
        .agrees(&keys.integrity, &[signed.get(RMCP.len()..)?], code);
    let (payload, trailer) = signed.get(HEADER..)?.split_at_checked(length)?;
    let [padding @ .., count, NEXT_HEADER] = trailer else {
        return None;
    };
    if !authentic || padding.len() != usize::from(*count) {
        return None;
    }
    Some((sequence, decrypt(keys, payload)?))
}

/// The message in a payload.
pub(super) fn decrypt(keys: &Keys, payload: &[u8]) -> Option<Vec<u8>> {
    let (iv, blocks) = payload.split_first_chunk::<BLOCK>()?;
    let mut blocks = blocks.to_vec();
    keys.decrypt(*iv, &mut blocks).then_some(())?;
    let padding = usize::from(blocks.pop()?);
    let length = blocks.len().checked_sub(padding)?;
    let right = (1..=u8::MAX).zip(&blocks[length..]).all(|(n, byte)| n == *byte);
    blocks.truncate(length);
    right.then_some(blocks)
}

/// A request to the BMC.
pub(super) fn request(netfn: u8, number: u8, command: u8, data: &[u8]) -> Vec<u8> {
    let head = [BMC, netfn << 2];
    let mut tail = vec![SOFTWARE, number << 2, command];
    tail.extend(data);
    let mut message = head.to_vec();
    message.push(checksum(&head));
    message.extend(&tail);
    message.push(checksum(&tail));
    message
}

/// The answer to a request, from its completion code on; `None` for any other message.
pub(super) fn answer(netfn: u8, number: u8, command: u8, message: &[u8]) -> Option<&[u8]> {
    let (head, tail) = message.split_at_checked(3)?;
    let [body @ .., _] = tail else {
        return None;
    };
    let whole = [head, tail].iter().all(|part| {
        part.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
    });
    let meant = [SOFTWARE, (netfn | 1) << 2] == head[..2];
    match body {
        [BMC, found, code, rest @ ..] if !rest.is_empty() => {
            (whole && meant && *found == number << 2 && *code == command).then_some(rest)
        }
        _ => None,
    }
}

/// What makes the sum of all bytes 0.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}
