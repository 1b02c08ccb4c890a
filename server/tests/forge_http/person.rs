//! What a person does on a forge, by its API and by git: on a stand-in as on a real one.

use std::collections::BTreeMap;
use std::sync::Once;

use serde_json::Value;

use crate::repository::Repository;

/// A person with a token.
pub struct Person {
    /// The server, without a slash at its end.
    pub url: String,
    pub project: String,
    pub name: String,
    pub token: String,
    /// The header that shows the token, and what stands before it there.
    pub scheme: (&'static str, &'static str),
    /// Where the API is.
    pub api: &'static str,
}

impl Person {
    /// Asks the API; gives the status and the answer.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // Another test of this process may have been first.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let method = method.parse().expect("a method");
        let (header, before) = self.scheme;
        let mut request = reqwest::Client::new()
            .request(method, format!("{}{}{path}", self.url, self.api))
            .header(header, format!("{before}{}", self.token));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// The same, which must succeed.
    pub async fn must(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    fn remote(&self) -> String {
        let host = self.url.strip_prefix("http://").expect("loopback");
        format!(
            "http://{}:{}@{host}/{}.git",
            self.name, self.token, self.project
        )
    }

    /// Pushes from the own repository.
    pub fn push(&self, from: &Repository, refspec: &str) {
        let arguments = ["push", "--quiet", &self.remote(), refspec];
        waiting(|| from.git(&arguments));
    }

    /// All references of the forge's repository.
    pub fn references(&self, own: &Repository) -> BTreeMap<String, String> {
        let listing = waiting(|| own.git(&["ls-remote", &self.remote()]));
        listing
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(commit, name)| (name.to_owned(), commit.to_owned()))
            .collect()
    }

    /// Its branches.
    pub fn branches(&self, own: &Repository) -> BTreeMap<String, String> {
        let references = self.references(own);
        references
            .into_iter()
            .filter_map(|(name, commit)| {
                Some((name.strip_prefix("refs/heads/")?.to_owned(), commit))
            })
            .collect()
    }

    /// Brings a commit into the own repository.
    pub fn fetch(&self, own: &Repository, name: &str) {
        let refspec = format!("+{name}:refs/fetched/{name}");
        let arguments = ["fetch", "--quiet", &self.remote(), &refspec];
        waiting(|| own.git(&arguments));
    }
}

/// Waits for git without holding up the server, which may run in this process.
fn waiting<T>(git: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(git)
}
