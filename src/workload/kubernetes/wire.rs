//! The messages of the kubelet's sockets and the part of a pod that is read, by their numbers: kubelet's
//! `podresources/v1/api.proto` and `pods/v1alpha1/api.proto`, and `k8s.io/api/core/v1/generated.proto`. Fields that
//! are not here are skipped.

use prost::Message;
use std::collections::HashMap;

/// Asks for everything.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Empty {}

/// `ListPodResourcesResponse`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListPodResources {
    #[prost(message, repeated, tag = "1")]
    pub pod_resources: Vec<PodResources>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct PodResources {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub namespace: String,
    #[prost(message, repeated, tag = "3")]
    pub containers: Vec<ContainerResources>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerResources {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub devices: Vec<ContainerDevices>,
    #[prost(message, repeated, tag = "5")]
    pub dynamic_resources: Vec<DynamicResource>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerDevices {
    #[prost(string, tag = "1")]
    pub resource_name: String,
    #[prost(string, repeated, tag = "2")]
    pub device_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct DynamicResource {
    #[prost(message, repeated, tag = "4")]
    pub claim_resources: Vec<ClaimResource>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ClaimResource {
    #[prost(message, repeated, tag = "1")]
    pub cdi_devices: Vec<CdiDevice>,
    #[prost(string, tag = "2")]
    pub driver_name: String,
    #[prost(string, tag = "3")]
    pub pool_name: String,
    #[prost(string, tag = "4")]
    pub device_name: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct CdiDevice {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `WatchPodsEvent`
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WatchPodsEvent {
    /// 1 added, 2 modified, 3 deleted, 4 all that there were have been told.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// A [`Pod`].
    #[prost(bytes = "vec", tag = "2")]
    pub pod: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Pod {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<Metadata>,
    #[prost(message, optional, tag = "2")]
    pub spec: Option<Spec>,
    #[prost(message, optional, tag = "3")]
    pub status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(string, tag = "5")]
    pub uid: String,
    #[prost(map = "string, string", tag = "11")]
    pub labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "12")]
    pub annotations: HashMap<String, String>,
    #[prost(message, repeated, tag = "13")]
    pub owner_references: Vec<OwnerReference>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct OwnerReference {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(bool, tag = "6")]
    pub controller: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Spec {
    #[prost(message, repeated, tag = "2")]
    pub containers: Vec<SpecContainer>,
    #[prost(message, repeated, tag = "20")]
    pub init_containers: Vec<SpecContainer>,
}

#[derive(Clone, PartialEq, Message)]
pub struct SpecContainer {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "8")]
    pub resources: Option<Resources>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Resources {
    #[prost(map = "string, message", tag = "2")]
    pub requests: HashMap<String, Quantity>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Quantity {
    #[prost(string, tag = "1")]
    pub string: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Status {
    #[prost(message, repeated, tag = "8")]
    pub containers: Vec<ContainerStatus>,
    #[prost(message, repeated, tag = "10")]
    pub init_containers: Vec<ContainerStatus>,
    #[prost(message, repeated, tag = "13")]
    pub ephemeral_containers: Vec<ContainerStatus>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerStatus {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "8")]
    pub container_id: String,
}
