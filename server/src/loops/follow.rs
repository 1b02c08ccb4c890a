//! Follows what is written to the store, by whomever, and shows it; and says that this server runs.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::controller::Controller;
use crate::snapshot::Follower;

/// How often a server that is not alone says that it runs.
const SAY_INTERVAL: Duration = Duration::from_secs(2);
/// How long nothing may come along, not even the own word, before everything is read again.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long it waits before it reads everything again.
const PAUSE: Duration = Duration::from_secs(1);

/// Shows what comes along until it is cancelled, or the store is closed.
pub(crate) async fn follow(
    controller: Arc<Controller>,
    mut follower: Follower,
    cancelled: CancellationToken,
) {
    loop {
        let snapshot = controller.snapshot();
        let next = tokio::select! {
            biased;
            () = cancelled.cancelled() => return,
            next = follower.next(&snapshot) => next,
            () = tokio::time::sleep(SILENCE_MAX), if controller.is_shared() => {
                tracing::warn!("nothing came along from the store; everything is read again");
                follower.again().await.map(Some)
            }
        };
        let mut failed = match next {
            Ok(Some(news)) => {
                controller.show(news);
                continue;
            }
            Ok(None) if !controller.is_shared() => return,
            Ok(None) => None,
            Err(error) => Some(error),
        };
        loop {
            if let Some(error) = failed {
                tracing::error!(%error, "the store cannot be followed; what was known before is served");
            }
            tokio::select! {
                () = cancelled.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            match follower.again().await {
                Ok(news) => {
                    controller.show(news);
                    break;
                }
                Err(error) => failed = Some(error),
            }
        }
    }
}

/// Makes pulls durable, and says that this server runs, until it is cancelled.
pub(crate) async fn keep_up(controller: Arc<Controller>, cancelled: CancellationToken) {
    loop {
        tokio::select! {
            () = cancelled.cancelled() => break,
            () = tokio::time::sleep(SAY_INTERVAL) => {}
        }
        let kept = async {
            controller.say_present().await?;
            if !controller.leads() {
                controller.journal_pulls().await?;
                controller.measure_backlog().await?;
            }
            Ok::<_, crate::store::Error>(())
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, "this server is cut off from the store");
        }
    }
    controller.say_gone().await;
}
