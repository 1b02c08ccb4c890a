//! Programs that the tests ask, and files that they ask about.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pinion_server::config::Config;
use serde_json::Value;

/// A file of `deploy/`.
pub(crate) fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(path)
}

pub(crate) fn text_of(path: &str) -> String {
    std::fs::read_to_string(deployed(path)).expect(path)
}

/// Says that a test is skipped, which is a failure where parts are required.
pub(crate) fn skip(what: &str) {
    assert!(
        std::env::var_os("PINION_REQUIRE_PARTS").is_none(),
        "required: {what}"
    );
    eprintln!("skipped: {what}");
}

/// The program, if it is there.
pub(crate) fn program(name: &str) -> Option<Command> {
    let there = Command::new(name).arg("--version").output().is_ok();
    if !there {
        skip(&format!("`{name}` is needed, in PATH"));
    }
    there.then(|| Command::new(name))
}

/// What a program prints, which must succeed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// What `deploy/check` has understood of a file; an error is the test's. Nothing where the program is missing:
/// `PINION_DEPLOY_CHECK` names it, or says `none`.
pub(crate) fn check(kind: &str, path: &Path) -> Option<Value> {
    let Some(program) = std::env::var_os("PINION_DEPLOY_CHECK") else {
        skip("PINION_DEPLOY_CHECK is to name what `go build` makes of server/tests/deploy/check");
        return None;
    };
    if program == "none" {
        eprintln!("skipped: PINION_DEPLOY_CHECK says to do without");
        return None;
    }
    let understood = run(Command::new(program).arg(kind).arg(path));
    Some(serde_json::from_str(&understood).expect("JSON"))
}

/// A sample configuration, which must be one that a server starts with.
pub(crate) fn configuration(path: &str) -> Config {
    let config: Config = toml::from_str(&text_of(path)).expect("every key is known");
    config.validate().expect("is safe");
    config
}

/// A server as a process of its own.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("starts"))
    }

    /// Asks it to end, and gives its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let pid = self.0.id().to_string();
        run(Command::new("kill").args(["-TERM", &pid]));
        self.0.wait().expect("ends").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// What the command prints as soon as it succeeds.
pub(crate) fn eventually(command: &mut Command) -> String {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let output = command.output().expect("can be run");
        if output.status.success() {
            return String::from_utf8(output.stdout).expect("text");
        }
        assert!(
            Instant::now() < patience,
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
