//! A connection that ends when not a byte has moved on it for a while.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Reads and writes through; a read of a connection on which nothing has moved for too long fails.
#[derive(Debug)]
pub(super) struct Idle<S> {
    stream: S,
    silence: Duration,
    moved: Instant,
    until: Pin<Box<Sleep>>,
}

impl<S> Idle<S> {
    pub(super) fn new(stream: S, silence: Duration) -> Self {
        Self {
            stream,
            silence,
            moved: Instant::now(),
            until: Box::pin(tokio::time::sleep(silence)),
        }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Notes that something moved, or fails if nothing has for too long.
    fn judge<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            // Setting the timer anew each time costs more than the byte; it is done when it has run out.
            self.moved = Instant::now();
            return polled;
        }
        while self.until.as_mut().poll(context).is_ready() {
            let until = self.moved + self.silence;
            if until <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.until.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Idle<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.judge(polled, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Idle<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.judge(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const SILENCE: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_connection_on_which_nothing_moves_ends() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut ours = Idle::new(ours, SILENCE);
        let mut buffer = [0; 8];
        let started = Instant::now();
        theirs.write_all(b"a").await.expect("writes");
        assert_eq!(ours.read(&mut buffer).await.expect("reads"), 1);
        tokio::time::sleep(SILENCE / 2).await;
        // What we write counts as well: a stream of events needs no word from its reader.
        ours.write_all(b"b").await.expect("writes");
        let error = ours.read(&mut buffer).await.expect_err("silence");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= SILENCE * 3 / 2);
    }

    #[tokio::test]
    async fn a_reader_who_takes_nothing_is_left() {
        let (ours, _theirs) = tokio::io::duplex(4);
        let mut ours = Idle::new(ours, SILENCE);
        let error = ours.write_all(b"more than it holds").await;
        assert_eq!(error.expect_err("full").kind(), io::ErrorKind::TimedOut);
    }
}
