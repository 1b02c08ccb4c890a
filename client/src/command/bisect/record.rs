//! What a bisection has learnt, kept so that it can go on after an interruption.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use pinion_client::adapters::Tool;
use pinion_client::bisect::{Answer, Confidence};
use serde::{Deserialize, Serialize};

use crate::args::environment::Bisect;
use crate::checkout::{read_if_there, write_whole};
use crate::exit::Exit;
use crate::failure::Failure;

use super::pins::Sources;

/// A question and the answers so far; the questions between follow from them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Record {
    command: Vec<String>,
    install: Option<String>,
    /// In percent.
    pub(super) confidence: f64,
    /// What puts the pins in place.
    #[serde(default = "usual_tool")]
    pub(super) tool: Tool,
    pub(super) sources: Sources,
    pub(super) answers: Vec<Kept>,
    /// Pins that do not take even where all good, or all bad, ones are asked for.
    #[serde(default)]
    pub(super) never_taken: BTreeSet<Taken>,
}

/// A package and its version.
pub(super) type Taken = (String, String);

/// The tool of a record that names none.
fn usual_tool() -> Tool {
    Tool::Pip
}

/// An answer, as it is kept.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kept {
    Passed,
    Failed,
    Untestable,
}

impl From<Kept> for Answer {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Passed => Self::Passed,
            Kept::Failed => Self::Failed,
            Kept::Untestable => Self::Untestable,
        }
    }
}

impl From<Answer> for Kept {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Passed => Self::Passed,
            Answer::Failed => Self::Failed,
            Answer::Untestable => Self::Untestable,
        }
    }
}

impl Record {
    pub(super) fn new(args: &Bisect, tool: Tool, sources: Sources) -> Self {
        Self {
            command: words(&args.command),
            install: args.install.clone(),
            confidence: args.confidence,
            tool,
            sources,
            answers: Vec::new(),
            never_taken: BTreeSet::new(),
        }
    }

    pub(super) fn load(path: &Path) -> Result<Option<Self>, Failure> {
        let Some(text) = read_if_there(path)? else {
            return Ok(None);
        };
        let broken = |error| {
            let sentence = format!("`{}` is broken: {error}", path.display());
            Failure::new(Exit::Invalid, sentence).next("begin anew with --restart")
        };
        serde_json::from_str(&text).map(Some).map_err(broken)
    }

    /// This record, if it is of the same question.
    pub(super) fn resumed(self, args: &Bisect) -> Result<Self, Failure> {
        let named = match (&args.good, &args.bad) {
            (Some(good), Some(bad)) => {
                let read = |path: &Path| read_if_there(path).map(Option::unwrap_or_default);
                Some((read(good)?, read(bad)?))
            }
            _ => None,
        };
        let same_pins = match named {
            Some((good, bad)) => good == self.sources.good && bad == self.sources.bad,
            None => self.sources.pulled,
        };
        let is_same = same_pins
            && self.command == words(&args.command)
            && self.install == args.install
            && args.tool.is_none_or(|tool| tool == self.tool)
            && self.confidence == args.confidence;
        if is_same {
            return Ok(self);
        }
        let (runs, command) = (self.answers.len(), self.command.join(" "));
        let sentence =
            format!("another bisection is unfinished here: `{command}`, after {runs} runs");
        Err(Failure::new(Exit::Refused, sentence)
            .next("repeat it as it was to go on, or add --restart to throw it away"))
    }

    pub(super) fn learn(&mut self, answer: Answer) {
        self.answers.push(answer.into());
    }

    pub(super) fn store(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string(self).expect("a record is plain data");
        write_whole(path, &text)
    }

    pub(super) fn confidence(&self) -> Result<Confidence, Failure> {
        Confidence::percent(self.confidence).ok_or_else(|| {
            let sentence = format!("{} % is no confidence", self.confidence);
            Failure::new(Exit::Invalid, sentence).next("begin anew with --restart")
        })
    }
}

/// Throws away what was kept, if there is anything.
pub(super) fn forget(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::file("remove", path, &cause))
        }
        _ => Ok(()),
    }
}

fn words(command: &[OsString]) -> Vec<String> {
    let word = |word: &OsString| word.to_string_lossy().into_owned();
    command.iter().map(word).collect()
}
