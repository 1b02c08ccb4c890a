//! Alerts, the dashboard, and the collector. That every figure they name exists is a test of `metrics.rs`.

use std::process::Command;

use tempfile::tempdir;

use super::parts::{check, deployed, program, run, text_of};

const ALERTS: &str = "monitoring/alerts.yaml";

#[test]
fn the_alerts_and_the_configuration_of_prometheus_are_valid() {
    let Some(mut promtool) = program("promtool") else {
        return;
    };
    run(promtool.args(["check", "rules"]).arg(deployed(ALERTS)));
    let folder = tempdir().unwrap();
    let sample = text_of("compose/etc/prometheus.yaml")
        .replace(
            "/etc/prometheus/alerts.yml",
            deployed(ALERTS).to_str().unwrap(),
        )
        .replace("/run/secrets/ca.crt", "/dev/null");
    let path = folder.path().join("prometheus.yaml");
    std::fs::write(&path, sample).unwrap();
    run(Command::new("promtool").args(["check", "config"]).arg(path));
}

#[test]
fn the_alerts_come_when_they_should_and_only_then() {
    let Some(mut promtool) = program("promtool") else {
        return;
    };
    run(promtool
        .args(["test", "rules"])
        .arg(deployed("monitoring/alerts.test.yaml")));
}

#[test]
fn every_alert_is_tried_and_has_its_place_in_the_runbook() {
    let (alerts, tried, runbook) = (
        text_of(ALERTS),
        text_of("monitoring/alerts.test.yaml"),
        text_of("README.md"),
    );
    let after =
        |text: &'static str| move |line: &str| line.trim().strip_prefix(text).map(str::to_owned);
    let mut names: Vec<String> = alerts.lines().filter_map(after("- alert: ")).collect();
    let pointers: Vec<String> = alerts.lines().filter_map(after("runbook: ")).collect();
    let expected: Vec<String> = names
        .iter()
        .map(|name| format!("deploy/README.md#{}", name.to_lowercase()))
        .collect();
    assert_eq!(pointers, expected);
    for name in &names {
        let fires = tried.contains(&format!("alertname: {name}\n"));
        assert!(fires, "no test in which {name} comes");
    }
    let mut described: Vec<String> = runbook
        .lines()
        .filter_map(after("### Pinion"))
        .map(|rest| format!("Pinion{rest}"))
        .collect();
    names.sort();
    described.sort();
    assert_eq!(described, names);
}

#[test]
fn the_dashboard_is_one_and_its_queries_are_queries() {
    let Some(_) = check("dashboard", &deployed("monitoring/dashboard.json")) else {
        return;
    };
    let Some(mut promtool) = program("promtool") else {
        return;
    };
    let dashboard: serde_json::Value =
        serde_json::from_str(&text_of("monitoring/dashboard.json")).unwrap();
    let mut queries = Vec::new();
    expressions(&dashboard, &mut queries);
    assert!(queries.len() > 20);
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (n, query) in queries.iter().enumerate() {
        let query = query
            .replace("$__rate_interval", "5m")
            .replace("$__range", "1h");
        let query = serde_json::to_string(&query).unwrap();
        rules.push_str(&format!(
            "      - {{record: \"query:{n}\", expr: {query}}}\n"
        ));
    }
    let folder = tempdir().unwrap();
    let path = folder.path().join("queries.yaml");
    std::fs::write(&path, rules).unwrap();
    run(promtool.args(["check", "rules", "--lint=none"]).arg(path));
}

/// Every `expr` within.
fn expressions(value: &serde_json::Value, found: &mut Vec<String>) {
    if let Some(expression) = value.get("expr").and_then(serde_json::Value::as_str) {
        found.push(expression.to_owned());
    }
    for item in value.as_array().into_iter().flatten() {
        expressions(item, found);
    }
    for item in value
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.values())
    {
        expressions(item, found);
    }
}

#[test]
fn the_collector_takes_its_configuration() {
    check("collector", &deployed("monitoring/collector.yaml"));
}

#[test]
fn the_runbook_makes_a_prometheus_rule_of_the_alerts() {
    let runbook = text_of("README.md");
    let (_, rest) = runbook.split_once("<!-- rule -->\n\n```sh\n").unwrap();
    let (command, _) = rest.split_once("\n```").unwrap();
    let command = command.strip_suffix(" | kubectl apply -f -").unwrap();
    let made = run(Command::new("sh")
        .args(["-c", command])
        .current_dir(deployed("..")));
    let folder = tempdir().unwrap();
    let path = folder.path().join("rule.yaml");
    std::fs::write(&path, made).unwrap();
    let Some(objects) = check("objects", &path) else {
        return;
    };
    assert_eq!(objects[0]["kind"], "PrometheusRule");
    let groups = objects[0]["spec"]["groups"].as_array().unwrap();
    let rules: usize = groups
        .iter()
        .map(|group| group["rules"].as_array().unwrap().len())
        .sum();
    assert_eq!(rules, text_of(ALERTS).matches("- alert: ").count());
}
