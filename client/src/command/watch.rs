//! `pinion rollout watch`: rollouts, live.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pinion_client::v1::{self, RolloutState};
use pinion_client::{Connection, Error};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::terminal::{clean, width};
use crate::view;

/// The wait before a broken stream is opened again.
const PAUSE: Duration = Duration::from_secs(2);

/// The steps of a bar: a hundredth of a percent each.
const WHOLE: u64 = 10_000;

pub(super) async fn watch(
    session: &Session,
    id: Option<String>,
    pin_set: String,
) -> Result<ExitCode, Failure> {
    let connection = session.connect()?;
    let request = v1::WatchRolloutsRequest {
        id: id.clone().unwrap_or_default(),
        pin_set,
    };
    let mut screen = Screen::new(session);
    let mut has_answered = false;
    loop {
        let followed = follow(&connection, &request, &mut screen, &mut has_answered).await;
        match followed {
            Ok(Some(end)) => {
                screen.close();
                return Ok(match end {
                    RolloutState::Completed => Exit::Ok,
                    _ => Exit::Refused,
                }
                .into());
            }
            // A server that never answered is not there; one that did will come back.
            Err(error) if !has_answered || !error.is_transient() => return Err(error.into()),
            Ok(None) | Err(_) => {
                session
                    .terminal
                    .note("the connection was lost; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Follows one stream to its end; the state of the one rollout that was asked for, once it has ended.
async fn follow(
    connection: &Connection,
    request: &v1::WatchRolloutsRequest,
    screen: &mut Screen<'_>,
    has_answered: &mut bool,
) -> Result<Option<RolloutState>, Error> {
    let streams = connection.for_streams();
    let mut client = streams.rollouts();
    let mut stream = streams
        .answer(client.watch_rollouts(request.clone()))
        .await?;
    loop {
        let message = stream.message().await;
        let message = message.map_err(|status| Error::from_status(connection.server(), &status))?;
        let Some(message) = message else {
            return Ok(None);
        };
        *has_answered = true;
        let Some(rollout) = &message.rollout else {
            continue;
        };
        screen.show(&message, rollout);
        if !request.id.is_empty() && has_ended(rollout.state()) {
            return Ok(Some(rollout.state()));
        }
    }
}

fn has_ended(state: RolloutState) -> bool {
    match state {
        RolloutState::Completed
        | RolloutState::RolledBack
        | RolloutState::Aborted
        | RolloutState::Superseded => true,
        RolloutState::Unspecified
        | RolloutState::Gating
        | RolloutState::Baking
        | RolloutState::Paused
        | RolloutState::Frozen
        | RolloutState::Inconclusive => false,
    }
}

/// Bars on a terminal, lines elsewhere.
struct Screen<'a> {
    session: &'a Session,
    bars: Option<MultiProgress>,
    by_id: HashMap<String, ProgressBar>,
}

impl<'a> Screen<'a> {
    fn new(session: &'a Session) -> Self {
        let draws = !session.terminal.is_json() && std::io::stdout().is_terminal();
        // Bars are drawn on stderr, so that both must be a terminal.
        let draws = draws && std::io::stderr().is_terminal();
        Self {
            session,
            bars: draws.then(MultiProgress::new),
            by_id: HashMap::new(),
        }
    }

    fn show(&mut self, message: &v1::WatchRolloutsResponse, rollout: &v1::Rollout) {
        let Some(bars) = &self.bars else {
            let line = match self.session.terminal.is_json() {
                true => pinion_proto::to_json(message).to_string(),
                false => view::headline(rollout),
            };
            self.session.terminal.print(&format!("{line}\n"));
            return;
        };
        let bar = self
            .by_id
            .entry(rollout.id.clone())
            .or_insert_with(|| bars.add(new_bar()));
        let candidate = clean(&view::candidate(rollout));
        bar.set_prefix(wrapped(&candidate, width().unwrap_or(usize::MAX)));
        bar.set_position(position(rollout.share));
        let state = view::standing(rollout);
        let share = view::percent(rollout.share);
        let columns = width().unwrap_or(usize::MAX);
        let line = format!(
            "{share} {state}\n    {}\n    {}",
            wrapped(&view::progress(rollout), columns),
            wrapped(&clean(&rollout.reason), columns)
        );
        bar.set_message(line);
        if has_ended(rollout.state()) {
            bar.abandon();
        }
    }

    fn close(&self) {
        for bar in self.by_id.values() {
            bar.abandon();
        }
    }
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix}\n    [{bar:30}] {msg}")
        .expect("the template is a constant")
        .progress_chars("=> ");
    ProgressBar::new(WHOLE).with_style(style)
}

/// The words in lines of at most `columns`, the indent of the later ones included: what the terminal wraps by itself
/// cannot be drawn over.
fn wrapped(text: &str, columns: usize) -> String {
    const INDENT: &str = "    ";
    let room = columns.saturating_sub(INDENT.len() + 1).max(1);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line)
                if console::measure_text_width(line) + 1 + console::measure_text_width(word)
                    <= room =>
            {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{INDENT}"))
}

fn position(share: f64) -> u64 {
    // Between 0 and WHOLE, so that nothing is cut off.
    (share.clamp(0.0, 1.0) * WHOLE as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_wider_than_the_terminal() {
        let text = "evidence 1 to 1 of 500 to 1, the epoch lasts until Monday";
        let lines = wrapped(text, 20);
        assert!(
            lines.lines().all(|line| line.trim().len() + 4 < 20),
            "{lines}"
        );
        assert_eq!(lines.split_whitespace().collect::<Vec<_>>().join(" "), text);
        assert_eq!(wrapped(text, usize::MAX), text);
    }
}
