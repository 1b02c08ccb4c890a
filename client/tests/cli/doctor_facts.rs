//! Facts about `pinion doctor`.

use pinion_client::v1;
use serde_json::Value;

use super::developer::{Developer, said};
use super::real_tool_facts::part;
use super::stub::Stub;

fn looked(developer: &Developer, variables: &[(&str, &str)]) -> (i32, Value) {
    let mut command = developer.pinion(&["doctor", "--output", "json"]);
    let (code, out, err) = said(command.envs(variables.iter().copied()));
    (
        code,
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")),
    )
}

fn check<'a>(looked: &'a Value, name: &str) -> Option<&'a Value> {
    let checks = looked["checks"].as_array().expect("a list");
    checks.iter().find(|check| check["name"] == name)
}

fn state<'a>(looked: &'a Value, name: &str) -> &'a str {
    let check = check(looked, name);
    check
        .and_then(|check| check["state"].as_str())
        .unwrap_or("missing")
}

fn found<'a>(looked: &'a Value, name: &str) -> &'a str {
    let found = check(looked, name).and_then(|check| check["found"].as_str());
    found.expect("looked at")
}

#[test]
fn a_healthy_checkout_has_no_problem_and_no_warning() {
    if part("pip", &["pip", "--version"]).is_none() {
        return;
    }
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &["--accept-reporting"]);
    developer.says(&["sync"]);
    let constraints = developer.file("constraints.txt");
    let file = constraints.to_str().expect("text");
    let exported = [("PIP_CONSTRAINT", file), ("UV_CONSTRAINT", file)];
    let (code, json) = looked(&developer, &exported);
    assert_eq!(
        (code, &json["problems"], &json["warnings"]),
        (0, &0.into(), &0.into()),
        "{json:#}"
    );
    for name in [
        "server",
        "transport",
        "token",
        "checkout",
        "reporting",
        "pins",
        "constraints",
    ] {
        assert_eq!(state(&json, name), "ok", "{name}: {json:#}");
    }
    for name in ["variables", "reports", "pip"] {
        assert_eq!(state(&json, name), "ok", "{name}: {json:#}");
    }
    // Nothing of this checkout is for them.
    for name in ["git", "uv", "npm", "cargo", "go"] {
        assert!(
            ["ok", "note"].contains(&state(&json, name)),
            "{name}: {json:#}"
        );
    }
}

#[test]
fn a_shell_without_the_variables_of_the_applied_pins_is_told_so() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    developer.says(&["sync"]);
    let file = developer.file("constraints.txt");
    let (_, json) = looked(
        &developer,
        &[("PIP_CONSTRAINT", file.to_str().expect("text"))],
    );
    assert_eq!(state(&json, "variables"), "warning", "{json:#}");
    let found = found(&json, "variables");
    assert!(found.starts_with("UV_CONSTRAINT does not name"), "{found}");
    developer.says(&["undo"]);
    let (_, json) = looked(&developer, &[]);
    assert_eq!(state(&json, "variables"), "missing", "{json:#}");
}

/// A tool that ends with 1 whatever it is asked.
#[cfg(unix)]
#[test]
fn a_tool_that_cannot_be_run_is_a_warning_where_the_checkout_uses_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    developer.says(&["sync"]);
    let broken = tempfile::tempdir().expect("a directory");
    for name in ["python3", "cargo"] {
        let path = broken.path().join(name);
        std::fs::write(&path, "#!/bin/sh\nexit 1\n").expect("written");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("set");
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", broken.path().display());
    let (code, json) = looked(&developer, &[("PATH", &path)]);
    assert_eq!(code, 0, "no problem: {json:#}");
    for (name, expected) in [("pip", "warning"), ("cargo", "note")] {
        assert_eq!(state(&json, name), expected, "{json:#}");
        let found = found(&json, name);
        assert!(
            found.starts_with("cannot be run: exit status: 1"),
            "{found}"
        );
    }
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let mut stub = Stub::start();
    let developer = Developer::joined(&stub, &["--accept-reporting"]);
    stub.stop();
    developer.says(&["run", "true"]);
    let (code, json) = looked(&developer, &[("DO_NOT_TRACK", "1")]);
    assert_eq!((code, &json["problems"]), (1, &1.into()), "{json:#}");
    assert_eq!(state(&json, "server"), "problem");
    for name in ["reporting", "pins", "constraints", "reports"] {
        assert_eq!(state(&json, name), "warning", "{name}: {json:#}");
    }
    assert_eq!(state(&json, "variables"), "missing", "no pins: {json:#}");
    for check in json["checks"].as_array().expect("a list") {
        let is_bad = check["state"] == "warning" || check["state"] == "problem";
        assert_eq!(check["next"].is_string(), is_bad, "{check}");
    }
    let (code, out, err) = developer.says(&["doctor"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("problem  server") && out.contains("next: "),
        "{out}"
    );
    assert!(err.contains("problems: 1, warnings: "), "{err}");
}

#[test]
fn outside_a_checkout_the_next_step_is_to_join() {
    let (code, json) = looked(&Developer::new(), &[]);
    assert_eq!(code, 1, "no server is named: {json:#}");
    assert_eq!(state(&json, "checkout"), "warning");
    assert_eq!(state(&json, "server"), "problem");
}

#[test]
fn of_several_servers_each_is_looked_at_and_one_that_is_away_is_a_warning() {
    let (first, second) = (Stub::start(), Stub::start());
    let mut away = Stub::start();
    let developer = Developer::joined(&first, &[]);
    away.stop();
    second.serve(v1::GetPinsResponse {
        etag: "etag".into(),
        pin_set: "nova".into(),
        age: Some(prost_types::Duration {
            seconds: 200,
            nanos: 0,
        }),
        ..Default::default()
    });
    let urls = [first.url(), second.url(), away.url()];
    let path = developer.file("membership.json");
    let text = std::fs::read_to_string(&path).expect("joined");
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    value["server"] = urls.join(",").into();
    std::fs::write(&path, value.to_string()).expect("written");

    let (code, json) = looked(&developer, &[]);
    assert_eq!((code, &json["problems"]), (0, &0.into()), "{json:#}");
    let checks = json["checks"].as_array().expect("a list").iter();
    let servers: Vec<(&str, &str)> = checks
        .filter(|check| check["name"] == "server")
        .map(|check| {
            let text = |key: &str| check[key].as_str().expect("text");
            (text("state"), text("found"))
        })
        .collect();
    let [("ok", well), ("warning", old), ("warning", unreached)] = servers[..] else {
        panic!("{servers:?}");
    };
    assert!(well.starts_with(&format!("{} answers", urls[0])), "{well}");
    assert!(
        old.contains(&urls[1]) && old.contains("is 3 minutes old"),
        "{old}"
    );
    assert!(unreached.contains(&urls[2]), "{unreached}");
    for name in ["transport", "token", "clock"] {
        assert_eq!(state(&json, name), "ok", "{json:#}");
        let checks = json["checks"].as_array().expect("a list").iter();
        assert_eq!(checks.filter(|check| check["name"] == name).count(), 1);
    }
}
