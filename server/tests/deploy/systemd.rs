//! The unit, and what the server tells systemd.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use tempfile::tempdir;

use super::parts::{Process, deployed, program, run, text_of};

#[test]
fn the_unit_is_valid() {
    let Some(mut analyze) = program("systemd-analyze") else {
        return;
    };
    let unit = text_of("systemd/piniond.service");
    let installed = "/usr/local/bin/piniond";
    assert!(unit.contains(installed));
    let folder = tempdir().unwrap();
    let path = folder.path().join("piniond.service");
    std::fs::write(
        &path,
        unit.replace(installed, env!("CARGO_BIN_EXE_piniond")),
    )
    .unwrap();
    run(analyze.args(["verify", "--man=no"]).arg(path));
}

#[test]
fn the_unit_exposes_little() {
    let Some(mut analyze) = program("systemd-analyze") else {
        return;
    };
    // In tenths; what is left is that it reaches the network.
    run(analyze
        .args(["security", "--offline=true", "--threshold=13"])
        .arg(deployed("systemd/piniond.service")));
}

#[test]
#[cfg(target_os = "linux")]
fn systemd_is_told_when_the_server_is_ready_and_when_it_stops() {
    let folder = tempdir().unwrap();
    let socket = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let said = || {
        let mut text = [0; 256];
        let length = systemd.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let server = Process::start(
        Command::new(env!("CARGO_BIN_EXE_piniond"))
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"))
            .env("NOTIFY_SOCKET", &socket),
    );
    assert_eq!(said().trim(), "READY=1");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(said().trim(), "STOPPING=1");
}
