//! Whether the promised error rates and the small numbers of harmed environments are reached, by Monte Carlo.
//!
//! ```sh
//! cargo run --release -p pinion-core --example monte_carlo -- --fleet 50,500 --harmless 2000 --harmful 400
//! cargo run --release -p pinion-core --example monte_carlo -- --together 5,15 --fleet 5000 --harmful 100
//! ```
#![allow(clippy::print_stderr, reason = "a command line")]

use std::process::ExitCode;

mod arguments;
mod cells;
mod parallel;
mod together;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("monte_carlo: {problem}\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    let missed = if arguments.together.is_empty() {
        cells::print(&arguments)
    } else {
        together::print(&arguments)
    };
    println!("{missed} cells not reached");
    ExitCode::from(u8::from(missed > 0))
}
