//! Pods as a test describes them, in the two forms that Kubernetes sends them in. The numbers of the fields
//! are those of `k8s.io/api/core/v1/generated.proto`, written down here a second time, so that the program's
//! own are not tested with themselves.

use serde_json::{Value, json};
use std::collections::HashMap;

/// A pod.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub labels: Vec<(&'static str, &'static str)>,
    pub annotations: Vec<(&'static str, String)>,
    /// Kind and name of what controls it.
    pub owner: Option<(&'static str, &'static str)>,
    pub phase: &'static str,
    pub containers: Vec<Container>,
    pub init: Vec<Container>,
    pub ephemeral: Vec<Container>,
}

/// A container, as its status tells.
#[derive(Clone, Debug, Default)]
pub struct Container {
    pub name: &'static str,
    /// With the runtime's prefix; empty before the first start.
    pub id: String,
    pub cpu: Option<&'static str>,
    /// Seconds since 1970.
    pub started: Option<i64>,
    pub finished: Option<i64>,
    /// The start before this one: id, and when that began and ended.
    pub before: Option<(String, i64, i64)>,
    pub sidecar: bool,
}

/// The id of a container: one digit, 64 times.
pub fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// A UID that ends in this number.
pub fn uid(number: u32) -> String {
    format!("0f8a2b1c-3d4e-4f50-8a6b-{number:012x}")
}

impl Pod {
    /// A pod that runs one container.
    pub fn running(
        number: u32,
        namespace: &str,
        name: &str,
        container: &'static str,
        digit: char,
    ) -> Self {
        Self {
            uid: uid(number),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            phase: "Running",
            containers: vec![Container {
                name: container,
                id: format!("containerd://{}", id(digit)),
                started: Some(1_700_000_000),
                ..Container::default()
            }],
            ..Self::default()
        }
    }

    pub fn json(&self, version: u64) -> Value {
        let map = |pairs: Vec<(String, String)>| -> Value {
            pairs
                .into_iter()
                .map(|(key, value)| (key, Value::from(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let labels = self
            .labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let annotations = self
            .annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        let owners: Vec<Value> = self
            .owner
            .iter()
            .map(|(kind, name)| json!({"apiVersion": "x/v1", "kind": kind, "name": name, "uid": "u", "controller": true}))
            .collect();
        let spec = |all: &[Container]| -> Vec<Value> { all.iter().map(Container::spec).collect() };
        let status = |all: &[Container]| -> Value {
            // What Go writes where there are none.
            if all.is_empty() {
                Value::Null
            } else {
                all.iter().map(Container::status).collect()
            }
        };
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name, "namespace": self.namespace, "uid": self.uid,
                "resourceVersion": version.to_string(), "creationTimestamp": "2023-11-14T22:13:20Z",
                "labels": map(labels.collect()), "annotations": map(annotations.collect()),
                "ownerReferences": if owners.is_empty() { Value::Null } else { owners.into() },
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"k:{\"type\":\"Ready\"}": {}}}}],
            },
            "spec": {
                "volumes": [{"name": "v", "emptyDir": {}}], "nodeName": "node-a", "restartPolicy": "Always",
                "containers": spec(&self.containers), "initContainers": spec(&self.init),
            },
            "status": {
                "phase": self.phase, "qosClass": "Burstable",
                "containerStatuses": status(&self.containers), "initContainerStatuses": status(&self.init),
                "ephemeralContainerStatuses": status(&self.ephemeral),
            },
        })
    }

    pub fn protobuf(&self) -> Vec<u8> {
        let metadata = proto::Metadata {
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            uid: Some(self.uid.clone()),
            generation: Some(7),
            labels: pairs(
                self.labels
                    .iter()
                    .map(|(key, value)| (*key, (*value).to_owned())),
            ),
            annotations: pairs(
                self.annotations
                    .iter()
                    .map(|(key, value)| (*key, value.clone())),
            ),
            owners: self
                .owner
                .iter()
                .map(|(kind, name)| proto::Owner {
                    kind: Some((*kind).to_owned()),
                    name: Some((*name).to_owned()),
                    uid: Some("u".to_owned()),
                    api_version: Some("x/v1".to_owned()),
                    controller: Some(true),
                })
                .collect(),
        };
        let specs = |all: &[Container]| all.iter().map(Container::proto_spec).collect();
        let statuses = |all: &[Container]| all.iter().map(Container::proto_status).collect();
        let pod = proto::Pod {
            metadata: Some(metadata),
            spec: Some(proto::Spec {
                containers: specs(&self.containers),
                node_name: Some("node-a".to_owned()),
                init: specs(&self.init),
            }),
            status: Some(proto::Status {
                phase: Some(self.phase.to_owned()),
                containers: statuses(&self.containers),
                init: statuses(&self.init),
                ephemeral: statuses(&self.ephemeral),
            }),
        };
        prost::Message::encode_to_vec(&pod)
    }

    /// What the kubelet's `DELETED` tells: nothing but the names.
    pub fn names_alone(&self) -> Vec<u8> {
        let bare = Self {
            uid: self.uid.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            ..Self::default()
        };
        bare.protobuf()
    }
}

fn pairs<'a>(all: impl Iterator<Item = (&'a str, String)>) -> HashMap<String, String> {
    all.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().to_string()
}

impl Container {
    fn spec(&self) -> Value {
        let requests = self.cpu.map(|cpu| json!({"cpu": cpu, "memory": "1Gi"}));
        let mut spec =
            json!({"name": self.name, "image": "i", "resources": {"requests": requests}});
        if self.sidecar {
            spec["restartPolicy"] = "Always".into();
        }
        spec
    }

    fn status(&self) -> Value {
        let state = match (self.started, self.finished) {
            (Some(started), Some(finished)) => json!({"terminated": {
                "exitCode": 0, "startedAt": time(started), "finishedAt": time(finished), "containerID": self.id,
            }}),
            (Some(started), None) => json!({"running": {"startedAt": time(started)}}),
            _ => json!({"waiting": {"reason": "ContainerCreating"}}),
        };
        let last = self.before.as_ref().map(|(id, started, finished)| json!({"terminated": {
            "exitCode": 1, "startedAt": time(*started), "finishedAt": time(*finished), "containerID": id,
        }}));
        json!({
            "name": self.name, "state": state, "lastState": last.unwrap_or(json!({})), "ready": true,
            "restartCount": 0, "image": "i", "imageID": "", "containerID": self.id, "started": true,
        })
    }

    fn proto_spec(&self) -> proto::Container {
        let cpu = self.cpu.map(|cpu| {
            (
                "cpu".to_owned(),
                proto::Quantity {
                    text: Some(cpu.to_owned()),
                },
            )
        });
        proto::Container {
            name: Some(self.name.to_owned()),
            image: Some("i".to_owned()),
            resources: Some(proto::Resources {
                requests: cpu.into_iter().collect(),
            }),
            restart_policy: self.sidecar.then(|| "Always".to_owned()),
        }
    }

    fn proto_status(&self) -> proto::ContainerStatus {
        let at = |seconds: i64| {
            Some(proto::Time {
                seconds: Some(seconds),
                nanos: Some(0),
            })
        };
        let ended = |id: &str, started: i64, finished: i64| proto::State {
            running: None,
            terminated: Some(proto::Terminated {
                exit_code: Some(0),
                started: at(started),
                finished: at(finished),
                id: Some(id.to_owned()),
            }),
        };
        let state = match (self.started, self.finished) {
            (Some(started), Some(finished)) => ended(&self.id, started, finished),
            (Some(started), None) => proto::State {
                running: Some(proto::Running {
                    started: at(started),
                }),
                terminated: None,
            },
            _ => proto::State::default(),
        };
        proto::ContainerStatus {
            name: Some(self.name.to_owned()),
            state: Some(state),
            last: self
                .before
                .as_ref()
                .map(|(id, started, finished)| ended(id, *started, *finished)),
            ready: Some(true),
            id: Some(self.id.clone()),
        }
    }
}

#[rustfmt::skip]
mod proto {
    use prost::Message;
    use std::collections::HashMap;

    #[derive(Clone, PartialEq, Message)]
    pub struct Pod {
        #[prost(message, optional, tag = "1")] pub metadata: Option<Metadata>,
        #[prost(message, optional, tag = "2")] pub spec: Option<Spec>,
        #[prost(message, optional, tag = "3")] pub status: Option<Status>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Metadata {
        #[prost(string, optional, tag = "1")] pub name: Option<String>,
        #[prost(string, optional, tag = "3")] pub namespace: Option<String>,
        #[prost(string, optional, tag = "5")] pub uid: Option<String>,
        #[prost(int64, optional, tag = "7")] pub generation: Option<i64>,
        #[prost(map = "string, string", tag = "11")] pub labels: HashMap<String, String>,
        #[prost(map = "string, string", tag = "12")] pub annotations: HashMap<String, String>,
        #[prost(message, repeated, tag = "13")] pub owners: Vec<Owner>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Owner {
        #[prost(string, optional, tag = "1")] pub kind: Option<String>,
        #[prost(string, optional, tag = "3")] pub name: Option<String>,
        #[prost(string, optional, tag = "4")] pub uid: Option<String>,
        #[prost(string, optional, tag = "5")] pub api_version: Option<String>,
        #[prost(bool, optional, tag = "6")] pub controller: Option<bool>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Spec {
        #[prost(message, repeated, tag = "2")] pub containers: Vec<Container>,
        #[prost(string, optional, tag = "10")] pub node_name: Option<String>,
        #[prost(message, repeated, tag = "20")] pub init: Vec<Container>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Container {
        #[prost(string, optional, tag = "1")] pub name: Option<String>,
        #[prost(string, optional, tag = "2")] pub image: Option<String>,
        #[prost(message, optional, tag = "8")] pub resources: Option<Resources>,
        #[prost(string, optional, tag = "24")] pub restart_policy: Option<String>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Resources {
        #[prost(map = "string, message", tag = "2")] pub requests: HashMap<String, Quantity>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Quantity {
        #[prost(string, optional, tag = "1")] pub text: Option<String>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Status {
        #[prost(string, optional, tag = "1")] pub phase: Option<String>,
        #[prost(message, repeated, tag = "8")] pub containers: Vec<ContainerStatus>,
        #[prost(message, repeated, tag = "10")] pub init: Vec<ContainerStatus>,
        #[prost(message, repeated, tag = "13")] pub ephemeral: Vec<ContainerStatus>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct ContainerStatus {
        #[prost(string, optional, tag = "1")] pub name: Option<String>,
        #[prost(message, optional, tag = "2")] pub state: Option<State>,
        #[prost(message, optional, tag = "3")] pub last: Option<State>,
        #[prost(bool, optional, tag = "4")] pub ready: Option<bool>,
        #[prost(string, optional, tag = "8")] pub id: Option<String>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct State {
        #[prost(message, optional, tag = "2")] pub running: Option<Running>,
        #[prost(message, optional, tag = "3")] pub terminated: Option<Terminated>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Running {
        #[prost(message, optional, tag = "1")] pub started: Option<Time>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Terminated {
        #[prost(int32, optional, tag = "1")] pub exit_code: Option<i32>,
        #[prost(message, optional, tag = "5")] pub started: Option<Time>,
        #[prost(message, optional, tag = "6")] pub finished: Option<Time>,
        #[prost(string, optional, tag = "7")] pub id: Option<String>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Time {
        #[prost(int64, optional, tag = "1")] pub seconds: Option<i64>,
        #[prost(int32, optional, tag = "2")] pub nanos: Option<i32>,
    }
}
