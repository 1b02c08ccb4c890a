//! The candidates loop: starts what waits as places become free, and forgets what versions need that nothing has. It
//! chooses nothing: which goes first and what waits is core's ([`pinion_core::queue`]).

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::controller::Controller;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The candidates loop.
#[derive(Debug)]
pub struct Candidates {
    controller: Arc<Controller>,
}

impl Candidates {
    /// A loop over every pin set.
    pub const fn new(controller: Arc<Controller>) -> Self {
        Self { controller }
    }

    /// Runs until it is cancelled.
    pub async fn run(self, cancelled: CancellationToken) {
        loop {
            tokio::select! {
                () = cancelled.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            self.controller.start_all_waiting().await;
            self.controller.forget_requirements().await;
        }
    }
}
