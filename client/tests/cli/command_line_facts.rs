//! Facts about the command line itself.

use super::developer::{Developer, said};

#[test]
fn help_names_every_exit_code() {
    let (code, out, _) = Developer::new().says(&["--help"]);
    assert_eq!(code, 0);
    for exit in 0..=7 {
        assert!(out.contains(&format!("\n  {exit}  ")), "{exit}: {out}");
    }
    assert!(out.contains("128 + n"), "{out}");
}

#[test]
fn every_subcommand_has_help() {
    let developer = Developer::new();
    for words in [
        "join",
        "leave",
        "sync",
        "run",
        "report",
        "ingest",
        "why",
        "status",
        "hold",
        "unhold",
        "never",
        "now",
        "doctor",
        "bisect",
        "telemetry show",
        "telemetry local",
        "telemetry on",
        "telemetry off",
        "pin-set create",
        "pin-set import",
        "pin-set show",
        "pin-set list",
        "pin-set update",
        "pin-set blocks",
        "pin-set lift",
        "rollout start",
        "rollout list",
        "rollout show",
        "rollout watch",
        "rollout pause",
        "rollout resume",
        "rollout promote",
        "rollout abort",
        "rollout rollback",
        "rollout history",
        "policy check",
        "policy simulate",
        "token create",
        "token list",
        "token revoke",
        "completions",
        "man",
    ] {
        let mut words: Vec<_> = words.split(' ').collect();
        words.push("--help");
        let (code, out, err) = developer.says(&words);
        assert_eq!((code, err.as_str()), (0, ""), "{words:?}");
        assert!(out.contains("Usage: pinion"), "{words:?}: {out}");
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let developer = Developer::new();
    for words in [
        &["no-such-command"][..],
        &["join"],
        &["run"],
        &["bisect"],
        &["bisect", "--good", "a.txt", "true"],
        &["bisect", "--confidence", "50", "true"],
        &["never", "requests"],
        &["pin-set", "create", "x"],
        &["pin-set", "update", "x"],
        &[
            "pin-set",
            "create",
            "x",
            "--ecosystem",
            "pypi",
            "--forge",
            "gerrit",
        ],
        &["rollout", "promote", "ro-1", "--share", "2"],
        &[
            "rollout",
            "start",
            "nova",
            "a==1",
            "--published",
            "yesterday",
        ],
        &["token", "create", "x", "--role", "king"],
        &[
            "token",
            "create",
            "x",
            "--role",
            "ci",
            "--lifetime",
            "1 fortnight",
        ],
        &[
            "join",
            "--pin-set",
            "x",
            "--accept-reporting",
            "--no-reporting",
        ],
    ] {
        let (code, out, err) = developer.says(words);
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {err}");
        assert!(
            err.contains("error:") && err.contains("--help"),
            "{words:?}: {err}"
        );
    }
    let (code, _, err) = developer.says(&["rollout", "list"]);
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("no server is named") && err.contains("next: name it by --server"),
        "{err}"
    );
}

#[test]
fn plain_http_to_another_host_is_refused_unless_said_loudly() {
    let developer = Developer::new();
    let words = ["rollout", "list", "--server", "http://pins.invalid:7460"];
    let (code, _, err) = developer.says(&words);
    assert_eq!(code, 7, "{err}");
    assert!(
        err.contains("refusing plain http to `pins.invalid`"),
        "{err}"
    );
    assert!(err.contains("--insecure-http"), "{err}");

    let mut allowed = developer.pinion(&words);
    let (code, _, err) = said(allowed.arg("--insecure-http").env("PINION_TOKEN", "secret"));
    assert_eq!(code, 5, "{err}");
    assert!(
        err.contains("warning: plain http to `pins.invalid`"),
        "{err}"
    );
    assert!(!err.contains("secret"), "{err}");
}

#[test]
fn a_join_over_plain_http_is_refused_before_the_token_is_read() {
    let (code, _, err) =
        Developer::new().says(&["join", "--server", "http://10.0.0.1", "--pin-set", "nova"]);
    assert_eq!(code, 7, "{err}");
}

#[test]
fn without_a_token_nothing_is_asked_of_the_server() {
    let (code, _, err) =
        Developer::new().says(&["rollout", "list", "--server", "http://127.0.0.1:9"]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("there is no token"), "{err}");
}

#[test]
fn a_dead_server_is_told_apart_from_a_refusal() {
    let developer = Developer::new();
    let mut list = developer.pinion(&["rollout", "list", "--server", "http://127.0.0.1:9"]);
    let (code, out, err) = said(list.env("PINION_TOKEN", "secret"));
    assert_eq!((code, out.as_str()), (5, ""), "{err}");
    assert!(
        err.contains("`http://127.0.0.1:9` cannot be reached: "),
        "{err}"
    );
    assert!(!err.contains("secret"), "{err}");
}

#[test]
fn a_policy_with_a_mistake_is_refused_with_its_place_before_anything_is_sent() {
    let developer = Developer::new();
    let policy = developer.checkout().join("policy.toml");
    std::fs::write(&policy, "bake = \"8h\"\nbakes = 1\n").expect("written");
    let policy = policy.to_str().expect("text");
    let words = [
        "pin-set",
        "create",
        "nova",
        "--ecosystem",
        "pypi",
        "--policy",
        policy,
    ];
    let (code, _, err) = developer.says(&words);
    assert_eq!(code, 7, "{err}");
    assert!(
        err.contains("line 2, column 1") && err.contains("unknown field `bakes`"),
        "{err}"
    );
}

#[test]
fn the_configuration_names_server_and_token_file() {
    let developer = Developer::new();
    let config = developer.checkout().join("pinion");
    std::fs::create_dir_all(&config).expect("made");
    std::fs::write(
        config.join("config.toml"),
        "server = 'http://127.0.0.1:9'\ntoken_file = 'token'\n",
    )
    .expect("written");
    let list = |developer: &Developer| {
        said(
            developer
                .pinion(&["rollout", "list"])
                .env("XDG_CONFIG_HOME", developer.checkout()),
        )
    };
    assert_eq!(list(&developer).0, 3, "the token file is not there");
    std::fs::write(config.join("token"), "secret\n").expect("written");
    assert_eq!(list(&developer).0, 5, "nobody listens there");
}

#[test]
fn completions_are_a_script_for_each_shell() {
    let developer = Developer::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, out, _) = developer.says(&["completions", shell]);
        assert_eq!(code, 0);
        assert!(
            out.contains("pinion") && out.contains("rollback"),
            "{shell}"
        );
    }
}

/// What a shell says that reads a script, whole, from its standard input; nothing if it is not here.
fn read_by(shell: &str, options: &[&str], script: &str) -> Option<(bool, String)> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let mut command = Command::new(shell);
    let command = command
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(missing) if std::env::var_os("PINION_REQUIRE_PARTS").is_some() => {
            panic!("{shell} is required: {missing}")
        }
        Err(missing) => {
            eprintln!("skipped: {shell} is needed: {missing}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(script.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("ends");
    let said = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

#[test]
fn completions_complete_in_their_shells() {
    let developer = Developer::new();
    let script = |shell| developer.says(&["completions", shell]).1;
    let asked = [
        (
            "bash",
            &["--norc"][..],
            script("bash")
                + "\nCOMP_WORDS=(pinion bis); COMP_CWORD=1; _pinion pinion bis pinion; echo ${COMPREPLY[@]}",
        ),
        (
            "fish",
            &["--no-config"],
            script("fish") + "\ncomplete -C 'pinion bis'",
        ),
    ];
    for (shell, options, script) in asked {
        if let Some((is_fine, said)) = read_by(shell, options, &script) {
            assert!(is_fine && said.contains("bisect"), "{shell}: {said}");
        }
    }
    // zsh completes only where it is typed in, so that what is checked is that it reads the script.
    if let Some((is_fine, said)) = read_by("zsh", &["-f", "-n"], &script("zsh")) {
        assert!(is_fine && said.is_empty(), "{said}");
    }
}

#[test]
fn manual_pages_are_printed_or_written() {
    let developer = Developer::new();
    let (code, out, _) = developer.says(&["man"]);
    assert_eq!(code, 0);
    assert!(
        out.contains(".TH pinion 1") && out.contains("Exit codes"),
        "{out}"
    );
    assert_eq!(developer.says(&["man", "pages"]).0, 0);
    for page in ["pinion.1", "pinion-run.1", "pinion-rollout-start.1"] {
        assert!(
            developer.checkout().join("pages").join(page).is_file(),
            "{page}"
        );
    }
}

#[test]
fn colour_is_only_where_it_was_asked_for() {
    let developer = Developer::new();
    assert!(!developer.says(&["sync"]).2.contains('\u{1b}'));
    assert!(
        developer
            .says(&["sync", "--color", "always"])
            .2
            .contains('\u{1b}')
    );
    let forced = |variables: &[(&str, &str)]| {
        let mut sync = developer.pinion(&["sync"]);
        said(sync.envs(variables.iter().copied()))
            .2
            .contains('\u{1b}')
    };
    assert!(forced(&[("CLICOLOR_FORCE", "1")]));
    assert!(!forced(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}
