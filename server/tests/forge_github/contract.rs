//! The requests of the forge, held against GitHub's own description of its API: npm's `@octokit/openapi`, cut to what is
//! used and made strict about fields, in `@stoplight/prism-cli`, which refuses what does not fit.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http::Method;
use pinion_server::forge::{ForgeConfig, Target, open};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::repository::PINS;
use super::stand_in::{Asked, Github};
use super::{config, forge, sought, work};

/// What is used, as GitHub describes it.
const USED: [(&str, &[&str]); 16] = [
    ("/user", &["get"]),
    ("/installation/repositories", &["get"]),
    ("/repos/{owner}/{repo}", &["get"]),
    ("/repos/{owner}/{repo}/branches/{branch}", &["get"]),
    ("/repos/{owner}/{repo}/compare/{basehead}", &["get"]),
    ("/repos/{owner}/{repo}/git/ref/{ref}", &["get"]),
    ("/repos/{owner}/{repo}/git/commits/{commit_sha}", &["get"]),
    ("/repos/{owner}/{repo}/git/trees/{tree_sha}", &["get"]),
    ("/repos/{owner}/{repo}/git/blobs/{file_sha}", &["get"]),
    ("/repos/{owner}/{repo}/git/blobs", &["post"]),
    ("/repos/{owner}/{repo}/git/trees", &["post"]),
    ("/repos/{owner}/{repo}/git/commits", &["post"]),
    ("/repos/{owner}/{repo}/git/refs", &["post"]),
    ("/repos/{owner}/{repo}/pulls", &["get", "post"]),
    (
        "/repos/{owner}/{repo}/issues/{issue_number}/labels",
        &["post"],
    ),
    (
        "/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers",
        &["post"],
    ),
];

/// A server that takes what fits the description; it ends when dropped.
struct Prism {
    address: SocketAddr,
    contract: Value,
    client: reqwest::Client,
    _folder: TempDir,
    _child: Child,
}

impl Prism {
    /// Nothing where this machine has no prism or no description, and their absence is allowed.
    async fn start() -> Option<Self> {
        let (program, description) = match parts() {
            Ok(parts) => parts,
            Err(missing) if std::env::var_os("PINION_REQUIRE_PARTS").is_some() => {
                panic!("npm's @stoplight/prism-cli and @octokit/openapi are required: {missing}")
            }
            Err(missing) => {
                eprintln!(
                    "skipped: npm's @stoplight/prism-cli and @octokit/openapi are needed: {missing}"
                );
                return None;
            }
        };
        let whole = std::fs::read(description).expect("the description");
        let contract = cut(&serde_json::from_slice(&whole).expect("JSON"));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("github.json");
        std::fs::write(&file, contract.to_string()).expect("a file");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        // A second call finds one, and it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let child = Command::new(program)
            .args(["mock", "--errors", "--host", "127.0.0.1", "--port"])
            .arg(address.port().to_string())
            .arg(&file)
            .env("HOME", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prism runs");
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Some(Self {
                    address,
                    contract,
                    client: reqwest::Client::new(),
                    _folder: folder,
                    _child: child,
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("prism does not listen");
    }

    /// What does not fit in the request, in words.
    async fn refusal(&self, asked: &Asked) -> Option<String> {
        let target = asked.target();
        if let Some(unknown) = self.unknown_query(&asked.method, target) {
            return Some(format!("the query has an unknown `{unknown}`"));
        }
        let mut request = self
            .client
            .request(
                asked.method.clone(),
                format!("http://{}{target}", self.address),
            )
            .body(asked.body.clone());
        for (name, value) in &asked.headers {
            // There is one answer here, and it is JSON.
            if !["host", "content-length", "accept"].contains(&name.as_str()) {
                request = request.header(name, value);
            }
        }
        let answer = request.send().await.expect("prism answers");
        let status = answer.status();
        let words = answer.text().await.expect("words");
        (status != 200).then(|| format!("{status}: {words}"))
    }

    /// Prism lets pass what nobody describes in a query.
    fn unknown_query(&self, method: &Method, target: &str) -> Option<String> {
        let (path, query) = target.split_once('?')?;
        let template = template_of(path)?;
        let method = method.as_str().to_lowercase();
        let described: BTreeSet<&str> = self.contract["paths"][template][&method]["parameters"]
            .as_array()?
            .iter()
            .map(|parameter| &parameter["name"])
            .filter_map(Value::as_str)
            .collect();
        let names = query.split('&').filter_map(|pair| pair.split('=').next());
        names
            .into_iter()
            .find(|name| !described.contains(name))
            .map(str::to_owned)
    }
}

impl Asked {
    /// Its path and query as GitHub has them.
    fn target(&self) -> &str {
        self.target.trim_start_matches("/api/v3")
    }
}

/// Which of the described paths it is.
fn template_of(path: &str) -> Option<&'static str> {
    let is_like = |template: &str| {
        let (one, two) = (template.split('/'), path.split('/'));
        one.clone().count() == two.clone().count()
            && one.zip(two).all(|(a, b)| a == b || a.starts_with('{'))
    };
    let mut templates = USED.iter().map(|(template, _)| *template);
    templates.find(|template| is_like(template))
}

/// The program, and GitHub's description beside it.
fn parts() -> Result<(PathBuf, PathBuf), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .map(|folder| folder.join("prism"))
        .find(|program| program.is_file())
        .ok_or("`prism` is not in PATH")?;
    let whole = program.canonicalize().map_err(|error| error.to_string())?;
    let modules = whole
        .ancestors()
        .filter(|folder| folder.ends_with("node_modules"))
        .map(|modules| modules.join("@octokit/openapi/generated/api.github.com.json"));
    let description = modules.into_iter().find(|file| Path::is_file(file));
    Ok((
        program,
        description.ok_or("`@octokit/openapi` is not beside prism")?,
    ))
}

/// The description of what is used, with one answer for everything and no room for fields that it does not name.
fn cut(whole: &Value) -> Value {
    let mut paths = BTreeMap::new();
    for (path, methods) in USED {
        let described = &whole["paths"][path];
        let mut operations = serde_json::Map::new();
        for method in methods {
            let mut operation = described[method].clone();
            assert!(operation.is_object(), "GitHub has no {method} {path}");
            operation["responses"] = json!({"200": {"description": "It fits."}});
            for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
                if let Some(at) = parameter["$ref"].as_str() {
                    *parameter = whole.pointer(&at[1..]).expect("it is there").clone();
                }
            }
            make_strict(&mut operation["requestBody"]);
            if operation["requestBody"].is_null() {
                operation
                    .as_object_mut()
                    .expect("an object")
                    .remove("requestBody");
            }
            operations.insert((*method).to_owned(), operation);
        }
        paths.insert(path, operations);
    }
    json!({"openapi": "3.0.3", "info": whole["info"], "paths": paths})
}

fn make_strict(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(make_strict);
            if fields.get("properties").is_some_and(Value::is_object)
                && fields.get("type") == Some(&json!("object"))
            {
                fields.insert("additionalProperties".into(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_strict),
        _ => {}
    }
}

/// Every request that the forge makes: it files, completes a pull request that is there, and checks.
async fn every_request() -> Vec<Asked> {
    let (github, other, work) = (Github::start().await, Github::start().await, work());
    let filing = forge(&github, &work);
    let change = github.repository.rollback();
    // The branch moves on, so that histories are compared.
    github.repository.commit("master", &[("README", b"more")]);
    let completing = ForgeConfig {
        labels: vec!["rollback".into()],
        reviewers: vec!["ada".into(), "acme/release".into()],
        ..config(&other, &work)
    };
    let completing = open(&completing, work.path()).expect("a forge");
    let there = other.repository.rollback();
    other.open_pull(&there);
    other.state().is_app = true;
    let checking = forge(&other, &work);
    let target = Target {
        branch: "master".into(),
        path: PINS.into(),
    };
    let (filed, completed, _) = tokio::join!(
        filing.ensure_change(&change),
        completing.ensure_change(&there),
        checking.check(Some(&target))
    );
    completed.expect("completed");
    let filed = sought(&change, &filed.expect("filed").commit);
    filing.state(&filed).await.expect("a state");
    [&github, &other]
        .iter()
        .flat_map(|github| github.state().asked.clone())
        .collect()
}

#[tokio::test]
async fn every_request_is_as_github_describes_it() {
    let Some(prism) = Prism::start().await else {
        return;
    };
    let asked = every_request().await;
    for asked in &asked {
        let refusal = prism.refusal(asked).await;
        let body = String::from_utf8_lossy(&asked.body);
        assert_eq!(refusal, None, "{} {} {body}", asked.method, asked.target);
    }
    for (template, methods) in USED {
        for method in methods {
            let is_it = |asked: &Asked| {
                let path = asked.target().split('?').next().unwrap_or_default();
                asked.method.as_str().eq_ignore_ascii_case(method)
                    && template_of(path) == Some(template)
            };
            assert!(asked.iter().any(is_it), "no {method} {template}");
        }
    }
    a_wrong_request_is_seen(&prism, &asked).await;
}

/// The same with one thing changed does not fit.
async fn a_wrong_request_is_seen(prism: &Prism, asked: &[Asked]) {
    let of = |method: Method, end: &str| {
        let is_it = |asked: &&Asked| asked.method == method && asked.target.contains(end);
        asked.iter().find(is_it).expect(end).clone()
    };
    let edited = |mut asked: Asked, from: &str, to: &str| {
        let body = String::from_utf8(asked.body).expect("UTF-8");
        assert!(body.contains(from), "{body}");
        asked.body = body.replacen(from, to, 1).into_bytes();
        asked
    };
    let led = |mut asked: Asked, from: &str, to: &str| {
        assert!(asked.target.contains(from), "{}", asked.target);
        asked.target = asked.target.replace(from, to);
        asked
    };
    let pull = of(Method::POST, "/pulls");
    let commit = of(Method::POST, "/git/commits");
    for wrong in [
        edited(pull.clone(), "\"base\"", "\"onto\""),
        edited(pull.clone(), "\"draft\"", "\"sketch\""),
        edited(pull.clone(), "false", "\"no\""),
        edited(commit.clone(), "\"date\"", "\"day\""),
        edited(commit, "\"tree\"", "\"wood\""),
        edited(of(Method::POST, "/git/trees"), "100644", "644"),
        edited(of(Method::POST, "/labels"), "\"labels\"", "\"tags\""),
        led(pull.clone(), "/pulls", "/pull"),
        led(of(Method::GET, "/pulls?"), "head=", "haed="),
        led(of(Method::GET, "/pulls?"), "state=all", "state=any"),
        Asked {
            method: Method::PUT,
            ..pull
        },
    ] {
        let refusal = prism.refusal(&wrong).await;
        let body = String::from_utf8_lossy(&wrong.body);
        assert!(
            refusal.is_some(),
            "{} {} {body}",
            wrong.method,
            wrong.target
        );
    }
}
