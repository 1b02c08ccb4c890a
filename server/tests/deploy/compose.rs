//! The sample of three servers on one machine, read as `docker compose config` reads it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value};
use tempfile::tempdir;

use super::parts::{
    Process, check, configuration, deployed, eventually, free_address, program, run,
};

const FILE: &str = "compose/compose.yaml";

#[test]
fn there_are_three_servers_three_members_of_etcd_and_what_watches_them() {
    let Some(services) = services() else { return };
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    let [etcd, pinion] = ["etcd", "pinion"].map(|name| [1, 2, 3].map(|n| format!("{name}{n}")));
    let mut expected: Vec<&str> = etcd.iter().chain(&pinion).map(String::as_str).collect();
    expected.extend(["collector", "grafana", "prometheus"]);
    expected.sort_unstable();
    assert_eq!(names, expected);
    for name in pinion {
        let waits_for: Vec<&String> = services[&name]["depends_on"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        assert_eq!(waits_for, etcd.iter().collect::<Vec<_>>());
    }
}

#[test]
fn every_service_is_hardened_limited_of_one_version_and_published_on_loopback_alone() {
    let Some(services) = services() else { return };
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(
            service["security_opt"],
            serde_json::json!(["no-new-privileges:true"]),
            "{name}"
        );
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(
            limits["memory"].is_string() && limits["cpus"].is_number(),
            "{name}"
        );
        let (_, tag) = service["image"].as_str().unwrap().rsplit_once(':').unwrap();
        assert!(tag.contains('.'), "{name}: `{tag}` is of no exact version");
        for port in service
            .get("ports")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}");
        }
    }
}

#[test]
fn every_file_that_it_names_is_there_or_made_and_no_secret_is_tracked() {
    let Some(project) = check("compose", &deployed(FILE)) else {
        return;
    };
    let file = |named: &Value| named["file"].as_str().unwrap().to_owned();
    for (name, config) in project["configs"].as_object().unwrap() {
        let path = deployed("compose").join(file(config));
        assert!(path.is_file(), "{name}: {path:?}");
    }
    let Some(made) = Made::new() else { return };
    for (name, secret) in project["secrets"].as_object().unwrap() {
        let path = made.path(&file(secret));
        let found = std::fs::metadata(&path).expect(name);
        assert_eq!(found.permissions().mode() & 0o077, 0, "{name} is open");
    }
    let tracked = run(Command::new("git")
        .arg("-C")
        .arg(deployed("compose"))
        .arg("ls-files"));
    assert!(
        !tracked.contains("secrets/") && !tracked.contains(".env"),
        "{tracked}"
    );
}

#[test]
fn the_certificates_are_of_their_authority_for_their_names_and_stay_when_made_again() {
    let Some(made) = Made::new() else { return };
    for (name, purpose, host) in [
        ("server", "sslserver", Some("pinion2")),
        ("etcd", "sslserver", Some("etcd3")),
        ("etcd", "sslclient", None),
        ("etcd-client", "sslclient", None),
    ] {
        let mut verify = Command::new("openssl");
        verify.args(["verify", "-purpose", purpose, "-CAfile"]);
        verify.arg(made.path("secrets/ca.crt"));
        if let Some(host) = host {
            verify.args(["-verify_hostname", host]);
        }
        run(verify.arg(made.path(&format!("secrets/{name}.crt"))));
    }
    let before = std::fs::read(made.path("secrets/server.crt")).unwrap();
    made.make();
    assert_eq!(
        std::fs::read(made.path("secrets/server.crt")).unwrap(),
        before
    );
    std::fs::remove_file(made.path("secrets/server.crt")).unwrap();
    made.make();
    assert_ne!(
        std::fs::read(made.path("secrets/server.crt")).unwrap(),
        before
    );
}

#[test]
fn a_server_with_such_a_certificate_says_that_it_is_healthy() {
    let Some(made) = Made::new() else { return };
    let sample = configuration("compose/etc/pinion.toml");
    assert_eq!(
        sample.tls.unwrap().certificate,
        Path::new("/run/secrets/server.crt")
    );
    let listen = free_address();
    let text = format!(
        "listen = \"{listen}\"\ndata_dir = {:?}\n[tls]\ncertificate = {:?}\nkey = {:?}\n",
        made.path("pinion"),
        made.path("secrets/server.crt"),
        made.path("secrets/server.key")
    );
    std::fs::write(made.path("pinion.toml"), text).unwrap();
    let piniond = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_piniond"));
        command.env("PINION_CONFIG", made.path("pinion.toml"));
        command
    };
    let server = Process::start(&mut piniond());
    assert_eq!(eventually(piniond().arg("health")), "ready\n");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(
        piniond().arg("health").output().unwrap().status.code(),
        Some(1)
    );
}

#[test]
fn what_is_scraped_are_the_servers_and_members_that_there_are() {
    let Some(services) = services() else { return };
    let scraped = std::fs::read_to_string(deployed("compose/etc/prometheus.yaml")).unwrap();
    let targets: BTreeSet<&str> = scraped
        .split('"')
        .filter_map(|target| {
            target
                .strip_suffix(":7460")
                .or(target.strip_suffix(":2381"))
        })
        .collect();
    let mut running: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    for other in ["collector", "grafana", "prometheus"] {
        running.remove(other);
    }
    assert_eq!(targets, running);
}

#[test]
fn docker_itself_reads_it_where_it_can() {
    let mut compose = Command::new("docker");
    let has_compose = compose.args(["compose", "version"]).output();
    if !has_compose.is_ok_and(|output| output.status.success()) {
        // No registry has it by name, so it is never required.
        return eprintln!("skipped: docker has no compose here");
    }
    let mut compose = Command::new("docker");
    run(compose
        .args(["compose", "--file"])
        .arg(deployed(FILE))
        .args(["config", "--quiet"]));
}

fn services() -> Option<Map<String, Value>> {
    let project = check("compose", &deployed(FILE))?;
    Some(project["services"].as_object().unwrap().clone())
}

/// What `make-secrets.sh` makes.
struct Made(tempfile::TempDir);

impl Made {
    fn new() -> Option<Self> {
        program("openssl")?;
        let made = Self(tempdir().unwrap());
        std::fs::copy(
            deployed("compose/make-secrets.sh"),
            made.path("make-secrets.sh"),
        )
        .unwrap();
        made.make();
        Some(made)
    }

    fn make(&self) {
        run(Command::new("sh").arg(self.path("make-secrets.sh")));
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}
