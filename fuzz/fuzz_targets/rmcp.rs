//! Packets of a BMC on the network, before and after it has proved who it is.
#![no_main]

use gramwatt::sensor::ipmi::hear;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| hear(packet));
