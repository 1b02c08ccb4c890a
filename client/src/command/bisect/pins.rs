//! The good and the bad pins, what differs, and any mixture of both.

use pinion_client::{Pins as ServedPins, constraints as served, v1};
use pinion_core::constraints::{Parsed, parse, render};
use pinion_core::ecosystem::Ecosystem;
use pinion_core::pin::{PackageChange, Pins};
use serde::{Deserialize, Serialize};

use crate::args::environment::Bisect;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session};

/// Two constraints files, as text.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Sources {
    /// The command passes with it.
    pub(super) good: String,
    /// The command fails with it.
    pub(super) bad: String,
    /// Whether they came from the server: the baseline, and this checkout's own pins.
    pub(super) pulled: bool,
}

/// The files that were named, or else what the server has for this checkout.
pub(super) async fn ask(session: &Session, args: &Bisect) -> Result<Sources, Failure> {
    if let (Some(good), Some(bad)) = (&args.good, &args.bad) {
        return Ok(Sources {
            good: read(good)?,
            bad: read(bad)?,
            pulled: false,
        });
    }
    let checkout = session.joined()?;
    let connection = session.connect_checkout(&checkout, Patience::Asked)?;
    let without_server = |error| {
        Failure::from(error).next("or name two constraints files: `--good FILE --bad FILE`")
    };
    let own = ServedPins::get(&connection, None).await;
    let own = own
        .map_err(without_server)?
        .expect("an answer to a question without an etag is whole");
    let baseline = ServedPins::baseline(&connection).await;
    let baseline = baseline.map_err(without_server)?;
    if own.ecosystem != v1::Ecosystem::Pypi {
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "`{}` is no pin set of pypi; bisect applies pins for pip and uv",
                own.pin_set
            ),
        ));
    }
    if own.etag == baseline.etag {
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "this checkout has the baseline of `{}`, and no candidate",
                own.pin_set
            ),
        )
        .next("to compare other pins, name two constraints files: `--good FILE --bad FILE`"));
    }
    Ok(Sources {
        good: served::render(&baseline)?,
        bad: served::render(&own)?,
        pulled: true,
    })
}

/// Both ends of a bisection.
pub(super) struct Endpoints {
    good: Pins,
    verbatim: Vec<String>,
    /// What leads from the good to the bad pins, in the order of the packages.
    pub(super) changes: Vec<PackageChange>,
    /// Lines that are no pins, each with its reason.
    pub(super) unkept: Vec<String>,
}

impl Endpoints {
    /// Reads both; lines that are no pins stay as the bad file has them, in every trial.
    pub(super) fn read(sources: &Sources) -> Result<Self, Failure> {
        let good = parsed("good", &sources.good)?;
        let bad = parsed("bad", &sources.bad)?;
        let unkept = match sources.pulled {
            // What a pin set keeps verbatim is nothing to wonder about.
            true => Vec::new(),
            false => bad
                .unkept
                .iter()
                .map(|line| {
                    format!(
                        "line {} of the bad file stays in every trial: {}",
                        line.line, line.reason
                    )
                })
                .collect(),
        };
        Ok(Self {
            changes: good.pins.diff(&bad.pins),
            good: good.pins,
            verbatim: bad.unkept.into_iter().map(|line| line.text).collect(),
            unkept,
        })
    }

    /// The good pins with some of the changes, as a constraints file.
    pub(super) fn with(&self, trial: &[usize]) -> String {
        let mut pins = self.good.clone();
        for change in trial {
            pins.apply(&self.changes[*change]);
        }
        render(&pins, &self.verbatim)
    }
}

fn parsed(which: &str, text: &str) -> Result<Parsed, Failure> {
    parse(Ecosystem::Pypi, text)
        .map_err(|error| Failure::new(Exit::Invalid, format!("the {which} pins: {error}")))
}

fn read(path: &std::path::Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|cause| Failure::file("read", path, &cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_has_the_good_pins_with_the_changes_asked_for() {
        let sources = Sources {
            good: "a==1\nb==1\ngone==1\n".into(),
            bad: "a==2\nb==2\nnew==1\n--no-binary x\n".into(),
            pulled: false,
        };
        let ends = Endpoints::read(&sources).expect("reads");
        let told: Vec<_> = ends.changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["a 1 -> 2", "b 1 -> 2", "gone 1 (removed)", "new 1 (new)"]
        );
        assert_eq!(ends.with(&[]), "a==1\nb==1\ngone==1\n--no-binary x\n");
        assert_eq!(ends.with(&[1, 2]), "a==1\nb==2\n--no-binary x\n");
        assert_eq!(
            ends.with(&[0, 1, 2, 3]),
            "a==2\nb==2\nnew==1\n--no-binary x\n"
        );
        assert_eq!(ends.unkept.len(), 1);
    }
}
