//! Why a subcommand did not do what was asked: what was wrong, and what to do next.

use std::fmt;
use std::io;
use std::path::Path;

use pinion_client::Error;

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
