//! A GitLab of one project, `infra/pins`, as far as filing needs it. Its git side is real.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::forge_http::{Asked, Rest};

/// What can be switched on the server.
#[derive(Debug, Default)]
pub(crate) struct Switches {
    /// The account is a Reporter.
    pub(crate) is_reporter: AtomicBool,
    /// The token lacks the scope `api`.
    pub(crate) is_narrow: AtomicBool,
    /// It does not say what the token is.
    pub(crate) is_old: AtomicBool,
    /// The next merge request is refused, since the branch is not known yet.
    pub(crate) lags: AtomicBool,
}

/// The REST side.
pub(crate) struct GitLab {
    folder: TempDir,
    pub(crate) switches: Arc<Switches>,
    requests: Mutex<Vec<Value>>,
}

impl GitLab {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("infra")).expect("a folder");
        let this = Self {
            folder,
            switches: Arc::default(),
            requests: Mutex::default(),
        };
        this.git(&["init", "--quiet", "--bare", "--initial-branch=master"]);
        this
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn git(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(self.folder.path().join("infra/pins.git"))
            .args(arguments)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("these tests need the program git; install it");
        output.status.success().then(|| {
            String::from_utf8_lossy(&output.stdout)
                .trim_end()
                .to_owned()
        })
    }

    fn tip(&self, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        self.git(&["rev-parse", "--quiet", "--verify", &name])
    }

    fn open(&self, asked: &Asked<'_>, requests: &mut Vec<Value>) -> (u16, Value) {
        let (source, target) = (asked.text("source_branch"), asked.text("target_branch"));
        let is_known = !self.switches.lags.swap(false, Ordering::SeqCst);
        let Some(sha) = self.tip(&source).filter(|_| is_known) else {
            return (
                422,
                json!({"message": [format!("Source branch \"{source}\" does not exist")]}),
            );
        };
        let is_same = |request: &&Value| {
            request["state"] == "opened"
                && request["source_branch"] == source.as_str()
                && request["target_branch"] == target.as_str()
        };
        if let Some(other) = requests.iter().find(is_same) {
            let words = format!(
                "Another open merge request already exists for this source branch: !{}",
                other["iid"]
            );
            return (409, json!({"message": [words]}));
        }
        let iid = requests.len() + 1;
        let request = json!({
            "iid": iid,
            "web_url": format!("http://gitlab.example/infra/pins/-/merge_requests/{iid}"),
            "state": "opened",
            "sha": sha,
            "source_branch": source,
            "target_branch": target,
            "source_project_id": asked.body.get("source_project_id").cloned().unwrap_or(json!(1)),
            "target_project_id": 1,
            "title": asked.body["title"],
            "description": asked.body["description"],
            "labels": asked.body["labels"],
            "reviewer_ids": asked.body["reviewer_ids"],
            "remove_source_branch": asked.body["remove_source_branch"],
        });
        requests.push(request.clone());
        (201, request)
    }

    /// A person closes, merges or forgets a merge request.
    fn act(&self, request: &mut Value, act: &str) {
        if act == "merge" {
            let target = request["target_branch"].as_str().expect("a branch");
            let sha = request["sha"].as_str().expect("a commit");
            self.git(&["update-ref", &format!("refs/heads/{target}"), sha]);
            let source = request["source_branch"].as_str().expect("a branch");
            self.git(&["update-ref", "-d", &format!("refs/heads/{source}")]);
        }
        request["state"] = json!(if act == "merge" { "merged" } else { "closed" });
    }

    fn found(&self, asked: &Asked<'_>, requests: &[Value]) -> Value {
        let is = |request: &Value, key: &str| match asked.query.get(key) {
            Some(wanted) => request[key] == wanted.as_str(),
            None => true,
        };
        let mut found: Vec<Value> = requests
            .iter()
            .rev()
            .filter(|request| is(request, "source_branch") && is(request, "target_branch"))
            .cloned()
            .collect();
        for request in &mut found {
            let tip = self.tip(request["source_branch"].as_str().unwrap_or_default());
            if let Some(tip) = tip {
                request["sha"] = json!(tip);
            }
        }
        Value::Array(found)
    }
}

fn said(status: u16, message: &str) -> (u16, Value) {
    (status, json!({"message": message}))
}

impl Rest for GitLab {
    fn answer(&self, asked: &Asked<'_>) -> (u16, Value) {
        let mut requests = self.requests.lock().expect("merge requests");
        let parts = asked.parts();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let ["api", "v4", rest @ ..] = parts.as_slice() else {
            return said(404, "404 Not Found");
        };
        let is = |switch: &AtomicBool| switch.load(Ordering::SeqCst) && asked.user == "bot";
        let switches = &self.switches;
        let project = match rest {
            ["version"] => return (200, json!({"version": "17.5.0", "revision": "abc"})),
            ["user"] => return (200, json!({"id": 2, "username": asked.user})),
            ["users"] => {
                let known = [("ada", 1), ("bot", 2)];
                let wanted = asked.query.get("username").map_or("", String::as_str);
                let found = known.iter().filter(|(name, _)| *name == wanted);
                let found = found.map(|(name, id)| json!({"id": id, "username": name}));
                return (200, found.collect());
            }
            ["personal_access_tokens", "self"] if is(&switches.is_old) => {
                return said(404, "404 Not Found");
            }
            ["personal_access_tokens", "self"] => {
                let scopes = match is(&switches.is_narrow) {
                    true => json!(["read_api"]),
                    false => json!(["api"]),
                };
                return (
                    200,
                    json!({"name": "pinion", "scopes": scopes, "active": true, "expires_at": "2027-01-31"}),
                );
            }
            ["projects", "infra/pins", project @ ..] => project,
            _ => return said(404, "404 Project Not Found"),
        };
        let is_reporter = is(&switches.is_reporter);
        match (asked.method, project) {
            ("GET", []) => {
                let level = if is_reporter { 20 } else { 30 };
                (
                    200,
                    json!({
                        "archived": false, "empty_repo": false, "merge_requests_enabled": true,
                        "permissions": {"project_access": null, "group_access": {"access_level": level}},
                    }),
                )
            }
            ("GET", ["merge_requests"]) => (200, self.found(asked, &requests)),
            ("POST", ["merge_requests"]) if is_reporter => said(403, "403 Forbidden"),
            ("POST", ["merge_requests"]) => self.open(asked, &mut requests),
            ("PUT", ["merge_requests", iid]) => {
                let at: usize = iid.parse().expect("a number");
                self.act(&mut requests[at - 1], &asked.text("act"));
                (200, json!({}))
            }
            ("DELETE", ["merge_requests", _]) => {
                requests.clear();
                (204, Value::Null)
            }
            _ => said(404, "404 Not Found"),
        }
    }
}
