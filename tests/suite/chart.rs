//! The Helm chart, rendered by Helm 3 and by Helm 4: valid for Kubernetes, without privilege, and of one piece with its sources.

use crate::dashboards::schemas;
use crate::program::{get, until};
use crate::prometheus::lasting_port;
use crate::tools::{ended, root, said, started, tool};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

fn run(program: &str, arguments: &[&str]) -> Output {
    ended(
        Command::new(tool(program))
            .args(arguments)
            .current_dir(root()),
    )
}

/// The values of each kind of site.
fn sites() -> Vec<String> {
    let folder = fs::read_dir(root().join("helm/gramwatt/ci")).unwrap();
    let mut sites: Vec<String> = folder
        .map(|file| file.unwrap().path().to_string_lossy().into_owned())
        .collect();
    sites.sort();
    assert!(sites.len() >= 4, "{sites:?}");
    sites
}

/// What a Helm renders, in the order of kinds and names.
fn rendered(helm: &str, release: &str, more: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["template", release, "helm/gramwatt"];
    if !more.iter().any(|one| one.starts_with("--kube-version")) {
        arguments.push("--kube-version=1.34");
    }
    arguments.extend(more);
    let output = run(helm, &arguments);
    assert!(output.status.success(), "{more:?}: {}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut objects: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| !object.is_null())
        .collect();
    objects.sort_by_key(name);
    objects
}

fn name(object: &Value) -> String {
    format!("{}/{}", object["kind"], object["metadata"]["name"])
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// The descriptions of pods, with what makes them.
fn pods(objects: &[Value]) -> Vec<(String, &Value)> {
    let pod = |object: &'_ Value| match object["kind"].as_str() {
        Some("DaemonSet" | "Deployment") => Some("/spec/template/spec"),
        Some("Pod") => Some("/spec"),
        _ => None,
    };
    objects
        .iter()
        .filter_map(|object| Some((name(object), object.pointer(pod(object)?)?)))
        .collect()
}

#[test]
fn the_chart_is_what_its_sources_make() {
    let told = run("python3", &["-B", "helm/chart.py", "--check"]);
    assert!(told.status.success(), "{}", said(&told));
}

#[test]
fn both_helms_accept_it_and_render_the_same() {
    for site in sites() {
        for helm in ["helm3", "helm4"] {
            let told = run(helm, &["lint", "--strict", "helm/gramwatt", "-f", &site]);
            assert!(told.status.success(), "{site}: {}", said(&told));
        }
        let [three, four] =
            ["helm3", "helm4"].map(|helm| rendered(helm, "release", &["-f", &site]));
        assert!(three == four, "{site}: they differ");
    }
}

#[test]
fn kubernetes_knows_every_key() {
    let dir = tempfile::tempdir().unwrap();
    for (number, site) in sites().iter().enumerate() {
        for version in ["1.25", "1.31", "1.37"] {
            let kube = format!("--kube-version={version}");
            let objects = rendered("helm4", "release", &["-f", site, &kube]);
            // Others' resources are checked by their own definitions.
            let ours = objects.iter().filter(|object| {
                let version = object["apiVersion"].as_str().unwrap();
                !version.starts_with("monitoring.coreos.com/")
                    && !version.starts_with("grafana.integreatly.org/")
            });
            let texts: Vec<String> = ours.map(|object| object.to_string()).collect();
            let file = dir.path().join(format!("{number}.yaml"));
            fs::write(&file, texts.join("\n---\n")).unwrap();
            let file = file.to_string_lossy();
            let told = run("kubernetes-validate", &["--strict", "-k", version, &file]);
            let said = said(&told);
            assert!(
                told.status.success() && !said.contains("WARN"),
                "{site}, Kubernetes {version}: {said}"
            );
        }
    }
}

#[test]
fn the_operators_own_types_accept_its_resources() {
    let dir = tempfile::tempdir().unwrap();
    for site in sites() {
        let mut objects = rendered(
            "helm4",
            "release",
            &["-f", &site, "-a", "monitoring.coreos.com/v1"],
        );
        objects.retain(|object| object["apiVersion"] == "monitoring.coreos.com/v1");
        let file = dir.path().join("objects.json");
        fs::write(&file, Value::from(objects.clone()).to_string()).unwrap();
        let said = schemas("monitors.mjs", &[file]);
        assert_eq!(said, format!("{} objects\n", objects.len()), "{site}");
        assert!(objects.len() >= 2, "{site}");
    }
}

#[test]
fn nothing_runs_with_privilege() {
    for site in sites() {
        let objects = rendered("helm4", "release", &["-f", &site]);
        for (owner, pod) in pods(&objects) {
            let place = format!("{site}: {owner}");
            assert_eq!(
                pod["securityContext"]["seccompProfile"]["type"],
                "RuntimeDefault"
            );
            assert!(
                pod["hostPID"].is_null() && pod["hostIPC"].is_null(),
                "{place}"
            );
            for kind in ["containers", "initContainers"] {
                for container in pod[kind].as_array().into_iter().flatten() {
                    let context = &container["securityContext"];
                    assert!(context["privileged"].is_null(), "{place}");
                    assert_eq!(context["allowPrivilegeEscalation"], false, "{place}");
                    assert_eq!(context["readOnlyRootFilesystem"], true, "{place}");
                    assert_eq!(context["capabilities"]["drop"][0], "ALL", "{place}");
                    let added = &context["capabilities"]["add"];
                    // Asked for by that site, and by nobody else.
                    assert!(added.is_null() || site.contains("odd"), "{place}: {added}");
                }
            }
            let mounts = pod["containers"][0]["volumeMounts"].as_array();
            for mount in mounts.into_iter().flatten() {
                let path = mount["mountPath"].as_str().unwrap();
                let is_ours = ["/run/gramwatt", "/var/lib/gramwatt", "/more"].contains(&path);
                assert!(is_ours || mount["readOnly"] == true, "{place}: {path}");
            }
        }
    }
}

/// What the Pod Security Standard `restricted` asks of a pod, as far as our pods could miss it.
fn is_restricted(pod: &Value) -> bool {
    let volumes = pod["volumes"].as_array().into_iter().flatten();
    let host_paths = volumes.filter(|volume| !volume["hostPath"].is_null());
    pod["securityContext"]["runAsNonRoot"] == true
        && pod["hostNetwork"].is_null()
        && host_paths.count() == 0
}

#[test]
fn the_relay_and_nodes_without_host_paths_are_restricted() {
    let lab = rendered("helm4", "r", &["-f", "helm/gramwatt/ci/lab-values.yaml"]);
    let bare = rendered(
        "helm4",
        "r",
        &["-f", "helm/gramwatt/ci/no-host-values.yaml"],
    );
    for (objects, kind, restricted) in [
        (&lab, "Deployment", true),
        (&lab, "Pod", true),
        (&lab, "DaemonSet", false),
        (&bare, "DaemonSet", true),
    ] {
        let found = pods(objects);
        let (_, pod) = found
            .iter()
            .find(|(owner, _)| owner.contains(kind))
            .unwrap();
        assert_eq!(is_restricted(pod), restricted, "{kind}");
    }
    let daemons = of_kind(&lab, "DaemonSet").next().unwrap();
    let pod = &daemons["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsUser"], 0);
    assert_eq!(pod["runtimeClassName"], "nvidia");
    assert_eq!(pod["tolerations"][0]["operator"], "Exists");
}

#[test]
fn nodes_may_look_at_pods_and_at_nothing_else() {
    let objects = rendered("helm4", "r", &[]);
    let roles: Vec<&Value> = of_kind(&objects, "ClusterRole").collect();
    assert_eq!(roles.len(), 1);
    let rules = serde_json::json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
    ]);
    assert_eq!(roles[0]["rules"], rules);
    assert_eq!(
        of_kind(&objects, "Secret").count(),
        0,
        "secrets by reference"
    );
}

#[test]
fn two_releases_share_nothing_and_names_are_short_enough() {
    let long = "a-release-with-a-name-as-long-as-helm-lets-it-be-53ch";
    let lab = "helm/gramwatt/ci/lab-values.yaml";
    let names = |release: &str| -> BTreeSet<String> {
        rendered("helm3", release, &["-f", lab])
            .iter()
            .map(name)
            .collect()
    };
    let (one, other) = (names(long), names("second"));
    assert!(
        one.len() > 20 && one.is_disjoint(&other),
        "{one:?} {other:?}"
    );
    for object in rendered("helm3", long, &["-f", lab]) {
        let of = object["metadata"]["name"].as_str().unwrap();
        assert!(of.len() <= 63, "{of}");
        let labels = object["metadata"]["labels"].as_object().unwrap();
        for (key, value) in labels {
            assert!(value.as_str().unwrap().len() <= 63, "{of}: {key}: {value}");
        }
    }
}

/// The groups of the rules that are rendered.
fn groups(more: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["--set", "rules.enabled=true"];
    arguments.extend(more);
    let objects = rendered("helm4", "r", &arguments);
    let rules = of_kind(&objects, "PrometheusRule").next().unwrap();
    rules["spec"]["groups"].as_array().unwrap().clone()
}

#[test]
fn rules_are_those_of_the_repository() {
    let mut wanted = Vec::new();
    for file in ["gramwatt-recording.yaml", "gramwatt-alerts.yaml"] {
        let text = fs::read_to_string(root().join("deploy/rules").join(file)).unwrap();
        let yaml: Value = serde_yaml::from_str(&text).unwrap();
        wanted.extend(yaml["groups"].as_array().unwrap().clone());
    }
    assert!(groups(&[]) == wanted);
}

#[test]
fn alerts_can_be_switched_and_their_thresholds_set() {
    let lab = groups(&["-f", "helm/gramwatt/ci/lab-values.yaml"]);
    let rules: Vec<&Value> = lab
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    let alert = |name: &str| rules.iter().find(|rule| rule["alert"] == name);
    assert!(alert("GramwattGridStatic").is_none());
    let idle = alert("GramwattGpuIdleAllocated").unwrap();
    assert!(idle["expr"].as_str().unwrap().contains("> 0.5  # ratio"));
    assert_eq!(idle["labels"]["severity"], "warning");
    assert_eq!(idle["for"], "2h");
    assert_eq!(
        idle["annotations"]["runbook_url"],
        "https://wiki.example/gramwatt#gramwattgpuidleallocated"
    );
    let link = idle["annotations"]["dashboard_url"].as_str().unwrap();
    assert!(link.starts_with("https://grafana.example/d/gramwatt-workload?"));
    let meter = alert("GramwattMeterDisagrees").unwrap()["expr"].as_str();
    assert!(meter.unwrap().contains("> 1.1  # above") && meter.unwrap().contains("< 0.1  # below"));
    let budgets: Vec<(&Value, &Value)> = rules
        .iter()
        .filter(|rule| {
            rule["record"]
                .as_str()
                .is_some_and(|name| name.contains("co2e_budget"))
        })
        .map(|rule| (&rule["expr"], &rule["labels"]["label_team"]))
        .collect();
    assert_eq!(budgets.len(), 3, "{budgets:?}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yaml");
    fs::write(&file, serde_json::json!({"groups": lab}).to_string()).unwrap();
    let told = run("promtool", &["check", "rules", &file.to_string_lossy()]);
    assert!(told.status.success(), "{}", said(&told));
}

#[test]
fn dashboards_are_those_of_the_repository() {
    let objects = rendered("helm4", "r", &[]);
    let mut boards = 0;
    for map in of_kind(&objects, "ConfigMap") {
        if map["metadata"]["labels"]["grafana_dashboard"] != "1" {
            continue;
        }
        for (file, text) in map["data"].as_object().unwrap() {
            let source = fs::read_to_string(root().join("grafana").join(file)).unwrap();
            let source: Value = serde_json::from_str(&source).unwrap();
            let ours: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
            assert!(ours == source, "{file}");
            assert!(text.as_str().unwrap().len() < 1 << 20, "{file}");
            boards += 1;
        }
    }
    assert_eq!(boards, 7);
}

#[test]
fn the_program_accepts_the_configuration_that_the_chart_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = 0;
    for site in sites() {
        let objects = rendered("helm4", "r", &["-f", &site]);
        for map in of_kind(&objects, "ConfigMap") {
            let Some(text) = map["data"]["gramwatt.yaml"].as_str() else {
                continue;
            };
            let file = dir.path().join(format!("{files}.yaml"));
            fs::write(&file, text).unwrap();
            let told = Command::new(env!("CARGO_BIN_EXE_gramwatt"))
                .arg("check-config")
                .arg(&file)
                .output()
                .unwrap();
            assert!(told.status.success(), "{site}: {text}\n{}", said(&told));
            files += 1;
        }
    }
    assert!(files >= 6, "{files}");
    let lab = rendered("helm4", "r", &["-f", "helm/gramwatt/ci/lab-values.yaml"]);
    let node = of_kind(&lab, "ConfigMap").find(|map| map["metadata"]["name"] == "r-gramwatt");
    let text = node.unwrap()["data"]["gramwatt.yaml"].as_str().unwrap();
    assert!(
        text.contains("url: http://r-gramwatt-relay.default.svc:10061"),
        "{text}"
    );
}

#[test]
fn a_fraction_on_the_command_line_is_a_number() {
    let objects = rendered(
        "helm3",
        "r",
        &["--set", "config.node.pue=1.5,config.grid.zone=DE"],
    );
    let map = of_kind(&objects, "ConfigMap").find(|map| map["metadata"]["name"] == "r-gramwatt");
    let text = map.unwrap()["data"]["gramwatt.yaml"].as_str().unwrap();
    assert!(
        text.contains("pue: 1.5\n") || text.ends_with("pue: 1.5"),
        "{text}"
    );
    // What is a text to the program stays one.
    let header = "config.node.pue.headers.X-Version=1.0";
    let objects = rendered("helm4", "r", &["--set", header]);
    let map = of_kind(&objects, "ConfigMap").find(|map| map["metadata"]["name"] == "r-gramwatt");
    let text = map.unwrap()["data"]["gramwatt.yaml"].as_str().unwrap();
    assert!(text.contains("X-Version: \"1.0\""), "{text}");
}

#[test]
fn no_port_named_is_no_port_opened() {
    let nothing = [
        "--set",
        "networkPolicy.enabled=true,networkPolicy.apiServerPorts=null",
    ];
    let objects = rendered("helm4", "r", &nothing);
    let policy = of_kind(&objects, "NetworkPolicy").next().unwrap();
    for rule in policy["spec"]["egress"].as_array().unwrap() {
        assert!(
            rule["ports"]
                .as_array()
                .is_some_and(|ports| !ports.is_empty()),
            "{rule}"
        );
    }
}

#[test]
fn it_can_be_part_of_another_chart_and_sections_may_be_empty() {
    for values in [
        "enabled=true",
        "config=null",
        "global=null",
        "relay.config=null",
    ] {
        for helm in ["helm3", "helm4"] {
            assert!(
                !rendered(helm, "r", &["--set", values]).is_empty(),
                "{values}"
            );
        }
    }
}

#[test]
fn the_program_knows_the_flags_that_the_chart_gives() {
    for site in sites() {
        let objects = rendered("helm4", "r", &["-f", &site]);
        for (owner, pod) in pods(&objects) {
            let arguments = pod["containers"][0]["args"].as_array().unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_gramwatt"));
            command.args(arguments.iter().map(|one| one.as_str().unwrap()));
            // Whatever it knows it explains; what it does not know it refuses.
            let told = command.arg("--help").output().unwrap();
            assert!(told.status.success(), "{site}: {owner}: {}", said(&told));
        }
    }
}

#[test]
fn scrapes_are_of_nodes_and_not_of_pods() {
    let mut seen = 0;
    for site in sites() {
        let objects = rendered("helm4", "r", &["-f", &site]);
        for (kind, endpoints) in [
            ("ServiceMonitor", "endpoints"),
            ("PodMonitor", "podMetricsEndpoints"),
        ] {
            for monitor in of_kind(&objects, kind) {
                let rules = monitor["spec"][endpoints][0]["relabelings"].to_string();
                assert!(rules.contains("\"targetLabel\":\"instance\""), "{site}");
                assert!(rules.contains("labeldrop"), "{site}");
                seen += 1;
            }
        }
        // What is annotated is not scraped by a monitor too.
        let daemons = of_kind(&objects, "DaemonSet").next().unwrap();
        let notes = &daemons["spec"]["template"]["metadata"]["annotations"];
        let monitored = objects
            .iter()
            .any(|object| object["kind"] == "ServiceMonitor" || object["kind"] == "PodMonitor");
        assert_ne!(notes["prometheus.io/scrape"] == "true", monitored, "{site}");
    }
    assert!(seen >= 3, "{seen}");
}

#[test]
fn what_is_wrong_is_refused_in_words() {
    for (values, words) in [
        (&["nonsense=1"][..], "nonsense"),
        (&["monitor.kind=Monitor"], "kind"),
        (&["service.port=0"], "port"),
        (&["image.digest=latest"], "digest"),
        (
            &[
                "rules.enabled=true",
                "rules.overrides.Gramwatt.enabled=false",
            ],
            "rules.overrides.Gramwatt: no such alert; there are: GramwattDown",
        ),
        (
            &[
                "rules.enabled=true",
                "rules.overrides.GramwattDown.thresholds.ratio=1",
            ],
            "the alert has no such threshold",
        ),
        (
            &["relay.providers[0].type=energy-charts"],
            "set config.grid.zone, or relay.zones",
        ),
        (
            &["updateStrategy.rollingUpdate.maxSurge=1"],
            "two pods cannot keep one node's books",
        ),
        (
            &[
                "relay.providers[0].type=energy-charts",
                "config.grid.zone=DE",
                "relay.replicas=2",
                "relay.cacheSize=1Gi",
            ],
            "several cannot share one cache",
        ),
        (&["nodeSelector.gpu=true"], "gpu"),
    ] {
        for helm in ["helm3", "helm4"] {
            let mut arguments = vec!["template", "r", "helm/gramwatt"];
            for value in values {
                arguments.extend(["--set", value]);
            }
            let told = run(helm, &arguments);
            let said = said(&told);
            assert!(
                !told.status.success() && said.contains(words),
                "{helm} {values:?}: {said}"
            );
        }
    }
}

#[test]
fn the_notes_say_what_was_found_and_what_is_missing() {
    let notes = |more: &[&str]| {
        let mut arguments = vec!["install", "r", "helm/gramwatt", "--dry-run=client"];
        arguments.extend(more);
        let told = run("helm4", &arguments);
        assert!(told.status.success(), "{}", said(&told));
        let text = said(&told);
        text.split("NOTES:").nth(1).unwrap().to_owned()
    };
    let bare = notes(&[]);
    for words in [
        "[ ] NO GRID ZONE",
        "[ ] live intensity",
        "[ ] scraping: no Prometheus operator",
        "[ ] rules and alerts",
        "pod-security.kubernetes.io/enforce=privileged",
        "gramwatt doctor --path.sysfs=/host/sys",
    ] {
        assert!(bare.contains(words), "{words}: {bare}");
    }
    let lab = notes(&["-f", "helm/gramwatt/ci/lab-values.yaml"]);
    assert!(
        lab.contains("asks electricity-maps, energy-charts"),
        "{lab}"
    );
    assert!(!lab.contains("[ ] "), "{lab}");
}

#[test]
fn the_archive_holds_what_is_needed_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().to_string_lossy();
    let told = run("helm4", &["package", "helm/gramwatt", "--destination", &to]);
    assert!(told.status.success(), "{}", said(&told));
    let archive = dir
        .path()
        .join(format!("gramwatt-{}.tgz", env!("CARGO_PKG_VERSION")));
    let listed = Command::new("tar")
        .arg("tzf")
        .arg(&archive)
        .output()
        .unwrap();
    let listed = said(&listed);
    assert!(
        listed.contains("gramwatt/files/dashboards/gramwatt-lab.json"),
        "{listed}"
    );
    assert!(!listed.contains("gramwatt/ci/"), "{listed}");
    let told = run("helm3", &["template", "r", &archive.to_string_lossy()]);
    assert!(told.status.success(), "{}", said(&told));
}

#[test]
fn the_archive_goes_through_a_registry_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let port = lasting_port();
    let config = dir.path().join("registry.yaml");
    let store = dir.path().join("store");
    let text = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
        store.display()
    );
    fs::write(&config, text).unwrap();
    let _registry = started(
        Command::new(tool("docker-registry"))
            .arg("serve")
            .arg(&config)
            .stderr(Stdio::null()),
    );
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    until("the registry answers", || {
        (get(address, "/v2/").ok()?.status == 200).then_some(())
    });
    let to = dir.path().to_string_lossy();
    let done = |told: &Output| assert!(told.status.success(), "{}", said(told));
    done(&run(
        "helm4",
        &["package", "helm/gramwatt", "--destination", &to],
    ));
    let name = format!("gramwatt-{}.tgz", env!("CARGO_PKG_VERSION"));
    let archive = dir.path().join(&name);
    let sent = fs::read(&archive).unwrap();
    let place = format!("oci://{address}/charts");
    done(&run(
        "helm4",
        &["push", &archive.to_string_lossy(), &place, "--plain-http"],
    ));
    for helm in ["helm3", "helm4"] {
        let back = tempfile::tempdir().unwrap();
        let to = back.path().to_string_lossy();
        let from = format!("{place}/gramwatt");
        let version = env!("CARGO_PKG_VERSION");
        done(&run(
            helm,
            &[
                "pull",
                &from,
                "--version",
                version,
                "--destination",
                &to,
                "--plain-http",
            ],
        ));
        assert!(fs::read(back.path().join(&name)).unwrap() == sent, "{helm}");
    }
}
