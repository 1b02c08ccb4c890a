//! The README's first command: a good version completes, a famous bad one is rolled back and filed.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

fn demo(seed: &str) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_piniond"))
        .args(["demo", "--environments", "200", "--seed", seed])
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

/// What does not depend on the port and on how fast the machine is.
fn story(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| !line.contains("http://") && !line.starts_with("Days of work in"))
        .collect()
}

#[test]
fn it_ends_with_one_complete_one_rolled_back_and_the_filed_commit_and_repeats_with_its_seed() {
    let (output, text) = demo("11");
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for words in [
        "requests 2.21.0 -> 2.22.0 is complete",
        "MarkupSafe 2.0.1 -> 2.1.0 was rolled back after",
        "would have harmed",
        "revert(deps): roll back MarkupSafe 2.1.0 -> 2.0.1",
        "-MarkupSafe===2.1.0",
        "+MarkupSafe===2.0.1",
        "Filing-Id: ",
        "pinion -- rollout start",
    ] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    let (_, again) = demo("11");
    assert_eq!(
        story(&text),
        story(&again),
        "the same seed tells the same story"
    );
}

#[cfg(unix)]
#[test]
fn it_stays_for_whoever_looks_at_its_dashboard_until_it_is_interrupted() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_piniond"))
        .args(["demo", "--stay", "--environments", "200", "--seed", "11"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut line_with = |words: &str| {
        let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(words)));
        line.expect("the line").unwrap()
    };
    let told = line_with("Watch in a browser: ");
    let (url, token) = told.split_once("/ with the token ").unwrap();
    let address = url.split_once("http://").unwrap().1.to_owned();
    line_with("The dashboard stays at ");
    let ask = |request: String| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let form = format!("token={}", token.trim());
    let signed = ask(format!(
        "POST /sign-in HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    ));
    let cookie = signed.split_once("set-cookie: ").unwrap().1;
    let cookie = cookie.split(';').next().unwrap();
    let page = ask(format!(
        "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept: text/html\r\ncookie: {cookie}\r\n\r\n"
    ));
    assert!(page.contains("MarkupSafe 2.0.1 -&gt; 2.1.0"), "{page}");
    let interrupted = Command::new("kill")
        .args(["-INT", &demo.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    assert!(demo.wait().unwrap().success());
}
