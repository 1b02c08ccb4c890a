//! A project of a test's own on the real Gerrit, seen with the eyes of people: by git, and by REST as others.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pinion_core::filing::{FilingKey, PackageChange};
use pinion_server::forge::{
    Change, FileEdit, Filed, FiledChange, Forge, ForgeConfig, Signature, Via, open,
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::Gerrit;

pub(crate) const PINS: &str = "pins/größe/upper-constraints.txt";
pub(crate) const BEFORE: &[u8] = b"# caf\xe9\r\noslo.log===7.0.0\ntooz===9.0.0";
pub(crate) const AFTER: &[u8] = b"# caf\xe9\r\noslo.log===7.0.0\ntooz===8.1.0";
pub(crate) const ADMIN: (&str, &str) = ("admin", "secret");
pub(crate) const ADA: (&str, &str) = ("ada", "of-ada");
pub(crate) const PASSWORD: &str = "of-the-bot";

/// A project with a branch `main`, and an account that files changes in it; the project's name is the account's, too.
pub(crate) struct Project {
    pub(crate) gerrit: &'static Gerrit,
    pub(crate) name: String,
    folder: TempDir,
}

impl Project {
    /// Nothing where there is no Gerrit.
    pub(crate) async fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let gerrit = Gerrit::get()?;
        let project = Self {
            gerrit,
            name: format!("pins-{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            folder: tempfile::tempdir().expect("a folder"),
        };
        project.account(ADA.0, ADA.1).await;
        project.account(&project.name, PASSWORD).await;
        let path = format!("/projects/{}", project.name);
        let made = json!({"create_empty_commit": true, "branches": ["main"]});
        project.admin(Method::PUT, &path, made).await;
        let rule = json!({"rules": {"Administrators": {"action": "ALLOW"}}});
        project
            .access("refs/heads/*", json!({"push": rule, "submit": rule}))
            .await;
        project.git(&["init", "--quiet"]);
        project.commit(&[
            (PINS, BEFORE),
            ("README", b"pins\n"),
            ("run.sh", b"#!/bin/sh\n"),
        ]);
        Some(project)
    }

    async fn account(&self, name: &str, password: &str) {
        let account = json!({
            "name": name, "email": format!("{name}@example.org"), "http_password": password,
        });
        let path = format!("/a/accounts/{name}");
        let (status, said) = self.rest(ADMIN, Method::PUT, &path, Some(account)).await;
        assert!(matches!(status, 201 | 409), "{status} {said}");
    }

    /// Gives or takes rights on references of the project.
    pub(crate) async fn access(&self, reference: &str, permissions: Value) {
        let body = json!({"add": {reference: {"permissions": permissions}}});
        let path = format!("/projects/{}/access", self.name);
        self.admin(Method::POST, &path, body).await;
    }

    /// Has the administrator do something, who must succeed.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Value) -> Value {
        let path = format!("/a{path}");
        let (status, said) = self.rest(ADMIN, method, &path, Some(body)).await;
        assert!((200..300).contains(&status), "{path}: {status} {said}");
        said
    }

    /// What the server answers to somebody.
    pub(crate) async fn rest(
        &self,
        who: (&str, &str),
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}{path}", self.gerrit.url);
        let mut request = reqwest::Client::new()
            .request(method, url)
            .header("authorization", basic(who));
        if let Some(body) = body {
            let body = body.to_string();
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("text");
        let json = text.strip_prefix(")]}'").unwrap_or(&text);
        (
            status,
            serde_json::from_str(json).unwrap_or(Value::String(text)),
        )
    }

    /// The change that the forge is to file; another number is another change of the same file.
    pub(crate) fn change(&self, number: u32) -> Change {
        let moved = PackageChange {
            package: "tooz".into(),
            from_version: "9.0.0".into(),
            to_version: "8.1.0".into(),
        };
        let key = FilingKey::new("test", &self.name, "main", &[moved], number);
        Change {
            branch: "main".into(),
            head: format!("rollback/tooz-{}", key.key8()),
            parent: self.tip(),
            edits: vec![FileEdit {
                path: PINS.into(),
                bytes: AFTER.into(),
            }],
            subject: "revert(deps): roll back tooz 9.0.0 -> 8.1.0".into(),
            body: format!("Grüße.\n\n# kept\n\nFiling-Id: {key}\nReverts-Pin: tooz 9.0.0"),
            author: Signature {
                name: "Pinion".into(),
                email: format!("{}@example.org", self.name),
            },
            at_unix_s: 1_772_446_500,
            key,
        }
    }

    /// What the forge is told of the project, with the password in a file of `work`.
    pub(crate) fn config(&self, via: Via, work: &Path) -> ForgeConfig {
        let password = work.join("password");
        std::fs::write(&password, format!("{PASSWORD}\n")).expect("a file");
        ForgeConfig {
            project: Some(self.name.clone()),
            via: Some(via),
            user: Some(self.name.clone()),
            password_file: Some(password),
            author_name: "Pinion".into(),
            author_email: format!("{}@example.org", self.name),
            ..ForgeConfig::new("pins".parse().expect("a name"), "gerrit", &self.gerrit.url)
        }
    }

    pub(crate) fn forge(&self, via: Via, work: &Path) -> Arc<dyn Forge> {
        open(&self.config(via, work), work).expect("a forge")
    }

    /// All changes of the project, with what a person sees of them.
    pub(crate) async fn changes(&self) -> Vec<Value> {
        self.changes_with("").await
    }

    async fn changes_with(&self, filter: &str) -> Vec<Value> {
        let options = "o=CURRENT_REVISION&o=CURRENT_COMMIT&o=CURRENT_FILES&o=DETAILED_LABELS&o=DETAILED_ACCOUNTS";
        let path = format!("/a/changes/?q=project:{}{filter}&{options}", self.name);
        let (status, changes) = self.rest(ADMIN, Method::GET, &path, None).await;
        assert_eq!(status, 200, "{changes}");
        changes.as_array().expect("a list").clone()
    }

    /// The only change of the project.
    pub(crate) async fn only_change(&self) -> Value {
        let mut changes = self.changes().await;
        assert_eq!(changes.len(), 1, "{changes:#?}");
        changes.remove(0)
    }

    /// Asserts that this is the change, whole and once: its edit, byte for byte, its message, its place; and gives it.
    pub(crate) async fn assert_filed(&self, change: &Change, filed: &Filed) -> Value {
        let id = format!("I{}", change.key);
        assert_eq!(filed.branch, id);
        let filter = format!("+change:{id}+-status:abandoned");
        let mut changes = self.changes_with(&filter).await;
        assert_eq!(changes.len(), 1, "{changes:#?}");
        let found = changes.remove(0);
        let url = format!("{}/c/{}/+/{}", self.gerrit.url, self.name, found["_number"]);
        assert_eq!(filed.url, Some(url));
        assert_eq!(found["branch"], "main");
        assert_eq!(found["topic"], change.head.replace('/', "-"));
        let revision = &found["revisions"][found["current_revision"].as_str().expect("a revision")];
        let message = revision["commit"]["message"].as_str().expect("a message");
        let body = change.body.replace("\n# kept", "\n # kept");
        assert_eq!(
            message.trim_end(),
            format!("{}\n\n{body}\nChange-Id: {id}", change.subject)
        );
        assert_eq!(revision["commit"]["parents"][0]["commit"], change.parent);
        assert_eq!(self.file_of(&found, PINS), AFTER);
        assert_eq!(self.git(&["rev-parse", "FETCH_HEAD"]), filed.commit);
        let difference = [
            "diff-tree",
            "-r",
            "-z",
            "--name-status",
            &change.parent,
            "FETCH_HEAD",
        ];
        assert_eq!(self.git(&difference), format!("M\0{PINS}\0"));
        found
    }

    /// The bytes of a file in the current revision of a change.
    pub(crate) fn file_of(&self, found: &Value, path: &str) -> Vec<u8> {
        let current = found["current_revision"].as_str().expect("a revision");
        let reference = found["revisions"][current]["ref"].as_str();
        let reference = reference.expect("a reference");
        self.git(&["fetch", "--quiet", &self.remote(), reference]);
        self.bytes(&["cat-file", "blob", &format!("FETCH_HEAD:{path}")])
    }

    /// The address that git is given, without a password.
    fn remote(&self) -> String {
        format!("{}/a/{}", self.gerrit.url, self.name)
    }

    /// The commit at the tip of `main`.
    pub(crate) fn tip(&self) -> String {
        let listing = self.git(&["ls-remote", &self.remote(), "refs/heads/main"]);
        listing[..40].to_owned()
    }

    /// Commits files on top of `main`, `run.sh` as an executable, as the administrator; gives the commit.
    pub(crate) fn commit(&self, files: &[(&str, &[u8])]) -> String {
        self.git(&["fetch", "--quiet", &self.remote(), "refs/heads/main"]);
        let commit = self.commit_on(ADMIN.0, "FETCH_HEAD", "More pins", files);
        self.git(&[
            "push",
            "--quiet",
            &self.remote(),
            &format!("{commit}:refs/heads/main"),
        ]);
        commit
    }

    /// Pushes a patch set of the person Ada's own, with these files; it must be taken.
    pub(crate) fn push_as_ada(&self, parent: &str, message: &str, files: &[(&str, &[u8])]) {
        self.git(&["fetch", "--quiet", &self.remote(), "refs/heads/main"]);
        let commit = self.commit_on(ADA.0, parent, message, files);
        let header = format!("http.extraHeader=Authorization: {}", basic(ADA));
        let to = format!("{commit}:refs/for/main");
        self.git_with(
            &["-c", &header, "push", "--quiet", &self.remote(), &to],
            b"",
            ADA.0,
        );
    }

    fn commit_on(&self, who: &str, parent: &str, message: &str, files: &[(&str, &[u8])]) -> String {
        self.git(&["read-tree", parent]);
        for (path, bytes) in files {
            let blob = self.git_with(&["hash-object", "-w", "--stdin"], bytes, ADMIN.0);
            let blob = String::from_utf8(blob).expect("an id");
            let mode = if *path == "run.sh" {
                "100755"
            } else {
                "100644"
            };
            self.git(&[
                "update-index",
                "--add",
                "--cacheinfo",
                mode,
                blob.trim_end(),
                path,
            ]);
        }
        let tree = self.git(&["write-tree"]);
        let commit = self.git_with(
            &["commit-tree", &tree, "-p", parent, "-m", message],
            b"",
            who,
        );
        String::from_utf8(commit)
            .expect("an id")
            .trim_end()
            .to_owned()
    }

    /// Runs git as the administrator and gives what it printed; git must succeed.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let text = String::from_utf8(self.bytes(arguments)).expect("UTF-8");
        text.trim_end_matches('\n').to_owned()
    }

    fn bytes(&self, arguments: &[&str]) -> Vec<u8> {
        self.git_with(arguments, b"", ADMIN.0)
    }

    fn git_with(&self, arguments: &[&str], input: &[u8], who: &str) -> Vec<u8> {
        let header = format!("http.extraHeader=Authorization: {}", basic(ADMIN));
        let mut command = Command::new("git");
        if !arguments.contains(&"-c") {
            command.args(["-c", &header]);
        }
        command.arg("-C").arg(self.folder.path()).args(arguments);
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.folder.path().join("none"));
        // The first account of a fresh server has an address of another domain.
        let email = match who {
            "admin" => "admin@example.com".to_owned(),
            who => format!("{who}@example.org"),
        };
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), who)
                .env(format!("GIT_{role}_EMAIL"), &email);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("these tests need the program git; install it");
        let mut pipe = child.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut pipe, input).expect("git reads");
        drop(pipe);
        let output = child.wait_with_output().expect("git ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?} failed: {said}");
        output.stdout
    }
}

/// What it takes to find the change again.
pub(crate) fn as_filed(change: &Change, filed: &Filed) -> FiledChange {
    FiledChange {
        key: change.key.clone(),
        branch: change.branch.clone(),
        head: change.head.clone(),
        commit: filed.commit.clone(),
    }
}

pub(crate) fn basic((user, password): (&str, &str)) -> String {
    use base64::Engine as _;
    let pair = format!("{user}:{password}");
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair)
    )
}
