//! Which cloud the machine is in, and where, by the cloud's own instance metadata service.
//!
//! Nobody is asked unless the firmware's tables (DMI, SMBIOS) say that the machine is of that cloud: on
//! other machines the address is nobody's, or anybody's. Nothing is asked of the internet.
//!
//! Sources: AWS, "Use the Instance Metadata Service" (IMDSv2) and "Instance metadata categories"; Google
//! Cloud, "About VM metadata" and "Detect if a VM is running in Compute Engine"; Microsoft, "Azure
//! Instance Metadata Service". The chassis' asset tag is how Azure's own agents and cloud-init know it.

use crate::config::Metadata;
use crate::file;
use crate::http::{Client, Reply, Settings, Trust};
use std::path::Path;
use std::time::{Duration, Instant};

/// All requests together may take so long: the service is on the machine that the machine runs on.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Largest answer: a name.
const LARGEST: u64 = 1024;

/// Longest text of the firmware that is read.
const TAG: u64 = 256;

/// What every Azure machine has as its chassis' asset tag, and no other Hyper-V guest.
const AZURE: &str = "7783-7084-3265-9085-8269-3286-77";

/// A cloud whose service can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Aws,
    Gcp,
    Azure,
}

/// Where in which cloud, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The provider, as the bundled table calls it.
    pub provider: &'static str,
    /// Its region.
    pub region: String,
    /// How that is known, for people.
    pub why: String,
}

/// Asks the cloud that the firmware names; once, within two seconds.
///
/// # Errors
/// Why nobody knows, in words for people, with what to do.
pub fn ask(sysfs: &Path, services: &Metadata) -> Result<Found, String> {
    let (kind, hint) = hint(sysfs)?;
    let (name, service) = match kind {
        Kind::Aws => ("aws", &services.aws),
        Kind::Gcp => ("gcp", &services.gcp),
        Kind::Azure => ("azure", &services.azure),
    };
    let asking = Asking {
        base: service.as_str().trim_end_matches('/'),
        end: Instant::now() + TIMEOUT,
    };
    let region = match kind {
        Kind::Aws => asking.aws(),
        Kind::Gcp => asking.gcp(),
        Kind::Azure => asking.azure(),
    };
    let region = region.map_err(|reason| {
        format!(
            "{hint}, but its metadata service at {} tells no region: {reason}",
            asking.base
        )
    })?;
    Ok(Found {
        provider: name,
        why: format!("{hint}, and its metadata service says {region}"),
        region,
    })
}

/// Whose machine it is, by the firmware.
fn hint(sysfs: &Path) -> Result<(Kind, String), String> {
    let tag = |name: &str| {
        let bytes = file::read(&sysfs.join("class/dmi/id").join(name), TAG);
        let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        let text = text.trim().chars().filter(|c| !c.is_control());
        text.collect::<String>()
    };
    let (vendor, product, asset) = (
        tag("sys_vendor"),
        tag("product_name"),
        tag("chassis_asset_tag"),
    );
    let said =
        |kind, name: &str, text: &str| Ok((kind, format!("the firmware's {name} is {text:?}")));
    if vendor == "Amazon EC2" {
        return said(Kind::Aws, "sys_vendor", &vendor);
    }
    if asset == "Amazon EC2" {
        return said(Kind::Aws, "chassis_asset_tag", &asset);
    }
    // Machines of before 2017, on Xen.
    let bios = tag("bios_version");
    if vendor == "Xen" && bios.ends_with(".amazon") {
        return said(Kind::Aws, "bios_version", &bios);
    }
    // The vendor alone makes laptops too.
    if product == "Google Compute Engine" {
        return said(Kind::Gcp, "product_name", &product);
    }
    if asset == AZURE {
        return said(Kind::Azure, "chassis_asset_tag", &asset);
    }
    Err(match (vendor.as_str(), product.as_str()) {
        ("", "") => format!(
            "{} tells no maker of the machine, so no cloud was asked",
            sysfs.join("class/dmi/id").display()
        ),
        (vendor, product) => format!(
            "the firmware says {vendor:?}, {product:?}, which is no machine of AWS, Google Cloud or Azure, \
             so no cloud was asked"
        ),
    })
}

/// The requests to one service.
struct Asking<'a> {
    base: &'a str,
    end: Instant,
}

impl Asking<'_> {
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Reply, String> {
        let settings = Settings {
            trust: Trust::System,
            timeout: self.end.saturating_duration_since(Instant::now()),
            // A proxy would tell of its own machine.
            proxy: false,
        };
        if settings.timeout.is_zero() {
            return Err("no answer in time".to_owned());
        }
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers: Vec<_> = headers.iter().map(owned).collect();
        let url = format!("{}{path}", self.base);
        let client = Client::new(&settings).map_err(|error| error.to_string())?;
        let reply = client.send(method, &url, &headers, b"", LARGEST);
        let reply = reply.map_err(|error| error.to_string())?;
        match reply.status {
            200 => Ok(reply),
            status => Err(format!("HTTP status {status} for {path}")),
        }
    }

    fn aws(&self) -> Result<String, String> {
        let lifetime = [("X-aws-ec2-metadata-token-ttl-seconds", "60")];
        let token = self.send("PUT", "/latest/api/token", &lifetime).map_err(|reason| {
            format!(
                "{reason} (in a pod the answer may be dropped on its way: set the instance's metadata hop \
                 limit to 2, or hostNetwork)"
            )
        })?;
        // The token is a secret of the machine: it is in no message.
        let token = String::from_utf8(token.body).map_err(|_| "the token is no text")?;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token is none".to_owned());
        }
        let token = [("X-aws-ec2-metadata-token", token.as_str())];
        let ask = |what: &str| {
            name(&self.send(
                "GET",
                &format!("/latest/meta-data/placement/{what}"),
                &token,
            )?)
        };
        let (region, zone) = (ask("region")?, ask("availability-zone")?);
        is_inside(&zone, &region)?;
        Ok(region)
    }

    fn gcp(&self) -> Result<String, String> {
        let flavor = ("Metadata-Flavor", "Google");
        let reply = self.send("GET", "/computeMetadata/v1/instance/zone", &[flavor])?;
        if reply.header(flavor.0) != Some(flavor.1) {
            return Err("what answers there is not Google Cloud".to_owned());
        }
        // projects/123456789/zones/europe-west3-a
        let path = String::from_utf8_lossy(&reply.body).into_owned();
        let zone = plain(path.trim().rsplit('/').next().unwrap_or_default())?;
        let (region, _) = zone
            .rsplit_once('-')
            .ok_or_else(|| format!("{zone:?} is no zone"))?;
        Ok(region.to_owned())
    }

    fn azure(&self) -> Result<String, String> {
        let path = "/metadata/instance/compute/location?api-version=2021-02-01&format=text";
        name(&self.send("GET", path, &[("Metadata", "true")])?)
    }
}

/// Whether an availability zone of AWS is in the town of its region: a Local Zone or a Wavelength Zone is of
/// a region, and stands in another one.
pub(super) fn is_inside(zone: &str, region: &str) -> Result<(), String> {
    if zone
        .strip_prefix(region)
        .is_some_and(|letter| letter.len() == 1)
    {
        return Ok(());
    }
    Err(format!(
        "{zone:?} is not inside of {region}, but an outpost of it elsewhere"
    ))
}

fn name(reply: &Reply) -> Result<String, String> {
    plain(String::from_utf8_lossy(&reply.body).trim())
}

/// A name of a region or zone, and nothing else: no page of a proxy, no mistake in prose.
pub(super) fn plain(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (2..=40).contains(&text.len()) && text.chars().all(is_part) {
        return Ok(text.to_owned());
    }
    Err("the answer is no name of a region".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tags = &'static [(&'static str, &'static str)];

    fn machine(tags: Tags) -> tempfile::TempDir {
        let folder = tempfile::TempDir::new().unwrap();
        let dmi = folder.path().join("class/dmi/id");
        std::fs::create_dir_all(&dmi).unwrap();
        for (name, text) in tags {
            std::fs::write(dmi.join(name), format!("{text}\n")).unwrap();
        }
        folder
    }

    #[test]
    fn the_firmware_says_whose_machine_it_is() {
        let cases: [(Tags, Option<Kind>); 8] = [
            (
                &[("sys_vendor", "Amazon EC2"), ("product_name", "c7g.large")],
                Some(Kind::Aws),
            ),
            (
                &[("sys_vendor", "Xen"), ("bios_version", "4.11.amazon")],
                Some(Kind::Aws),
            ),
            (&[("sys_vendor", "Xen"), ("bios_version", "4.11")], None),
            (
                &[
                    ("sys_vendor", "Google"),
                    ("product_name", "Google Compute Engine"),
                ],
                Some(Kind::Gcp),
            ),
            (&[("sys_vendor", "Google"), ("product_name", "Coral")], None),
            (
                &[
                    ("sys_vendor", "Microsoft Corporation"),
                    ("chassis_asset_tag", AZURE),
                ],
                Some(Kind::Azure),
            ),
            (
                &[
                    ("sys_vendor", "Microsoft Corporation"),
                    ("product_name", "Virtual Machine"),
                ],
                None,
            ),
            (&[], None),
        ];
        for (tags, kind) in cases {
            let folder = machine(tags);
            let told = hint(folder.path());
            assert_eq!(told.as_ref().ok().map(|(kind, _)| *kind), kind, "{told:?}");
        }
    }

    #[test]
    fn only_names_are_names() {
        assert_eq!(plain("eu-central-1").as_deref(), Ok("eu-central-1"));
        for text in ["", "a", "<html>", "eu central", "EU", &"a".repeat(41)] {
            assert!(plain(text).is_err(), "{text}");
        }
    }
}
