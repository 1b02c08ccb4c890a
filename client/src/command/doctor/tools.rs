//! The tools that pins are for: which are here, and which versions.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::check::Check;

/// A tool that does not say its version within this time is told as such.
const WAIT: Duration = Duration::from_secs(5);

/// Tools, and how each is asked.
const TOOLS: [(&str, &str); 6] = [
    ("git", "--version"),
    ("pip", "--version"),
    ("uv", "--version"),
    ("npm", "--version"),
    ("cargo", "--version"),
    ("go", "version"),
];

/// A line for each tool. None of them has to be here.
pub(super) async fn checks() -> Vec<Check> {
    // Side by side: some take their time.
    let asked = TOOLS.map(|(name, argument)| (name, tokio::spawn(version(name, argument))));
    let mut checks = Vec::new();
    for (name, asked) in asked {
        let found = asked.await.unwrap_or_else(|error| error.to_string());
        checks.push(Check::ok(name, found));
    }
    checks
}

async fn version(name: &'static str, argument: &'static str) -> String {
    let mut command = Command::new(name);
    command
        .arg(argument)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match tokio::time::timeout(WAIT, command.output()).await {
        Err(_) => "does not answer".to_owned(),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => "not found".to_owned(),
        Ok(Err(error)) => format!("cannot be run: {error}"),
        Ok(Ok(output)) if !output.status.success() => {
            format!("cannot be run: {}", output.status)
        }
        Ok(Ok(output)) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = text.lines().next().unwrap_or_default();
            // pip adds where it is.
            let line = line.split(" from ").next().unwrap_or_default().trim();
            match line.strip_prefix(name) {
                Some(rest) if !rest.is_empty() => rest.trim().to_owned(),
                _ => line.to_owned(),
            }
        }
    }
}
