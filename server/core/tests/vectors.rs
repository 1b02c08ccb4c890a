//! The statistics give what the reference implementation gives, after every operation of its vectors.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/replay/machine.rs"]
mod machine;

use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

#[test]
fn window() {
    assert_equal(include_str!("vectors/window.jsonl"), 300);
}

#[test]
fn event() {
    assert_equal(include_str!("vectors/event.jsonl"), 250);
}

#[test]
fn gate() {
    assert_equal(include_str!("vectors/gate.jsonl"), 12);
}

#[test]
fn guard() {
    assert_equal(include_str!("vectors/guard.jsonl"), 30);
}

#[test]
fn plan() {
    assert_equal(include_str!("vectors/plan.jsonl"), 150);
}

#[test]
fn controller() {
    assert_equal(include_str!("vectors/controller.jsonl"), 9000);
}

/// Replays each line without its results and compares all of them.
fn assert_equal(lines: &str, operations_min: usize) {
    let mut operations = 0;
    for line in lines.lines() {
        let expected: Value = serde_json::from_str(line).unwrap();
        let mut asked = expected.clone();
        for operation in asked["ops"].as_array_mut().unwrap() {
            operation.as_object_mut().unwrap().remove("out");
        }
        let replayed = machine::replay(asked).unwrap();
        let pairs = expected["ops"]
            .as_array()
            .unwrap()
            .iter()
            .zip(replayed["ops"].as_array().unwrap());
        for (number, (expected, replayed)) in pairs.enumerate() {
            if let Err(difference) = compare("out", &expected["out"], &replayed["out"]) {
                panic!(
                    "operation {number} of {}: {difference}",
                    line.get(..80).unwrap_or(line)
                );
            }
            operations += 1;
        }
    }
    assert!(
        operations >= operations_min,
        "only {operations} operations were compared"
    );
}

fn compare(at: &str, expected: &Value, found: &Value) -> Result<(), String> {
    let differ = || Err(format!("{at} is {found}, not {expected}"));
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            // A difference that is no number is none that is small enough.
            if (a - b).abs() <= TOLERANCE * a.abs().max(1.0) {
                Ok(())
            } else {
                differ()
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .try_for_each(|(index, (a, b))| compare(&format!("{at}[{index}]"), a, b)),
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => a
            .iter()
            .try_for_each(|(key, a)| compare(&format!("{at}.{key}"), a, &b[key])),
        (a, b) if a == b => Ok(()),
        _ => differ(),
    }
}
