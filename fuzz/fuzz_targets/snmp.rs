//! What a PDU says over SNMP: whatever it is, it is a reading that can be true, or a fault.
//! The first byte tells who asks; then come datagrams, each after its length in two bytes.
#![no_main]

use gramwatt::config::Config;
use gramwatt::sensor::Value;
use gramwatt::sensor::pdu::{Replay, Who};
use libfuzzer_sys::fuzz_target;
use std::cell::LazyCell;

const PDUS: &str = "sensors: {pdu: [{host: a, model: raritan, community_file: f, outlets: [1]}]}";

thread_local! {
    static ALL: LazyCell<Vec<Replay>> = const {
        LazyCell::new(|| {
            let config = Config::parse(PDUS).unwrap();
            let all = [Who::Community, Who::User, Who::Anybody];
            all.map(|who| Replay::new(&config.sensors.pdu.0[0], who).unwrap()).into()
        })
    };
}

fuzz_target!(|data: &[u8]| {
    let Some((who, mut rest)) = data.split_first() else {
        return;
    };
    let mut datagrams = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (datagram, after) = after.split_at(length);
        datagrams.push(datagram.to_vec());
        rest = after;
    }
    let readings = ALL.with(|all| all[usize::from(*who) % 3].hear(datagrams));
    assert_eq!(readings.good.is_empty(), !readings.bad.is_empty());
    for reading in readings.good {
        assert!(reading.is_plausible());
        if let Value::Counter { unit, .. } = reading.value {
            assert!(unit.is_finite() && unit > 0.0);
        }
    }
});
