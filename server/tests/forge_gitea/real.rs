//! All facts against a real Gitea: a program named by the environment variable `PINION_GITEA` (`none`: do without), or
//! `gitea` in `PATH`. One that was built without its assets lies in the folder of its source; `.ci/run` builds it so. It
//! runs as another user where we are root, since it refuses to be that.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::all_facts;
use crate::forge_http::person::Person;
use crate::place::{LABELS, Place};

/// The user `nobody`.
const NOBODY: u32 = 65534;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_gitea_does_as_the_stand_in_does() {
    if std::env::var_os("PINION_GITEA").is_some_and(|named| named == "none") {
        return eprintln!("skipped: PINION_GITEA says to do without");
    }
    let Some(program) = find() else {
        assert!(
            std::env::var_os("PINION_REQUIRE_PARTS").is_none(),
            "a Gitea is required: name its program in PINION_GITEA"
        );
        eprintln!("skipped: a Gitea is needed, in PATH or named by PINION_GITEA");
        return;
    };
    let gitea = Gitea::start(&program).await;
    all_facts(async |fact| gitea.place(fact).await).await;
}

fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("PINION_GITEA") {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "PINION_GITEA names no file");
        return Some(named);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("gitea"))
        .find(|program| program.is_file())
}

/// A server on loopback with its database in a temporary folder; ended when dropped.
struct Gitea {
    folder: TempDir,
    program: PathBuf,
    port: u16,
    server: Option<Child>,
    ada: String,
}

impl Gitea {
    async fn start(program: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut gitea = Self {
            folder,
            program: program.to_owned(),
            port,
            server: None,
            ada: String::new(),
        };
        gitea.configure();
        gitea.run(&["migrate"]);
        gitea.add_user("ada", true);
        gitea.ada = gitea.token("ada", "all");
        let log = std::fs::File::create(gitea.folder.path().join("log")).expect("a file");
        let mut server = gitea.command(&["web"]);
        server.stdout(Stdio::null()).stderr(log);
        gitea.server = Some(server.spawn().expect("Gitea starts"));
        gitea.wait().await;
        gitea
    }

    fn configure(&self) {
        let folder = self.folder.path().display();
        let source = self.program.parent().expect("a folder");
        let assets = match source.join("templates").is_dir() {
            true => format!("STATIC_ROOT_PATH = {}", source.display()),
            false => String::new(),
        };
        let port = self.port;
        let text = format!(
            "[security]\nINSTALL_LOCK = true\n[database]\nDB_TYPE = sqlite3\nPATH = {folder}/gitea.db\n\
             [server]\nHTTP_ADDR = 127.0.0.1\nHTTP_PORT = {port}\nROOT_URL = http://127.0.0.1:{port}/\n\
             OFFLINE_MODE = true\nDISABLE_SSH = true\n{assets}\n[log]\nLEVEL = Error\nMODE = console\n\
             [repository]\nROOT = {folder}/repositories\n[cron]\nENABLED = false\n"
        );
        std::fs::write(self.folder.path().join("app.ini"), text).expect("a file");
        if rustix::process::geteuid().is_root() {
            let everyone = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(self.folder.path(), everyone).expect("permissions");
            for path in [
                self.folder.path().to_owned(),
                self.folder.path().join("app.ini"),
            ] {
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("an owner");
            }
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match rustix::process::geteuid().is_root() {
            true => {
                let mut command = Command::new("setpriv");
                let user = NOBODY.to_string();
                command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]);
                command.arg(&self.program);
                command
            }
            false => Command::new(&self.program),
        };
        command
            .args(arguments)
            .arg("--config")
            .arg(self.folder.path().join("app.ini"))
            .env("HOME", self.folder.path())
            .env("GITEA_WORK_DIR", self.folder.path())
            .env_remove("USER")
            .current_dir(self.folder.path());
        command
    }

    /// Runs a command of the program and gives the last line that it printed.
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("Gitea runs");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {printed}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        printed.lines().last().unwrap_or_default().to_owned()
    }

    fn add_user(&self, name: &str, is_admin: bool) {
        let email = format!("{name}@example.org");
        let mut arguments = vec![
            "admin",
            "user",
            "create",
            "--username",
            name,
            "--email",
            &email,
        ];
        arguments.extend(["--random-password", "--must-change-password=false"]);
        if is_admin {
            arguments.push("--admin");
        }
        self.run(&arguments);
    }

    fn token(&self, user: &str, scopes: &str) -> String {
        let arguments = ["admin", "user", "generate-access-token", "--raw"];
        let of = ["--username", user, "--scopes", scopes];
        self.run(&[arguments.as_slice(), of.as_slice()].concat())
    }

    async fn wait(&self) {
        for _ in 0..300 {
            let address = ("127.0.0.1", self.port);
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("log"));
        panic!("Gitea does not answer: {log:?}");
    }

    /// A fresh repository of Ada's with a fresh account that may write there.
    async fn place(&self, fact: &str) -> Place {
        eprintln!("{fact}");
        let bot = format!("Bot{}", fact.len());
        let bot = format!("{bot}-{}", fact.bytes().map(u64::from).sum::<u64>());
        self.add_user(&bot, false);
        let token = self.token(&bot, "write:repository,write:issue,read:user");
        let name = fact.get(..fact.len().min(40)).expect("ASCII");
        let ada = Person {
            url: format!("http://127.0.0.1:{}", self.port),
            project: format!("ada/{name}"),
            name: "ada".into(),
            token: self.ada.clone(),
            scheme: ("authorization", "token "),
            api: "/api/v1",
        };
        let repository = json!({"name": name, "default_branch": "master"});
        ada.must("POST", "/user/repos", Some(repository)).await;
        let at = format!("/repos/ada/{name}");
        for label in LABELS {
            let label = json!({"name": label, "color": "#ff0000"});
            ada.must("POST", &format!("{at}/labels"), Some(label)).await;
        }
        let write = json!({"permission": "write"});
        let path = format!("{at}/collaborators/{bot}");
        ada.must("PUT", &path, Some(write)).await;
        Place::new(ada, &bot, &token).await
    }
}

impl Drop for Gitea {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("it runs");
            server.wait().expect("it ends");
        }
    }
}
