//! Accelerators that pods have by dynamic resource allocation: a claim names a device of a driver's pool,
//! and a ResourceSlice says which that is.
//!
//! Sources: `k8s.io/api/resource/v1` (ResourceSlice; `v1beta2` of the same shape, `v1beta1` with the
//! attributes in `basic`), and the attributes that NVIDIA's and AMD's drivers give.

use super::api::{Api, Reach, Trouble};
use super::config::{Config, Node};
use super::devices;
use super::resources::hold;
use super::trouble::fault;
use super::wire;
use crate::sensor::{Cause, Fault};
use crate::workload::{DeviceName, Hold, Owner};
use kube::core::Request;
use kube::core::params::ListParams;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::timeout;

/// The drivers whose devices are accelerators that something here reads.
const DRIVERS: [&str; 2] = ["gpu.nvidia.com", "gpu.amd.com"];
/// The versions of the API, the newest first.
const VERSIONS: [&str; 3] = ["v1", "v1beta2", "v1beta1"];
/// How often the slices are read at most.
const AGAIN: Duration = Duration::from_secs(60);
/// The longest that reading them takes: half of what who asks for devices waits.
const PATIENCE: Duration = Duration::from_secs(1);
const RULE: &str = "list of resourceslices (apiGroups: [resource.k8s.io], resources: [resourceslices], verbs: \
    [list])";

/// A device that a container has by a claim.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claim {
    pub(super) owner: Owner,
    pub(super) cdi: Vec<String>,
    pub(super) driver: String,
    pub(super) pool: String,
    pub(super) device: String,
}

/// A driver, a pool and a device.
type Key = (String, String, String);

/// Which devices claims mean.
#[derive(Debug)]
pub(super) struct Claims {
    reach: Option<Reach>,
    node: Node,
    known: HashMap<Key, DeviceName>,
    /// When the slices were read last (time since boot), and what was wrong with that.
    read: Option<(Duration, Option<Fault>)>,
}

impl Claims {
    pub(super) fn new(config: &Config, host: &str) -> Self {
        let node = config.node(host);
        Self {
            reach: Reach::of(config).filter(|_| node.is_name()),
            node,
            known: HashMap::new(),
            read: None,
        }
    }

    /// Who holds which accelerator by these claims. What cannot be found out is among the faults.
    pub(super) async fn resolve(
        &mut self,
        claims: Vec<Claim>,
        now: Duration,
        faults: &mut Vec<Fault>,
    ) -> Vec<Hold> {
        let (mut held, mut open) = (Vec::new(), Vec::new());
        for claim in claims
            .into_iter()
            .filter(|claim| DRIVERS.contains(&claim.driver.as_str()))
        {
            match claim.cdi.iter().find_map(|name| devices::cdi(name)) {
                Some(device) => held.push(hold(&claim.owner, device)),
                None => open.push(claim),
            }
        }
        let key = |claim: &Claim| {
            (
                claim.driver.clone(),
                claim.pool.clone(),
                claim.device.clone(),
            )
        };
        let is_new = open
            .iter()
            .any(|claim| !self.known.contains_key(&key(claim)));
        if is_new
            && self
                .read
                .as_ref()
                .is_none_or(|(at, _)| now.saturating_sub(*at) >= AGAIN)
        {
            let wrong = self.read_slices().await.err();
            self.read = Some((now, wrong));
        }
        let mut lost = BTreeSet::new();
        for claim in &open {
            match self.known.get(&key(claim)) {
                Some(device) => held.push(hold(&claim.owner, device.clone())),
                None => drop(lost.insert(format!("{}/{}", claim.pool, claim.device))),
            }
        }
        if !lost.is_empty() {
            faults.push(self.lost(&lost));
        }
        held
    }

    fn lost(&self, lost: &BTreeSet<String>) -> Fault {
        let named: Vec<&str> = lost.iter().take(8).map(String::as_str).collect();
        let place = format!("devices claimed of a driver: {}", named.join(", "));
        if let Some((_, Some(fault))) = &self.read {
            return Fault {
                place: format!("{place}: {}", fault.place),
                ..fault.clone()
            };
        }
        let (cause, mend) = match self.reach {
            None => (
                "nobody is asked which these are",
                "let gramwatt ask the API server (workloads.kubernetes.api_server), with list of resourceslices \
                 allowed; until then these devices are nobody's",
            ),
            Some(_) => (
                "no ResourceSlice tells a UUID or an address of these",
                "see kubectl get resourceslices, and update the driver",
            ),
        };
        fault(place, Cause::Device(cause.to_owned()), mend)
    }

    async fn read_slices(&mut self) -> Result<(), Fault> {
        let Some(reach) = &self.reach else {
            return Ok(());
        };
        let api = Api::open(reach).await?;
        let params = ListParams::default()
            .fields(&format!("spec.nodeName={}", self.node.name))
            .limit(500);
        let mut last = None;
        for version in VERSIONS {
            let path = format!("/apis/resource.k8s.io/{version}/resourceslices");
            let request = Request::new(path).list(&params);
            let request = request
                .map_err(|error| api.not_understood(&error.to_string()).fault(api.place()))?;
            let asked = timeout(PATIENCE, api.ask::<wire::List<Slice>>(request, RULE)).await;
            match asked.map_err(|_| super::trouble::late(api.place()))? {
                Ok(list) => {
                    self.known = list
                        .items
                        .into_iter()
                        .flatten()
                        .flat_map(devices_of)
                        .collect();
                    return Ok(());
                }
                Err(Trouble::Missing(fault)) => last = Some(fault),
                Err(trouble) => return Err(trouble.fault(api.place())),
            }
        }
        last.map_or(Ok(()), Err)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Slice {
    spec: SliceSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SliceSpec {
    driver: String,
    pool: Pool,
    devices: Option<Vec<Device>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pool {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Device {
    name: String,
    attributes: Option<HashMap<String, Attribute>>,
    basic: Option<Basic>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Basic {
    attributes: Option<HashMap<String, Attribute>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attribute {
    string: Option<String>,
}

fn devices_of(slice: Slice) -> Vec<(Key, DeviceName)> {
    let SliceSpec {
        driver,
        pool,
        devices,
    } = slice.spec;
    let devices = devices.unwrap_or_default().into_iter();
    let named = devices.filter_map(|device| {
        let attributes = device.attributes.or_else(|| device.basic?.attributes)?;
        let told = |names: &[&str]| {
            let mut found = names
                .iter()
                .filter_map(|name| attributes.get(*name)?.string.as_deref());
            found.next()
        };
        let uuid = told(&["uuid"]).and_then(devices::uuid);
        let places = ["resource.kubernetes.io/pciBusID", "pciAddr", "pcieBusID"];
        let name = uuid.or_else(|| devices::pci(told(&places)?))?;
        Some(((driver.clone(), pool.name.clone(), device.name), name))
    });
    named.collect()
}
