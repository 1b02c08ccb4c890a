//! Requests that another server was faster than: nothing of them happened, so they are made again.

use std::cell::Cell;

tokio::task_local! {
    static RACED: Cell<bool>;
}

/// Notes that the request which this task carries out lost a race.
pub(super) fn note() {
    // What nobody asked for is tried again by its loop.
    let _ = RACED.try_with(|raced| raced.set(true));
}

/// Carries out a request, and tells whether it lost a race.
pub(crate) async fn observed<T>(request: impl Future<Output = T>) -> (T, bool) {
    let scope = async {
        let answer = request.await;
        (answer, RACED.with(Cell::get))
    };
    RACED.scope(Cell::new(false), scope).await
}
