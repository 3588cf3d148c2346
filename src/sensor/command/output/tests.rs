use super::*;

/// What a page could be made of.
fn told(readings: &Readings) -> Vec<String> {
    let one = |reading: &Reading| format!("{} {}", reading.source.part, reading.value);
    readings.good.iter().map(one).collect()
}

fn read(printed: impl AsRef<[u8]>) -> Readings {
    super::read(printed.as_ref(), Unit::Watts, Watts(3000.0), "/bin/tool")
}

#[test]
fn a_header_names_the_columns() {
    let readings = read(
        "uuid, Kind, watts, device, model, utilization, power_limit\n\
         01-a, gpu, 250, hl-0,\"HL-225, OAM\", 87%, 600 W\n\
         , gpu, 251, hl-1, N/A, 0.5\n\
         01-c, gpu, 252, hl-2, , n/a,\n",
    );
    assert!(readings.bad.is_empty(), "{:?}", readings.bad);
    let [first, second, third] = &readings.good[..] else {
        panic!("{:?}", readings.good);
    };
    assert_eq!(told(&readings)[0], "hl-0 draws 250.0 W");
    let about = &first.source.about;
    assert_eq!((&*about.model, &*about.uuid), ("HL-225, OAM", "01-a"));
    assert_eq!((first.utilization, first.power_limit), (Some(0.87), Some(Watts(600.0))));
    assert_eq!((second.utilization, second.power_limit), (Some(0.5), None));
    assert_eq!((&*second.source.about.model, &*second.source.about.uuid), ("", ""));
    assert_eq!((third.utilization, third.power_limit), (None, None));
    // A header's unit goes before the configured one.
    let counted = read("device,kind,joules\na,gpu,5\n");
    assert!(matches!(counted.good[0].value, Value::Counter { .. }));
}

#[test]
fn a_bad_line_is_named_and_costs_itself() {
    for (bad, mend) in [
        ("b,gpu,NaN", "a number of at least 0"),
        ("b,gpu,-1", "a number of at least 0"),
        ("b,gpu,inf", "a number of at least 0"),
        ("b,gpu,12 mW", "a number of at least 0"),
        ("b,gpu,twelve", "a number of at least 0"),
        ("b,gpu,", "a number of at least 0"),
        ("b,gpu", "a number of at least 0"),
        ("b,gpu,1e300", "set ceiling_watts"),
        ("b,gpu,3000.1", "set ceiling_watts"),
        ("b,gpu,1,2", "4 cells"),
        ("b,other,1", "overlaps devices"),
        ("b,meter,1", "overlaps devices"),
        ("b,,1", "overlaps devices"),
        (",gpu,1", "a device's id"),
        ("other,gpu,1", "a device's id"),
        ("b b,gpu,1", "a device's id"),
        ("b\"b,gpu,1", "a device's id"),
        ("b{,gpu,1", "a device's id"),
        ("b\u{e9},gpu,1", "a device's id"),
        ("\"b,gpu,1", "a device's id"),
        ("b", "overlaps devices"),
        ("b,gpu,1\rc,gpu,2", "one line for each device"),
        ("<html>", "a device's id"),
        ("\0\0,gpu,1", "a device's id"),
    ] {
        let readings = read(format!("a,gpu,1\n\n# next\n{bad}\nz,gpu,2\n"));
        assert_eq!(told(&readings), ["a draws 1.0 W", "z draws 2.0 W"], "{bad:?}");
        let [fault] = &readings.bad[..] else {
            panic!("{bad:?}: {:?}", readings.bad);
        };
        assert_eq!(fault.place, "/bin/tool line 4");
        assert!(fault.mend.contains(mend), "{bad:?}: {}", fault.mend);
        assert_eq!(fault.reason(), "parse");
    }
    let long = "x".repeat(65);
    for bad in [format!("{long},gpu,1"), "x".repeat(60_000)] {
        let readings = read(&bad);
        assert!(readings.good.is_empty());
        assert!(readings.bad[0].to_string().len() < 400, "{}", readings.bad[0]);
    }
    let mut bytes = b"a,gpu,1\n\xff\xfe,gpu,1\nb,gpu,2".to_vec();
    assert_eq!(told(&read(&bytes)), ["a draws 1.0 W", "b draws 2.0 W"]);
    // Marked as UTF-8 by a tool from elsewhere.
    bytes.splice(0..0, *b"\xef\xbb\xbf");
    assert_eq!(told(&read(&bytes)).len(), 2);
    assert_eq!(read("a,gpu,-0.0").good[0].value.to_string(), "draws 0.0 W");
}

#[test]
fn a_bad_cell_that_need_not_be_there_costs_that_cell() {
    for (cells, mend) in [
        ("1.5,600,m", "utilization"),
        ("87,600,m", "utilization"),
        ("-0.1,600,m", "utilization"),
        ("101%,600,m", "utilization"),
        ("nan,600,m", "utilization"),
        ("0.5,none,m", "power_limit"),
        ("0.5,-5,m", "power_limit"),
        ("0.5,0,m", "power_limit"),
        ("0.5,1e9,m", "power_limit"),
        ("0.5,600,m\u{1}m", "model and uuid"),
        (&format!("0.5,600,{}", "m".repeat(129)), "model and uuid"),
    ] {
        let text = format!("device,kind,watts,utilization,power_limit,model\na,gpu,1,{cells}\n");
        let readings = read(&text);
        assert_eq!(told(&readings), ["a draws 1.0 W"], "{cells}");
        assert_eq!(readings.bad.len(), 1, "{cells}: {:?}", readings.bad);
        assert!(readings.bad[0].mend.contains(mend), "{cells}: {}", readings.bad[0].mend);
        let first = &readings.good[0];
        assert_eq!(first.utilization.is_none(), mend == "utilization", "{cells}");
        assert_eq!(first.power_limit.is_none(), mend == "power_limit", "{cells}");
        assert_eq!(first.source.about.model.is_empty(), mend.starts_with("model"), "{cells}");
    }
}

#[test]
fn a_header_that_lacks_or_doubts_something() {
    for header in ["device,watts", "kind,watts", "device,kind", "device,kind,watts,joules"] {
        let readings = read(format!("{header}\na,gpu,1\nb,gpu,2\n"));
        assert!(readings.good.is_empty(), "{header}");
        assert_eq!(readings.bad.len(), 1, "{header}: {:?}", readings.bad);
        assert!(readings.bad[0].mend.contains("must name"), "{header}");
    }
    for header in ["device,kind,watts,utilisation", "device,kind,watts,watts"] {
        let readings = read(format!("{header}\na,gpu,1,2\n"));
        assert_eq!(told(&readings), ["a draws 1.0 W"], "{header}");
        assert_eq!(readings.bad.len(), 1, "{header}");
        assert!(readings.bad[0].mend.contains("a header may name"), "{header}");
    }
}

#[test]
fn a_device_that_is_told_of_twice_is_not_booked() {
    let readings = read("a,gpu,1\nb,gpu,2\na,gpu,3\nc,cpu,4\nc,dram,5\nc,dram,5\n");
    assert_eq!(told(&readings), ["b draws 2.0 W"]);
    let faults: Vec<String> = readings.bad.iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 2);
    assert!(faults[0].starts_with("/bin/tool line 3: device a is in line 1 already"), "{faults:?}");
    assert!(faults[1].starts_with("/bin/tool line 5: device c"), "{faults:?}");
}

#[test]
fn lines_are_bounded_and_nothing_is_nothing() {
    let many: String = (0..1500).map(|n| format!("d{n},gpu,1\n")).collect();
    let readings = read(&many);
    assert_eq!((readings.good.len(), readings.bad.len()), (1000, 1));
    assert!(readings.bad[0].place.ends_with("line 1001"));
    for nothing in ["", "\n\n", "# none\n", "device,kind,watts\n"] {
        let readings = read(nothing);
        assert!(readings.good.is_empty() && readings.bad.is_empty(), "{nothing:?}");
    }
}
