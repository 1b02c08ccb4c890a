//! Facts about checking and simulating policies, for which no server is needed.

use super::developer::Developer;

const SMALL: [&str; 6] = ["policy", "simulate", "--fleet", "20", "--rollouts", "5"];

#[test]
fn a_policy_is_checked_without_a_server() {
    let developer = Developer::new();
    let file = developer.checkout().join("policy.toml");
    std::fs::write(&file, "stages = [0.1, 0.5]\nalpha = 0.01\n").expect("writable");
    let (code, out, err) = developer.says(&["policy", "check", "policy.toml"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("10 %, 50 %") && out.contains("0.01"), "{out}");
    // What the file leaves out is shown as it will be.
    assert!(
        out.contains("8 h") && out.contains("Mon Tue Wed Thu Fri"),
        "{out}"
    );
    assert!(err.contains("`policy.toml` is a policy"), "{err}");
}

#[test]
fn a_mistake_in_a_policy_is_told_with_its_place() {
    let developer = Developer::new();
    let file = developer.checkout().join("policy.toml");
    for (text, words) in [
        ("alpha = 0.01\nbakes = \"8h\"", "line 2, column 1"),
        ("alpha = 0.5", "line 1, column 9: `alpha` of 0.5"),
        ("stages = [0.5, 0.1]", "strictly rising"),
        (
            "[[override]]\npackages = [\"oslo.*\"]\nbake = \"1s\"",
            "line 3, column 8: override 1: `bake` of 1 s",
        ),
        (
            "[[override]]\npackages = [\"oslo.*\"]\noverlap = \"refuse\"",
            "belongs to the whole pin set",
        ),
        (
            "[calendar]\ntime_zone = \"Mars\"",
            "`Mars` is no IANA time zone",
        ),
    ] {
        std::fs::write(&file, text).expect("writable");
        for words_of in [
            &["policy", "check", "policy.toml"][..],
            &["policy", "simulate", "--policy", "policy.toml"],
        ] {
            let (code, out, err) = developer.says(words_of);
            assert_eq!((code, out.as_str()), (7, ""), "{text}");
            assert!(
                err.contains("`policy.toml` is no policy") && err.contains(words),
                "{err}"
            );
        }
    }
    let (code, _, err) = developer.says(&["policy", "check", "none.toml"]);
    assert!(code != 0 && err.contains("none.toml"), "{code} {err}");
}

#[test]
fn a_seed_repeats_the_simulation_and_the_table_fits_a_hundred_columns() {
    let developer = Developer::new();
    let (code, out, err) = developer.says(&SMALL);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
    for words in [
        "harmless",
        "Pinion",
        "everyone at once",
        "5-point threshold",
        "10 % every 2 h",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert_eq!(developer.says(&SMALL).1, out);
    let other: Vec<_> = SMALL.into_iter().chain(["--seed", "2"]).collect();
    assert_ne!(developer.says(&other).1, out);
}

#[test]
fn a_simulation_is_json_for_programs_and_a_picture_for_people() {
    let developer = Developer::new();
    let words: Vec<_> = SMALL
        .into_iter()
        .chain(["--output", "json", "--plot", "out.svg"])
        .collect();
    let (code, out, err) = developer.says(&words);
    assert_eq!(code, 0, "{err}");
    let answer: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let rows = answer["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 28);
    for row in rows {
        let parts = ["complete", "waiting", "rolledBack"].map(|part| row[part].as_f64());
        let sum: f64 = parts.into_iter().flatten().sum();
        assert!((sum - 1.0).abs() < 1e-9, "{row}");
    }
    let picture = std::fs::read_to_string(developer.checkout().join("out.svg")).expect("a picture");
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
}

#[test]
fn a_simulation_that_makes_no_sense_is_a_usage_error() {
    let developer = Developer::new();
    for words in [
        ["--fleet", "0"],
        ["--failure-rate", "1"],
        ["--rollouts", "0"],
        ["--seed", "x"],
    ] {
        let words: Vec<_> = ["policy", "simulate"].into_iter().chain(words).collect();
        assert_eq!(developer.says(&words).0, 2, "{words:?}");
    }
}
