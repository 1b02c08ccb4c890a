//! GitHub's "git database": objects and references of a real repository, by git.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::repository::Repository;
use super::stand_in::Reply;

pub(crate) struct Objects<'a>(pub(crate) &'a Repository);

impl Objects<'_> {
    pub(crate) fn look(&self, kind: &str, id: &str) -> Reply {
        match kind {
            "ref" => match id
                .strip_prefix("heads/")
                .and_then(|name| self.0.branch(name))
            {
                Some(sha) => Reply::Json(200, reference(id, &sha)),
                None => Reply::not_found(),
            },
            "commits" if self.is_a(id, "commit") => Reply::Json(
                200,
                json!({"sha": id, "tree": {"sha": self.0.git(&["rev-parse", &format!("{id}^{{tree}}")])}}),
            ),
            "trees" if self.is_a(id, "tree") => Reply::Json(
                200,
                json!({"sha": id, "tree": self.entries(id), "truncated": false}),
            ),
            "blobs" if self.is_a(id, "blob") => {
                let bytes = self.0.git_with(&["cat-file", "blob", id], b"");
                let lines: Vec<u8> = STANDARD.encode(bytes).into_bytes();
                let lines = lines.chunks(60).map(String::from_utf8_lossy);
                let content: String = lines.map(|line| format!("{line}\n")).collect();
                Reply::Json(
                    200,
                    json!({"sha": id, "encoding": "base64", "content": content}),
                )
            }
            _ => Reply::not_found(),
        }
    }

    pub(crate) fn compare(&self, range: &str) -> Reply {
        let (from, to) = range.split_once("...").expect("a range");
        if !self.is_a(from, "commit") || !self.is_a(to, "commit") {
            return Reply::not_found();
        }
        let count = |range: String| self.0.git(&["rev-list", "--count", &range]) != "0";
        let status = match (
            count(format!("{from}..{to}")),
            count(format!("{to}..{from}")),
        ) {
            (false, false) => "identical",
            (true, false) => "ahead",
            (false, true) => "behind",
            (true, true) => "diverged",
        };
        Reply::Json(200, json!({"status": status, "commits": []}))
    }

    pub(crate) fn create(&self, kind: &str, sent: &Value) -> Reply {
        match kind {
            "blobs" => self.create_blob(sent),
            "trees" => self.create_tree(sent),
            "commits" => self.create_commit(sent),
            "refs" => self.create_reference(sent),
            _ => Reply::not_found(),
        }
    }

    fn create_blob(&self, sent: &Value) -> Reply {
        assert_eq!(sent["encoding"], "base64");
        let bytes = STANDARD.decode(text(&sent["content"])).expect("base64");
        made(&self.write(&["hash-object", "-w", "--stdin"], &bytes))
    }

    fn create_tree(&self, sent: &Value) -> Reply {
        if !self.is_a(text(&sent["base_tree"]), "tree") {
            return Reply::message(404, "Not Found");
        }
        self.0.git(&["read-tree", text(&sent["base_tree"])]);
        let mut entries = String::new();
        for entry in sent["tree"].as_array().expect("entries") {
            if !self.is_a(text(&entry["sha"]), "blob") {
                return Reply::message(422, "tree.sha is not a valid blob");
            }
            entries += &format!(
                "{} {}\t{}\0",
                text(&entry["mode"]),
                text(&entry["sha"]),
                text(&entry["path"])
            );
        }
        self.0
            .git_with(&["update-index", "-z", "--index-info"], entries.as_bytes());
        made(&self.0.git(&["write-tree"]))
    }

    /// The message stays as it was sent, byte for byte.
    fn create_commit(&self, sent: &Value) -> Reply {
        let tree = text(&sent["tree"]);
        if !self.is_a(tree, "tree") {
            return Reply::message(422, "Tree SHA does not exist");
        }
        let mut raw = format!("tree {tree}\n");
        for parent in sent["parents"].as_array().expect("parents") {
            if !self.is_a(text(parent), "commit") {
                return Reply::message(422, "Parent SHA does not exist or is not a commit object");
            }
            raw += &format!("parent {}\n", text(parent));
        }
        for role in ["author", "committer"] {
            let person = &sent[role];
            let at: jiff::Timestamp = text(&person["date"]).parse().expect("a date");
            raw += &format!(
                "{role} {} <{}> {} +0000\n",
                text(&person["name"]),
                text(&person["email"]),
                at.as_second()
            );
        }
        raw += &format!("\n{}", text(&sent["message"]));
        made(&self.write(
            &["hash-object", "-t", "commit", "-w", "--stdin"],
            raw.as_bytes(),
        ))
    }

    fn create_reference(&self, sent: &Value) -> Reply {
        let (name, sha) = (text(&sent["ref"]), text(&sent["sha"]));
        let Some(branch) = name.strip_prefix("refs/heads/") else {
            return Reply::message(422, "Reference name must start with 'refs/'");
        };
        if !self.is_a(sha, "commit") {
            return Reply::message(422, "Object does not exist");
        }
        if self.0.branch(branch).is_some() {
            return Reply::message(422, "Reference already exists");
        }
        let folders = branch.match_indices('/');
        if folders
            .into_iter()
            .any(|(at, _)| self.0.branch(&branch[..at]).is_some())
        {
            return Reply::message(422, "Reference update failed");
        }
        self.0.git(&["update-ref", name, sha]);
        Reply::Json(201, reference(&format!("heads/{branch}"), sha))
    }

    fn entries(&self, tree: &str) -> Vec<Value> {
        let listing = self.0.git_with(&["ls-tree", "-z", tree], b"");
        let listing = String::from_utf8(listing).expect("UTF-8");
        let lines = listing.split('\0').filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let (entry, path) = line.split_once('\t').expect("an entry");
                let fields: Vec<_> = entry.split(' ').collect();
                json!({"path": path, "mode": fields[0], "type": fields[1], "sha": fields[2]})
            })
            .collect()
    }

    fn is_a(&self, id: &str, kind: &str) -> bool {
        let asked = format!("{id}\n");
        let found = self.write(&["cat-file", "--batch-check"], asked.as_bytes());
        found.starts_with(&format!("{id} {kind} "))
    }

    fn write(&self, arguments: &[&str], input: &[u8]) -> String {
        let printed = self.0.git_with(arguments, input);
        let printed = String::from_utf8(printed).expect("UTF-8");
        printed.trim_end().to_owned()
    }
}

fn made(sha: &str) -> Reply {
    Reply::Json(201, json!({"sha": sha}))
}

fn reference(name: &str, sha: &str) -> Value {
    json!({"ref": format!("refs/{name}"), "object": {"type": "commit", "sha": sha}})
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
