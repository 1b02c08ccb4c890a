//! Ctrl-C and a request to end: noticed between and during trials, so that nothing is left half done.

use std::time::Duration;

use crate::failure::Failure;

/// The time in which a signal is noticed that has come.
const NOTICED: Duration = Duration::from_millis(50);

/// The signals that stop a bisection.
pub(super) struct Interrupts {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interrupts {
    #[cfg(unix)]
    pub(super) fn catch() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let catch = |kind| signal(kind).map_err(|cause| Failure::input(&cause));
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    pub(super) fn catch() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Whether there was one. What a person types reaches the programs of a terminal at once, and their end may be
    /// noticed before.
    pub(super) async fn is_due(&mut self) -> bool {
        tokio::time::timeout(NOTICED, self.next()).await.is_ok()
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        // A system that cannot be asked is never interrupted.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
