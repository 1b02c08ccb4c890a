//! The tools that pins are for: which are here, and which versions.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use pinion_client::adapters::{Kept, Project, Tool};
use tokio::process::Command;

use crate::checkout::{Checkout, SavedPins};
use crate::failure::Failure;

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

/// The tool that this checkout uses.
pub(super) struct Used {
    tool: Tool,
    project: Project,
}

impl Used {
    /// The one that took the pins, or else that would; none where there are no pins.
    pub(super) fn by(checkout: &Checkout) -> Result<Option<Self>, Failure> {
        let project = checkout.project();
        if let Some(kept) = Kept::find(&project)? {
            let tool = kept.tool();
            return Ok(Some(Self { tool, project }));
        }
        let pins = checkout.saved_pins()?;
        let Some(pins) = pins.as_ref().and_then(SavedPins::whole) else {
            return Ok(None);
        };
        // Where nothing tells, `sync` says so.
        let detected = Tool::detect(&project, pins.ecosystem).ok();
        Ok(detected.map(|detected| Self {
            tool: detected.tool,
            project,
        }))
    }

    /// As it stands in the list.
    fn name(&self) -> &'static str {
        match self.tool {
            Tool::UvPip => Tool::Uv.as_str(),
            tool => tool.as_str(),
        }
    }
}

/// A line for each tool. Only the one that the checkout uses has to be here.
pub(super) async fn checks(used: Option<Used>) -> Vec<Check> {
    let name_of_used = used.as_ref().map(Used::name);
    let others = TOOLS
        .into_iter()
        .filter(|(name, _)| Some(*name) != name_of_used);
    // Side by side: some take their time.
    let mut asked: Vec<_> = others
        .map(|(name, word)| {
            let version = version(name, name.into(), vec![word], None);
            (name, false, tokio::spawn(version))
        })
        .collect();
    if let Some(used) = used {
        let name = used.name();
        let (program, words) = used.tool.asked_for_version(&used.project);
        let root = used.project.root().to_owned();
        let words = words.to_vec();
        let version = async move { version(name, program, words, Some(&root)).await };
        asked.push((name, true, tokio::spawn(version)));
    }
    let mut checks = Vec::new();
    for (name, is_used, asked) in asked {
        let found = asked.await.unwrap_or_else(|error| Err(error.to_string()));
        checks.push(of_version(name, is_used, found));
    }
    checks
}

fn of_version(name: &'static str, is_used: bool, found: Result<String, String>) -> Check {
    match (found, is_used) {
        (Ok(version), _) => Check::ok(name, version),
        (Err(problem), false) => Check::note(name, problem),
        (Err(problem), true) => Check::warning(
            name,
            format!("{problem}; the pins of this checkout are for it"),
            format!("install {name}, or see to what it says in this directory"),
        ),
    }
}

/// The version that a tool tells, or why it tells none.
async fn version(
    name: &'static str,
    program: OsString,
    words: Vec<&'static str>,
    directory: Option<&Path>,
) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).kill_on_drop(true);
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    match tokio::time::timeout(WAIT, command.output()).await {
        Err(_) => Err("does not answer".to_owned()),
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Err("not found".to_owned()),
        Ok(Err(error)) => Err(format!("cannot be run: {error}")),
        Ok(Ok(output)) if !output.status.success() => {
            Err(format!("cannot be run: {}", output.status))
        }
        Ok(Ok(output)) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let line = text.lines().next().unwrap_or_default();
            // pip adds where it is.
            let line = line.split(" from ").next().unwrap_or_default().trim();
            Ok(match line.strip_prefix(name) {
                Some(rest) if !rest.is_empty() => rest.trim().to_owned(),
                _ => line.to_owned(),
            })
        }
    }
}
