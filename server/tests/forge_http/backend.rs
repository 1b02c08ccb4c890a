//! `git http-backend`, run as the CGI program that it is.

use std::path::Path;
use std::process::Stdio;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::response::Response;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Serves one request for a repository under `root`.
pub async fn serve(root: &Path, user: &str, parts: &Parts, body: Bytes) -> Response {
    let header = |name: &str| {
        let value = parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let path = percent_encoding::percent_decode_str(parts.uri.path())
        .decode_utf8()
        .expect("UTF-8");
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path.as_ref())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("REMOTE_USER", user)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("these tests need the program git; install it");
    let mut stdin = child.stdin.take().expect("a pipe");
    let write = async move {
        // It may end before it has read everything.
        let _ = stdin.write_all(&body).await;
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    answer(&output.expect("git ends").stdout)
}

/// What a CGI program prints: headers, an empty line, the body.
fn answer(printed: &[u8]) -> Response {
    let end = printed
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("headers");
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&printed[..end]).lines() {
        let (name, value) = line.split_once(": ").expect("a header");
        response = match name {
            "Status" => response.status(value.get(..3).expect("a status")),
            _ => response.header(name, value),
        };
    }
    response
        .body(Body::from(printed[end + 4..].to_vec()))
        .expect("an answer")
}
