//! The good and the bad pins, what differs, and any mixture of both.

use pinion_client::adapters::{Project, Tool};
use pinion_client::{Pins as ServedPins, constraints as served, v1};
use pinion_core::constraints::{Parsed, UnkeptLine, parse, render};
use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PackageName;
use pinion_core::pin::{PackageChange, Pin, Pins};
use serde::{Deserialize, Serialize};

use crate::args::environment::Bisect;
use crate::checkout::{Checkout, SavedPins};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::{Patience, Session};

/// By these a project is one of Python's, whatever else it has.
const PYTHON: [&str; 8] = [
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "requirements.txt",
    "uv.lock",
    "tox.ini",
    ".venv",
    "venv",
];

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

/// The files that were named, or else what the server has for this checkout; and the ecosystem they are of.
pub(super) async fn ask(
    session: &Session,
    args: &Bisect,
    project: &Project,
) -> Result<(Sources, v1::Ecosystem), Failure> {
    if let (Some(good), Some(bad)) = (&args.good, &args.bad) {
        let sources = Sources {
            good: read(good)?,
            bad: read(bad)?,
            pulled: false,
        };
        return Ok((sources, of_files(session, args, project)?));
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
    let sources = Sources {
        good: served::render(&baseline)?,
        bad: served::render(&own)?,
        pulled: true,
    };
    Ok((sources, own.ecosystem))
}

/// The ecosystem of files that were named: of the named tool, of the pins that the checkout follows, or else of
/// its manifests.
fn of_files(session: &Session, args: &Bisect, project: &Project) -> Result<v1::Ecosystem, Failure> {
    if let Some(tool) = args.tool {
        return Ok(to_wire(tool.ecosystem()));
    }
    let checkout = session.checkout()?;
    let saved = checkout.as_ref().map(Checkout::saved_pins).transpose()?;
    if let Some(pins) = saved.flatten().as_ref().and_then(SavedPins::whole) {
        return Ok(pins.ecosystem);
    }
    if PYTHON.iter().any(|file| project.root().join(file).exists()) {
        return Ok(v1::Ecosystem::Pypi);
    }
    let others = [Ecosystem::Npm, Ecosystem::Cargo, Ecosystem::Go].map(to_wire);
    let mut there = others
        .into_iter()
        .filter(|ecosystem| Tool::detect(project, *ecosystem).is_ok());
    match (there.next(), there.next()) {
        (None, _) => Ok(v1::Ecosystem::Pypi),
        (Some(ecosystem), None) => Ok(ecosystem),
        (Some(_), Some(_)) => Err(Failure::new(
            Exit::Refused,
            "this checkout has manifests of several ecosystems, so it is not known what the files pin",
        )
        .next("name the tool by --tool")),
    }
}

fn to_wire(ecosystem: Ecosystem) -> v1::Ecosystem {
    match ecosystem {
        Ecosystem::Pypi => v1::Ecosystem::Pypi,
        Ecosystem::Cargo => v1::Ecosystem::Cargo,
        Ecosystem::Npm => v1::Ecosystem::Npm,
        Ecosystem::Go => v1::Ecosystem::Go,
    }
}

/// Pins of one trial.
pub(super) struct Mixture {
    ecosystem: Ecosystem,
    pins: Pins,
    verbatim: Vec<String>,
}

impl Mixture {
    /// As a constraints file.
    pub(super) fn to_text(&self) -> String {
        render(&self.pins, &self.verbatim)
    }

    /// Whether a pin of these is of a package.
    pub(super) fn is_of(&self, pin: &v1::Pin, package: &PackageName) -> bool {
        let name = PackageName::parse(self.ecosystem, &pin.package);
        name.is_ok_and(|name| name.normal() == package.normal())
    }

    /// As a server would send them.
    pub(super) fn to_pins(&self) -> ServedPins {
        let pin = |pin: &Pin| v1::Pin {
            package: pin.package.written().to_owned(),
            version: pin.version.to_string(),
            marker: pin
                .marker
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        };
        ServedPins {
            etag: "bisect".to_owned(),
            pin_set: "bisect".to_owned(),
            ecosystem: to_wire(self.ecosystem),
            revision: 0,
            pins: self.pins.iter().map(pin).collect(),
            verbatim_lines: self.verbatim.clone(),
            rollouts: Vec::new(),
            repeat_failures: false,
            exposures: Vec::new(),
        }
    }
}

/// Both ends of a bisection.
pub(super) struct Endpoints {
    ecosystem: Ecosystem,
    good: Pins,
    verbatim: Vec<String>,
    /// What leads from the good to the bad pins, in the order of the packages.
    pub(super) changes: Vec<PackageChange>,
    /// Lines that are no pins, each with its reason.
    pub(super) unkept: Vec<String>,
}

impl Endpoints {
    /// Reads both; lines that are no pins stay as the bad file has them, in every trial.
    pub(super) fn read(sources: &Sources, ecosystem: Ecosystem) -> Result<Self, Failure> {
        let good = parsed(ecosystem, "good", &sources.good)?;
        let bad = parsed(ecosystem, "bad", &sources.bad)?;
        let unkept = match sources.pulled {
            // What a pin set keeps verbatim is nothing to wonder about.
            true => Vec::new(),
            false => bad
                .unkept
                .iter()
                .map(|line| unkept_words(ecosystem, line))
                .collect(),
        };
        Ok(Self {
            ecosystem,
            changes: good.pins.diff(&bad.pins),
            good: good.pins,
            verbatim: bad.unkept.into_iter().map(|line| line.text).collect(),
            unkept,
        })
    }

    /// The good pins with some of the changes.
    pub(super) fn with(&self, trial: &[usize]) -> Mixture {
        let mut pins = self.good.clone();
        for change in trial {
            pins.apply(&self.changes[*change]);
        }
        Mixture {
            ecosystem: self.ecosystem,
            pins,
            verbatim: self.verbatim.clone(),
        }
    }
}

fn unkept_words(ecosystem: Ecosystem, unkept: &UnkeptLine) -> String {
    let UnkeptLine { line, reason, .. } = unkept;
    match ecosystem {
        Ecosystem::Pypi => {
            format!("line {line} of the bad file stays in every trial: {reason}")
        }
        _ => format!("line {line} of the bad file is in no trial: {reason}"),
    }
}

fn parsed(ecosystem: Ecosystem, which: &str, text: &str) -> Result<Parsed, Failure> {
    parse(ecosystem, text)
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
        let ends = Endpoints::read(&sources, Ecosystem::Pypi).expect("reads");
        let told: Vec<_> = ends.changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["a 1 -> 2", "b 1 -> 2", "gone 1 (removed)", "new 1 (new)"]
        );
        assert_eq!(
            ends.with(&[]).to_text(),
            "a==1\nb==1\ngone==1\n--no-binary x\n"
        );
        assert_eq!(ends.with(&[1, 2]).to_text(), "a==1\nb==2\n--no-binary x\n");
        assert_eq!(
            ends.with(&[0, 1, 2, 3]).to_text(),
            "a==2\nb==2\nnew==1\n--no-binary x\n"
        );
        assert_eq!(ends.unkept.len(), 1);
    }
}
