//! Kubernetes: which container has which accelerator, by the kubelet ([`PodResources`]), and what the pods
//! of this node are called ([`Names`], [`PodBook`]), by the kubelet too, or else by the API server.

mod api;
mod book;
mod claims;
mod config;
mod desk;
mod devices;
mod look;
mod names;
mod node;
mod pod;
mod resources;
mod socket;
mod stream;
mod trouble;
mod watch;
mod wire;

pub use book::PodBook;
pub use config::{ApiServer, Config, Node, NodeName, Wanted};
pub use devices::{cdi, device};
pub use look::look;
pub use names::{Names, start};
pub use node::{NodeLabels, labels_of_node};
pub use pod::{Container, LONGEST_NAME, LONGEST_VALUE, MOST_LABELS, Phase, Pod, Run, clip};
pub use resources::PodResources;

#[cfg(test)]
#[path = "../../tests/replicas/kubernetes/mod.rs"]
mod replica;
#[cfg(test)]
mod tests;
