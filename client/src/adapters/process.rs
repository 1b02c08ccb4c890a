//! Running the tools themselves.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::overlay::Overlay;

/// The most characters of a tool's own words that are told.
const WORDS_MAX: usize = 400;

/// Where a tool works: in the checkout's directory, with a folder outside it for what is generated.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) root: PathBuf,
    /// For this application of pins.
    pub(super) folder: PathBuf,
    /// For all of the checkout.
    pub(super) state: PathBuf,
}

/// Why a tool did not do its part.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It cannot be started.
    #[error("`{program}` cannot be run: {cause}")]
    Missing {
        /// The program.
        program: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It ended with an error.
    #[error("`{command}` failed: {words}")]
    Failed {
        /// What was run.
        command: String,
        /// What it said, cut.
        words: String,
    },
    /// It answered something else than it should.
    #[error("the answer of `{command}` cannot be read: {problem}")]
    Unreadable {
        /// What was run.
        command: String,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {doing} `{}`: {cause}", path.display())]
    File {
        /// Such as `read`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file is not what it should be.
    #[error("`{}` cannot be understood: {problem}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The checkout or the tool is of a kind that is not handled.
    #[error("{0}")]
    Unsupported(String),
}

impl ToolError {
    pub(super) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File { doing, path, cause }
    }

    /// What the tool said, if it spoke.
    pub(super) fn words(self) -> Result<String, Self> {
        match self {
            Self::Failed { words, .. } => Ok(words),
            other => Err(other),
        }
    }
}

/// A program about to be run.
pub(super) struct Call {
    command: Command,
    shown: String,
}

/// What it answered.
pub(super) struct Answer {
    shown: String,
    pub(super) is_success: bool,
    pub(super) stdout: String,
    stderr: String,
}

impl Place {
    pub(super) fn call<S: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, words: &[S]) -> Call {
        let mut command = Command::new(program.as_ref());
        command
            .args(words)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .env("NO_COLOR", "1");
        let name = Path::new(program.as_ref()).file_name();
        let name = name.unwrap_or(program.as_ref()).to_string_lossy();
        let words = words.iter().map(|word| word.as_ref().to_string_lossy());
        let shown = std::iter::once(name).chain(words).collect::<Vec<_>>();
        Call {
            command,
            shown: shown.join(" "),
        }
    }

    /// Writes a generated file into the folder.
    pub(super) fn generate(&self, name: &str, text: &str) -> Result<PathBuf, ToolError> {
        let path = self.folder.join(name);
        std::fs::create_dir_all(&self.folder).map_err(ToolError::file("make", &self.folder))?;
        super::whole::write(&path, text.as_bytes(), None)
            .map_err(ToolError::file("write", &path))?;
        Ok(path)
    }
}

impl Call {
    pub(super) fn with(mut self, overlay: &Overlay) -> Self {
        self.command.envs(overlay.environment());
        self
    }

    pub(super) fn set(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it to its end, however that is.
    pub(super) fn answer(mut self) -> Result<Answer, ToolError> {
        let output = self.command.output().map_err(|cause| ToolError::Missing {
            program: self.command.get_program().to_string_lossy().into_owned(),
            cause,
        })?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer {
            shown: self.shown,
            is_success: output.status.success(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        })
    }

    /// Runs it; an error unless it succeeds.
    pub(super) fn done(self) -> Result<Answer, ToolError> {
        let answer = self.answer()?;
        match answer.is_success {
            true => Ok(answer),
            false => Err(answer.failed()),
        }
    }
}

impl Answer {
    /// The error that it ended with.
    pub(super) fn failed(self) -> ToolError {
        // Some tools complain on stdout.
        let words = match self.stderr.trim() {
            "" => told(&self.stdout),
            _ => told(&self.stderr),
        };
        ToolError::Failed {
            command: cut(&self.shown, 120),
            words,
        }
    }

    /// stdout as JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ToolError> {
        serde_json::from_str(&self.stdout).map_err(|error| self.unreadable(&error.to_string()))
    }

    pub(super) fn unreadable(&self, problem: &str) -> ToolError {
        ToolError::Unreadable {
            command: cut(&self.shown, 120),
            problem: problem.to_owned(),
        }
    }
}

/// What a tool said, from its first line about an error on, as one line.
fn told(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let is_error = |line: &&str| line.to_lowercase().contains("error");
    let first = lines.iter().position(is_error).unwrap_or(0);
    let lines = lines[first..]
        .iter()
        .filter(|line| !line.contains("debug-0.log"));
    let words = lines.copied().collect::<Vec<_>>().join(" ");
    cut(words.strip_prefix("error: ").unwrap_or(&words), WORDS_MAX)
}

fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The first of these programs of a virtual environment that is there, else the one on the path.
pub(super) fn python(root: &Path) -> OsString {
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let local = [".venv", "venv"].map(|name| root.join(name));
    let mut candidates = active.into_iter().chain(local);
    let found = candidates.find_map(|venv| {
        ["bin/python", "Scripts/python.exe"]
            .map(|program| venv.join(program))
            .into_iter()
            .find(|program| program.is_file())
    });
    found.map_or_else(|| "python3".into(), PathBuf::into_os_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_quoted_from_its_error_on() {
        let text = "    Updating index\nerror: no such version\n\n  required by `app`\n";
        assert_eq!(told(text), "no such version required by `app`");
        assert_eq!(told("only\nthis"), "only this");
        assert_eq!(told(&"x".repeat(1000)).len(), WORDS_MAX + 3);
    }

    #[test]
    fn a_missing_tool_is_named() {
        let place = Place {
            root: std::env::temp_dir(),
            folder: std::env::temp_dir(),
            state: std::env::temp_dir(),
        };
        let error = place.call("no-such-tool", &["x"]).done().map(drop);
        let error = error.expect_err("it is not there");
        assert!(
            error
                .to_string()
                .starts_with("`no-such-tool` cannot be run"),
            "{error}"
        );
    }
}
