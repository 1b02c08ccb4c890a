//! What is known here about a checkout that has joined: kept beside it, never in it.
//!
//! One directory for each checkout below `$XDG_STATE_HOME/pinion`, named by the hash of the checkout's
//! path. Nothing in the checkout is written or read.

mod consent;
mod files;
mod outbox;
mod saved_pins;
mod state_folder;
mod taken;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pinion_client::adapters::Project;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings;

pub(crate) use consent::Consent;
pub(crate) use files::{read_if_there, write_whole};
pub(crate) use outbox::{Delivery, Outbox};
pub(crate) use saved_pins::SavedPins;
pub(crate) use state_folder::StateFolder;
pub(crate) use taken::Taken;

/// What was agreed on when the checkout joined.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Membership {
    /// The checkout's directory.
    pub(crate) checkout: PathBuf,
    /// The server's URL, or those of several, separated by commas.
    pub(crate) server: String,
    /// The environment's id.
    pub(crate) environment: String,
    /// The pin set it follows.
    pub(crate) pin_set: String,
    /// What the owner agreed to. Older files have it as whether outcomes are reported.
    #[serde(alias = "reporting")]
    pub(crate) consent: Consent,
    /// Since when reports may be sent; what is older never is.
    #[serde(default)]
    pub(crate) consented: Option<Timestamp>,
    /// What makes an environment ready to repeat a failing run in, if the owner agreed to repeat.
    #[serde(default)]
    pub(crate) repeat: Option<String>,
    /// Certificate authorities of the server, if not the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether plain http to another host was allowed.
    pub(crate) insecure_http: bool,
    /// When it joined.
    pub(crate) joined: Timestamp,
}

/// A checkout that has joined.
#[derive(Debug)]
pub(crate) struct Checkout {
    state: PathBuf,
    pub(crate) membership: Membership,
}

impl Checkout {
    /// The checkout that `dir` lies in: `dir` itself, or the nearest directory above it that has joined.
    pub(crate) fn find(dir: &Path) -> Result<Option<Self>, Failure> {
        Self::find_below(&state_root()?, dir)
    }

    fn find_below(root: &Path, dir: &Path) -> Result<Option<Self>, Failure> {
        let dir = canonical(dir)?;
        for candidate in dir.ancestors() {
            let state = root.join(key(candidate));
            if let Some(membership) = Membership::load(&state)? {
                return Ok(Some(Self { state, membership }));
            }
        }
        Ok(None)
    }

    /// Keeps a new membership and its token.
    pub(crate) fn create(membership: Membership, token: &str) -> Result<Self, Failure> {
        Self::create_below(&state_root()?, membership, token)
    }

    fn create_below(root: &Path, membership: Membership, token: &str) -> Result<Self, Failure> {
        let state = root.join(key(&membership.checkout));
        files::make_private_directory(&state)?;
        let checkout = Self { state, membership };
        files::write_private(&checkout.state.join("token"), &format!("{token}\n"))?;
        // The membership is written last: with it, the checkout has joined.
        checkout.save()?;
        Ok(checkout)
    }

    /// Keeps what the owner agrees to from now on.
    pub(crate) fn agree(&mut self, consent: Consent) -> Result<(), Failure> {
        self.membership.consent = consent;
        self.membership.consented = consent.sends().then(Timestamp::now);
        self.save()
    }

    /// Writes the membership as it is now.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let text =
            serde_json::to_string_pretty(&self.membership).expect("a membership is plain data");
        files::write_private(&self.state.join("membership.json"), &format!("{text}\n"))
    }

    /// The environment's own token.
    pub(crate) fn token(&self) -> Result<String, Failure> {
        let path = self.state.join("token");
        let text = files::read_if_there(&path)?;
        text.map(|text| text.trim().to_owned()).ok_or_else(|| {
            let sentence = format!("the checkout's token `{}` is gone", path.display());
            Failure::new(Exit::Denied, sentence).next("`pinion leave --local`, then join again")
        })
    }

    /// The constraints file that pip and uv are pointed at.
    pub(crate) fn constraints(&self) -> PathBuf {
        self.state.join("constraints.txt")
    }

    /// The last good pins, if there ever were any.
    pub(crate) fn saved_pins(&self) -> Result<Option<SavedPins>, Failure> {
        SavedPins::load(&self.state.join("pins.json"))
    }

    /// Keeps pins and their constraints file, each whole or not at all.
    pub(crate) fn save_pins(&self, pins: &SavedPins, constraints: &str) -> Result<(), Failure> {
        // The file first: an etag without its file would be answered "unchanged" for ever.
        write_whole(&self.constraints(), constraints)?;
        self.confirm_pins(pins)
    }

    /// Keeps that the server confirmed the pins that are here.
    pub(crate) fn confirm_pins(&self, pins: &SavedPins) -> Result<(), Failure> {
        pins.store(&self.state.join("pins.json"))
    }

    /// What was found when the pins were last verified.
    pub(crate) fn taken(&self) -> Result<Option<Taken>, Failure> {
        Taken::load(&self.state.join("taken.json"))
    }

    /// Keeps what was found.
    pub(crate) fn save_taken(&self, taken: &Taken) -> Result<(), Failure> {
        taken.store(&self.state.join("taken.json"))
    }

    /// Where failing runs are repeated.
    pub(crate) fn repetition(&self) -> PathBuf {
        self.state.join("repetition")
    }

    /// How pins are applied here: to this checkout, with what is kept beside the rest that is known of it.
    pub(crate) fn project(&self) -> Project {
        Project::new(&self.membership.checkout, &self.state)
    }

    /// The reports that wait, and those that were sent.
    pub(crate) fn outbox(&self) -> Outbox {
        Outbox::at(&self.state)
    }

    /// Where everything that is known here is kept.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// Forgets everything that is known here.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        std::fs::remove_dir_all(&self.state)
            .map_err(|cause| Failure::file("remove", &self.state, &cause))
    }
}

impl Membership {
    /// What was agreed on, if the checkout with this state has joined.
    fn load(state: &Path) -> Result<Option<Self>, Failure> {
        let path = state.join("membership.json");
        let Some(text) = files::read_if_there(&path)? else {
            return Ok(None);
        };
        let broken = |error| {
            let sentence = format!("`{}` is broken: {error}", path.display());
            Failure::new(Exit::Invalid, sentence).next("remove it, then run `pinion join` again")
        };
        serde_json::from_str(&text).map(Some).map_err(broken)
    }
}

/// A directory's one true name.
pub(crate) fn canonical(dir: &Path) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(dir).map_err(|cause| Failure::file("find the checkout", dir, &cause))
}

fn state_root() -> Result<PathBuf, Failure> {
    settings::directory("XDG_STATE_HOME", ".local/state").ok_or_else(|| {
        Failure::new(Exit::Refused, "there is no home directory to keep state in")
            .next("set XDG_STATE_HOME to an absolute path")
    })
}

fn key(checkout: &Path) -> String {
    let digest = Sha256::digest(checkout.as_os_str().as_encoded_bytes());
    hex::encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership(checkout: &Path) -> Membership {
        Membership {
            checkout: canonical(checkout).expect("exists"),
            server: "http://localhost:1".into(),
            environment: "env-1".into(),
            pin_set: "nova".into(),
            consent: Consent::Off,
            consented: None,
            repeat: None,
            ca_file: None,
            insecure_http: false,
            joined: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_checkout_is_found_from_below_and_leaves_no_trace_in_itself() {
        let (root, work) = (
            tempfile::tempdir().expect("dir"),
            tempfile::tempdir().expect("dir"),
        );
        let deep = work.path().join("a/b");
        std::fs::create_dir_all(&deep).expect("made");
        Checkout::create_below(root.path(), membership(work.path()), "secret").expect("joined");

        let found = Checkout::find_below(root.path(), &deep)
            .expect("readable")
            .expect("joined");
        assert_eq!(found.token().expect("there"), "secret");
        assert_eq!(std::fs::read_dir(work.path()).expect("readable").count(), 1);

        found.remove().expect("removed");
        assert!(
            Checkout::find_below(root.path(), &deep)
                .expect("readable")
                .is_none()
        );
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_token() {
        use std::os::unix::fs::PermissionsExt as _;
        let (root, work) = (
            tempfile::tempdir().expect("dir"),
            tempfile::tempdir().expect("dir"),
        );
        let checkout =
            Checkout::create_below(root.path(), membership(work.path()), "secret").expect("joined");
        let mode =
            |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&checkout.state.join("token")), 0o600);
        assert_eq!(mode(&checkout.state), 0o700);
    }

    #[test]
    fn a_membership_of_before_the_levels_is_read() {
        let old = |reporting: bool| {
            let text = format!(
                r#"{{"checkout":"/a","server":"http://localhost:1","environment":"env-1","pin_set":"nova",
                "reporting":{reporting},"ca_file":null,"insecure_http":false,"joined":"2026-01-01T00:00:00Z"}}"#
            );
            let membership: Membership = serde_json::from_str(&text).expect("read");
            membership.consent
        };
        assert_eq!((old(true), old(false)), (Consent::On, Consent::Off));
    }

    #[test]
    fn two_checkouts_do_not_share_state() {
        assert_ne!(key(Path::new("/src/a")), key(Path::new("/src/b")));
    }
}
