//! Replays operations on the decision statistics: reads JSON lines of the form
//! `{"kind": "...", "config": {...}, "ops": [{"op": ..., inputs...}, ...]}` from standard input and prints each
//! again with the `out` of every operation.
//!
//! `cargo run --quiet -p pinion-core --example replay < server/core/tests/vectors/window.jsonl`

// As in the test of the vectors, so that its modules lie beside it there too.
#[path = "machine.rs"]
mod machine;

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    match replay() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn replay() -> Result<(), String> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let line = line.map_err(|error| error.to_string())?;
        if line.trim().is_empty() {
            continue;
        }
        let case = serde_json::from_str(&line).map_err(|error| error.to_string());
        let case = case
            .and_then(machine::replay)
            .map_err(|error| format!("line {}: {error}", number + 1))?;
        writeln!(out, "{case}").map_err(|error| error.to_string())?;
    }
    out.flush().map_err(|error| error.to_string())
}
