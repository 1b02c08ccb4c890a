//! What the command prints: passed on as it comes, with its end kept.
//!
//! Only where it goes to a file or a pipe anyway: a terminal stays the command's own.

use std::fs::File;
use std::io::{self, IsTerminal as _, PipeReader, Read as _, Write as _};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// Bytes of the end that are kept of each stream.
const TAIL_BYTES_MAX: usize = 64 * 1024;

/// How long a pipe is silent, once the command has ended, until it is given up: something that the command
/// started and left behind may keep it open for ever.
const SILENCE: Duration = Duration::from_millis(300);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// More than a pipe holds: what comes beyond it was printed after the command's end.
const LAST_BYTES_MAX: u64 = 1024 * 1024;

/// The streams that are being passed on.
pub(super) struct Output {
    streams: Vec<Stream>,
}

struct Stream {
    passed: Arc<Passed>,
    ended: mpsc::Receiver<()>,
}

/// What was passed on so far.
#[derive(Default)]
struct Passed {
    tail: Mutex<Vec<u8>>,
    bytes: AtomicU64,
    /// Whether a slow reader is being waited for.
    is_writing: AtomicBool,
}

impl Output {
    /// Puts a pipe in the place of stdout and stderr where these are no terminals.
    ///
    /// Where both go to the same place they share a pipe, so that their order stays.
    pub(super) fn of(command: &mut tokio::process::Command) -> io::Result<Self> {
        let mut streams = Vec::new();
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let pass_out = !stdout.is_terminal();
        let pass_err = !stderr.is_terminal();
        if pass_out {
            let to = duplicate(&stdout)?;
            let (reader, writer) = io::pipe()?;
            if pass_err && is_same(&to, &duplicate(&stderr)?) {
                command.stderr(Stdio::from(writer.try_clone()?));
            }
            command.stdout(Stdio::from(writer));
            streams.push(Stream::pass_on(reader, to));
        }
        if pass_err && !(pass_out && is_same(&duplicate(&stdout)?, &duplicate(&stderr)?)) {
            let (reader, writer) = io::pipe()?;
            command.stderr(Stdio::from(writer));
            streams.push(Stream::pass_on(reader, duplicate(&stderr)?));
        }
        Ok(Self { streams })
    }

    /// The end of what was printed, stdout before stderr, once the command has ended.
    pub(super) fn tail(self) -> String {
        let mut text = String::new();
        for stream in self.streams {
            stream.finish();
            let tail = stream.passed.tail.lock();
            let tail = tail.unwrap_or_else(PoisonError::into_inner);
            text.push_str(&String::from_utf8_lossy(&tail));
            text.push('\n');
        }
        text
    }
}

impl Stream {
    fn pass_on(mut from: PipeReader, mut to: File) -> Self {
        let passed = Arc::new(Passed::default());
        let (end, ended) = mpsc::channel();
        let progress = Arc::clone(&passed);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let length = match from.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => break,
                };
                // A reader that has gone: the command is to notice it as it would without us.
                if progress.pass(&mut to, &buffer[..length]).is_err() {
                    break;
                }
            }
            // Nobody may wait for it any more.
            let _ = end.send(());
        });
        Self { passed, ended }
    }

    /// Waits until everything that the command printed is passed on.
    fn finish(&self) {
        let bytes = || self.passed.bytes.load(Ordering::SeqCst);
        let begun = bytes();
        let mut seen = begun;
        let mut silence = Duration::ZERO;
        while silence < SILENCE && seen - begun < LAST_BYTES_MAX {
            // The other end is dropped with the thread.
            if self.ended.recv_timeout(LOOK) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
            let is_quiet = bytes() == seen && !self.passed.is_writing.load(Ordering::SeqCst);
            silence = if is_quiet {
                silence + LOOK
            } else {
                Duration::ZERO
            };
            seen = bytes();
        }
    }
}

impl Passed {
    fn pass(&self, to: &mut File, bytes: &[u8]) -> io::Result<()> {
        self.is_writing.store(true, Ordering::SeqCst);
        self.bytes.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        keep(&self.tail, bytes);
        let written = write_whole(to, bytes);
        self.is_writing.store(false, Ordering::SeqCst);
        written
    }
}

/// Writes all of it, also where a busy reader is met by "would block".
fn write_whole(to: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn keep(tail: &Mutex<Vec<u8>>, bytes: &[u8]) {
    let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
    tail.extend_from_slice(bytes);
    if tail.len() > 2 * TAIL_BYTES_MAX {
        let surplus = tail.len() - TAIL_BYTES_MAX;
        tail.drain(..surplus);
    }
}

#[cfg(unix)]
fn duplicate(stream: &impl std::os::fd::AsFd) -> io::Result<File> {
    stream.as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(unix)]
fn is_same(one: &File, other: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
    matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(windows)]
fn duplicate(stream: &impl std::os::windows::io::AsHandle) -> io::Result<File> {
    stream.as_handle().try_clone_to_owned().map(File::from)
}

#[cfg(windows)]
fn is_same(_: &File, _: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_much_output_is_kept() {
        let tail = Mutex::new(Vec::new());
        for n in 0..40_000 {
            keep(&tail, format!("line {n}\n").as_bytes());
        }
        let tail = tail.into_inner().expect("not poisoned");
        assert!(tail.ends_with(b"line 39999\n") && tail.len() <= 2 * TAIL_BYTES_MAX);
    }
}
