//! What the demo shows: a bar for each rollout on a terminal, lines elsewhere.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pinion_core::numbers::ratio;
use pinion_proto::v1 as proto;

/// What to do next.
pub(super) const NEXT: &str = "\
Try it on your own pins:

  cargo run --release --bin piniond                        # the server, on loopback; prints an admin token
  export PINION_SERVER=http://127.0.0.1:7460 PINION_TOKEN=...
  cargo run --release --bin pinion -- pin-set create mine --ecosystem pypi
  cargo run --release --bin pinion -- pin-set import mine requirements.txt
  cargo run --release --bin pinion -- rollout start mine requests==2.32.3
  cargo run --release --bin pinion -- rollout watch
";

/// Columns of what a rollout tries, and of its bar.
const CHANGES: usize = 25;
const BAR: usize = 12;
const DAYS: [&str; 5] = ["Mon", "Tue", "Wed", "Thu", "Fri"];

/// The terminal, or what stands in for it.
pub(super) struct Screen {
    bars: MultiProgress,
    is_terminal: bool,
    rollouts: RefCell<Vec<ProgressBar>>,
    said: RefCell<Vec<(u32, i32)>>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self {
            bars: MultiProgress::new(),
            is_terminal: std::io::stderr().is_terminal(),
            rollouts: RefCell::default(),
            said: RefCell::default(),
        }
    }

    /// A line that stays.
    pub(super) fn say(&self, line: &str) {
        if self.is_terminal {
            // A terminal that went away needs no line.
            let _ = self.bars.println(line);
        } else {
            println!("{line}");
        }
    }

    /// A bar for work that takes a moment.
    pub(super) fn progress(&self, what: &'static str, length: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("{msg:20} [{bar:30}] {pos}/{len}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = if self.is_terminal {
            self.bars.add(ProgressBar::new(length))
        } else {
            ProgressBar::hidden()
        };
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(what);
        bar
    }

    /// A bar for each rollout.
    pub(super) fn begin(&self, rollouts: &[proto::Rollout]) {
        let head = ["failed/reported:", "exposed", "control", "evidence of harm"];
        self.say(&format!(
            "{:CHANGES$} [{:^BAR$}] {:>18}  {:>9}  {:>9}  {}",
            "candidate", "share", head[0], head[1], head[2], head[3]
        ));
        for rollout in rollouts {
            let bar = if self.is_terminal {
                self.bars.add(ProgressBar::new(1000))
            } else {
                ProgressBar::hidden()
            };
            bar.set_style(style(&format!("{{bar:{BAR}}}")));
            bar.set_prefix(changes(rollout));
            self.rollouts.borrow_mut().push(bar);
            self.said.borrow_mut().push((0, rollout.state));
        }
    }

    /// Where the rollouts stand.
    pub(super) fn show(&self, rollouts: &[proto::Rollout], day: u32, hour: u32) {
        let when = format!("{} {:02}:00", DAYS[day as usize % 5], 9 + hour);
        for (index, rollout) in rollouts.iter().enumerate() {
            let line = format!("{when}  {}", line(rollout));
            let news = (rollout.epoch, rollout.state);
            let is_news = self.said.borrow()[index] != news;
            self.said.borrow_mut()[index] = news;
            let ended = ending(rollout);
            if let Some(bar) = self.rollouts.borrow().get(index) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of 1000"
                )]
                bar.set_position((rollout.share * 1000.0) as u64);
                if let Some(ended) = ended.filter(|_| is_news) {
                    bar.set_style(style(&format!("{ended:^BAR$}")));
                }
                bar.set_message(line.clone());
                bar.tick();
            }
            if is_news && !self.is_terminal {
                let state = ended.map_or_else(|| filled(rollout.share), str::to_owned);
                self.say(&format!(
                    "{:CHANGES$} [{state:^BAR$}] {line}",
                    changes(rollout)
                ));
            }
        }
    }

    /// Ends the bars.
    pub(super) fn end(&self) {
        self.rollouts.borrow().iter().for_each(ProgressBar::abandon);
    }
}

fn style(bar: &str) -> ProgressStyle {
    ProgressStyle::with_template(&format!("{{prefix:{CHANGES}}} [{bar}] {{msg}}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// A bar as a terminal shows it.
fn filled(share: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 12"
    )]
    let full = (share.clamp(0.0, 1.0) * BAR as f64) as usize;
    let head = if share > 0.0 && full < BAR { ">" } else { "" };
    format!("{:BAR$}", format!("{}{head}", "=".repeat(full)))
}

fn ending(rollout: &proto::Rollout) -> Option<&'static str> {
    match rollout.state() {
        proto::RolloutState::Completed => Some("complete"),
        proto::RolloutState::RolledBack => Some("ROLLED BACK"),
        _ => None,
    }
}

fn line(rollout: &proto::Rollout) -> String {
    let evidence = rollout.evidence.clone().unwrap_or_default();
    let side = |side: Option<proto::Side>| {
        let side = side.unwrap_or_default();
        format!("{}/{}", side.failed, side.reporting)
    };
    format!(
        "{:>5.1} %  {:>9}  {:>9}  {}",
        rollout.share * 100.0,
        side(evidence.exposed_total),
        side(evidence.control_total),
        ratio(evidence.log_evidence.max(0.0)),
    )
}

/// What a rollout tries, in words.
pub(super) fn changes(rollout: &proto::Rollout) -> String {
    let words: Vec<String> = rollout
        .changes
        .iter()
        .map(|c| format!("{} {} -> {}", c.package, c.from_version, c.to_version))
        .collect();
    words.join(", ")
}

/// How it ended.
pub(super) fn summary(
    good: &proto::Rollout,
    bad: &proto::Rollout,
    harmed: usize,
    consumers: usize,
    took: Duration,
) {
    println!("\n{} is complete: every environment has it.", changes(good));
    println!("  {}", good.reason);
    println!(
        "{} was rolled back after {harmed} harmed environments; \"everyone at once\" would have harmed {consumers}.",
        changes(bad)
    );
    println!("  {}", bad.reason);
    println!(
        "Days of work in {:.0} s. The rollback is filed, as a branch in the repository that the pins come from:",
        took.as_secs_f64()
    );
}
