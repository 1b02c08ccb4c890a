//! Why a subcommand did not do what was asked: what was wrong, and what to do next.

use std::fmt;
use std::io;
use std::path::Path;

use pinion_client::Error;
use pinion_client::adapters::{ApplyError, DetectError, ToolError, UndoError};

use crate::exit::Exit;

/// An exit code and sentences; the first sentence is the headline.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) sentences: Vec<String>,
    pub(crate) next_steps: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Self {
            exit,
            sentences: vec![sentence.into()],
            next_steps: Vec::new(),
        }
    }

    /// Adds what to do next.
    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.next_steps.push(step.into());
        self
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(doing: &str, path: &Path, cause: &io::Error) -> Self {
        let exit = match cause.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Refused,
        };
        Self::new(
            exit,
            format!("cannot {doing} `{}`: {cause}", path.display()),
        )
    }

    fn busy(words: String) -> Self {
        Self::new(Exit::Refused, words).next("wait until it has ended")
    }

    /// A terminal or pipe that cannot be read.
    pub(crate) fn input(cause: &io::Error) -> Self {
        Self::new(Exit::Refused, format!("cannot read the answer: {cause}"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Address { .. } => Self::new(Exit::Invalid, error.to_string())
                .next("write it as in `--server https://pinion.example:7460`"),
            Error::PlainHttp { .. } => Self::new(Exit::Invalid, error.to_string())
                .next("use https://, or add --insecure-http if the network is trusted"),
            Error::Token => Self::new(Exit::Denied, error.to_string())
                .next("see that the token file holds the token alone, on one line"),
            Error::Certificates { .. } => {
                Self::new(Exit::Invalid, error.to_string()).next("name a PEM file by --ca-file")
            }
            Error::Unreachable {
                may_be_done: true, ..
            } => Self::new(Exit::Unreachable, error.to_string()).next(
                "it may have been done all the same: look at what is there before repeating it, as by \
                 `pinion rollout list`, `pinion audit list` or `pinion status`",
            ),
            Error::Unreachable { .. } => Self::new(Exit::Unreachable, error.to_string())
                .next("see that the server runs and that --server names it"),
            Error::Answer { .. } => Self::new(Exit::Refused, error.to_string())
                .next("see that client and server have the same version"),
            Error::Refused(refusal) => {
                let mut next_steps = refusal.next_steps();
                if next_steps.is_empty() {
                    next_steps
                        .extend(usual_next_step(refusal.code, &refusal.message).map(str::to_owned));
                }
                Self {
                    exit: refusal.code.into(),
                    sentences: refusal.sentences(),
                    next_steps,
                }
            }
        }
    }
}

impl From<DetectError> for Failure {
    fn from(error: DetectError) -> Self {
        match &error {
            DetectError::Nothing { .. } => {
                Self::new(Exit::Refused, error.to_string()).next("name it by --tool")
            }
            DetectError::OtherEcosystem { .. } => Self::new(Exit::Usage, error.to_string())
                .next("without --tool the checkout's own tool is used"),
            DetectError::UnknownEcosystem => Self::new(Exit::Refused, error.to_string())
                .next("see that client and server have the same version"),
        }
    }
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        let words = error.to_string();
        match &error {
            ToolError::Missing { .. } => {
                Self::new(Exit::NotFound, words).next("install it, or name another tool by --tool")
            }
            ToolError::Failed { .. } => {
                Self::new(Exit::Refused, words).next("run it by hand, and see to what it says")
            }
            ToolError::Unreadable { .. } | ToolError::Broken { .. } => {
                Self::new(Exit::Invalid, words)
            }
            ToolError::File { cause, .. } if cause.kind() == io::ErrorKind::NotFound => {
                Self::new(Exit::NotFound, words)
            }
            ToolError::File { .. } | ToolError::Unsupported(_) => Self::new(Exit::Refused, words),
        }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let words = error.to_string();
        match error {
            ApplyError::Tool(error) => error.into(),
            ApplyError::Failed(error) => error.into(),
            ApplyError::Undo(error) => error.into(),
            ApplyError::Pin(_) => Self::new(Exit::Invalid, words),
            ApplyError::Busy => Self::busy(words),
            ApplyError::CutShort(_) => {
                Self::new(Exit::Refused, words).next("`pinion undo` puts the files back")
            }
            ApplyError::Left { .. } => {
                Self::new(Exit::Refused, words).next("`pinion undo` tries again")
            }
        }
    }
}

impl From<UndoError> for Failure {
    fn from(error: UndoError) -> Self {
        let words = error.to_string();
        match error {
            UndoError::Changed(files) => {
                let mut failure = Self::new(Exit::Refused, words);
                for file in files {
                    let path = file.path.display();
                    let text = format!("since then, in `{path}`:\n{}", file.text);
                    failure.sentences.push(text);
                }
                failure.next("undo that change, or `pinion undo --force`, which keeps a copy aside")
            }
            UndoError::Busy => Self::busy(words),
            UndoError::Tool(error) => error.into(),
        }
    }
}

fn usual_next_step(code: tonic::Code, message: &str) -> Option<&'static str> {
    match code {
        tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => {
            Some("give a token that may do this by --token-file or PINION_TOKEN")
        }
        // The server's message mostly says it already, after a semicolon.
        tonic::Code::Aborted if !message.contains("; ") => {
            Some("look again, then repeat the command on what is there now")
        }
        _ => None,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentences.join("; "))
    }
}
