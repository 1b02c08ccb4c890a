//! Facts about `pinion bisect`: a culprit found, an interruption survived, everything put back.

use std::path::Path;
use std::time::{Duration, Instant};

use pinion_client::v1;

use super::developer::{Developer, said};
use super::stub::Stub;

/// Eight packages, of which all go from 1 to 2.
fn files(developer: &Developer) {
    let pins =
        |version: u32| -> String { (1..=8).map(|n| format!("lib-{n}=={version}\n")).collect() };
    std::fs::write(developer.checkout().join("good.txt"), pins(1)).expect("written");
    std::fs::write(developer.checkout().join("bad.txt"), pins(2)).expect("written");
}

/// A bisection of a shell script that reads its constraints; `$c` is the file.
fn bisect(developer: &Developer, options: &[&str], script: &str) -> (i32, String, String) {
    let script = format!("c=$PIP_CONSTRAINT; echo run >> runs; {script}");
    let words = [
        &["bisect", "--good", "good.txt", "--bad", "bad.txt"],
        options,
        &["--", "sh", "-c", &script],
    ];
    said(&mut developer.pinion(&words.concat()))
}

fn runs(developer: &Developer) -> usize {
    let text = std::fs::read_to_string(developer.checkout().join("runs")).unwrap_or_default();
    text.lines().count()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("readable").flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_culprit_is_named_with_its_confidence_and_the_runs_it_took() {
    let developer = Developer::new();
    files(&developer);
    let (code, out, err) = bisect(&developer, &[], "! grep -q lib-6==2 $c");
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("culprit: lib-6 1 -> 2\n"), "{out}");
    let runs = runs(&developer);
    let told = format!("found among 8 changes in {runs} runs, with 99 % confidence");
    assert!(out.contains(&told), "{out}");
    assert!(runs <= 16, "{runs}");
    assert!(
        err.contains("8 pins differ") && err.contains("run 1: the bad pins failed"),
        "{err}"
    );
    assert_eq!(names(developer.checkout()), ["bad.txt", "good.txt", "runs"]);
    assert!(
        !developer
            .files()
            .iter()
            .any(|file| file.ends_with("bisect.json"))
    );
}

#[test]
fn without_files_the_checkout_s_own_pins_are_held_against_the_baseline() {
    let stub = Stub::start();
    let developer = Developer::joined(&stub, &[]);
    let pins = |version: &str| v1::GetPinsResponse {
        etag: version.to_owned(),
        revision: 7,
        pins: ["lib-1", "lib-2"]
            .map(|package| v1::Pin {
                package: package.to_owned(),
                version: version.to_owned(),
                marker: String::new(),
            })
            .into(),
        pin_set: "nova".into(),
        ecosystem: v1::Ecosystem::Pypi.into(),
        ..Default::default()
    };
    stub.serve(pins("2"));
    stub.serve_baseline(pins("1"));
    let script = "! grep -q lib-2==2 $PIP_CONSTRAINT";
    let (code, out, err) = developer.says(&["bisect", "--", "sh", "-c", script]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("culprit: lib-2 1 -> 2\n"), "{out}");
    assert!(err.contains("did not agree to that"), "{err}");
}

#[test]
fn the_files_of_a_checkout_of_several_ecosystems_need_a_tool() {
    let developer = Developer::new();
    files(&developer);
    for manifest in ["package.json", "go.mod"] {
        std::fs::write(developer.checkout().join(manifest), "{}").expect("written");
    }
    let script = "! grep -q lib-6==2 $c";
    let (code, _, err) = bisect(&developer, &[], script);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("next: name the tool by --tool"), "{err}");
    let (code, out, err) = bisect(&developer, &["--tool", "pip"], script);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("culprit: lib-6 1 -> 2\n"), "{out}");
}

#[test]
fn joint_culprits_are_found_and_told_as_json() {
    let developer = Developer::new();
    files(&developer);
    let script = "! { grep -q lib-2==2 $c && grep -q lib-7==2 $c; }";
    let (code, out, err) = bisect(&developer, &["--output", "json"], script);
    assert_eq!(code, 0, "{err}");
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let packages: Vec<_> = json["culprit"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| change["package"].as_str().expect("text"))
        .collect();
    assert_eq!(packages, ["lib-2", "lib-7"]);
    assert_eq!(json["runs"], runs(&developer));
}

#[test]
fn pins_that_make_no_difference_are_not_blamed() {
    let developer = Developer::new();
    files(&developer);
    let (code, out, err) = bisect(&developer, &[], "exit 1");
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    let runs = runs(&developer);
    let told = format!("with and without them the command failed in {runs} of {runs} runs");
    assert!(err.contains(&told), "{err}");
}

#[test]
fn a_command_that_cannot_tell_is_not_taken_for_failing() {
    let developer = Developer::new();
    files(&developer);
    // What lib-3 and lib-4 need of each other: one without the other cannot be tested.
    let script = "n=$(grep -c 'lib-[34]==2' $c); [ $n = 1 ] && exit 125; ! grep -q lib-4==2 $c";
    let (code, out, err) = bisect(&developer, &[], script);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.starts_with("culprit: lib-3 1 -> 2\n   with: lib-4 1 -> 2\n"),
        "{out}{err}"
    );
}

#[test]
fn what_was_installed_is_put_back_at_the_end() {
    let developer = Developer::new();
    files(&developer);
    let install = "cp $PIP_CONSTRAINT installed.txt";
    let words = [
        "bisect",
        "--good",
        "good.txt",
        "--bad",
        "bad.txt",
        "--install",
        install,
    ];
    let bisect = |own: &str| {
        let mut command = developer.pinion(&words);
        command.args(["--", "sh", "-c", "! grep -q lib-5==2 installed.txt"]);
        said(command.env("PIP_CONSTRAINT", own))
    };
    // The constraints that were in use take no part in the trials, and are back at the end.
    let (code, out, err) = bisect("bad.txt");
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("culprit: lib-5 1 -> 2\n"), "{out}");
    let text = |file| std::fs::read_to_string(developer.checkout().join(file)).expect("there");
    assert_eq!(text("installed.txt"), text("bad.txt"));

    // Without any, nothing can be copied, and that is said.
    let (code, out, err) = bisect("");
    assert_eq!(code, 1, "{err}");
    assert!(out.starts_with("culprit: lib-5 1 -> 2\n"), "{out}");
    assert!(
        err.contains("what was there before could not be installed"),
        "{err}"
    );
}

#[test]
fn pins_that_cannot_be_installed_are_said_to_be_so() {
    let developer = Developer::new();
    files(&developer);
    let (code, _, err) = bisect(
        &developer,
        &["--install", "! grep -q ==2 $PIP_CONSTRAINT"],
        "true",
    );
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("the bad pins cannot be installed"), "{err}");
    assert!(
        err.contains("next: to find which pin breaks the installation"),
        "{err}"
    );
}

#[cfg(unix)]
#[test]
fn an_interrupted_bisection_goes_on_where_it_was() {
    let developer = Developer::new();
    files(&developer);
    // The fifth run waits for the interruption, once.
    let wait = "[ $(wc -l < runs) = 5 ] && [ ! -e waited ] && touch waited && exec sleep 60;";
    let script = format!("{wait} ! grep -q lib-3==2 $c");
    let line = format!("c=$PIP_CONSTRAINT; echo run >> runs; {script}");
    let words = [
        "bisect", "--good", "good.txt", "--bad", "bad.txt", "--", "sh", "-c", &line,
    ];
    let child = developer
        .pinion(&words)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program runs");
    let begun = Instant::now();
    while !developer.checkout().join("waited").exists() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never waited");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("alive");
    let output = child.wait_with_output().expect("ends");
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(
        err.contains("stopped after 4 runs; the same command goes on"),
        "{err}"
    );

    let (code, _, other) = bisect(&developer, &[], "true");
    assert_eq!(code, 1, "another question: {other}");
    assert!(
        other.contains("another bisection is unfinished here"),
        "{other}"
    );
    assert!(other.contains("--restart"), "{other}");

    let (code, out, err) = bisect(&developer, &[], &script);
    assert_eq!(code, 0, "{err}");
    assert!(
        err.contains("going on after 4 runs") && err.contains("run 5: "),
        "{err}"
    );
    assert!(out.starts_with("culprit: lib-3 1 -> 2\n"), "{out}");
    let told = format!("in {} runs", runs(&developer) - 1);
    assert!(
        out.contains(&told),
        "all but the interrupted one count: {out}"
    );
}

#[test]
fn equal_pins_leave_nothing_to_bisect() {
    let developer = Developer::new();
    files(&developer);
    let words = ["bisect", "--good", "good.txt", "--bad", "good.txt", "true"];
    let (code, _, err) = developer.says(&words);
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("the good and the bad pins are the same"),
        "{err}"
    );
}
