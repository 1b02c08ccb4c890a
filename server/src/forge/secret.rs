//! Passwords and tokens of forges: from files or commands, never in a URL, an argument or a log.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use tokio::process::Command;

/// The longest secret, in bytes.
const SECRET_BYTES_MAX: usize = 8 * 1024;
/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How many secrets are remembered, so that they can be blotted out: the present one and the one before.
const REMEMBERED: usize = 2;

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file that holds it, read again for every use, so that it can be exchanged at any time.
    File(PathBuf),
    /// A program with its arguments that prints it; run again when the forge no longer takes what it printed.
    Command(Vec<String>),
}

/// A secret. Shows itself nowhere.
pub(crate) struct Secret {
    source: Source,
    /// The latest last.
    known: Mutex<Vec<String>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Secret {
    /// A secret that is read when it is first used.
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            known: Mutex::default(),
        }
    }

    /// The secret as it is now; the error says why there is none, without repeating anything of it.
    pub(crate) async fn get(&self) -> Result<String, String> {
        match &self.source {
            Source::File(_) => self.obtain().await,
            Source::Command(_) => match self.latest() {
                Some(secret) => Ok(secret),
                None => self.obtain().await,
            },
        }
    }

    /// The secret that has taken the place of one that the forge refused, if it has changed.
    pub(crate) async fn renewed(&self, refused: &str) -> Result<Option<String>, String> {
        let secret = self.obtain().await?;
        Ok((secret != refused).then_some(secret))
    }

    /// The text with `***` in place of the secret.
    pub(crate) fn redact(&self, text: &str) -> String {
        let known = self.known.lock().unwrap_or_else(|known| known.into_inner());
        known
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    fn latest(&self) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(|known| known.into_inner());
        known.last().cloned()
    }

    async fn obtain(&self) -> Result<String, String> {
        let text = match &self.source {
            Source::File(path) => tokio::fs::read_to_string(path).await.map_err(|error| {
                format!(
                    "`password_file` `{}` cannot be read: {error}",
                    path.display()
                )
            })?,
            Source::Command(words) => printed_by(words).await?,
        };
        let secret = text.trim();
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX || secret.contains(char::is_control)
        {
            return Err(format!(
                "{} must give one line of 1 to {SECRET_BYTES_MAX} bytes",
                self.source
            ));
        }
        self.remember(secret);
        Ok(secret.to_owned())
    }

    fn remember(&self, secret: &str) {
        let mut known = self.known.lock().unwrap_or_else(|known| known.into_inner());
        known.retain(|other| other != secret);
        known.push(secret.to_owned());
        if known.len() > REMEMBERED {
            known.remove(0);
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "`password_file` `{}`", path.display()),
            Self::Command(words) => write!(
                f,
                "`password_command` `{}`",
                words.first().map_or("", String::as_str)
            ),
        }
    }
}

/// What a program prints; what it says on its standard error is not repeated, since it may hold the secret.
async fn printed_by(words: &[String]) -> Result<String, String> {
    let (program, arguments) = words.split_first().ok_or("`password_command` is empty")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let failed = |why: String| format!("`password_command` `{program}` {why}");
    let output = tokio::time::timeout(COMMAND_TIMEOUT, command.output())
        .await
        .map_err(|_| failed(format!("took longer than {} s", COMMAND_TIMEOUT.as_secs())))?
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    if !output.status.success() {
        return Err(failed(format!("failed ({})", output.status)));
    }
    String::from_utf8(output.stdout).map_err(|_| failed("printed what is no UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(script: &str) -> Secret {
        let words = ["sh", "-c", script].map(str::to_owned);
        Secret::new(Source::Command(words.to_vec()))
    }

    #[tokio::test]
    async fn a_file_is_read_again_for_every_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        let secret = Secret::new(Source::File(file.clone()));
        assert!(secret.get().await.is_err());
        for text in ["one\n", "two"] {
            std::fs::write(&file, text).expect("a file");
            assert_eq!(secret.get().await.as_deref(), Ok(text.trim()));
        }
        assert_eq!(secret.redact("one two three"), "*** *** three");
        assert_eq!(secret.renewed("two").await, Ok(None));
        assert_eq!(secret.renewed("one").await, Ok(Some("two".to_owned())));
    }

    #[tokio::test]
    async fn a_command_is_run_again_only_when_its_secret_was_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let runs = folder.path().join("runs");
        let secret = command(&format!("echo x >> '{0}'; wc -l < '{0}'", runs.display()));
        assert_eq!(secret.get().await.as_deref(), Ok("1"));
        assert_eq!(secret.get().await.as_deref(), Ok("1"));
        assert_eq!(secret.renewed("1").await, Ok(Some("2".to_owned())));
        assert_eq!(secret.get().await.as_deref(), Ok("2"));
    }

    #[tokio::test]
    async fn what_gives_no_secret_is_said_without_repeating_what_it_printed() {
        for script in ["", "echo s3cret; echo s3cret", "echo s3cret >&2; exit 3"] {
            let error = command(script).get().await.expect_err("no secret");
            assert!(
                error.contains("`sh`") && !error.contains("s3cret"),
                "{error}"
            );
        }
        assert!(!format!("{:?}", command("true")).is_empty());
    }
}
