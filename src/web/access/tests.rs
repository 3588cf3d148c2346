use super::*;
use crate::web::tests::certificates::{Authority, Lab, TLS};

const RATE: &str = "rate_limit: {interval: 1s, burst: 3}\n";

fn start(lab: &Lab) -> InForce {
    InForce::start(Some(&lab.config())).unwrap()
}

#[test]
fn a_change_comes_into_force_at_the_second_look_that_sees_it() {
    let lab = Lab::new("");
    let force = start(&lab);
    force.look();
    lab.write("web.yml", "rate_lim");
    force.look();
    lab.write("web.yml", RATE);
    force.look();
    assert!(force.now().bucket.is_none(), "it has just changed");
    force.look();
    assert!(force.now().bucket.is_some());
    let applied = force.now();
    force.look();
    force.look();
    assert!(
        Arc::ptr_eq(&applied, &force.now()),
        "nothing has changed since"
    );
}

#[test]
fn a_bad_file_leaves_the_old_one_in_force_until_it_is_mended() {
    let lab = Lab::new(RATE);
    let force = start(&lab);
    let before = force.now();
    for bad in [
        "rate_limt: {}\n",
        "\u{0}",
        "tls_server_config: {cert_file: a, key_file: b}\n",
    ] {
        lab.write("web.yml", bad);
        force.look();
        force.look();
        assert!(Arc::ptr_eq(&before, &force.now()), "{bad}");
        assert!(force.watch().complaint.is_some(), "{bad}");
        force.reload().unwrap_err();
    }
    std::fs::remove_file(lab.config()).unwrap();
    force.look();
    force.look();
    assert!(Arc::ptr_eq(&before, &force.now()));
    lab.write("web.yml", "rate_limit: {interval: 1s, burst: 4}\n");
    force.look();
    force.look();
    assert!(!Arc::ptr_eq(&before, &force.now()));
    assert!(force.watch().complaint.is_none());
}

#[test]
fn a_key_that_comes_after_its_certificate_is_waited_for() {
    let lab = Lab::new(TLS);
    let force = start(&lab);
    let before = force.now();
    let pair = lab.authority.issue("localhost");
    lab.write("server.crt", &pair.certificate);
    force.look();
    force.look();
    assert!(
        Arc::ptr_eq(&before, &force.now()),
        "the key is still the old one"
    );
    lab.write("server.key", &pair.key);
    force.look();
    force.look();
    assert!(!Arc::ptr_eq(&before, &force.now()));
}

#[test]
fn what_a_refused_file_lacks_may_come_later() {
    let lab = Lab::new(TLS);
    let force = start(&lab);
    let before = force.now();
    lab.write(
        "web.yml",
        "tls_server_config: {cert_file: new.crt, key_file: new.key}\n",
    );
    force.look();
    force.look();
    assert!(Arc::ptr_eq(&before, &force.now()));
    // Neither is a file that is in force, and yet they are noticed.
    let pair = Authority::new().issue("localhost");
    lab.write("new.crt", &pair.certificate);
    lab.write("new.key", &pair.key);
    force.look();
    assert!(!Arc::ptr_eq(&before, &force.now()));
}

#[test]
fn tls_is_not_lost_by_an_edit() {
    let lab = Lab::new(TLS);
    let force = start(&lab);
    lab.write("web.yml", "");
    let error = force.reload().unwrap_err().to_string();
    assert!(error.ends_with("restart for that"), "{error}");
    assert!(force.now().tls.is_some());
}

#[test]
fn proofs_and_tokens_outlive_a_new_certificate() {
    let hash = bcrypt::hash("x", 4).unwrap();
    let lab = Lab::new(&format!("{TLS}{RATE}basic_auth_users: {{anna: {hash}}}\n"));
    let force = start(&lab);
    let before = force.now();
    lab.install(&lab.authority.issue("localhost"));
    force.reload().unwrap();
    let after = force.now();
    assert!(Arc::ptr_eq(&before.users, &after.users));
    assert!(Arc::ptr_eq(
        before.bucket.as_ref().unwrap(),
        after.bucket.as_ref().unwrap()
    ));
}

#[test]
fn a_bucket_fills_up_to_its_brim_at_its_pace() {
    let rate = Rate {
        interval: Duration::from_secs(10),
        burst: 2,
    };
    let bucket = Bucket::new(rate);
    let begun = Instant::now();
    let at = |seconds| begun + Duration::from_secs(seconds);
    assert!(bucket.take(at(1)).is_ok() && bucket.take(at(1)).is_ok());
    assert_eq!(bucket.take(at(1)).unwrap_err().as_secs_f64().round(), 10.0);
    assert_eq!(bucket.take(at(6)).unwrap_err().as_secs_f64().round(), 5.0);
    assert!(bucket.take(at(11)).is_ok());
    assert!(bucket.take(at(11)).is_err());
    // An hour fills two, not 360.
    assert!(bucket.take(at(3611)).is_ok() && bucket.take(at(3611)).is_ok());
    assert!(bucket.take(at(3611)).is_err());
}
