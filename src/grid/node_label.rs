//! Which cloud the machine is in, and where, by the labels that its cloud gave the Kubernetes node.

use super::metadata::{Found, is_inside, plain};
use crate::config::Config;
use crate::workload::kubernetes::{self, NodeLabels};

/// How a node's `providerID` begins, and what the bundled table calls that provider.
///
/// Source: the clouds' controller managers, which write it (cloud-provider-aws, -gcp, -azure, hcloud's,
/// Scaleway's, IBM's, Oracle's).
const PROVIDERS: [(&str, &str); 7] = [
    ("aws", "aws"),
    ("gce", "gcp"),
    ("azure", "azure"),
    ("hcloud", "hetzner"),
    ("scaleway", "scaleway"),
    ("ibm", "ibm"),
    ("oci", "oracle"),
];

/// Asks the API server of this machine's cluster, if it is in one and that may be asked.
pub(super) fn ask(config: &Config) -> Option<Result<Found, String>> {
    let told = kubernetes::labels_of_node(&config.workloads.kubernetes(), &config.host())?;
    Some(told.map_or_else(
        |fault| {
            Err(format!(
                "the Kubernetes node tells no region: {fault} (mend: {})",
                fault.mend
            ))
        },
        |labels| found(&labels),
    ))
}

fn found(labels: &NodeLabels) -> Result<Found, String> {
    let NodeLabels {
        node,
        provider_id,
        region,
        zone,
    } = labels;
    if region.is_empty() {
        return Err(format!(
            "the Kubernetes node {node} has no label topology.kubernetes.io/region"
        ));
    }
    let region = plain(region).map_err(|_| {
        format!(
            "the Kubernetes node {node} has a label topology.kubernetes.io/region that is no region"
        )
    })?;
    let scheme = provider_id
        .split_once("://")
        .map_or("", |(scheme, _)| scheme);
    let known = PROVIDERS.iter().find(|(known, _)| *known == scheme);
    let Some((_, provider)) = known else {
        return Err(format!(
            "the Kubernetes node {node} is in the region {region}, and its providerID names no cloud that is \
             known: say which with grid.cloud: {{provider, region: {region}}}"
        ));
    };
    if *provider == "aws" && !zone.is_empty() {
        is_inside(zone, &region)?;
    }
    Ok(Found {
        provider,
        why: format!(
            "the Kubernetes node {node} has the label topology.kubernetes.io/region={region}, and a providerID \
             that begins with {scheme}://"
        ),
        region,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(provider_id: &str, region: &str, zone: &str) -> NodeLabels {
        NodeLabels {
            node: "node-a".to_owned(),
            provider_id: provider_id.to_owned(),
            region: region.to_owned(),
            zone: zone.to_owned(),
        }
    }

    #[test]
    fn a_label_and_a_provider_make_a_region() {
        for (id, region, zone, provider) in [
            (
                "aws:///eu-central-1a/i-0abc",
                "eu-central-1",
                "eu-central-1a",
                "aws",
            ),
            (
                "gce://project/europe-west3-a/node",
                "europe-west3",
                "europe-west3-a",
                "gcp",
            ),
            (
                "azure:///subscriptions/s/x",
                "westeurope",
                "westeurope-1",
                "azure",
            ),
            ("hcloud://123", "fsn1", "", "hetzner"),
        ] {
            let found = found(&labels(id, region, zone)).unwrap();
            assert_eq!((found.provider, found.region.as_str()), (provider, region));
            assert!(
                found.why.contains("topology.kubernetes.io/region"),
                "{}",
                found.why
            );
        }
    }

    #[test]
    fn what_is_not_certain_is_no_region() {
        for (id, region, zone, says) in [
            ("aws:///x/i", "", "", "no label"),
            ("aws:///x/i", "EU <b>", "", "is no region"),
            ("aws:///x/i", "us-west-2", "us-west-2-lax-1a", "elsewhere"),
            ("openstack:///x", "regionone", "", "names no cloud"),
            ("", "attic", "", "grid.cloud: {provider, region: attic}"),
        ] {
            let told = found(&labels(id, region, zone)).unwrap_err();
            assert!(told.contains(says), "{told}");
        }
    }
}
