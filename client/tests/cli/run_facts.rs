//! Facts about running a command: its end is its own, and the report never stands in its way.

use std::time::{Duration, Instant};

use pinion_client::ingest::Fingerprint;
use pinion_client::v1::{Category, Outcome, Report};

use super::developer::{Developer, said};
use super::stub::{Mood, Stub};

fn reporting(stub: &Stub) -> Developer {
    Developer::joined(stub, &["--accept-reporting"])
}

/// The last report that arrived.
fn last(stub: &Stub) -> Report {
    stub.heard(|heard| heard.reports.last().cloned())
        .expect("a report")
}

#[test]
fn the_exit_status_is_that_of_the_command() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    for status in [0, 1, 5, 42, 255] {
        let script = format!("exit {status}");
        assert_eq!(developer.says(&["run", "sh", "-c", &script]).0, status);
    }
    for (signal, status) in [("KILL", 137), ("SEGV", 139), ("TERM", 143)] {
        let script = format!("kill -{signal} $$");
        assert_eq!(
            developer.says(&["run", "--", "sh", "-c", &script]).0,
            status
        );
    }
    assert_eq!(developer.says(&["run", "no-such-command-here"]).0, 127);
    assert_eq!(developer.says(&["run", "/"]).0, 126);
}

#[test]
fn the_command_is_pointed_at_the_pins() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    developer.says(&["sync"]);
    let mut run = developer.pinion(&[
        "run",
        "sh",
        "-c",
        "echo $PIP_CONSTRAINT; echo $UV_CONSTRAINT",
    ]);
    let (_, out, _) = said(run.env("UV_CONSTRAINT", "/theirs.txt"));
    let ours = developer.file("constraints.txt");
    let ours = ours.to_str().expect("text");
    assert_eq!(out, format!("{ours}\n/theirs.txt {ours}\n"));
}

#[test]
fn without_consent_nothing_is_sent() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    developer.says(&["sync"]);
    assert_eq!(developer.says(&["run", "false"]).0, 1);
    let silenced = reporting(&stub);
    let (_, _, err) = said(silenced.pinion(&["run", "true"]).env("DO_NOT_TRACK", "1"));
    assert!(err.contains("DO_NOT_TRACK"), "{err}");
    assert!(stub.heard(|heard| heard.reports.is_empty()));
}

#[test]
fn a_run_is_announced_and_then_reported_with_its_pins() {
    let stub = Stub::start();
    let developer = reporting(&stub);
    developer.says(&["sync"]);
    let (code, _, err) = developer.says(&["run", "true"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let reports = stub.heard(|heard| heard.reports.clone());
    let outcomes: Vec<_> = reports.iter().map(Report::outcome).collect();
    assert_eq!(outcomes, [Outcome::Started, Outcome::Passed]);
    for report in &reports {
        assert_eq!(report.run_id, reports[0].run_id);
        assert_eq!(report.pins_etag, "etag-1.0");
        assert_eq!(report.rollouts, ["ro-0000000000000001"]);
    }
    let shown = developer.says(&["telemetry", "show"]).1;
    let sent: Vec<_> = reports
        .iter()
        .map(|one| pinion_proto::to_json(one).to_string())
        .collect();
    assert_eq!(shown.lines().collect::<Vec<_>>(), sent);
}

#[test]
fn a_failure_is_reported_in_its_category() {
    let stub = Stub::start();
    let developer = reporting(&stub);
    for (words, category) in [
        (&["run", "--", "false"][..], Category::Test),
        (
            &["run", "--category", "install", "false"],
            Category::Install,
        ),
        (&["run", "sh", "-c", "kill -SEGV $$"], Category::Crash),
        (&["run", "sh", "-c", "exit 134"], Category::Crash),
        (
            &["run", "--category", "build", "--junit", "none.xml", "false"],
            Category::Build,
        ),
    ] {
        developer.says(words);
        let report = last(&stub);
        assert_eq!(
            (report.outcome(), report.category()),
            (Outcome::Failed, category),
            "{words:?}"
        );
    }
}

#[test]
fn a_junit_file_tells_failing_tests_from_a_failed_build() {
    let stub = Stub::start();
    let developer = reporting(&stub);
    let failing = "echo '<testsuite><testcase><failure message=\"KeyError: a\"/></testcase></testsuite>' > j.xml";
    let (code, _, err) = developer.says(&[
        "run",
        "--junit",
        "j.xml",
        "--category",
        "install",
        "sh",
        "-c",
        failing,
    ]);
    assert_eq!(code, 0, "the command's own status stays");
    assert!(
        err.contains("exited with 0, but its test report has failures"),
        "{err}"
    );
    let report = last(&stub);
    assert_eq!(
        (report.outcome(), report.category()),
        (Outcome::Failed, Category::Test)
    );
    assert_eq!(report.fingerprint.len(), 16);

    let broken = "echo '<testsuite><testcase><error type=\"ImportError\"/></testcase></testsuite>' > k.xml; exit 2";
    assert_eq!(
        developer
            .says(&["run", "--junit", "k.xml", "sh", "-c", broken])
            .0,
        2
    );
    assert_eq!(last(&stub).category(), Category::Build);
}

#[test]
fn an_old_junit_file_is_not_taken_for_a_new_one() {
    let stub = Stub::start();
    let developer = reporting(&stub);
    let old = "<testsuite><testcase><failure/></testcase></testsuite>";
    std::fs::write(developer.checkout().join("j.xml"), old).expect("written");
    let (_, _, err) = developer.says(&["run", "--junit", "j.xml", "true"]);
    assert!(
        err.contains("did not write the test report `j.xml`"),
        "{err}"
    );
    assert_eq!(last(&stub).outcome(), Outcome::Passed);
}

#[test]
fn reports_of_any_format_are_read_by_pattern_and_only_new_ones() {
    let stub = Stub::start();
    let developer = reporting(&stub);
    developer.says(&["sync"]);
    let old = "<testsuite><testcase><failure message='KeyError: old'/></testcase></testsuite>";
    std::fs::create_dir(developer.checkout().join("reports")).expect("made");
    std::fs::write(developer.checkout().join("reports/old.xml"), old).expect("written");
    let script = "printf '1..1\\nok 1\\n' > reports/new.xml; \
                  printf '1..1\\nnot ok 1 - new\\n' > reports/other.tap; exit 1";
    let words = [
        "run",
        "--report",
        "reports/*.xml",
        "--report",
        "reports/*",
        "sh",
        "-c",
        script,
    ];
    let (code, _, err) = developer.says(&words);
    assert_eq!((code, err.as_str()), (1, ""));
    assert_eq!(last(&stub).category(), Category::Test);
    let look = Fingerprint::of_failure("", "new", "").expect("a look");
    assert_eq!(last(&stub).fingerprint, look.to_string());

    let (_, _, err) = developer.says(&["run", "--report", "none/*.xml", "true"]);
    assert!(err.contains("left no test report `none/*.xml`"), "{err}");
    assert_eq!(last(&stub).outcome(), Outcome::Passed);
}

#[test]
fn pytest_without_a_report_has_failed() {
    let stub = Stub::start();
    let developer = reporting(&stub);
    // 2 interrupted, 3 internal error, 4 usage error, 5 no tests collected.
    for status in [2, 3, 4, 5] {
        let script = format!("exit {status}");
        let words = ["run", "--report", "none.xml", "sh", "-c", &script];
        assert_eq!(developer.says(&words).0, status);
        assert_eq!(
            (last(&stub).outcome(), last(&stub).category()),
            (Outcome::Failed, Category::Test)
        );
    }
    let no_tests = "echo '<testsuites><testsuite tests=\"0\"/></testsuites>' > none.xml; exit 5";
    assert_eq!(
        developer
            .says(&["run", "--report", "none.xml", "sh", "-c", no_tests])
            .0,
        5
    );
    assert_eq!(last(&stub).outcome(), Outcome::Failed);
}

#[test]
fn output_is_read_only_when_asked_and_passed_on_in_its_order() {
    let stub = Stub::start();
    let developer = reporting(&stub);
    developer.says(&["sync"]);
    let script = "echo one; echo two >&2; echo 'ImportError: no x in /home/ann/y.py' >&2; exit 1";
    let (_, out, err) = developer.says(&["run", "sh", "-c", script]);
    assert_eq!(last(&stub).fingerprint, "");
    let (code, read_out, read_err) = developer.says(&["run", "--read-output", "sh", "-c", script]);
    assert_eq!((code, read_out, read_err), (1, out, err));
    let look = Fingerprint::of_output("ImportError: no x in /elsewhere/z.py").expect("a look");
    assert_eq!(last(&stub).fingerprint, look.to_string());
    assert_eq!(
        last(&stub).category(),
        Category::Build,
        "as the output says"
    );
    let stated = [
        "run",
        "--read-output",
        "--category",
        "install",
        "sh",
        "-c",
        script,
    ];
    developer.says(&stated);
    assert_eq!(last(&stub).category(), Category::Install, "as stated");

    let both = developer.checkout().join("both");
    let file = std::fs::File::create(&both).expect("made");
    let script = "for n in 1 2 3 4 5 6 7 8 9; do echo out $n; echo err $n >&2; done";
    let mut run = developer.pinion(&["run", "--read-output", "sh", "-c", script]);
    run.stdout(file.try_clone().expect("a handle")).stderr(file);
    assert!(run.status().expect("runs").success());
    let text = std::fs::read_to_string(&both).expect("written");
    let expected: String = (1..10).map(|n| format!("out {n}\nerr {n}\n")).collect();
    assert_eq!(text, expected);
}

#[cfg(unix)]
#[test]
fn a_slow_reader_of_the_output_loses_nothing() {
    let stub = Stub::start();
    let developer = reporting(&stub);
    let script = "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done";
    let mut run = developer.pinion(&["run", "--read-output", "sh", "-c", script]);
    run.stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut child = run.spawn().expect("the program runs");
    // The pipe is full, and the command has long ended, when the reading begins.
    std::thread::sleep(Duration::from_millis(1500));
    let mut text = String::new();
    let stdout = child.stdout.take().expect("piped");
    std::io::Read::read_to_string(&mut std::io::BufReader::new(stdout), &mut text)
        .expect("readable");
    assert_eq!(text.lines().count(), 3000);
    assert!(child.wait().expect("ends").success());
}

#[test]
fn what_a_command_leaves_in_the_background_keeps_nobody_waiting() {
    let stub = Stub::start();
    let developer = reporting(&stub);
    let begun = Instant::now();
    let script = "sleep 20 & echo done; exit 3";
    let mut run = developer.pinion(&["run", "--read-output", "sh", "-c", script]);
    let file = std::fs::File::create(developer.checkout().join("out")).expect("made");
    run.stdout(file.try_clone().expect("a handle")).stderr(file);
    assert_eq!(run.status().expect("runs").code(), Some(3));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_dead_server_costs_nothing_and_the_report_is_kept() {
    let mut stub = Stub::start();
    let developer = reporting(&stub);
    stub.stop();
    let begun = Instant::now();
    let (code, _, err) = developer.says(&["run", "sh", "-c", "exit 3"]);
    assert_eq!(code, 3, "{err}");
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        err.contains("the outcome was not reported") && err.contains("next run or sync"),
        "{err}"
    );
    let kept = developer.says(&["telemetry", "show"]).1;
    assert_eq!(kept.lines().count(), 2, "{kept}");
}

#[test]
fn a_server_that_hangs_costs_less_than_a_second_and_gets_the_same_report_later() {
    let stub = Stub::start();
    let developer = reporting(&stub);
    stub.turn(Mood::Hanging);
    let begun = Instant::now();
    let (code, _, err) = developer.says(&["run", "false"]);
    assert_eq!(code, 1, "{err}");
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert!(err.contains("did not answer in time"), "{err}");

    let kept = developer.says(&["telemetry", "show"]).1;
    stub.turn(Mood::Well);
    assert_eq!(developer.says(&["run", "true"]).0, 0);
    let arrived = stub.heard(|heard| heard.reports.clone());
    let first_two: Vec<_> = arrived[..2]
        .iter()
        .map(|one| pinion_proto::to_json(one).to_string())
        .collect();
    assert_eq!(kept.lines().collect::<Vec<_>>(), first_two);
    assert_eq!(arrived.len(), 4);
}

#[test]
fn a_report_the_server_never_takes_is_told_once_and_thrown_away() {
    let stub = Stub::start();
    let developer = reporting(&stub);
    stub.turn(Mood::RefusingReports);
    let (code, _, err) = developer.says(&["run", "true"]);
    assert_eq!(code, 0);
    assert!(
        err.contains("the server refused the report: the environment is not in the rollout"),
        "{err}"
    );
    assert_eq!(developer.says(&["telemetry", "show"]).1, "");
}

#[cfg(unix)]
#[test]
fn a_signal_to_pinion_reaches_the_command() {
    use std::io::{BufRead as _, BufReader};

    let stub = Stub::start();
    let developer = reporting(&stub);
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let mut run = developer.pinion(&["run", "sh", "-c", script]);
    let mut child = run
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("readable");
    assert_eq!(line, "ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("alive");
    assert_eq!(child.wait().expect("ends").code(), Some(7));
    assert_eq!(last(&stub).outcome(), Outcome::Failed);
}
