//! A forge in memory that loses answers, with what was put forward there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pinion_server::forge::{
    Change, ChangeState, Error, Filed, FiledChange, FiledOutcome, Finding, Forge, Signature,
    Target, Tip,
};

const COMMIT: &str = "00112233445566778899aabbccddeeff00112233";

/// A repository with one file, and a name for every change that was put forward.
#[derive(Debug)]
pub(crate) struct Shelf {
    file: Vec<u8>,
    author: Signature,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    /// The chance that a call fails.
    faults: f64,
    /// By key: what was put forward, and how often it was made.
    changes: BTreeMap<String, (Change, u32)>,
}

impl Shelf {
    pub(crate) fn new(seed: u64, file: &str) -> Arc<Self> {
        Arc::new(Self {
            file: file.as_bytes().to_vec(),
            author: Signature {
                name: "Pinion".to_owned(),
                email: "pinion@example.org".to_owned(),
            },
            state: Mutex::new(State {
                rng: fastrand::Rng::with_seed(seed),
                faults: 0.0,
                changes: BTreeMap::new(),
            }),
        })
    }

    pub(crate) fn set_faults(&self, faults: f64) {
        self.state.lock().unwrap().faults = faults;
    }

    /// How often each change was made, by key.
    pub(crate) fn changes(&self) -> BTreeMap<String, u32> {
        let state = self.state.lock().unwrap();
        let times = state.changes.iter();
        times
            .map(|(key, (_, times))| (key.clone(), *times))
            .collect()
    }

    /// Whether the call at hand fails, after a while.
    async fn fails(&self) -> bool {
        let (pause, fails) = {
            let mut state = self.state.lock().unwrap();
            let faults = state.faults;
            (state.rng.u64(1..400), state.rng.f64() < faults)
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        fails
    }
}

fn lost() -> Error {
    Error::Retry {
        answer: "the connection broke".to_owned(),
        retry_after: None,
    }
}

#[async_trait]
impl Forge for Shelf {
    fn project(&self) -> &str {
        "shelf"
    }

    fn author(&self) -> &Signature {
        &self.author
    }

    async fn read(&self, _branch: &str, _path: &str) -> Result<Tip, Error> {
        if self.fails().await {
            return Err(lost());
        }
        Ok(Tip {
            commit: COMMIT.to_owned(),
            bytes: self.file.clone(),
        })
    }

    async fn read_at(&self, branch: &str, _commit: &str, path: &str) -> Result<Vec<u8>, Error> {
        self.read(branch, path).await.map(|tip| tip.bytes)
    }

    async fn ensure_change(&self, change: &Change) -> Result<Filed, Error> {
        if self.fails().await {
            return Err(lost());
        }
        let outcome = {
            let mut state = self.state.lock().unwrap();
            match state.changes.get(change.key.as_str()) {
                Some((before, _)) => {
                    assert_eq!(before, change, "a change is the same on every try");
                    FiledOutcome::Existed
                }
                None => {
                    let key = change.key.as_str().to_owned();
                    state.changes.insert(key, (change.clone(), 1));
                    FiledOutcome::Created
                }
            }
        };
        // It was done, and nobody is told.
        if self.fails().await {
            return Err(lost());
        }
        Ok(Filed {
            commit: COMMIT.to_owned(),
            branch: change.head.clone(),
            url: None,
            state: ChangeState::Open,
            answer: "taken".to_owned(),
            outcome,
        })
    }

    async fn state(&self, _change: &FiledChange) -> Result<ChangeState, Error> {
        match self.fails().await {
            true => Err(lost()),
            false => Ok(ChangeState::Open),
        }
    }

    async fn check(&self, _target: Option<&Target>) -> Vec<Finding> {
        Vec::new()
    }
}
