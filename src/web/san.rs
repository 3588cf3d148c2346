//! The names in a certificate: just enough DER to find the subject alternative names.
//!
//! Sources: RFC 5280 sections 4.1 and 4.2.1.6 (the structure), X.690 (the encoding).

use std::net::{Ipv4Addr, Ipv6Addr};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// `[3]`, constructed: the extensions of a TBSCertificate.
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17, id-ce-subjectAltName.
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// The e-mail, DNS, URI and IP names of the certificate `der`, as text; none if it cannot be read.
#[must_use]
pub fn names(der: &[u8]) -> Vec<String> {
    extension(der).map(general_names).unwrap_or_default()
}

/// The value of the extension that holds the alternative names.
fn extension(der: &[u8]) -> Option<&[u8]> {
    let certificate = only(der, SEQUENCE)?;
    let (_, to_be_signed, _) = element(certificate)?;
    let extensions = Elements(to_be_signed)
        .find(|(tag, _)| *tag == EXTENSIONS)?
        .1;
    Elements(only(extensions, SEQUENCE)?).find_map(|(_, extension)| {
        let mut parts = Elements(extension);
        let (tag, identifier) = parts.next()?;
        if tag != OBJECT_IDENTIFIER || identifier != SUBJECT_ALTERNATIVE_NAME {
            return None;
        }
        // Between them may stand whether it is critical.
        parts
            .find(|(tag, _)| *tag == OCTET_STRING)
            .map(|(_, value)| value)
    })
}

fn general_names(extension: &[u8]) -> Vec<String> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    Elements(only(extension, SEQUENCE).unwrap_or_default())
        .filter_map(|(tag, value)| match tag {
            // rfc822Name, dNSName, uniformResourceIdentifier.
            0x81 | 0x82 | 0x86 => text(value),
            0x87 => address(value),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|sixteen| Ipv6Addr::from(sixteen).to_string())
}

/// The elements of a constructed value, up to the first that is broken.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, value, rest) = element(self.0)?;
        self.0 = rest;
        Some((tag, value))
    }
}

/// The value of the element that `bytes` begin with, if it has that tag.
fn only(bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    element(bytes)
        .filter(|(tag, ..)| *tag == wanted)
        .map(|(_, value, _)| value)
}

/// The tag and value of the first element, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    let (length, bytes) = if first < 0x80 {
        (usize::from(first), bytes)
    } else {
        // The long form: so many bytes of length follow. Four are 4 GiB.
        let (length, bytes) = bytes.split_at_checked(usize::from(first & 0x7f))?;
        if length.is_empty() || length.len() > 4 {
            return None;
        }
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        (length, bytes)
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    Some((tag, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate() -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["scraper.lab".to_owned()]).unwrap();
        params.subject_alt_names.extend([
            SanType::Rfc822Name("ops@lab.example".try_into().unwrap()),
            SanType::URI("spiffe://lab/prometheus".try_into().unwrap()),
            SanType::IpAddress("10.1.2.3".parse().unwrap()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
        ]);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn every_kind_of_name() {
        assert_eq!(
            names(&certificate()),
            [
                "scraper.lab",
                "ops@lab.example",
                "spiffe://lab/prometheus",
                "10.1.2.3",
                "2001:db8::7"
            ]
        );
    }

    proptest! {
        #[test]
        fn anything_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = names(&bytes);
        }

        #[test]
        fn a_broken_certificate_is_survived(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
            let mut der = certificate();
            let length = der.len();
            der[at % length] = byte;
            der.truncate(length - cut % length);
            let _ = names(&der);
        }
    }
}
