//! `pinion bisect`: which changed pins break a command.
//!
//! What to try and when to stop is decided in `pinion_client::bisect`; here trials are carried out, kept,
//! and told about. Whatever happens, the checkout ends with what it had.

mod evidence;
mod interrupt;
mod overlay;
mod pins;
mod placement;
mod record;
mod trial;

use std::process::ExitCode;

use pinion_client::bisect::{Answer, Conclusion, Search, Step};
use pinion_core::pin::PackageChange;

use crate::args::environment::Bisect;
use crate::checkout::StateFolder;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

use super::apply;

use interrupt::Interrupts;
use pins::Endpoints;
use record::Record;
use trial::{Ran, Trial, Trials};

/// What a shell tells of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

pub(super) async fn bisect(session: &Session, args: &Bisect) -> Result<ExitCode, Failure> {
    let folder = StateFolder::of(&session.globals.dir)?;
    let path = folder.file("bisect.json");
    if args.restart {
        record::forget(&path)?;
    }
    let record = match Record::load(&path)? {
        Some(record) => record.resumed(args)?,
        None => {
            let project = folder.project();
            let (sources, ecosystem) = pins::ask(session, args, &project).await?;
            let tool = apply::choose(session, &project, ecosystem, args.tool)?;
            Record::new(args, tool, sources)
        }
    };
    let endpoints = Endpoints::read(&record.sources, record.tool.ecosystem())?;
    for line in &endpoints.unkept {
        session.terminal.warn(line);
    }
    if endpoints.changes.is_empty() {
        return Err(Failure::new(
            Exit::Refused,
            "the good and the bad pins are the same, so there is nothing to bisect",
        )
        .next("name two constraints files: `--good FILE --bad FILE`"));
    }
    let mut bisection = Bisection {
        session,
        args,
        search: Search::new(endpoints.changes.len(), record.confidence()?),
        trials: Trials::new(session, args, &folder, &record)?,
        interrupts: Interrupts::catch()?,
        path,
        endpoints,
        record,
    };
    bisection.trials.clear().await?;
    bisection.replay()?;
    bisection.run().await
}

/// A bisection under way.
struct Bisection<'a> {
    session: &'a Session,
    args: &'a Bisect,
    path: std::path::PathBuf,
    endpoints: Endpoints,
    record: Record,
    search: Search,
    trials: Trials<'a>,
    interrupts: Interrupts,
}

impl Bisection<'_> {
    /// Takes in the answers of earlier runs.
    fn replay(&mut self) -> Result<(), Failure> {
        for answer in &self.record.answers {
            self.search.learn((*answer).into());
        }
        let (changes, runs) = (self.endpoints.changes.len(), self.record.answers.len());
        let terminal = &self.session.terminal;
        match runs {
            0 => terminal.note(format_args!("{changes} pins differ")),
            runs => terminal.note(format_args!(
                "going on after {runs} runs; {changes} pins differ"
            )),
        }
        Ok(())
    }

    async fn run(&mut self) -> Result<ExitCode, Failure> {
        let outcome = self.search().await;
        let restored = self.trials.restore(&mut self.interrupts).await;
        let code = match outcome? {
            Some(conclusion) => {
                record::forget(&self.path)?;
                self.conclude(conclusion).await?
            }
            None => {
                let runs = self.search.runs();
                let kept =
                    format!("stopped after {runs} runs; the same command goes on from there");
                self.session.terminal.note(kept);
                ExitCode::from(INTERRUPTED)
            }
        };
        restored.map(|()| code)
    }

    /// Runs trials until it is settled; nothing if it was interrupted.
    async fn search(&mut self) -> Result<Option<Conclusion>, Failure> {
        loop {
            let trial = match self.search.step() {
                Step::Settled(conclusion) => return Ok(Some(conclusion.clone())),
                Step::Try(trial) => trial.clone(),
            };
            if self.search.runs() >= self.args.max_runs {
                return Err(self.given_up());
            }
            let tried = Trial {
                mixture: self.endpoints.with(&trial),
                changes: &self.endpoints.changes,
                is_end: trial.is_empty() || trial.len() == self.endpoints.changes.len(),
            };
            match self.trials.run(&tried, &mut self.interrupts).await? {
                Ran::Answered(answer) => self.learn(&trial, answer)?,
                Ran::Interrupted => return Ok(None),
            }
        }
    }

    fn learn(&mut self, trial: &[usize], answer: Answer) -> Result<(), Failure> {
        let all = self.endpoints.changes.len();
        if answer == Answer::Untestable && (trial.is_empty() || trial.len() == all) {
            return Err(self.untestable(trial.is_empty()));
        }
        self.search.learn(answer);
        self.record.learn(answer);
        self.record
            .never_taken
            .clone_from(self.trials.never_taken());
        self.record.store(&self.path)?;
        let what = match trial {
            [] => "the good pins".to_owned(),
            trial if trial.len() == all => "the bad pins".to_owned(),
            [change] => format!("{} alone", self.endpoints.changes[*change]),
            trial => format!("{} of {all} changes", trial.len()),
        };
        let ended = match answer {
            Answer::Passed => "passed",
            Answer::Failed => "failed",
            Answer::Untestable => "could not be tested",
        };
        let runs = self.search.runs();
        let suspect = self.suspect();
        self.session
            .terminal
            .note(format_args!("run {runs}: {what} {ended}{suspect}"));
        Ok(())
    }

    fn suspect(&self) -> String {
        match self.search.leading() {
            Some((change, probability)) if probability >= 0.2 => {
                let change = &self.endpoints.changes[change];
                let with = match self.search.minimising() {
                    0 => String::new(),
                    others => format!(", with some of {others} others"),
                };
                let percent = match probability {
                    0.995.. => "> 99".to_owned(),
                    probability => format!("{:.0}", probability * 100.0),
                };
                format!("; suspect: {change}{with} ({percent} %)")
            }
            _ => String::new(),
        }
    }

    fn given_up(&self) -> Failure {
        let runs = self.search.runs();
        let failure = Failure::new(
            Exit::Refused,
            format!("not settled after {runs} runs{}", self.suspect()),
        );
        failure.next("go on with a larger --max-runs, or ask for a lower --confidence")
    }

    fn untestable(&self, is_good: bool) -> Failure {
        let which = if is_good { "good" } else { "bad" };
        let mut failure = Failure::new(
            Exit::Refused,
            format!("the {which} pins cannot be installed, so nothing can be tested with them"),
        );
        failure.sentences.extend(
            self.trials
                .last_log()
                .map(|log| format!("what was said is in {log}")),
        );
        failure.next(match self.trials.tool() {
            None => "to find which pin breaks the installation, bisect that: `pinion bisect -- pip install ...`".to_owned(),
            Some(tool) => format!("see to what {tool} says, or leave out of the files what it does not take"),
        })
    }

    async fn conclude(&self, conclusion: Conclusion) -> Result<ExitCode, Failure> {
        let culprit: Vec<PackageChange> = match &conclusion {
            Conclusion::Culprit(changes) => changes
                .iter()
                .map(|change| self.endpoints.changes[*change].clone())
                .collect(),
            Conclusion::NoDifference(_) => Vec::new(),
        };
        self.print(&conclusion, &culprit);
        match conclusion {
            Conclusion::Culprit(_) => {
                if self.record.sources.pulled {
                    evidence::report(self.session, self.args, &culprit).await;
                }
                Ok(Exit::Ok.into())
            }
            Conclusion::NoDifference(all) => {
                let sentence = format!(
                    "the pins make no difference: with and without them the command failed in {} of {} runs",
                    all.failed,
                    all.total()
                );
                Err(Failure::new(Exit::Refused, sentence).next(
                    "see that the command fails with the bad pins and installs what it tests",
                ))
            }
        }
    }

    fn print(&self, conclusion: &Conclusion, culprit: &[PackageChange]) {
        let rates = self.search.rates();
        let runs = self.search.runs();
        let confidence = self.record.confidence;
        if self.session.terminal.is_json() {
            let changes = culprit.iter().map(|change| {
                serde_json::json!({
                    "package": change.package.written(),
                    "marker": change.marker.as_ref().map(ToString::to_string),
                    "from_version": change.from.as_ref().map(ToString::to_string),
                    "to_version": change.to.as_ref().map(ToString::to_string),
                })
            });
            let value = serde_json::json!({
                "makes_a_difference": matches!(conclusion, Conclusion::Culprit(_)),
                "culprit": changes.collect::<Vec<_>>(),
                "confidence_percent": confidence,
                "runs": runs,
                "changes": self.endpoints.changes.len(),
                "good_fails": rates.good_fails,
                "bad_passes": rates.bad_passes,
            });
            self.session.terminal.print(&format!("{value:#}\n"));
            return;
        }
        let [first, others @ ..] = culprit else {
            return;
        };
        let mut text = format!("culprit: {first}\n");
        for other in others {
            text.push_str(&format!("   with: {other}\n"));
        }
        let changes = self.endpoints.changes.len();
        text.push_str(&format!(
            "found among {changes} changes in {runs} runs, with {confidence} % confidence; a good run fails in about \
             {:.0} %, a bad one passes in about {:.0} %\n",
            rates.good_fails * 100.0,
            rates.bad_passes * 100.0,
        ));
        self.session.terminal.print(&text);
        if let Some(log) = self.trials.failed_log() {
            self.session
                .terminal
                .note(format_args!("the last failing run is in {log}"));
        }
    }
}
