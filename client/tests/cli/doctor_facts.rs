//! Facts about `pinion doctor`.

use serde_json::Value;

use super::developer::{Developer, said};
use super::stub::Stub;

fn looked(developer: &Developer, variables: &[(&str, &str)]) -> (i32, Value) {
    let mut command = developer.pinion(&["doctor", "--output", "json"]);
    let (code, out, err) = said(command.envs(variables.iter().copied()));
    (
        code,
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")),
    )
}

fn state<'a>(looked: &'a Value, name: &str) -> &'a str {
    let checks = looked["checks"].as_array().expect("a list");
    let check = checks.iter().find(|check| check["name"] == name);
    check
        .and_then(|check| check["state"].as_str())
        .unwrap_or("missing")
}

#[test]
fn a_healthy_checkout_has_no_problem_and_no_warning() {
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
    for name in [
        "variables",
        "reports",
        "git",
        "pip",
        "uv",
        "npm",
        "cargo",
        "go",
    ] {
        assert_eq!(state(&json, name), "ok", "{name}: {json:#}");
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
    for name in ["reporting", "pins", "constraints", "variables", "reports"] {
        assert_eq!(state(&json, name), "warning", "{name}: {json:#}");
    }
    for check in json["checks"].as_array().expect("a list") {
        let has_step = check["next"].is_string();
        assert_eq!(has_step, check["state"] != "ok", "{check}");
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
