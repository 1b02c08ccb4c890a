//! One trial: the pins put in place, the packages installed, the command run, and what came of it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pinion_client::adapters::{Missed, Tool, ToolError};
use pinion_client::bisect::Answer;
use pinion_core::pin::PackageChange;
use tokio::process::{Child, Command};

use crate::args::environment::Bisect;
use crate::checkout::StateFolder;
use crate::command::apply::did_not_take;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

use super::interrupt::Interrupts;
use super::pins::Mixture;
use super::placement::{InPlace, Placement, Put};
use super::record::{Record, Taken};

/// The exit status by which a command says that it cannot tell, as for `git bisect run`.
const CANNOT_TELL: i32 = 125;

/// The time that an interrupted command has to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// What came of starting a trial.
pub(super) enum Ran {
    Answered(Answer),
    Interrupted,
}

/// Carries out trials.
pub(super) struct Trials<'a> {
    session: &'a Session,
    command: Vec<OsString>,
    install: Option<String>,
    show_output: bool,
    placement: Placement,
    log: PathBuf,
    failed_log: PathBuf,
    /// Whether something was installed that the checkout did not have.
    is_changed: bool,
    /// Pins that do not take even at their own end, all good or all bad, and so are expected nowhere.
    never_taken: BTreeSet<Taken>,
}

/// What a trial tries.
pub(super) struct Trial<'a> {
    pub(super) mixture: Mixture,
    /// All that differs, whether it is tried or not.
    pub(super) changes: &'a [PackageChange],
    /// Whether it is all good, or all bad, pins.
    pub(super) is_end: bool,
}

/// How a program ended that a trial started.
enum Ended {
    With(ExitStatus),
    ByUs,
}

impl<'a> Trials<'a> {
    pub(super) fn new(
        session: &'a Session,
        args: &Bisect,
        folder: &StateFolder,
        record: &Record,
    ) -> Result<Self, Failure> {
        folder.make()?;
        let own = folder.file("constraints.txt");
        let named = args.good.iter().chain(&args.bad).map(PathBuf::as_path);
        let replaced: Vec<&Path> = named.chain([own.as_path()]).collect();
        Ok(Self {
            session,
            command: args.command.clone(),
            install: args.install.clone(),
            show_output: args.show_output,
            placement: Placement::of(record.tool, folder, &replaced),
            log: folder.file("bisect.log"),
            failed_log: folder.file("bisect-failed.log"),
            is_changed: !record.answers.is_empty(),
            never_taken: record.never_taken.clone(),
        })
    }

    /// Undoes what a bisection left behind that was killed.
    pub(super) async fn clear(&self) -> Result<(), Failure> {
        self.placement.clear(self.session).await
    }

    /// Puts the pins in place, installs if that was asked for, runs the command, and takes the pins away again.
    pub(super) async fn run(
        &mut self,
        trial: &Trial<'_>,
        interrupts: &mut Interrupts,
    ) -> Result<Ran, Failure> {
        let log = self.new_log()?;
        let in_place = match self.placement.put(&trial.mixture).await? {
            Put::InPlace(in_place) => in_place,
            // A tool that Ctrl-C ended has refused nothing.
            Put::Refused(_) if interrupts.is_due().await => return Ok(Ran::Interrupted),
            Put::Refused(words) => {
                self.say(&log, &words)?;
                return Ok(Ran::Answered(Answer::Untestable));
            }
        };
        let ran = self.with(trial, &in_place, &log, interrupts).await;
        let taken_back = self.placement.take_back(self.session, in_place).await;
        match (ran, taken_back) {
            (Ok(ran), Ok(())) => Ok(ran),
            (Ok(_), Err(failure)) | (Err(failure), Ok(())) => Err(failure),
            (Err(failure), Err(left)) => {
                self.session.terminal.warn(left);
                Err(failure)
            }
        }
    }

    /// Installs, if that was asked for, and runs the command while the pins are in place.
    async fn with(
        &mut self,
        trial: &Trial<'_>,
        in_place: &InPlace,
        log: &Option<File>,
        interrupts: &mut Interrupts,
    ) -> Result<Ran, Failure> {
        // Pins may be missing only since Ctrl-C ended the tool.
        if self.tool().is_some() && interrupts.is_due().await {
            return Ok(Ran::Interrupted);
        }
        let variables = &in_place.variables;
        self.is_changed = true;
        if let Some(install) = shell(self.install.as_deref()) {
            match self.start(&install, variables, log, interrupts).await? {
                Ended::ByUs => return Ok(Ran::Interrupted),
                Ended::With(status) if !status.success() => {
                    return Ok(Ran::Answered(Answer::Untestable));
                }
                Ended::With(_) => {}
            }
        }
        if !self.has_taken(trial, in_place, log)? {
            return Ok(match interrupts.is_due().await {
                true => Ran::Interrupted,
                false => Ran::Answered(Answer::Untestable),
            });
        }
        let command = self.command.clone();
        let status = match self.start(&command, variables, log, interrupts).await? {
            Ended::ByUs => return Ok(Ran::Interrupted),
            Ended::With(status) => status,
        };
        let answer = match status.code() {
            Some(0) => Answer::Passed,
            Some(CANNOT_TELL) => Answer::Untestable,
            _ => Answer::Failed,
        };
        if answer == Answer::Failed && self.log.is_file() {
            let kept = std::fs::copy(&self.log, &self.failed_log);
            kept.map_err(|cause| Failure::file("keep the output in", &self.failed_log, &cause))?;
        }
        Ok(Ran::Answered(answer))
    }

    /// Whether what is there is what the trial is about. A pin that does not take even at its own end is told once.
    fn has_taken(
        &mut self,
        trial: &Trial<'_>,
        in_place: &InPlace,
        log: &Option<File>,
    ) -> Result<bool, Failure> {
        let missed = match in_place.missed() {
            Ok(missed) => missed,
            Err(error @ ToolError::Failed { .. }) => {
                self.say(log, &error.to_string())?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let differs = |missed: &&Missed| {
            let mut changes = trial.changes.iter();
            changes.any(|change| trial.mixture.is_of(&missed.pin, &change.package))
        };
        let mut has_taken = true;
        for missed in missed.iter().filter(differs) {
            let pin = (missed.pin.package.clone(), missed.pin.version.clone());
            if self.never_taken.contains(&pin) {
                continue;
            }
            if trial.is_end {
                self.session.terminal.warn(format_args!(
                    "{}; trials that ask for it have that",
                    did_not_take(missed)
                ));
                self.never_taken.insert(pin);
            } else {
                self.say(log, &did_not_take(missed))?;
                has_taken = false;
            }
        }
        Ok(has_taken)
    }

    /// Pins that do not take even at their own end, as far as that was seen.
    pub(super) fn never_taken(&self) -> &BTreeSet<Taken> {
        &self.never_taken
    }

    /// The tool whose adapter applies the pins, where one does.
    pub(super) fn tool(&self) -> Option<Tool> {
        self.placement.tool()
    }

    /// Installs what the checkout had, if a trial installed something else.
    pub(super) async fn restore(&mut self, interrupts: &mut Interrupts) -> Result<(), Failure> {
        if !std::mem::take(&mut self.is_changed) {
            return Ok(());
        }
        let terminal = &self.session.terminal;
        let Some(install) = shell(self.install.as_deref()) else {
            if self.tool().is_none() {
                terminal.note(
                    "what the command installed last is still there; install again, or let --install do it",
                );
            }
            return Ok(());
        };
        terminal.note("installing what was there before; Ctrl-C leaves it as it is");
        let log = self.new_log()?;
        // With the variables that pinion itself was given: the checkout's own pins.
        let again = "install again with the checkout's own pins";
        match self.start(&install, &[], &log, interrupts).await? {
            Ended::With(status) if status.success() => Ok(()),
            Ended::With(status) => {
                let sentence = format!("what was there before could not be installed: {status}");
                Err(Failure::new(Exit::Refused, sentence).next(again))
            }
            Ended::ByUs => {
                let sentence = "interrupted before everything was as it had been";
                Err(Failure::new(Exit::Refused, sentence).next(again))
            }
        }
    }

    /// Where the output of the last failing run is.
    pub(super) fn failed_log(&self) -> Option<String> {
        let is_there = self.failed_log.is_file();
        is_there.then(|| format!("`{}`", self.failed_log.display()))
    }

    /// Where the output of the last run is.
    pub(super) fn last_log(&self) -> Option<String> {
        let is_there = self.log.is_file();
        is_there.then(|| format!("`{}`", self.log.display()))
    }

    fn new_log(&self) -> Result<Option<File>, Failure> {
        if self.show_output {
            return Ok(None);
        }
        let file = File::create(&self.log);
        file.map(Some)
            .map_err(|cause| Failure::file("write", &self.log, &cause))
    }

    /// Adds a line to the log, or says it.
    fn say(&self, log: &Option<File>, words: &str) -> Result<(), Failure> {
        match log {
            Some(file) => {
                let mut file: &File = file;
                writeln!(file, "{words}").map_err(|cause| Failure::file("write", &self.log, &cause))
            }
            None => {
                self.session.terminal.note(words);
                Ok(())
            }
        }
    }

    async fn start(
        &self,
        words: &[OsString],
        variables: &[(OsString, OsString)],
        log: &Option<File>,
        interrupts: &mut Interrupts,
    ) -> Result<Ended, Failure> {
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.session.globals.dir)
            .stdin(Stdio::null())
            .stdout(self.output(log)?)
            .stderr(self.output(log)?);
        let mut child = command.spawn().map_err(|cause| {
            let program = words[0].to_string_lossy();
            Failure::new(Exit::Refused, format!("`{program}` cannot be run: {cause}"))
                .next("name a command that runs in this directory")
        })?;
        let spinner = self.spinner(words);
        let ended = tokio::select! {
            status = child.wait() => status.map(Ended::With),
            () = interrupts.next() => {
                end(&mut child).await;
                Ok(Ended::ByUs)
            }
        };
        spinner.finish_and_clear();
        ended.map_err(|cause| Failure::input(&cause))
    }

    /// The log, or this process's stderr: stdout is for the answer.
    fn output(&self, log: &Option<File>) -> Result<Stdio, Failure> {
        let handle = match log {
            Some(file) => file.try_clone().map(Stdio::from),
            None => Ok(std::io::stderr().into()),
        };
        handle.map_err(|cause| Failure::file("write", &self.log, &cause))
    }

    /// Something that moves while a person waits; nothing where nobody sees it.
    fn spinner(&self, words: &[OsString]) -> ProgressBar {
        if self.show_output || self.session.globals.quiet {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}")
            .expect("the template is constant");
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let spinner = ProgressBar::new_spinner().with_style(style);
        spinner.set_message(crate::terminal::clean(&words.join(" ")));
        spinner.enable_steady_tick(Duration::from_millis(200));
        spinner
    }
}

/// Ends a command: by asking, then by force.
async fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Some(pid) = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw)
    {
        // One that has ended meanwhile needs no signal.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        // Nothing is left to do about one that cannot be killed.
        let _ = child.kill().await;
    }
}

/// A line for the system's shell.
fn shell(line: Option<&str>) -> Option<Vec<OsString>> {
    let words: [&str; 2] = if cfg!(windows) {
        ["cmd", "/C"]
    } else {
        ["sh", "-c"]
    };
    line.map(|line| {
        words
            .into_iter()
            .chain([line])
            .map(OsString::from)
            .collect()
    })
}
