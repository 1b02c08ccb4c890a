//! The command itself: its environment, the signals it gets, how it ended.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;

use pinion_client::ingest::Ending;
use tokio::process::Child;

use super::output::Output;

/// A running command.
pub(in crate::command) struct Command {
    child: Child,
    #[cfg(unix)]
    signals: signals::Forwarded,
}

/// Why a command does not run.
#[derive(Debug, thiserror::Error)]
#[error("`{program}` cannot be run: {cause}")]
pub(in crate::command) struct SpawnError {
    program: String,
    cause: io::Error,
}

impl SpawnError {
    /// As shells have it: 127 for no such command, 126 for one that cannot be run.
    pub(in crate::command) fn exit_code(&self) -> u8 {
        match self.cause.kind() {
            io::ErrorKind::NotFound => 127,
            _ => 126,
        }
    }
}

impl Command {
    /// Starts a command with these variables.
    pub(in crate::command) fn spawn_with(
        words: &[OsString],
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Self, SpawnError> {
        Self::start(words, environment, |_| Ok(())).map(|(command, ())| command)
    }

    /// The same, with its output passed on and its end kept.
    pub(super) fn spawn_read(
        words: &[OsString],
        environment: Vec<(OsString, OsString)>,
    ) -> Result<(Self, Output), SpawnError> {
        Self::start(words, environment, Output::of)
    }

    /// The same, with its output in a file and nothing to read.
    pub(super) fn spawn_into(
        words: &[OsString],
        environment: Vec<(OsString, OsString)>,
        log: std::fs::File,
    ) -> Result<Self, SpawnError> {
        let quiet = |command: &mut tokio::process::Command| {
            command
                .stdin(std::process::Stdio::null())
                .stderr(log.try_clone()?)
                .stdout(log);
            Ok(())
        };
        Self::start(words, environment, quiet).map(|(command, ())| command)
    }

    fn start<T>(
        words: &[OsString],
        environment: Vec<(OsString, OsString)>,
        prepare: impl FnOnce(&mut tokio::process::Command) -> io::Result<T>,
    ) -> Result<(Self, T), SpawnError> {
        let failed = |cause| SpawnError {
            program: words[0].to_string_lossy().into_owned(),
            cause,
        };
        // Signals are caught before there is a command, so that none is lost between.
        #[cfg(unix)]
        let signals = signals::Forwarded::catch().map_err(failed)?;
        let mut command = tokio::process::Command::new(&words[0]);
        command.args(&words[1..]).envs(environment);
        let prepared = prepare(&mut command).map_err(failed)?;
        let command = Self {
            child: command.spawn().map_err(failed)?,
            #[cfg(unix)]
            signals,
        };
        Ok((command, prepared))
    }

    /// Waits for the end, passing on the signals that come meanwhile.
    pub(in crate::command) async fn ending(&mut self) -> Ending {
        #[cfg(unix)]
        loop {
            tokio::select! {
                status = self.child.wait() => return ended(status),
                signal = self.signals.next() => signals::pass_on(signal, self.child.id()),
            }
        }
        #[cfg(not(unix))]
        ended(self.child.wait().await)
    }
}

/// What this process exits with after the command ended so.
pub(in crate::command) fn exit_code(ending: Ending) -> u8 {
    u8::try_from(super::status(ending) & 0xff).expect("masked to a byte")
}

fn ended(status: io::Result<ExitStatus>) -> Ending {
    match status {
        Ok(status) => {
            #[cfg(unix)]
            if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
                return Ending::Signal(signal);
            }
            Ending::Exit(status.code().unwrap_or(1))
        }
        // Nobody else waits for the child, so this is a system that lost it.
        Err(_) => Ending::Exit(1),
    }
}

#[cfg(unix)]
mod signals {
    //! Signals to this process that are meant for the command.

    use std::io::{self, IsTerminal as _};

    use rustix::process::{Pid, Signal, getpgrp, kill_process};
    use rustix::termios::tcgetpgrp;
    use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

    pub(super) struct Forwarded {
        interrupt: Stream,
        quit: Stream,
        terminate: Stream,
        hang_up: Stream,
        user_1: Stream,
        user_2: Stream,
    }

    impl Forwarded {
        pub(super) fn catch() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                quit: signal(SignalKind::quit())?,
                terminate: signal(SignalKind::terminate())?,
                hang_up: signal(SignalKind::hangup())?,
                user_1: signal(SignalKind::user_defined1())?,
                user_2: signal(SignalKind::user_defined2())?,
            })
        }

        pub(super) async fn next(&mut self) -> Signal {
            tokio::select! {
                _ = self.interrupt.recv() => Signal::INT,
                _ = self.quit.recv() => Signal::QUIT,
                _ = self.terminate.recv() => Signal::TERM,
                _ = self.hang_up.recv() => Signal::HUP,
                _ = self.user_1.recv() => Signal::USR1,
                _ = self.user_2.recv() => Signal::USR2,
            }
        }
    }

    pub(super) fn pass_on(signal: Signal, child: Option<u32>) {
        // A terminal sends Ctrl-C to the whole group: the command has it already.
        if matches!(signal, Signal::INT | Signal::QUIT) && is_foreground() {
            return;
        }
        let pid = child
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // A command that has ended meanwhile needs no signal.
            let _ = kill_process(pid, signal);
        }
    }

    fn is_foreground() -> bool {
        let stdin = io::stdin();
        stdin.is_terminal() && tcgetpgrp(&stdin).is_ok_and(|group| group == getpgrp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_told_as_a_shell_tells_it() {
        assert_eq!(exit_code(Ending::Signal(9)), 137);
        assert_eq!(exit_code(Ending::Exit(42)), 42);
    }
}
