//! Requests of HTTP/2 that can be answered at once are answered where they are read.
//!
//! Each would be a task of its own otherwise, and each answer a write of its own: with many calls on a connection that costs
//! more than the answers. What has to wait becomes a task, as ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};

use hyper::rt::Executor;

/// Begins requests in place, and spawns those that are not done then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eager;

impl<F> Executor<F> for Eager
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, request: F) {
        let mut request = Box::pin(request);
        // Nobody has to be woken: what is not ready is asked again by its task.
        let mut context = Context::from_waker(Waker::noop());
        let begun = catch_unwind(AssertUnwindSafe(|| request.as_mut().poll(&mut context)));
        match begun {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => drop(tokio::spawn(request)),
            // Others on the same connection go on, as if it had been a task.
            Err(_) => tracing::error!("a request ended badly"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_ready_is_done_at_once_and_what_waits_is_done_later() {
        let (tell, mut told) = oneshot::channel();
        Eager.execute(async move { tell.send(1).expect("is heard") });
        assert_eq!(told.try_recv(), Ok(1));
        let (tell, mut told) = oneshot::channel();
        Eager.execute(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            tell.send(2).expect("is heard");
        });
        assert!(told.try_recv().is_err());
        assert_eq!(told.await, Ok(2));
    }

    #[tokio::test]
    async fn a_request_that_panics_takes_nobody_with_it() {
        Eager.execute(async { panic!("on purpose") });
    }
}
