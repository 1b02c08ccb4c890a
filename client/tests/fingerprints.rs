//! Which failures look alike: a corpus of outputs in groups, and what may change without changing a look.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pinion_client::ingest::{Fingerprint, category_of_output};
use pinion_client::v1::Category;
use proptest::prelude::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/fingerprints")
}

/// Directories and files below a directory, in order.
fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn outputs_of_one_group_look_alike_and_those_of_two_do_not() {
    let mut groups: BTreeMap<Fingerprint, PathBuf> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut read = 0;
    for group in below(&fixtures())
        .iter()
        .flat_map(|language| below(language))
    {
        let mut looks = BTreeMap::new();
        for file in below(&group) {
            let text = std::fs::read_to_string(&file).unwrap();
            let in_report = Fingerprint::of_failure("", "", &text);
            let in_output = Fingerprint::of_output(&text);
            if in_output.is_none() {
                wrong.push(format!("{} has no look", file.display()));
            }
            // What a tool complains of is looked for in outputs only.
            let is_tool = group.starts_with(fixtures().join("tools"));
            if in_report != in_output && !is_tool {
                wrong.push(format!("{} looks otherwise in a report", file.display()));
            }
            looks.insert(in_output, file);
            read += 1;
        }
        if looks.len() != 1 {
            wrong.push(format!(
                "{} has {} looks: {looks:?}",
                group.display(),
                looks.len()
            ));
        }
        let first = looks.into_keys().next().flatten();
        if let Some(other) = first.and_then(|look| groups.insert(look, group.clone())) {
            wrong.push(format!(
                "{} looks like {}",
                group.display(),
                other.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        read >= 80 && groups.len() >= 35,
        "{read} files, {} groups",
        groups.len()
    );
}

#[test]
fn the_recorded_bad_releases_are_told_apart_from_each_other_and_from_good_ones() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/replays/pypi-good-bad-sample.jsonl");
    let Ok(text) = std::fs::read_to_string(&shared) else {
        println!("skipped: the recorded outputs are not beside this checkout");
        return;
    };
    let mut looks = BTreeMap::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        for side in ["good", "bad"].map(|side| &row[side]) {
            let stderr = side["stderr"].as_str().unwrap();
            if side["rc"] == 0 {
                continue;
            }
            let look = Fingerprint::of_output(stderr).expect("a failure has a look");
            let moved = stderr
                .replace("<env>", "/opt/ci/9/env")
                .replace("python3.11", "python3.12");
            assert_eq!(Fingerprint::of_output(&moved), Some(look), "{}", row["id"]);
            assert_eq!(looks.insert(look, row["id"].clone()), None, "{}", row["id"]);
            let imports = ["ImportError", "ModuleNotFoundError"]
                .iter()
                .any(|error| stderr.contains(&format!("\n{error}: ")));
            let expected = imports.then_some(Category::Build);
            assert_eq!(category_of_output(stderr), expected, "{}", row["id"]);
        }
    }
    assert!(looks.len() >= 6, "{looks:?}");
}

#[test]
fn output_that_names_no_error_has_no_look() {
    for output in [
        "",
        "\n\n",
        "2 failed, 3 passed in 0.31s\n",
        "Killing time\nok\n",
        "\u{1b}[31mred\u{1b}[0m",
    ] {
        assert_eq!(Fingerprint::of_output(output), None, "{output:?}");
    }
    assert_eq!(Fingerprint::of_failure("", " \n", ""), None);
}

#[test]
fn a_fingerprint_is_sixteen_hexadecimal_digits_that_never_change() {
    let golden = |text: &str, expected: &str| {
        let found = Fingerprint::of_failure("", text, "").unwrap().to_string();
        assert_eq!(
            found, expected,
            "{text}: a new normal form makes every old failure look new"
        );
    };
    golden("ValueError: bad", "c6df635bb55aa065");
    golden(
        "ImportError: cannot import name 'x' from 'y' (/a/b.py)",
        "faa3b0a3db3548fb",
    );
}

/// What differs between two sightings of one failure.
#[derive(Clone, Debug)]
struct Sighting {
    /// A directory, without a slash at its end.
    place: String,
    user: String,
    line: u32,
    version: String,
    address: u64,
    port: u16,
    uuid: u128,
    time: String,
    seconds: f64,
    container: u64,
}

fn sighting() -> impl Strategy<Value = Sighting> {
    let name = "[a-z][a-z0-9_-]{1,12}";
    let place = (
        name,
        prop_oneof![
            Just("/home/{user}/src".to_owned()),
            Just("/Users/{user}/Library/Caches".to_owned()),
            Just("C:\\Users\\{user}\\src".to_owned()),
            Just("D:\\a\\1\\s".to_owned()),
            Just("/var/lib/jenkins/workspace/{user}@2".to_owned()),
            Just("/var/folders/zz/T/pytest-of-{user}/pytest-7".to_owned()),
            "(/[a-z0-9._-]{1,10}){1,6}",
        ],
    );
    let version = prop_oneof![
        "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}",
        "v?[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,2}(rc[0-9]|-beta\\.[0-9]|\\.dev[0-9]{1,3}|\\.post1|-SNAPSHOT|\\.Final)",
        "[0-9]\\.[0-9]{1,2}\\.[0-9]\\+g[0-9a-f]{7}",
    ];
    let time = (
        2000..2100_u32,
        1..13_u32,
        1..29_u32,
        0..24_u32,
        0..60_u32,
        0..1000_u32,
    );
    (
        place,
        1..100_000_u32,
        version,
        0x1000_u64..,
        any::<u16>(),
        any::<u128>(),
        time,
        0.0..10_000.0_f64,
        any::<u64>(),
    )
        .prop_map(
            |((user, place), line, version, address, port, uuid, time, seconds, container)| {
                Sighting {
                    place: place.replace("{user}", &user),
                    user,
                    line,
                    version,
                    address,
                    port,
                    uuid,
                    seconds,
                    container,
                    time: format!(
                        "{}-{:02}-{:02}T{:02}:{:02}:00.{:03}Z",
                        time.0, time.1, time.2, time.3, time.4, time.5
                    ),
                }
            },
        )
}

impl Sighting {
    /// Fills a template of a failure.
    fn of(&self, template: &str) -> String {
        let is_windows = self.place.contains('\\');
        let slash = if is_windows { "\\" } else { "/" };
        template
            .replace(
                "{env}",
                &format!(
                    "{}/lib/python3.{}/site-packages",
                    self.place,
                    self.line % 20
                )
                .replace('/', slash),
            )
            .replace(
                "{modules}",
                &format!("{}/node_modules", self.place).replace('/', slash),
            )
            .replace(
                "{registry}",
                &format!(
                    "{}/registry/src/index.crates.io-{:016x}",
                    self.place, self.container
                )
                .replace('/', slash),
            )
            .replace("{place}", &self.place)
            .replace("{/}", slash)
            .replace("{user}", &self.user)
            .replace("{line}", &self.line.to_string())
            .replace("{version}", &self.version)
            .replace("{address}", &format!("0x{:x}", self.address))
            .replace("{port}", &self.port.to_string())
            .replace("{uuid}", &uuid::Uuid::from_u128(self.uuid).to_string())
            .replace("{time}", &self.time)
            .replace("{seconds}", &format!("{:.2}s", self.seconds))
            .replace("{container}", &format!("{:012x}", self.container >> 16))
    }
}

/// Failures as each language prints them; no two of them look alike.
const TEMPLATES: &[&str] = &[
    "Traceback (most recent call last):\n  File \"{place}{/}app.py\", line {line}, in main\n    run()\nImportError: cannot import name 'escape' from 'jinja2' ({env}{/}jinja2{/}__init__.py)\n",
    "Traceback (most recent call last):\n  File \"{place}{/}app.py\", line {line}, in main\n    run()\nImportError: cannot import name 'Markup' from 'jinja2' ({env}{/}jinja2{/}__init__.py)\n",
    "Traceback (most recent call last):\n  File \"{place}{/}a.py\", line {line}, in f\n    g()\nTypeError: <app.Thing object at {address}> is not callable\n",
    "Traceback (most recent call last):\n  File \"{place}{/}a.py\", line {line}, in f\n    g()\nValueError: <app.Thing object at {address}> is not callable\n",
    "Traceback (most recent call last):\n  File \"{place}{/}a.py\", line {line}, in f\n    g()\nFileNotFoundError: [Errno 2] No such file or directory: '{place}{/}data.json'\n",
    "    def test_x():\n>       run()\nE   app.Conflict: urllib3 {version} is installed but urllib3>={version} is required by {'requests'}\n\n{place}{/}x.py:{line}: Conflict\n",
    "E   ConnectionError: HTTPConnectionPool(host='127.0.0.1', port={port}): Max retries exceeded with url: /v1/{uuid} (Caused by NewConnectionError('<conn object at {address}>: refused'))\n",
    "E   RuntimeError: worker {container} of {user}@build died at {time} after {seconds}\n",
    "thread 'store::tests::puts' ({line}) panicked at {registry}{/}bytes-{version}{/}src{/}buf.rs:{line}:9:\nrange end index {line} out of range for slice of length {port}\nnote: run with `RUST_BACKTRACE=1`\n",
    "thread 'main' panicked at src/main.rs:{line}:5:\ncannot open \"{place}{/}db-{uuid}\" at {time}\n",
    "error[E0599]: no method named `poll_ready` found for struct `Client` in the current scope\n  --> {registry}{/}tower-{version}{/}src{/}lib.rs:{line}:9\n",
    "error[E0609]: no field `poll_ready` on type `Client`\n  --> {registry}{/}tower-{version}{/}src{/}lib.rs:{line}:9\n",
    "panic: runtime error: slice bounds out of range [:{line}] with capacity {port}\n\ngoroutine {line} [running]:\nmain.main()\n\t{place}/main.go:{line} +0x1d\n",
    "panic: open {place}{/}config.yaml: no such file or directory\n\ngoroutine 1 [running]:\nmain.main()\n\t{place}/main.go:{line} +0x1d\n",
    "--- FAIL: TestGet ({seconds})\n    client_test.go:{line}: GET http://127.0.0.1:{port}/v1/{uuid}: unexpected status after {seconds}\n",
    "TypeError: Cannot read properties of undefined (reading 'length')\n    at pad ({modules}{/}left-pad{/}index.js:{line}:17)\n",
    "Error: Cannot find module '{modules}{/}left-pad{/}index.js'\n    at Module._load (node:internal/modules:{line}:15)\n",
    "Error: Timed out in {seconds} waiting for localhost:{port}, container {container}\n    at wait ({place}{/}wait.js:{line}:3)\n",
    "java.lang.IllegalStateException: Failed to load {place}{/}app-{version}.jar\n\tat com.example.App.main(App.java:{line})\nCaused by: java.lang.NoSuchFieldError: INSTANCE\n\tat org.apache.Http.get(Http.java:{line}) ~[http-{version}.jar:{version}]\n\t... 3 more\n",
    "java.lang.IllegalStateException: com.example.Pool@7d{line} is closed since {time}\n\tat com.example.Pool.get(Pool.java:{line})\n",
    "ERROR: Could not find a version that satisfies the requirement requests=={version} (from versions: {version}, {version})\n",
];

proptest! {
    #[test]
    fn place_user_line_version_address_and_time_do_not_change_a_look(
        one in sighting(),
        other in sighting(),
        template in prop::sample::select(TEMPLATES),
    ) {
        let (one, other) = (one.of(template), other.of(template));
        let look = Fingerprint::of_output(&one);
        prop_assert!(look.is_some(), "no look: {}", one);
        prop_assert_eq!(look, Fingerprint::of_output(&other), "\n{}\n{}", one, other);
    }

    #[test]
    fn another_kind_of_failure_looks_otherwise(
        one in sighting(),
        other in sighting(),
        pick in (0..TEMPLATES.len(), 1..TEMPLATES.len()),
    ) {
        let one = one.of(TEMPLATES[pick.0]);
        let other = other.of(TEMPLATES[(pick.0 + pick.1) % TEMPLATES.len()]);
        prop_assert_ne!(Fingerprint::of_output(&one), Fingerprint::of_output(&other), "\n{}\n{}", one, other);
    }

    #[test]
    fn another_type_or_message_looks_otherwise(
        kinds in ("[A-Z][a-z]{2,8}(Error|Exception)", "[A-Z][a-z]{2,8}(Error|Exception)"),
        words in ("[g-z]{3,9}( [g-z]{3,9}){0,4}", "[g-z]{3,9}( [g-z]{3,9}){0,4}"),
    ) {
        let look = |kind: &str, said: &str| Fingerprint::of_failure("", &format!("{kind}: {said}"), "").unwrap();
        prop_assert_eq!(kinds.0 == kinds.1, look(&kinds.0, &words.0) == look(&kinds.1, &words.0));
        prop_assert_eq!(words.0 == words.1, look(&kinds.0, &words.0) == look(&kinds.0, &words.1));
    }

    #[test]
    fn a_failure_looks_the_same_twice(kind in ".{0,20}", message in ".{0,200}", text in "(.{0,60}\n){0,8}") {
        let look = || Fingerprint::of_failure(&kind, &message, &text);
        prop_assert_eq!(look(), look());
        prop_assert_eq!(Fingerprint::of_output(&text), Fingerprint::of_output(&text));
    }
}
