use super::*;
use crate::clock::Moment;
use crate::sensor::{About, Kind, Part, Scope, Source};
use crate::snapshot::{Device, Domain, Grid, Meter, Node, Pue, SensorHealth, Trouble};
use crate::units::{Grams, GramsPerKwh, Joules};
use std::sync::Arc;

const VIEW: View<'static> = View {
    telemetry_path: "/metrics",
    live: false,
};

fn page(snapshot: &Snapshot) -> String {
    let page = render(snapshot, VIEW);
    if let Err(reason) = balanced(&page) {
        panic!("{reason} in {page}");
    }
    page
}

/// Elements that have no end tag (HTML Standard, section 13.1.2).
const VOID: [&str; 3] = ["meta", "link", "br"];

/// Whether every start tag has its end tag, in the right order.
fn balanced(page: &str) -> Result<(), String> {
    let mut open = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').ok_or("a tag has no end")?;
        let name = tag.split_whitespace().next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(name) if open.pop() == Some(name) => {}
            Some(name) => return Err(format!("</{name}> closes nothing")),
            None if name == "!DOCTYPE" || VOID.contains(&name) => {}
            None => open.push(name),
        }
    }
    match open.last() {
        Some(name) => Err(format!("<{name}> is not closed")),
        None => Ok(()),
    }
}

fn at(seconds: u64) -> Moment {
    let time = Duration::from_secs(seconds);
    Moment {
        awake: time,
        boot: time,
        wall: "2026-01-02T03:04:05Z".parse().unwrap(),
    }
}

fn device(id: &str, kind: Kind, method: Method) -> Device {
    Device {
        id: id.into(),
        kind,
        source: None,
        sensor: "rapl".into(),
        method,
        watts: Some(Watts(100.0)),
        joules: Joules(7.2e6),
        grams: Some(Grams(800.0)),
        flow: Some(GramsPerSecond(0.01)),
        embodied: Some(Grams(1.0)),
        utilization: Some(0.5),
        power_limit: Some(Watts(200.0)),
    }
}

fn sensor(name: &str, faults: &[Trouble]) -> SensorHealth {
    SensorHealth {
        name: name.into(),
        up: true,
        last: Some(at(100)),
        took: Some(Duration::from_millis(2)),
        errors: Vec::new(),
        wraps: 0,
        gaps: 0,
        faults: faults.into(),
    }
}

fn trouble(place: &str, mend: &str) -> Trouble {
    Trouble {
        place: place.into(),
        message: "Permission denied".into(),
        mend: mend.into(),
    }
}

fn grid() -> Grid {
    Grid {
        zone: "DE".into(),
        name: "Germany".into(),
        intensity: GramsPerKwh(344.0),
        signal: "average",
        scope: "lifecycle".into(),
        provider: "bundled".into(),
        tier: "static",
        estimated: false,
        vintage: "2024".into(),
        source: "A yearbook".into(),
        valid: Some(1_719_878_400.0),
        cloud_provider: String::new(),
        cloud_region: String::new(),
        market: None,
    }
}

/// A node of one measured package, with which nothing is wrong.
fn well() -> Snapshot {
    Snapshot {
        at: Some(at(100)),
        since: Some(at(40)),
        ready: true,
        devices: vec![device("package-0", Kind::Cpu, Method::Counter)],
        node: Node {
            watts: Some(Watts(100.0)),
            joules: Some(Joules(7.2e6)),
            grams: Some(Grams(800.0)),
            ..Node::default()
        },
        sensors: vec![sensor("rapl", &[])],
        grid: Some(Arc::new(grid())),
        pue: Pue {
            ratio: 1.3,
            origin: "config",
        },
        ..Snapshot::default()
    }
}

/// A text that is dangerous as text, as attribute and as end of an element.
const HOSTILE: &str = "</style></title><script>alert(1)</script>\" onload='x' &amp;";

fn hostile() -> Snapshot {
    let text = || HOSTILE.to_owned();
    let shared = || Arc::<str>::from(HOSTILE);
    let about = About {
        vendor: text(),
        model: text(),
        uuid: text(),
        pci_bus_id: text(),
        driver: text(),
        memory_bytes: None,
        is_piece: false,
    };
    let part = Part::Device {
        id: shared(),
        kind: Kind::Gpu,
    };
    let source = Arc::new(Source {
        part,
        about,
        ceiling: Watts(1.0),
        holds: &[],
    });
    let mut silent = sensor(HOSTILE, &[]);
    silent.up = false;
    let fault = Trouble {
        place: text(),
        message: text(),
        mend: text(),
    };
    Snapshot {
        host: shared(),
        devices: vec![Device {
            id: shared(),
            sensor: shared(),
            source: Some(source),
            ..device("", Kind::Gpu, Method::Modelled)
        }],
        domains: vec![Domain {
            device: shared(),
            domain: shared(),
            joules: Joules(1.0),
        }],
        meters: vec![Meter {
            id: shared(),
            scope: Scope::Unknown,
            in_force: false,
            sensor: shared(),
            watts: None,
            joules: Joules(1.0),
        }],
        sensors: vec![silent, sensor(HOSTILE, &[fault])],
        grid: Some(Arc::new(Grid {
            zone: text(),
            name: text(),
            scope: text(),
            provider: text(),
            vintage: text(),
            source: text(),
            cloud_provider: text(),
            cloud_region: text(),
            ..grid()
        })),
        notes: vec![shared()],
        ..well()
    }
}

#[test]
fn hostile_text_stays_text() {
    let page = page(&hostile());
    let shown = page.matches("&lt;script&gt;alert(1)").count();
    assert!(shown >= 17, "only {shown} of the texts are shown");
    assert!(!page.contains("<script"));
    assert!(!page.contains("\" onload"));
    assert_eq!(page.matches("</style>").count(), 1);
    // What was escaped before is escaped again: it is shown as it was given.
    assert!(page.contains("&amp;amp;"));
}

#[test]
fn a_path_of_the_metrics_is_no_attribute_and_no_scheme() {
    let view = View {
        telemetry_path: "/javascript:alert(1)\"><b>",
        live: false,
    };
    let page = render(&well(), view);
    assert!(page.contains("href=\"./javascript:alert(1)&quot;&gt;&lt;b&gt;\""));
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    for snapshot in [Snapshot::default(), well(), hostile()] {
        let page = page(&snapshot);
        for bad in ["src=", "url(", "@import", "href=\"http", "href=\"//", "://"] {
            assert!(!page.contains(bad), "{bad}");
        }
        assert_eq!(page.matches("<link").count(), 1);
    }
}

#[test]
fn the_three_figures_come_first_then_the_verdict() {
    let page = page(&well()).replace('\u{a0}', " ");
    let order = [
        "100 <span>W</span>",
        "2.00 <span>kWh</span>",
        "800 <span>g</span>",
        "Nothing is wrong",
        "<table",
    ];
    let places: Vec<usize> = order
        .iter()
        .map(|text| page.find(text).unwrap_or_else(|| panic!("no {text}")))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(page.contains("7.20 MJ"));
    assert!(page.contains("2026-01-02 03:04:05 UTC"));
    assert!(page.contains("(1 min 0 s)"));
    assert!(page.contains("36.0 g/h now"));
}

#[test]
fn what_is_unknown_is_never_0() {
    let mut snapshot = well();
    snapshot.node = Node::default();
    snapshot.grid = None;
    let [device] = snapshot.devices.as_mut_slice() else {
        panic!("one device")
    };
    (device.watts, device.grams, device.flow) = (None, None, None);
    snapshot.meters.push(Meter {
        id: "psys".into(),
        scope: Scope::Unknown,
        in_force: false,
        sensor: "rapl".into(),
        watts: None,
        joules: Joules(3600.0),
    });
    let page = page(&snapshot).replace('\u{a0}', " ");
    for zero in [">0 ", ">0<", ">NaN"] {
        assert!(!page.contains(zero), "{zero}");
    }
    // Node: three figures on top, three in the table; the device's power and grams; the meter's power;
    // intensity and embodied.
    assert!(page.matches(">unknown<").count() >= 11);
}

#[test]
fn before_the_first_sample_nothing_is_claimed() {
    let page = page(&Snapshot::default());
    assert!(page.contains("Starting"));
    assert!(page.contains("No sample yet"));
    assert!(!page.contains("Nothing is wrong"));
    assert!(!page.contains("id=\"mend\""));
}

#[test]
fn every_fault_is_shown_with_its_mend() {
    let faults = [
        trouble("/sys/a", "run as root"),
        trouble("/sys/b", "run as root"),
        trouble("/sys/c", "modprobe something"),
        trouble("/sys/d", ""),
    ];
    let snapshot = Snapshot {
        sensors: vec![sensor("rapl", &faults), sensor("hwmon", &[])],
        ..well()
    };
    let page = page(&snapshot);
    for text in ["/sys/a", "/sys/b", "/sys/c", "/sys/d", "modprobe something"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains("1 of 2 sensors cannot read everything"));
    assert!(page.contains("No mend is known"));
    assert_eq!(page.matches("run as root").count(), 1);
}

#[test]
fn a_verdict_of_wrong_is_never_without_what_to_do() {
    let mut silent = well();
    silent.sensors[0].up = false;
    let mut lost = well();
    lost.devices
        .push(device("package-1", Kind::Cpu, Method::Counter));
    lost.devices[1].watts = None;
    let mut empty = well();
    empty.devices.clear();
    let mut denied = well();
    denied.sensors[0] = sensor("rapl", &[trouble("/sys/a", "run as root")]);
    for (snapshot, expected) in [
        (silent, "rapl</strong> does not answer"),
        (lost, "not of <code>package-1</code>"),
        (empty, "No device can be read or modelled here"),
        (denied, "run as root"),
    ] {
        assert_eq!(Verdict::of(&snapshot).level, verdict::Level::Wrong);
        let page = page(&snapshot);
        assert!(page.contains("id=\"mend\""));
        assert!(page.contains("href=\"#mend\""));
        assert!(page.contains(expected), "{expected}");
    }
}

#[test]
fn a_counter_read_once_is_no_fault() {
    let mut snapshot = well();
    snapshot.node.watts = None;
    snapshot.devices[0].watts = None;
    assert_eq!(Verdict::of(&snapshot).level, verdict::Level::Starting);
    assert!(!page(&snapshot).contains("id=\"mend\""));
}

#[test]
fn the_demo_says_so_first() {
    let page = page(&Snapshot {
        demo: true,
        ..well()
    });
    let body = page.find("<body>").unwrap();
    assert!(page[body..].starts_with("<body><p class=\"demo\"><strong>Synthetic data"));
    assert!(page.contains("<title>DEMO "));
    assert!(!page.contains("1 device measured"));
    assert!(!super::tests::page(&well()).contains("Synthetic"));
}

#[test]
fn no_zone_tells_how_to_set_it() {
    let page = page(&Snapshot {
        grid: None,
        ..well()
    });
    assert!(page.contains("No grid zone is set."));
    assert!(page.contains("CO₂e is unknown until a grid zone is set"));
    assert!(page.contains("<code>--grid.zone</code>"));
}

#[test]
fn an_intensity_tells_its_provenance() {
    let page = page(&well());
    for text in [
        "DE",
        "Germany",
        "344",
        "average",
        "lifecycle",
        "bundled",
        "static",
        "2024",
        "A yearbook",
        "2024-07-02",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(page.contains("<dt>Estimated</dt><dd>no</dd>"));
    let estimated = Grid {
        estimated: true,
        ..grid()
    };
    let page = super::tests::page(&Snapshot {
        grid: Some(Arc::new(estimated)),
        ..well()
    });
    assert!(page.contains("<dt>Estimated</dt><dd>yes"));
}

#[test]
fn a_pue_that_is_not_set_is_not_1() {
    let set = page(&well());
    assert!(set.contains("<strong>1.3</strong>, from the configuration"));
    assert!(!set.contains("not set"));
    let unset = page(&Snapshot {
        pue: Pue::default(),
        ..well()
    });
    assert!(unset.contains("<strong>PUE not set</strong>"));
    assert!(!unset.contains("PUE 1"));
}

#[test]
fn what_is_modelled_is_marked() {
    const MARK: &str = "<strong class=\"modelled\">modelled, not measured</strong>";
    assert!(!page(&well()).contains(MARK));
    let mut snapshot = well();
    snapshot
        .devices
        .push(device("dram-0", Kind::Dram, Method::Modelled));
    snapshot.node.modelled = Joules(3.6e6);
    snapshot.node.watts = Some(Watts(200.0));
    let page = page(&snapshot).replace('\u{a0}', " ");
    assert_eq!(page.matches(MARK).count(), 1);
    // Of the watts, and of the joules.
    assert_eq!(page.matches("50 % of it modelled").count(), 2);
    assert!(page.contains("1 of 2 devices is modelled, not measured"));
}

#[test]
fn meters_and_domains_stand_apart() {
    let meter = |id: &str, class| Meter {
        id: id.into(),
        scope: Scope::Node(class),
        sensor: "hwmon".into(),
        watts: Some(Watts(150.0)),
        joules: Joules(1.0),
        in_force: class == MeterClass::Acpi,
    };
    let mut snapshot = Snapshot {
        meters: vec![
            meter("acpi-0", MeterClass::Acpi),
            meter("psys", MeterClass::Psys),
        ],
        domains: vec![Domain {
            device: "package-0".into(),
            domain: "uncore".into(),
            joules: Joules(1.0),
        }],
        ..well()
    };
    snapshot.node.meter = Some(MeterClass::Acpi);
    let page = page(&snapshot);
    let apart = page.find("are not summed with them").unwrap();
    assert!(page[apart..].contains("uncore"));
    assert!(page.contains("Meter in force: the ACPI power meter"));
    assert_eq!(page.matches("in force</strong>").count(), 1);
    assert!(page[apart..].contains("acpi-0</span> <strong"));
    let without = super::tests::page(&well());
    assert!(without.contains("no wall meter in force"));
    assert!(!without.contains("not summed"));
}

#[test]
fn it_reloads_itself_only_when_asked() {
    let reloads = |live| render(&well(), View { live, ..VIEW }).contains("http-equiv=\"refresh\"");
    assert!(reloads(true));
    assert!(!reloads(false));
}

#[test]
fn a_page_of_a_large_node_is_small() {
    let mut snapshot = well();
    let gpus = (0..8).map(|n| {
        let id = format!("GPU-01234567-89ab-cdef-0123-{n:012}");
        device(&id, Kind::Gpu, Method::Counter)
    });
    snapshot.devices.extend(gpus);
    for (id, kind) in [
        ("package-1", Kind::Cpu),
        ("dram-0", Kind::Dram),
        ("dram-1", Kind::Dram),
        ("other", Kind::Other),
    ] {
        snapshot.devices.push(device(id, kind, Method::Counter));
    }
    let size = page(&snapshot).len();
    assert!(size < 30_000, "{size} bytes");
}
