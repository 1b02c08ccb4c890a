//! A failing run once more, with the baseline of every open rollout, in an environment of its own.
//!
//! Every environment that agreed does this, whether it has a candidate or not: were it for the exposed only, the
//! comparison of the two sides would be worth nothing. Nothing of it shows in how the command ends.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use pinion_client::adapters::location;
use pinion_client::ingest::{Ending, Verdict, conclude};
use pinion_client::v1::{self, Ecosystem};
use pinion_client::{Pins, constraints};

use crate::checkout::{Checkout, write_whole};
use crate::command::report_files;
use crate::failure::Failure;
use crate::session::{Patience, Session};

use super::child::{Command, SpawnError};
use super::written_reports::WrittenReports;

/// A run that may be repeated.
pub(super) struct Repeatable<'a> {
    pub(super) command: &'a [OsString],
    pub(super) reports: &'a [PathBuf],
    /// The kind of a failure of which nothing else is known.
    pub(super) category: v1::Category,
}

/// Why a run was not repeated.
#[derive(Debug, thiserror::Error)]
enum NotRepeated {
    #[error("{0}")]
    Failed(Failure),
    #[error("{0}")]
    Library(#[from] pinion_client::Error),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("{what} `{path}`: {cause}", path = path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        cause: io::Error,
    },
    #[error("`python3 -m venv` cannot make an environment for it")]
    NoVenv,
    #[error("only runs with Python packages can be repeated")]
    Ecosystem,
    #[error("it was interrupted")]
    Interrupted,
}

/// Repeats a run that failed and says what came of it; a run that cannot be repeated counts as it is.
pub(super) async fn repeat(
    session: &Session,
    checkout: &Checkout,
    prepare: &str,
    run: Repeatable<'_>,
) -> v1::Repeat {
    let terminal = &session.terminal;
    terminal.note("the run failed; it is repeated once with the baseline, as its owner agreed");
    match Repetition::at(checkout)
        .run(session, checkout, prepare, run)
        .await
    {
        Ok(true) => {
            terminal.note("with the baseline it passed");
            v1::Repeat::Passed
        }
        Ok(false) => {
            terminal
                .note("with the baseline it failed too: this failure says nothing of a candidate");
            v1::Repeat::Failed
        }
        Err(reason) => {
            terminal.warn(format_args!("the run was not repeated: {reason}"));
            v1::Repeat::Unspecified
        }
    }
}

/// Where runs are repeated.
struct Repetition {
    folder: PathBuf,
}

impl Repetition {
    fn at(checkout: &Checkout) -> Self {
        Self {
            folder: checkout.repetition(),
        }
    }

    /// Whether the run passed.
    async fn run(
        &self,
        session: &Session,
        checkout: &Checkout,
        prepare: &str,
        run: Repeatable<'_>,
    ) -> Result<bool, NotRepeated> {
        std::fs::create_dir_all(&self.folder).map_err(|cause| self.failed("cannot make", cause))?;
        let file = self.fetch_baseline(session, checkout).await?;
        self.ensure_venv().await?;
        let environment = self.environment(&file);
        let shell = ["sh", "-c", prepare].map(OsString::from);
        let prepared = self.quietly(&shell, &environment, "prepare.log").await?;
        // What cannot even be installed with the baseline is the environment's own trouble.
        if prepared != Ending::Exit(0) {
            return Ok(false);
        }
        let kept = KeptReports::of(run.reports)
            .map_err(|cause| self.failed("cannot keep a test report beside", cause))?;
        let before = WrittenReports::before(run.reports);
        let ending = self.quietly(run.command, &environment, "run.log").await;
        let read = before.after(&session.terminal);
        kept.put_back()
            .map_err(|cause| self.failed("cannot put a test report back from", cause))?;
        Ok(conclude(ending?, &read, run.category) == Verdict::Passed)
    }

    async fn fetch_baseline(
        &self,
        session: &Session,
        checkout: &Checkout,
    ) -> Result<PathBuf, NotRepeated> {
        let connection = session
            .connect_checkout(checkout, Patience::Asked)
            .map_err(NotRepeated::Failed)?;
        let pins = Pins::baseline(&connection).await?;
        if pins.ecosystem != Ecosystem::Pypi {
            return Err(NotRepeated::Ecosystem);
        }
        let file = self.folder.join("constraints.txt");
        write_whole(&file, &constraints::render(&pins)?).map_err(NotRepeated::Failed)?;
        Ok(file)
    }

    /// The environment is kept from one repetition to the next, so that only what differs is installed.
    async fn ensure_venv(&self) -> Result<(), NotRepeated> {
        let venv = self.folder.join("venv");
        if venv.join("bin/python").exists() {
            return Ok(());
        }
        let mut words = ["python3", "-m", "venv"].map(OsString::from).to_vec();
        words.push(venv.into_os_string());
        match self.quietly(&words, &[], "venv.log").await? {
            Ending::Exit(0) => Ok(()),
            _ => Err(NotRepeated::NoVenv),
        }
    }

    fn environment(&self, constraints: &Path) -> Vec<(OsString, OsString)> {
        let venv = self.folder.join("venv");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let search = std::iter::once(venv.join("bin")).chain(std::env::split_paths(&path));
        // A PATH that cannot be joined was none before either.
        let search = std::env::join_paths(search).unwrap_or(path.clone());
        let file = location(constraints);
        [
            ("PIP_CONSTRAINT", OsStr::new(&file)),
            ("UV_CONSTRAINT", OsStr::new(&file)),
            ("VIRTUAL_ENV", venv.as_os_str()),
            ("PATH", &search),
        ]
        .map(|(name, value)| (name.into(), value.to_owned()))
        .to_vec()
    }

    /// Runs a command with its output in a file of the folder.
    async fn quietly(
        &self,
        words: &[OsString],
        environment: &[(OsString, OsString)],
        log: &'static str,
    ) -> Result<Ending, NotRepeated> {
        let path = self.folder.join(log);
        let log = File::create(path).map_err(|cause| self.failed("cannot write in", cause))?;
        let mut command = Command::spawn_into(words, environment.to_vec(), log)?;
        match command.ending().await {
            // Somebody does not want to wait for it.
            Ending::Signal(2 | 15) => Err(NotRepeated::Interrupted),
            ending => Ok(ending),
        }
    }

    fn failed(&self, what: &'static str, cause: io::Error) -> NotRepeated {
        NotRepeated::Io {
            what,
            path: self.folder.clone(),
            cause,
        }
    }
}

/// The test reports of the run itself, which its repetition writes over.
struct KeptReports(Vec<(PathBuf, Vec<u8>)>);

impl KeptReports {
    fn of(reports: &[PathBuf]) -> io::Result<Self> {
        let named = report_files::named(reports);
        let files = named.iter().flat_map(|named| named.files());
        files
            .map(|path| std::fs::read(&path).map(|bytes| (path, bytes)))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    fn put_back(self) -> io::Result<()> {
        self.0
            .into_iter()
            .try_for_each(|(path, bytes)| std::fs::write(path, bytes))
    }
}
