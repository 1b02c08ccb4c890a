//! A Gitea of one repository, `ada/pins`, as far as filing needs it. Its git side is real; a pull request is a folder of
//! files in the repository, since git's hook makes them, too.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::forge_http::{Asked, Rest};

const HOOK: &str = include_str!("proc-receive.sh");
const LABELS: [(u64, &str); 2] = [(7, "rollback"), (8, "dependencies")];
const USERS: [&str; 3] = ["ada", "bot", "eve"];

/// What can be switched on the server.
#[derive(Debug, Default)]
pub(crate) struct Switches {
    /// It signs the commits that it makes.
    pub signs: AtomicBool,
    /// The account may not write.
    pub is_reader: AtomicBool,
    /// The token has no scope for the account itself.
    pub hides_user: AtomicBool,
    /// It does not find pull requests by their two ends, as older ones.
    pub is_old: AtomicBool,
}

/// The REST side.
pub(crate) struct Gitea {
    folder: TempDir,
    pub switches: Arc<Switches>,
    turn: Mutex<()>,
}

impl Gitea {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("ada")).expect("a folder");
        let this = Self {
            folder,
            switches: Arc::default(),
            turn: Mutex::default(),
        };
        this.git(
            &["init", "--quiet", "--bare", "--initial-branch=master"],
            "",
        );
        this.git(&["config", "receive.procReceiveRefs", "refs/for"], "");
        this.git(&["config", "receive.advertisePushOptions", "true"], "");
        let hook = this.repository().join("hooks/proc-receive");
        std::fs::write(&hook, HOOK).expect("a hook");
        let made = Command::new("chmod").arg("+x").arg(&hook).status();
        assert!(made.expect("chmod runs").success());
        this
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("ada/pins.git")
    }

    /// Runs git in the repository; nothing where it fails.
    fn try_git(&self, arguments: &[&str], input: &str) -> Option<String> {
        use std::io::Write as _;
        let mut child = Command::new("git")
            .arg("--git-dir")
            .arg(self.repository())
            .args(arguments)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("these tests need the program git; install it");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("git reads");
        drop(stdin);
        let output = child.wait_with_output().expect("git ends");
        output.status.success().then(|| {
            String::from_utf8_lossy(&output.stdout)
                .trim_end()
                .to_owned()
        })
    }

    fn git(&self, arguments: &[&str], input: &str) -> String {
        self.try_git(arguments, input)
            .unwrap_or_else(|| panic!("git {arguments:?} failed"))
    }

    fn resolve(&self, name: &str) -> Option<String> {
        self.try_git(&["rev-parse", "--quiet", "--verify", name], "")
    }

    fn field(&self, number: usize, name: &str) -> Option<String> {
        let file = self.repository().join(format!("pulls/{number}/{name}"));
        std::fs::read_to_string(file).ok()
    }

    fn set(&self, number: usize, name: &str, text: &str) {
        let folder = self.repository().join(format!("pulls/{number}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(name), text).expect("a file");
    }

    /// The numbers of all pull requests.
    fn numbers(&self) -> std::ops::Range<usize> {
        let count = (1..)
            .take_while(|number| self.field(*number, "state").is_some())
            .count();
        1..count + 1
    }

    fn pull(&self, number: usize) -> Value {
        let field = |name| self.field(number, name).unwrap_or_default();
        let head = format!("refs/pull/{number}/head");
        let branch = self.resolve(&format!("refs/heads/{}", field("head")));
        let (label, name, sha) = match (field("flow") == "agit", branch) {
            (false, Some(sha)) => (field("head"), field("head"), sha),
            (is_agit, _) => {
                let label = if is_agit {
                    String::new()
                } else {
                    field("head")
                };
                let sha = self.resolve(&head).expect("a head");
                (label, head, sha)
            }
        };
        let lines = |name: &str| -> Vec<String> {
            let text = self.field(number, name).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        let labels: Vec<_> = LABELS
            .iter()
            .filter(|(id, _)| lines("labels").contains(&id.to_string()))
            .map(|(id, name)| json!({"id": id, "name": name}))
            .collect();
        let reviewers: Vec<_> = lines("reviewers")
            .iter()
            .map(|login| json!({"login": login}))
            .collect();
        let state = field("state");
        json!({
            "number": number,
            "html_url": format!("http://gitea.example/ada/pins/pulls/{number}"),
            "state": if state == "open" { "open" } else { "closed" },
            "merged": state == "merged",
            "title": field("title"),
            "body": field("body"),
            "draft": field("title").starts_with("WIP:"),
            "user": {"login": field("poster")},
            "base": {"label": field("base"), "ref": field("base"), "sha": ""},
            "head": {"label": label, "ref": name, "sha": sha},
            "labels": labels,
            "requested_reviewers": reviewers,
        })
    }

    fn open(&self, asked: &Asked<'_>) -> (u16, Value) {
        let (head, base) = (asked.text("head"), asked.text("base"));
        let tip = self.resolve(&format!("refs/heads/{head}"));
        let (Some(tip), Some(_)) = (tip, self.resolve(&format!("refs/heads/{base}"))) else {
            return said(404, "The target couldn't be found.");
        };
        let is_same = |number: &usize| {
            let field = |name| self.field(*number, name).unwrap_or_default();
            field("state") == "open"
                && field("flow") == "github"
                && field("head") == head
                && field("base") == base
        };
        if self.numbers().any(|number| is_same(&number)) {
            return said(
                409,
                "pull request already exists for these targets [id: 1, issue_id: 1, head_repo_id: 1, base_repo_id: 1]",
            );
        }
        let number = self.numbers().end;
        for (name, text) in [
            ("title", asked.text("title")),
            ("body", asked.text("body")),
            ("head", head),
            ("base", base),
            ("poster", asked.user.to_owned()),
            ("flow", "github".to_owned()),
        ] {
            self.set(number, name, &text);
        }
        self.git(
            &["update-ref", &format!("refs/pull/{number}/head"), &tip],
            "",
        );
        self.set(number, "state", "open");
        (201, self.pull(number))
    }

    fn branch(&self, asked: &Asked<'_>) -> (u16, Value) {
        let name = format!("refs/heads/{}", asked.text("new_branch_name"));
        if self.resolve(&name).is_some() {
            return said(409, "The branch already exists.");
        }
        let old = format!("{}^{{commit}}", asked.text("old_ref_name"));
        let Some(commit) = self.resolve(&old) else {
            return said(500, "");
        };
        self.git(&["update-ref", &name, &commit], "");
        (201, json!({"name": asked.text("new_branch_name")}))
    }

    fn write(&self, asked: &Asked<'_>) -> (u16, Value) {
        let branch = format!("refs/heads/{}", asked.text("branch"));
        let Some(parent) = self.resolve(&branch) else {
            return said(404, "branch does not exist");
        };
        let mut tree = self.git(&["ls-tree", "-r", "-z", "--full-tree", &parent], "");
        for file in asked.body["files"].as_array().expect("files") {
            let path = file["path"].as_str().expect("a path");
            let old = self.git(&["rev-parse", &format!("{parent}:{path}")], "");
            if file["operation"] != "update" || file["sha"] != old.as_str() {
                return said(422, "sha does not match");
            }
            let content = file["content"].as_str().expect("a content");
            let bytes = STANDARD.decode(content).expect("base64");
            let blob = self.hash(&bytes);
            tree = tree.replace(&format!("{old}\t{path}\0"), &format!("{blob}\t{path}\0"));
        }
        let tree = self.tree(&tree);
        let mut message = asked.text("message").trim().to_owned() + "\n";
        if self.switches.signs.load(Ordering::SeqCst) {
            message += "\nCo-authored-by: Pinion <pinion@example.org>\n";
        }
        let who = |role: &str| {
            let date = asked.body["dates"][role].as_str().expect("a date");
            let text = |key: &str| asked.body[role][key].as_str().expect(key).to_owned();
            (text("name"), text("email"), date.to_owned())
        };
        let (author, committer) = (who("author"), who("committer"));
        let commit = self.commit(&tree, &parent, &message, &author, &committer);
        self.git(&["update-ref", &branch, &commit, &parent], "");
        (201, json!({"commit": {"sha": commit}}))
    }

    fn hash(&self, bytes: &[u8]) -> String {
        let file = self.folder.path().join("blob");
        std::fs::write(&file, bytes).expect("a file");
        let file = file.to_str().expect("UTF-8").to_owned();
        self.git(&["hash-object", "-w", &file], "")
    }

    /// Makes a tree of a full listing.
    fn tree(&self, listing: &str) -> String {
        let index = self.folder.path().join("index");
        let _ = std::fs::remove_file(&index);
        let environment = format!("GIT_INDEX_FILE={}", index.display());
        let repository = format!("--git-dir={}", self.repository().display());
        let run = |arguments: &[&str], input: &str| {
            use std::io::Write as _;
            let mut child = Command::new("env")
                .args([&environment, "git", &repository])
                .args(arguments)
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("git");
            let mut stdin = child.stdin.take().expect("a pipe");
            stdin.write_all(input.as_bytes()).expect("git reads");
            drop(stdin);
            let output = child.wait_with_output().expect("git ends");
            assert!(output.status.success(), "git {arguments:?} failed");
            String::from_utf8_lossy(&output.stdout)
                .trim_end()
                .to_owned()
        };
        run(&["update-index", "-z", "--index-info"], listing);
        run(&["write-tree"], "")
    }

    fn commit(
        &self,
        tree: &str,
        parent: &str,
        message: &str,
        author: &(String, String, String),
        committer: &(String, String, String),
    ) -> String {
        use std::io::Write as _;
        let mut child = Command::new("git")
            .arg("--git-dir")
            .arg(self.repository())
            .args(["commit-tree", tree, "-p", parent, "-F", "-"])
            .env("GIT_AUTHOR_NAME", &author.0)
            .env("GIT_AUTHOR_EMAIL", &author.1)
            .env("GIT_AUTHOR_DATE", &author.2)
            .env("GIT_COMMITTER_NAME", &committer.0)
            .env("GIT_COMMITTER_EMAIL", &committer.1)
            .env("GIT_COMMITTER_DATE", &committer.2)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("git");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(message.as_bytes()).expect("git reads");
        drop(stdin);
        let output = child.wait_with_output().expect("git ends");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    fn merge(&self, number: usize) -> (u16, Value) {
        let head = self.pull(number)["head"]["sha"].clone();
        let base = self.field(number, "base").expect("a base");
        let base = format!("refs/heads/{base}");
        let head = head.as_str().expect("a head");
        let tree = self.git(&["rev-parse", &format!("{head}^{{tree}}")], "");
        let ada = (
            "Ada".to_owned(),
            "ada@example.org".to_owned(),
            String::new(),
        );
        let ada = (ada.0, ada.1, "2026-03-03T10:00:00Z".to_owned());
        let merged = self.commit(&tree, &base, "Merge pull request\n", &ada, &ada);
        self.git(&["update-ref", &base, &merged], "");
        self.set(number, "state", "merged");
        (200, Value::Null)
    }

    fn commit_of(&self, id: &str) -> (u16, Value) {
        let Some(raw) = self.try_git(&["cat-file", "commit", id], "") else {
            return said(404, "object does not exist");
        };
        let (header, message) = raw.split_once("\n\n").expect("a message");
        let of = |name: &str| -> Vec<Value> {
            let lines = header.lines().filter_map(|line| line.strip_prefix(name));
            lines.map(|id| json!({"sha": id})).collect()
        };
        let tree = of("tree ")[0].clone();
        (
            200,
            json!({"sha": id, "parents": of("parent "), "commit": {"message": message, "tree": tree}}),
        )
    }

    fn pulls(&self, asked: &Asked<'_>) -> Value {
        let query = |name: &str| asked.query.get(name).map_or("", String::as_str);
        let page: usize = query("page").parse().unwrap_or(1);
        let pulls = self.numbers().rev().map(|number| self.pull(number));
        let is_wanted = |pull: &Value| match query("state") {
            "all" => true,
            "closed" => pull["state"] == "closed",
            _ => pull["state"] == "open",
        };
        pulls
            .filter(is_wanted)
            .skip((page - 1) * 50)
            .take(50)
            .collect()
    }

    fn add(&self, number: usize, name: &str, what: &[String]) {
        let mut lines = self.field(number, name).unwrap_or_default();
        for line in what {
            lines += &format!("{line}\n");
        }
        self.set(number, name, &lines);
    }
}

fn said(status: u16, message: &str) -> (u16, Value) {
    (
        status,
        json!({"message": message, "url": "http://gitea.example/api/swagger"}),
    )
}

impl Rest for Gitea {
    fn answer(&self, asked: &Asked<'_>) -> (u16, Value) {
        let _turn = self.turn.lock().unwrap_or_else(|turn| turn.into_inner());
        let is = |switch: &AtomicBool| switch.load(Ordering::SeqCst) && asked.user == "bot";
        let parts = asked.parts();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let ["api", "v1", rest @ ..] = parts.as_slice() else {
            return said(404, "not found");
        };
        let project = match rest {
            ["version"] => return (200, json!({"version": "1.24.6"})),
            ["user"] if is(&self.switches.hides_user) => {
                return said(
                    403,
                    "token does not have at least one of required scope(s), required=[read:user], token scope=",
                );
            }
            ["user"] => return (200, json!({"login": asked.user})),
            ["repos", "ada", "pins", project @ ..] => project,
            _ => return said(404, "The target couldn't be found."),
        };
        let is_reader = is(&self.switches.is_reader);
        match (asked.method, project) {
            ("GET", []) => (
                200,
                json!({
                    "default_branch": "master", "archived": false, "empty": false, "has_pull_requests": true,
                    "permissions": {"admin": false, "push": !is_reader, "pull": true},
                }),
            ),
            ("GET", ["pulls"]) => (200, self.pulls(asked)),
            ("POST", ["pulls"]) => self.open(asked),
            ("GET", ["pulls", _, ..]) if is(&self.switches.is_old) => said(404, "not found"),
            ("GET", ["pulls", base, head @ ..]) => {
                let head = head.join("/");
                let is = |number: &usize| {
                    self.field(*number, "head").as_deref() == Some(head.as_str())
                        && self.field(*number, "base").as_deref() == Some(*base)
                };
                match self.numbers().find(is) {
                    Some(number) => (200, self.pull(number)),
                    None => said(404, "The target couldn't be found."),
                }
            }
            ("PATCH", ["pulls", number]) => {
                let number = number.parse().expect("a number");
                for name in ["state", "body"] {
                    if let Some(text) = asked.body[name].as_str() {
                        self.set(number, name, text);
                    }
                }
                (201, Value::Null)
            }
            ("PUT", ["collaborators", "bot"]) => {
                let is_reader = asked.body["permission"] == "read";
                self.switches.is_reader.store(is_reader, Ordering::SeqCst);
                (204, Value::Null)
            }
            ("POST", ["pulls", number, "merge"]) => self.merge(number.parse().expect("a number")),
            ("POST", ["pulls", number, "requested_reviewers"]) => {
                let asked: Vec<String> = strings(&asked.body["reviewers"]);
                if asked.iter().any(|login| !USERS.contains(&login.as_str())) {
                    return said(404, "user does not exist");
                }
                self.add(number.parse().expect("a number"), "reviewers", &asked);
                (201, json!([]))
            }
            ("GET", ["branches", name @ ..]) => {
                match self.resolve(&format!("refs/heads/{}", name.join("/"))) {
                    Some(id) => (200, json!({"commit": {"id": id}})),
                    None => said(404, "The target couldn't be found."),
                }
            }
            ("POST", ["branches" | "contents"]) if is_reader => said(
                403,
                "user should have a permission to write to the target branch",
            ),
            ("POST", ["branches"]) => self.branch(asked),
            ("POST", ["contents"]) => self.write(asked),
            ("GET", ["contents", path @ ..]) => {
                let revision = asked.query.get("ref").map_or("master", String::as_str);
                match self.resolve(&format!("{revision}:{}", path.join("/"))) {
                    Some(sha) => (200, json!({"sha": sha})),
                    None => said(404, "object does not exist"),
                }
            }
            ("GET", ["git", "commits", id]) => self.commit_of(id),
            ("GET", ["labels"]) => {
                let is_first = asked.query.get("page").is_none_or(|page| page == "1");
                let labels = LABELS.iter().filter(|_| is_first);
                let labels = labels.map(|(id, name)| json!({"id": id, "name": name}));
                (200, labels.collect())
            }
            ("POST", ["issues", number, "labels"]) => {
                let ids = asked.body["labels"].as_array().expect("labels");
                let ids: Vec<_> = ids.iter().map(Value::to_string).collect();
                self.add(number.parse().expect("a number"), "labels", &ids);
                (200, json!([]))
            }
            _ => said(404, "The target couldn't be found."),
        }
    }
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter()
        .map(|text| text.as_str().expect("a text").to_owned())
        .collect()
}
