//! `gpu_metrics`: a binary table that the driver fills for each read, at most every 5 ms or so.
//!
//! It begins with its size (u16) and the revisions of its format and content (u8 each); all numbers are
//! of the machine's byte order, and all ones is absent. Format 1 is a card's; 2 and 3 are an APU's.
//! Layouts: `struct gpu_metrics_v*` of drivers/gpu/drm/amd/include/kgd_pp_interface.h, Linux 5.9 to 6.19.
//! What a size is not known of is not read, as fields have moved within one revision.

use std::fmt;

/// Joules in a count of the accumulator: 2^-16, which the same header gives as 15.259 µJ.
pub const JOULES: f64 = 1.0 / 65536.0;

/// Size of the head: size and revisions.
const HEAD: usize = 4;

/// A sysfs file ends a byte short of a page (`amdgpu_get_gpu_metrics`).
const CUT: usize = 4095;

/// Format and content revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u8, pub u8);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.0, self.1)
    }
}

/// What a table tells of a card.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Which layout it had.
    pub version: Version,
    /// Whether it is of an APU, whose socket holds the processor. Nothing else is read of it.
    pub is_apu: bool,
    /// Power of the socket in watts, as mean or of the moment by layout.
    pub watts: Option<f64>,
    /// The energy accumulator, in counts of [`JOULES`].
    pub energy: Option<u64>,
    /// Share of the graphics engine that was busy, 0 to 1.
    pub activity: Option<f64>,
}

/// Why a table is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no such table, or a piece of one.
    Broken(&'static str),
    /// Its layout is not known.
    Unknown(Version, usize),
}

/// Where the fields of a layout are, in bytes.
struct Layout {
    content: u8,
    size: usize,
    activity: usize,
    power: usize,
    energy: Option<usize>,
}

const fn layout(
    content: u8,
    size: usize,
    activity: usize,
    power: usize,
    energy: Option<usize>,
) -> Layout {
    Layout {
        content,
        size,
        activity,
        power,
        energy,
    }
}

/// Sizes are those of a 64-bit kernel. The accumulator of v1.0 has 32 bits of which nobody told the unit.
const LAYOUTS: &[Layout] = &[
    layout(0, 80, 28, 34, None),
    layout(1, 96, 16, 22, Some(24)),
    layout(2, 104, 16, 22, Some(24)),
    layout(3, 120, 16, 22, Some(24)),
    layout(4, 288, 12, 10, Some(24)),
    layout(5, 360, 12, 10, Some(88)),
    // As it was first, with activities of video engines before the energy, and as it has been since.
    layout(6, 384, 12, 10, Some(88)),
    layout(6, 1664, 12, 10, Some(16)),
    layout(7, 2208, 12, 10, Some(24)),
    layout(8, 3872, 12, 10, Some(24)),
];

/// Content revision from which a table of format 1 is a list of fields, each with its own description.
const LISTED: u8 = 9;

/// Ids of the fields that are read (`enum amdgpu_metrics_attr_id`).
const POWER: u64 = 3;
const ACTIVITY: u64 = 4;
const ENERGY: u64 = 7;

/// Reads a table.
///
/// # Errors
/// Where it is none, or its layout is not known.
pub fn parse(bytes: &[u8]) -> Result<Metrics, Refusal> {
    let field = |at| number(bytes, at, 1).and_then(|n| u8::try_from(n).ok());
    let head = number(bytes, 0, 2).zip(field(2)).zip(field(3));
    let Some(((size, format), content)) = head else {
        return Err(Refusal::Broken("a table that is too short"));
    };
    let version = Version(format, content);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size < HEAD || size.min(CUT) != bytes.len() {
        return Err(Refusal::Broken("a table whose size is not what its head says"));
    }
    let metrics = Metrics {
        version,
        is_apu: matches!(format, 2 | 3),
        watts: None,
        energy: None,
        activity: None,
    };
    match (format, content) {
        (2 | 3, _) => Ok(metrics),
        (1, LISTED) => listed(bytes, metrics),
        (1, _) => {
            let mut layouts = LAYOUTS.iter();
            let layout = layouts.find(|layout| (layout.content, layout.size) == (content, size));
            let layout = layout.ok_or(Refusal::Unknown(version, size))?;
            let read = |at, width| number(bytes, at, width).filter(|n| !is_absent(*n, width));
            Ok(Metrics {
                watts: read(layout.power, 2).and_then(watts),
                energy: layout.energy.and_then(|at| read(at, 8)),
                activity: read(layout.activity, 2).and_then(share),
                ..metrics
            })
        }
        _ => Err(Refusal::Unknown(version, size)),
    }
}

/// A list: the number of fields (i32), and for each its description (u64: bits 0 to 9 how many values,
/// 10 to 19 what they are, 20 to 23 their type) and its values, without gaps (`SMU_METRICS_SCALAR` and
/// `SMU_METRICS_ARRAY` of smu_cmn.h).
fn listed(bytes: &[u8], mut metrics: Metrics) -> Result<Metrics, Refusal> {
    let short = Refusal::Broken("a table that ends within a field");
    let count = number(bytes, HEAD, 4).ok_or_else(|| short.clone())?;
    let mut at = HEAD + 4;
    for _ in 0..count {
        if at >= CUT {
            break;
        }
        let description = number(bytes, at, 8).ok_or_else(|| short.clone())?;
        at += 8;
        let width = match description >> 20 & 0xf {
            0 | 1 => 1,
            2 | 3 => 2,
            4 | 5 => 4,
            6 | 7 => 8,
            _ => return Err(Refusal::Broken("a table with a field of an unknown type")),
        };
        let values = usize::try_from(description & 0x3ff).unwrap_or(usize::MAX);
        let first = number(bytes, at, width).filter(|n| values > 0 && !is_absent(*n, width));
        match description >> 10 & 0x3ff {
            POWER => metrics.watts = first.and_then(watts),
            ACTIVITY => metrics.activity = first.and_then(share),
            ENERGY => metrics.energy = first,
            _ => {}
        }
        at += width * values;
        if at > bytes.len() && bytes.len() < CUT {
            return Err(short);
        }
    }
    Ok(metrics)
}

/// The number of `width` bytes, at most 8, that begins at a place.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(width)?)?;
    let mut whole = [0; 8];
    let place = if cfg!(target_endian = "big") { 8_usize.checked_sub(width)? } else { 0 };
    whole.get_mut(place..place.checked_add(width)?)?.copy_from_slice(field);
    Some(u64::from_ne_bytes(whole))
}

fn is_absent(number: u64, width: usize) -> bool {
    number == u64::MAX.checked_shr(64 - 8 * u32::try_from(width).unwrap_or(8)).unwrap_or(0)
}

/// A field that is wider than the driver's 32 bits may still say "absent" in 32 bits.
fn watts(number: u64) -> Option<f64> {
    u32::try_from(number).ok().filter(|watts| *watts != u32::MAX).map(f64::from)
}

/// From percent; what is over 100 is no share.
pub(super) fn share(percent: u64) -> Option<f64> {
    let percent = u8::try_from(percent).ok().filter(|percent| *percent <= 100);
    percent.map(|percent| f64::from(percent) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of a size in which each byte pair is told apart by its place.
    fn numbered(content: u8, size: u16) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..size / 2).flat_map(|n| (n % 100).to_ne_bytes()).collect();
        bytes[..2].copy_from_slice(&size.to_ne_bytes());
        bytes[2..4].copy_from_slice(&[1, content]);
        bytes
    }

    #[test]
    fn each_layout_has_its_fields_where_the_driver_puts_them() {
        // Places are half of the offsets.
        for (content, size, activity, power, energy) in [
            (0, 80, 14, 17, None),
            (1, 96, 8, 11, Some(12)),
            (2, 104, 8, 11, Some(12)),
            (3, 120, 8, 11, Some(12)),
            (4, 288, 6, 5, Some(12)),
            (5, 360, 6, 5, Some(44)),
            (6, 384, 6, 5, Some(44)),
            (6, 1664, 6, 5, Some(8)),
            (7, 2208, 6, 5, Some(12)),
            (8, 3872, 6, 5, Some(12)),
        ] {
            let metrics = parse(&numbered(content, size)).unwrap();
            assert_eq!(metrics.version, Version(1, content));
            assert!(!metrics.is_apu);
            assert_eq!(metrics.watts, Some(f64::from(power)));
            assert_eq!(metrics.activity, Some(f64::from(activity) / 100.0));
            let place = |n: u64| n % 100;
            let number = |n: u64| {
                (0..4).map(|i| place(n + i) << (16 * i)).sum::<u64>()
            };
            if cfg!(target_endian = "little") {
                assert_eq!(metrics.energy, energy.map(number));
            }
            let absent = [&numbered(content, size)[..4], &vec![0xff; usize::from(size) - 4]].concat();
            let metrics = parse(&absent).unwrap();
            assert_eq!((metrics.watts, metrics.energy, metrics.activity), (None, None, None));
        }
    }

    /// A list of fields: id, type, and values as bytes.
    fn list(fields: &[(u64, u64, &[u8])]) -> Vec<u8> {
        let widths = [1, 1, 2, 2, 4, 4, 8, 8];
        let count = i32::try_from(fields.len()).unwrap();
        let mut bytes = [&[0, 0, 1, 9][..], &count.to_ne_bytes()].concat();
        for (id, kind, values) in fields {
            let width = widths.get(usize::try_from(*kind).unwrap()).unwrap_or(&1);
            let values_in = u64::try_from(values.len() / width).unwrap();
            bytes.extend((3 << 24 | kind << 20 | id << 10 | values_in).to_ne_bytes());
            bytes.extend(*values);
        }
        let size = u16::try_from(bytes.len()).unwrap().to_ne_bytes();
        bytes[..2].copy_from_slice(&size);
        bytes.truncate(CUT);
        bytes
    }

    #[test]
    fn a_list_is_read_by_its_own_descriptions() {
        let power = (POWER, 2, &700_u16.to_ne_bytes()[..]);
        let energy = (ENERGY, 6, &(1_u64 << 45).to_ne_bytes()[..]);
        let links = [7_u8; 64];
        let metrics = parse(&list(&[
            (0, 2, &[1, 1]),
            power,
            (ACTIVITY, 2, &33_u16.to_ne_bytes()),
            (29, 6, &links),
            energy,
        ]))
        .unwrap();
        assert_eq!(metrics.version, Version(1, 9));
        assert_eq!((metrics.watts, metrics.energy), (Some(700.0), Some(1 << 45)));
        assert_eq!(metrics.activity, Some(0.33));
        let absent = parse(&list(&[(POWER, 2, &[0xff; 2]), (ENERGY, 6, &[0xff; 8])])).unwrap();
        assert_eq!((absent.watts, absent.energy), (None, None));
        let narrow = u64::from(u32::MAX).to_ne_bytes();
        assert_eq!(parse(&list(&[(POWER, 6, &narrow)])).unwrap().watts, None);
        // A page ends where it ends.
        let long = [0_u8; 1000];
        let many: Vec<_> = [energy].into_iter().chain((0..6).map(|_| (29, 0, &long[..]))).collect();
        assert_eq!(parse(&list(&many)).unwrap().energy, Some(1 << 45));
    }

    #[test]
    fn a_list_that_lies_is_refused() {
        let good = list(&[(POWER, 2, &[7, 0]), (ENERGY, 6, &[1; 8])]);
        let lie = |at: usize, with: &[u8]| {
            let mut bytes = good.clone();
            bytes[at..at + with.len()].copy_from_slice(with);
            parse(&bytes)
        };
        assert!(parse(&good).is_ok());
        for bad in [
            lie(4, &i32::MAX.to_ne_bytes()),
            lie(4, &(-1_i32).to_ne_bytes()),
            lie(8, &(0x3ff_u64 | 6 << 20).to_ne_bytes()),
            lie(8, &(1_u64 | 8 << 20).to_ne_bytes()),
        ] {
            assert!(matches!(bad, Err(Refusal::Broken(_))), "{bad:?}");
        }
        for short in 0..good.len() {
            let mut bytes = good[..short].to_vec();
            assert!(parse(&bytes).is_err(), "{short}");
            if let Some(size) = bytes.get_mut(..2) {
                size.copy_from_slice(&u16::try_from(short).unwrap().to_ne_bytes());
                assert!(parse(&bytes).is_err(), "{short}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert_eq!(parse(&numbered(3, 128)), Err(Refusal::Unknown(Version(1, 3), 128)));
        assert_eq!(parse(&numbered(10, 128)), Err(Refusal::Unknown(Version(1, 10), 128)));
        let mut other = numbered(0, 128);
        for (format, is_apu) in [(2, true), (3, true), (4, false), (0, false)] {
            other[2] = format;
            assert_eq!(parse(&other).is_ok_and(|metrics| metrics.is_apu), is_apu);
        }
        assert_eq!(Version(1, 9).to_string(), "v1.9");
    }
}
