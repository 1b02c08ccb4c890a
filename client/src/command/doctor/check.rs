//! One thing that was looked at, and what to do about it.

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::terminal::clean;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Stated, and of no matter here.
    Note,
    /// It works, and not as well as it could.
    Warning,
    /// Something does not work.
    Problem,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) state: State,
    found: String,
    next: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            found: found.into(),
            next: None,
        }
    }

    pub(super) fn note(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            state: State::Note,
            ..Self::ok(name, found)
        }
    }

    pub(super) fn warning(
        name: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Warning,
            next: Some(next.into()),
            ..Self::ok(name, found)
        }
    }

    pub(super) fn problem(
        name: &'static str,
        found: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Problem,
            ..Self::warning(name, found, next)
        }
    }

    /// A problem in the words of a failure.
    pub(super) fn of_failure(name: &'static str, failure: Failure) -> Self {
        Self {
            state: State::Problem,
            next: failure.next_steps.first().cloned(),
            ..Self::ok(name, failure.to_string())
        }
    }

    /// The same as a warning, where it is a problem and something else helps.
    pub(super) fn softened(mut self) -> Self {
        if self.state == State::Problem {
            self.state = State::Warning;
        }
        self
    }

    /// A line, and what to do in one below it; names take `width` columns.
    pub(super) fn line(&self, width: usize) -> String {
        let color = match self.state {
            State::Ok => AnsiColor::Green,
            State::Note => AnsiColor::BrightBlack,
            State::Warning => AnsiColor::Yellow,
            State::Problem => AnsiColor::Red,
        };
        let word = self.state.as_str();
        let style = Style::new().fg_color(Some(color.into()));
        let found = clean(&self.found);
        let mut text = format!(
            "{style}{word:<7}{style:#}  {:<width$}  {found}\n",
            self.name
        );
        if let Some(next) = &self.next {
            text.push_str(&format!(
                "{:7}  {:<width$}  next: {}\n",
                "",
                "",
                clean(next)
            ));
        }
        text
    }

    pub(super) fn to_json(&self) -> Value {
        let state = self.state.as_str();
        json!({ "name": self.name, "state": state, "found": self.found, "next": self.next })
    }
}
