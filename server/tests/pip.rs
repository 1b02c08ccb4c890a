//! What a developer's `pip install` gets from the constraints file, and how the file is cached.

mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use pinion_proto::v1::RolloutState;
use support::{DAY, Environment, HOUR, SET, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

const PACKAGE: &str = "demo-lib";
const BASELINE: &str = "demo-lib==1.0\n";
const ENVIRONMENTS: usize = 12;

/// Writes the wheels of `demo-lib` 1.0 and 1.1 into the folder it is given.
const WHEELS: &str = r#"
import base64, hashlib, pathlib, sys, zipfile

for version in ("1.0", "1.1"):
    info = f"demo_lib-{version}.dist-info"
    files = {
        "demo_lib.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: demo-lib\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(text)}")
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    with zipfile.ZipFile(pathlib.Path(sys.argv[1], f"demo_lib-{version}-py3-none-any.whl"), "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
"#;

/// Prints the version of the `demo-lib` that is in the folder it is given.
const VERSION: &str = "import importlib.metadata as m, sys; print(*[d.version for d in m.distributions(name='demo-lib', path=[sys.argv[1]])])";

/// A virtual environment with pip, and the wheels that it may install.
struct Pip {
    dir: PathBuf,
    python: PathBuf,
}

/// Runs a program with nobody's settings, and gives its output.
async fn run(program: &Path, home: &Path, arguments: &[&OsStr]) -> Result<String, String> {
    let mut command = Command::new(program);
    for proxy in [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        command.env_remove(proxy);
    }
    let output = command
        .args(arguments)
        .env("HOME", home)
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env("NO_PROXY", "127.0.0.1")
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(words(&output.stdout))
    } else {
        Err(words(&output.stderr) + &words(&output.stdout))
    }
}

impl Pip {
    /// Nothing where this machine has no python with venv and pip, and its absence is allowed.
    async fn find(dir: &Path) -> Option<Self> {
        match Self::make(dir).await {
            Ok(pip) => Some(pip),
            Err(missing) if std::env::var_os("PINION_REQUIRE_PARTS").is_some() => {
                panic!("python3 with venv and pip is required: {missing}")
            }
            Err(missing) => {
                eprintln!("skipped: python3 with venv and pip is needed: {missing}");
                None
            }
        }
    }

    async fn make(dir: &Path) -> Result<Self, String> {
        // The interpreter itself: a shim in the search path may look for its settings in the home folder.
        let found = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .await;
        let found = found.map_err(|error| format!("python3: {error}"))?;
        let interpreter = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
        let venv = dir.join("venv");
        run(
            &interpreter,
            dir,
            &["-m".as_ref(), "venv".as_ref(), venv.as_ref()],
        )
        .await?;
        let python = venv.join("bin/python");
        run(
            &python,
            dir,
            &["-m".as_ref(), "pip".as_ref(), "--version".as_ref()],
        )
        .await?;
        let wheels = dir.join("wheels");
        std::fs::create_dir(&wheels).expect("makes a folder");
        run(
            &python,
            dir,
            &["-c".as_ref(), WHEELS.as_ref(), wheels.as_ref()],
        )
        .await
        .expect("writes the wheels");
        Ok(Self {
            dir: dir.to_owned(),
            python,
        })
    }

    /// Installs the package into an empty folder, and gives the version that came.
    async fn install(&self, server: &Server, token: &str) -> String {
        let target = tempfile::tempdir_in(&self.dir).expect("a folder");
        let constraints = format!(
            "http://pinion:{token}@{}{}",
            server.app.address,
            path_of(SET)
        );
        let wheels = self.dir.join("wheels");
        let mut arguments: Vec<&OsStr> = [
            "-m",
            "pip",
            "install",
            "--isolated",
            "--quiet",
            "--no-index",
        ]
        .map(OsStr::new)
        .into();
        arguments.extend(
            [
                "--disable-pip-version-check",
                "--force-reinstall",
                "--find-links",
            ]
            .map(OsStr::new),
        );
        arguments.extend([
            wheels.as_os_str(),
            "--target".as_ref(),
            target.path().as_ref(),
        ]);
        arguments.extend(["-c", constraints.as_str(), PACKAGE].map(OsStr::new));
        run(&self.python, &self.dir, &arguments)
            .await
            .expect("installs");
        let question: [&OsStr; 3] = ["-c".as_ref(), VERSION.as_ref(), target.path().as_ref()];
        run(&self.python, &self.dir, &question)
            .await
            .expect("reads the version")
    }
}

fn path_of(pin_set: &str) -> String {
    format!("/pin-sets/{pin_set}/constraints.txt")
}

/// One environment that has the candidate and one that has not.
async fn drawn_and_not(
    server: &Server,
    environments: &[Environment],
) -> (Environment, Environment) {
    let (mut drawn, mut others) = (None, None);
    for environment in environments {
        match server.version(&environment.token, PACKAGE).await.as_str() {
            "1.1" => drawn = Some(environment.clone()),
            _ => others = Some(environment.clone()),
        }
    }
    (
        drawn.expect("one is drawn"),
        others.expect("one is not drawn"),
    )
}

async fn complete(server: &Server, rollout: &str) {
    server.promote(rollout, 1.0).await.expect("promotes");
    for _ in 0..7 * 24 {
        if server.rollout(rollout).await.state() == RolloutState::Completed {
            return;
        }
        server.pass(HOUR).await;
    }
    panic!(
        "not completed after a week: {:?}",
        server.rollout(rollout).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_gets_the_right_version_before_during_and_after_a_rollout() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(pip) = Pip::find(dir.path()).await else {
        return;
    };
    let server = Server::start(&dir.path().join("state"), BASELINE).await;
    let environments = server.enroll_many(ENVIRONMENTS).await;

    let rollout = server
        .start_rollout(PACKAGE, "1.1")
        .await
        .expect("starts")
        .id;
    for environment in &environments[..2] {
        assert_eq!(pip.install(&server, &environment.token).await, "1.0");
    }
    assert_eq!(pip.install(&server, &server.team).await, "1.0");

    server.app.controller.tick().await;
    server.promote(&rollout, 0.5).await.expect("promotes");
    let (drawn, other) = drawn_and_not(&server, &environments).await;
    assert_eq!(pip.install(&server, &drawn.token).await, "1.1");
    assert_eq!(pip.install(&server, &other.token).await, "1.0");
    assert_eq!(
        pip.install(&server, &server.team).await,
        "1.0",
        "who is not enrolled is in no cohort"
    );

    complete(&server, &rollout).await;
    for token in [&drawn.token, &other.token, &server.team] {
        assert_eq!(pip.install(&server, token).await, "1.1");
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_install_after_an_abort_gets_the_baseline() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(pip) = Pip::find(dir.path()).await else {
        return;
    };
    let server = Server::start(&dir.path().join("state"), BASELINE).await;
    let environments = server.enroll_many(ENVIRONMENTS).await;
    let rollout = server
        .start_rollout(PACKAGE, "1.1")
        .await
        .expect("starts")
        .id;
    server.app.controller.tick().await;
    server.promote(&rollout, 0.5).await.expect("promotes");
    let (drawn, _) = drawn_and_not(&server, &environments).await;
    assert_eq!(pip.install(&server, &drawn.token).await, "1.1");

    server.abort(&rollout).await.expect("aborts");
    assert_eq!(pip.install(&server, &drawn.token).await, "1.0");
    server.app.stop().await;
}

struct Page {
    status: u16,
    etag: Option<String>,
    challenge: bool,
    body: String,
}

async fn get(
    server: &Server,
    pin_set: &str,
    authorization: Option<&str>,
    known: Option<&str>,
) -> Page {
    let mut request = format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
        path_of(pin_set),
        server.app.address
    );
    if let Some(token) = authorization {
        request.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    if let Some(etag) = known {
        request.push_str(&format!("if-none-match: {etag}\r\n"));
    }
    let mut stream = TcpStream::connect(server.app.address)
        .await
        .expect("connects");
    stream
        .write_all((request + "\r\n").as_bytes())
        .await
        .expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    let header = |name: &str| {
        let mut rows = head.lines().filter_map(|row| row.split_once(": "));
        rows.find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
    };
    Page {
        status,
        etag: header("etag"),
        challenge: header("www-authenticate").is_some(),
        body: body.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_holds_until_the_cohort_changes() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), BASELINE).await;
    let environments = server.enroll_many(ENVIRONMENTS).await;
    let mut before = Vec::new();
    for environment in &environments {
        let page = get(&server, SET, Some(&environment.token), None).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("demo-lib==1.0"), "{}", page.body);
        before.push(page.etag.expect("an ETag"));
    }
    let again = get(&server, SET, Some(&environments[0].token), Some(&before[0])).await;
    assert_eq!(
        (again.status, again.etag.as_ref(), again.body.as_str()),
        (304, Some(&before[0]), "")
    );
    let weak = get(
        &server,
        SET,
        Some(&environments[0].token),
        Some(&format!("W/{}", before[0])),
    )
    .await;
    assert_eq!(weak.status, 304, "a proxy may have weakened it");
    let other = get(
        &server,
        SET,
        Some(&environments[0].token),
        Some("\"something else\""),
    )
    .await;
    assert_eq!(other.status, 200);

    let rollout = server
        .start_rollout(PACKAGE, "1.1")
        .await
        .expect("starts")
        .id;
    server.app.controller.tick().await;
    server.promote(&rollout, 0.5).await.expect("promotes");
    let (drawn, _) = drawn_and_not(&server, &environments).await;
    let index = environments
        .iter()
        .position(|environment| environment.id == drawn.id)
        .expect("enrolled");
    let during = get(&server, SET, Some(&drawn.token), Some(&before[index])).await;
    assert_eq!(during.status, 200);
    assert!(during.body.contains("demo-lib==1.1"), "{}", during.body);
    let etag = during.etag.expect("an ETag");
    assert_ne!(etag, before[index]);
    server.pass(DAY).await;
    server.abort(&rollout).await.expect("aborts");
    let after = get(&server, SET, Some(&drawn.token), Some(&etag)).await;
    assert_eq!(after.status, 200);
    assert!(after.body.contains("demo-lib==1.0"), "{}", after.body);
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_there_is_no_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), BASELINE).await;
    for token in [None, Some("wrong"), Some("")] {
        let page = get(&server, SET, token, None).await;
        assert_eq!(page.status, 401, "{token:?}");
        assert!(
            page.challenge,
            "a client without a password has to be asked for one"
        );
        assert!(!page.body.contains("demo-lib"), "{}", page.body);
    }
    // Whether a set exists is not told to strangers.
    assert_eq!(get(&server, "unknown", None, None).await.status, 401);
    assert_eq!(
        get(&server, "unknown", Some(&server.team), None)
            .await
            .status,
        404
    );
    assert_eq!(
        get(&server, SET, Some(&server.team), None).await.status,
        200
    );
    server.app.stop().await;
}
