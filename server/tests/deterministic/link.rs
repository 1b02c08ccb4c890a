//! The way of one server to the store: slow, lossy, and cut at times.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use pinion_server::store::memory::MemoryStore;
use pinion_server::store::{
    Commit, Entry, Error, Event, Key, Leader, LeaderGuard, Page, Revision, Sink, Store, Transaction,
};
use tokio::sync::watch;

/// How long a call to a store that cannot be reached takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store as one server reaches it.
#[derive(Clone)]
pub(crate) struct Link {
    inner: Arc<MemoryStore>,
    state: Arc<State>,
}

struct State {
    rng: Mutex<fastrand::Rng>,
    /// The chance that a call fails.
    faults: Mutex<f64>,
    cut: watch::Sender<bool>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// What happens to a call.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Works,
    FailsBefore,
    FailsAfter,
}

impl Link {
    pub(crate) fn new(inner: Arc<MemoryStore>, seed: u64) -> Self {
        Self {
            inner,
            state: Arc::new(State {
                rng: Mutex::new(fastrand::Rng::with_seed(seed)),
                faults: Mutex::new(0.0),
                cut: watch::Sender::new(false),
            }),
        }
    }

    pub(crate) fn set_faults(&self, faults: f64) {
        *self.state.faults.lock().unwrap() = faults;
    }

    pub(crate) fn cut(&self, cut: bool) {
        self.state.cut.send_replace(cut);
    }

    pub(crate) fn is_cut(&self) -> bool {
        *self.state.cut.borrow()
    }

    fn millis(&self, below: u64) -> Duration {
        Duration::from_millis(self.state.rng.lock().unwrap().u64(0..below))
    }

    async fn fate(&self) -> Fate {
        tokio::time::sleep(self.millis(15)).await;
        if self.is_cut() {
            tokio::time::sleep(PATIENCE).await;
            return Fate::FailsBefore;
        }
        let faults = *self.state.faults.lock().unwrap();
        let mut rng = self.state.rng.lock().unwrap();
        match rng.f64() < faults {
            true if rng.bool() => Fate::FailsAfter,
            true => Fate::FailsBefore,
            false => Fate::Works,
        }
    }

    async fn healed(&self) {
        let mut cut = self.state.cut.subscribe();
        let _ = cut.wait_for(|cut| !*cut).await;
    }
}

fn unreachable() -> Error {
    Error::Unavailable("the store cannot be reached".to_owned())
}

#[async_trait]
impl Store for Link {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        match self.fate().await {
            Fate::Works => self.inner.get(key).await,
            _ => Err(unreachable()),
        }
    }

    async fn page(&self, prefix: &str, after: Option<&Key>, max: usize) -> Result<Page, Error> {
        match self.fate().await {
            Fate::Works => self.inner.page(prefix, after, max).await,
            _ => Err(unreachable()),
        }
    }

    async fn commit(&self, transaction: Transaction) -> Result<Commit, Error> {
        let unknown = || Error::Unknown("no answer".to_owned());
        match self.fate().await {
            Fate::FailsBefore => Err(unknown()),
            Fate::FailsAfter => {
                self.inner.commit(transaction).await?;
                tokio::time::sleep(self.millis(500)).await;
                Err(unknown())
            }
            Fate::Works => {
                let commit = self.inner.commit(transaction).await?;
                tokio::time::sleep(self.millis(15)).await;
                // The answer of what was done does not come through a cut.
                match self.is_cut() {
                    true => Err(unknown()),
                    false => Ok(commit),
                }
            }
        }
    }

    async fn watch(
        &self,
        prefix: &str,
        from: Revision,
    ) -> Result<BoxStream<'static, Event>, Error> {
        if self.fate().await != Fate::Works {
            return Err(unreachable());
        }
        let inner = self.inner.watch(prefix, from).await?;
        let events = stream::unfold((self.clone(), inner), |(link, mut inner)| async move {
            let event = inner.next().await?;
            tokio::time::sleep(link.millis(15)).await;
            if link.is_cut() {
                link.healed().await;
                return Some((Event::Resync, (link, inner)));
            }
            let faults = *link.state.faults.lock().unwrap();
            let event = match link.state.rng.lock().unwrap().f64() < faults / 10.0 {
                true => Event::Resync,
                false => event,
            };
            Some((event, (link, inner)))
        });
        Ok(events.boxed())
    }

    /// The lease ends while its holder is cut off, and its holder learns of it late.
    async fn lead(&self, name: &str, ttl: Duration) -> Result<Leader, Error> {
        self.healed().await;
        let Leader {
            key, token, guard, ..
        } = self.inner.lead(name, ttl).await?;
        if self.fate().await != Fate::Works {
            return Err(unreachable());
        }
        let (lost, is_lost) = watch::channel(false);
        let held = Arc::new(Mutex::new(Some(guard)));
        let link = self.clone();
        let expiring = Arc::clone(&held);
        let keep = tokio::spawn(async move {
            loop {
                let mut cut = link.state.cut.subscribe();
                if cut.wait_for(|cut| *cut).await.is_err() {
                    return;
                }
                tokio::time::sleep(ttl).await;
                if link.is_cut() {
                    break;
                }
            }
            expiring.lock().unwrap().take();
            tokio::time::sleep(link.millis(8000)).await;
            lost.send_replace(true);
        });
        let guard = LeaderGuard::new(move || {
            keep.abort();
            held.lock().unwrap().take();
        });
        Ok(Leader {
            key,
            token,
            lost: is_lost,
            guard,
        })
    }

    async fn export(&self, sink: &mut (dyn Sink + '_)) -> Result<Revision, Error> {
        self.inner.export(sink).await
    }
}
