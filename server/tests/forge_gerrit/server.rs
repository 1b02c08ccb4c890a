//! A real Gerrit on loopback, one for all tests of this program, from the jars with which Gerrit tests itself.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

/// Where the jars are kept between runs.
const CACHE: &str = env!("CARGO_TARGET_TMPDIR");
const LAUNCHER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/forge_gerrit/Launch.java"
);
/// What the jars need beyond each other.
const BOUNCY_CASTLE: &str = "1.78.1";
/// How long it may take to start on a busy machine.
const START_MAX: Duration = Duration::from_secs(240);

/// A Gerrit that runs until this program ends.
pub(crate) struct Gerrit {
    /// Its address, without a slash at its end.
    pub(crate) url: String,
    _process: Child,
    /// It ends when this is closed.
    _input: ChildStdin,
}

impl Gerrit {
    /// The one Gerrit; nothing where this machine cannot run it, and its absence is allowed.
    pub(crate) fn get() -> Option<&'static Self> {
        static GERRIT: OnceLock<Result<Gerrit, String>> = OnceLock::new();
        match GERRIT.get_or_init(Self::start) {
            Ok(gerrit) => Some(gerrit),
            Err(missing) if std::env::var_os("PINION_REQUIRE_PARTS").is_some() => {
                panic!("a Gerrit by java and mvn is required: {missing}")
            }
            Err(missing) => {
                eprintln!("skipped: a Gerrit by java and mvn is needed: {missing}");
                None
            }
        }
    }

    fn start() -> Result<Self, String> {
        let jars = jars(gerrit_for(java_version()?))?;
        let class_path = std::env::join_paths(jars).map_err(|error| error.to_string())?;
        let log = Path::new(CACHE).join(format!("gerrit-{}.log", std::process::id()));
        let log_file = File::create(&log).map_err(|error| error.to_string())?;
        let mut process = Command::new("java")
            .args(["-Xmx768m", "-cp"])
            .arg(class_path)
            .args([LAUNCHER, CACHE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .map_err(|error| format!("java cannot be run: {error}"))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("java has no pipes".to_owned());
        };
        let url = first_line(output)
            .ok_or_else(|| format!("Gerrit did not start; see `{}`", log.display()))?;
        // What it says from now on is of interest only while it runs.
        let _ = std::fs::remove_file(&log);
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            _process: process,
            _input: input,
        })
    }
}

fn first_line(output: ChildStdout) -> Option<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        // Nobody waits any more once the time is up.
        let _ = send.send(read.is_ok().then_some(line));
    });
    let line = receive.recv_timeout(START_MAX).ok().flatten()?;
    Some(line.trim().to_owned()).filter(|line| line.starts_with("http"))
}

/// The latest Gerrit for this version of Java.
fn gerrit_for(java: u32) -> &'static str {
    match java {
        21.. => "3.13.5",
        _ => "3.10.2",
    }
}

fn java_version() -> Result<u32, String> {
    let output = Command::new("java")
        .arg("-version")
        .output()
        .map_err(|error| format!("java cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = text.split('"').nth(1).unwrap_or_default();
    let major = version.split(['.', '-', '+']).next().unwrap_or_default();
    match major.parse() {
        Ok(version) if version >= 17 => Ok(version),
        _ => Err(format!("Java 17 or later is needed, not {text}")),
    }
}

/// Gerrit's jars, fetched by mvn where they are not here yet.
fn jars(version: &str) -> Result<Vec<PathBuf>, String> {
    let folder = Path::new(CACHE).join("gerrit-jars");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let lock = File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    [
        ("com.google.gerrit", "gerrit-acceptance-framework", version),
        ("com.google.gerrit", "gerrit-plugin-api", version),
        ("org.bouncycastle", "bcprov-jdk18on", BOUNCY_CASTLE),
        ("org.bouncycastle", "bcpg-jdk18on", BOUNCY_CASTLE),
    ]
    .into_iter()
    .map(|(group, name, version)| jar(&folder, group, name, version))
    .collect()
}

fn jar(folder: &Path, group: &str, name: &str, version: &str) -> Result<PathBuf, String> {
    let jar = folder.join(format!("{name}-{version}.jar"));
    if jar.is_file() {
        return Ok(jar);
    }
    let fresh = tempfile::tempdir_in(folder).map_err(|error| error.to_string())?;
    let output = Command::new("mvn")
        .args(["--batch-mode", "--quiet"])
        .arg("org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy")
        .arg(format!("-Dartifact={group}:{name}:{version}"))
        .arg(format!("-DoutputDirectory={}", fresh.path().display()))
        .output()
        .map_err(|error| format!("mvn cannot be run: {error}"))?;
    let file_name = jar.file_name().unwrap_or_default();
    std::fs::rename(fresh.path().join(file_name), &jar).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        format!("mvn did not bring `{name}` ({error}): {said}")
    })?;
    Ok(jar)
}
