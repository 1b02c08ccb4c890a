//! The examples in `deploy/ci` are files of their kind, and every `pinion` line in them is a command line.

use clap::Parser as _;
use saphyr::{LoadableYamlNode as _, Yaml};

use super::gate::Gate;
use super::{Args, Command};

const YAML: [(&str, &str); 5] = [
    (
        "github-actions.yml",
        include_str!("../../../deploy/ci/github-actions.yml"),
    ),
    (
        "gitlab-ci.yml",
        include_str!("../../../deploy/ci/gitlab-ci.yml"),
    ),
    ("zuul.yaml", include_str!("../../../deploy/ci/zuul.yaml")),
    (
        "zuul-pinion-tox.yaml",
        include_str!("../../../deploy/ci/zuul-pinion-tox.yaml"),
    ),
    (
        "zuul-pinion-leave.yaml",
        include_str!("../../../deploy/ci/zuul-pinion-leave.yaml"),
    ),
];

const JENKINS: &str = include_str!("../../../deploy/ci/Jenkinsfile");

/// The examples of gates that are files of their own.
const GATES: [(&str, &str); 2] = [
    (
        "github-actions-gate.yml",
        include_str!("../../../deploy/ci/github-actions-gate.yml"),
    ),
    (
        "zuul-pinion-gate.yaml",
        include_str!("../../../deploy/ci/zuul-pinion-gate.yaml"),
    ),
];

const JENKINS_GATE: &str = include_str!("../../../deploy/ci/Jenkinsfile.gate");

const README: &str = include_str!("../../../deploy/ci/README.md");

/// Every text in a document.
fn texts(node: &Yaml<'_>, found: &mut Vec<String>) {
    if let Some(text) = node.as_str() {
        found.push(text.to_owned());
    }
    for item in node.as_sequence().into_iter().flatten() {
        texts(item, found);
    }
    for (_, value) in node.as_mapping().into_iter().flatten() {
        texts(value, found);
    }
}

/// The lines that start `pinion`, as their words; also within `eval "$(...)"`.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().map(|line| {
        let line = line.trim();
        let within = line.strip_prefix("eval \"$(");
        within
            .and_then(|line| line.strip_suffix(")\""))
            .unwrap_or(line)
    });
    let lines = lines.filter(|line| line.starts_with("pinion "));
    // What a template puts in has no blanks.
    let plain = lines.map(|line| line.replace("{{ ", "").replace(" }}", ""));
    plain
        .map(|line| shlex::split(&line).unwrap_or_else(|| panic!("no shell line: {line}")))
        .collect()
}

fn parsed(file: &str, lines: &[Vec<String>]) -> Vec<Command> {
    let parse = |words: &Vec<String>| match Args::try_parse_from(words) {
        Ok(args) => args.command,
        Err(error) => panic!("{file}: {words:?}: {error}"),
    };
    lines.iter().map(parse).collect()
}

fn of_yaml(file: &str, text: &str) -> Vec<Command> {
    let documents = Yaml::load_from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(documents.len(), 1, "{file}");
    let mut found = Vec::new();
    texts(&documents[0], &mut found);
    let lines: Vec<_> = found.iter().flat_map(|text| command_lines(text)).collect();
    parsed(file, &lines)
}

/// The lines of a Jenkinsfile: what stands between quotes after `sh`.
fn of_jenkins(text: &str) -> Vec<Command> {
    let plain = text.replace("sh '''", "").replace("'''", "");
    let shell = plain.lines().map(|line| {
        let line = line.trim();
        let quoted = |quote: char| {
            let line = line.strip_prefix("sh ")?.strip_prefix(quote)?;
            line.strip_suffix(quote)
        };
        quoted('"').or_else(|| quoted('\'')).unwrap_or(line)
    });
    let script: String = shell.map(|line| format!("{line}\n")).collect();
    parsed("Jenkinsfile", &command_lines(&script))
}

#[test]
fn every_example_joins_with_consent_pulls_runs_and_leaves() {
    let zuul = YAML[2..]
        .iter()
        .flat_map(|(file, text)| of_yaml(file, text));
    let examples = [
        ("github-actions.yml", of_yaml(YAML[0].0, YAML[0].1)),
        ("gitlab-ci.yml", of_yaml(YAML[1].0, YAML[1].1)),
        ("zuul", zuul.collect()),
        ("Jenkinsfile", of_jenkins(JENKINS)),
    ];
    for (file, commands) in examples {
        let has = |is: fn(&Command) -> bool| commands.iter().any(is);
        assert!(
            has(
                |command| matches!(command, Command::Join(join) if join.accept_reporting && !join.team.is_empty())
            ),
            "{file}: {commands:?}"
        );
        assert!(has(|command| matches!(command, Command::Sync(_))), "{file}");
        assert!(
            has(|command| matches!(command, Command::Run(run) if !run.report.is_empty()))
                || has(|command| matches!(command, Command::Report(_))),
            "{file}"
        );
        assert!(
            has(|command| matches!(command, Command::Leave(_))),
            "{file}"
        );
    }
}

#[test]
fn every_example_of_a_gate_runs_one_with_a_report() {
    let examples = [
        of_yaml(GATES[0].0, GATES[0].1),
        of_yaml(GATES[1].0, GATES[1].1),
        of_yaml(YAML[1].0, YAML[1].1),
        of_jenkins(JENKINS_GATE),
    ];
    for commands in examples {
        let runs = commands.iter().filter(
            |command| matches!(command, Command::Gate(Gate::Run(run)) if !run.report.is_empty()),
        );
        assert_eq!(runs.count(), 1, "{commands:?}");
    }
}

#[test]
fn a_slip_in_an_example_is_found() {
    let slip = command_lines("pinion join --pin-set x --accept-reports");
    assert!(Args::try_parse_from(&slip[0]).is_err());
}

#[test]
fn the_page_names_every_example_and_its_commands_parse() {
    for (file, _) in YAML.iter().chain(&GATES) {
        assert!(README.contains(&format!("({file})")), "{file}");
    }
    let quoted = README.split('`').skip(1).step_by(2);
    let lines: Vec<_> = quoted
        .filter(|text| text.starts_with("pinion ") && *text != "pinion run")
        .flat_map(command_lines)
        .collect();
    assert!(!parsed("README.md", &lines).is_empty());
}
