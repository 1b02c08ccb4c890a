//! Servers whose clocks step, each on its own: forwards and backwards, while everybody pulls, reports and decides.
//!
//! In this process, since the clock of a machine is everybody's.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pinion_core::time::Timestamp;
use pinion_server::app::{App, World};
use pinion_server::clock::Clock;
use pinion_server::config::Config;
use pinion_server::store::Store;
use pinion_server::store::etcd::{EtcdOptions, EtcdStore};
use tempfile::TempDir;

use crate::check::{check_repository, settled};
use crate::load::Load;
use crate::machines::{LOAD_PATIENCE, SERVERS, connect, forge, new_repository, now, set_up};
use crate::support::cluster::{Cluster, has_etcd};
use crate::{ALONE, number};

const ENVIRONMENTS: usize = 32;
const ROUNDS: u32 = 12;
/// By how much a clock is wrong, at most.
const STEP_MS_MAX: i64 = 45 * 60_000;
/// How much time passes for all in a round.
const ROUND_MS: i64 = 60_000;

/// The time, and by how much it is off.
#[derive(Debug, Default)]
struct SteppedClock {
    off_ms: AtomicI64,
}

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(now().unix_ms() + self.off_ms.load(Ordering::Relaxed))
    }
}

async fn start(store: &EtcdStore, dir: &Path, repository: &str, clock: &Arc<SteppedClock>) -> App {
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: dir.to_owned(),
        forges: vec![forge(repository)],
        ..Config::default()
    };
    let world = World {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        ..World::default()
    };
    let store = Arc::new(store.clone()) as Arc<dyn Store>;
    App::start_beside(store, &config, world).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_clocks_say_nothing_acknowledged_is_lost_and_history_is_one() {
    if !has_etcd() {
        return;
    }
    let _alone = ALONE.lock().await;
    let seed = number("PINION_SEED", fastrand::u64(..1_000_000));
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let etcd = tokio::task::block_in_place(|| Cluster::start(3));
    let dir = TempDir::new().unwrap();
    let repository = new_repository(dir.path());
    let store = EtcdStore::open(&EtcdOptions::new(etcd.endpoints()), None).await;
    let store = store.unwrap();
    let clocks: [Arc<SteppedClock>; SERVERS] = Default::default();
    let mut apps = Vec::new();
    for (number, clock) in clocks.iter().enumerate() {
        let dir = dir.path().join(format!("server-{number}"));
        apps.push(start(&store, &dir, &repository, clock).await);
    }
    let urls = apps.iter().map(|app| format!("http://{}", app.address));
    let channels: Vec<_> = urls.map(|url| connect(&url, LOAD_PATIENCE)).collect();
    let admin = apps[0].first_admin.clone().unwrap();
    let known = set_up(&channels[0], &admin, ENVIRONMENTS).await;
    let folder = dir.path().to_owned();
    let mut load = Load::begin(channels, &known.environments, &known.manager, folder, seed);
    let mut passed = 0;
    for _ in 0..ROUNDS {
        passed += ROUND_MS;
        for clock in &clocks {
            let wrong = match random.bool() {
                true => random.i64(-STEP_MS_MAX..=STEP_MS_MAX),
                false => 0,
            };
            clock.off_ms.store(passed + wrong, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(random.u64(500..1500))).await;
        load.is_sound();
    }
    // What is to be done at a time that a wrong clock gave is due at the latest then.
    for clock in &clocks {
        clock
            .off_ms
            .store(passed + 2 * STEP_MS_MAX, Ordering::Relaxed);
    }
    load.end().await;
    let stored = settled(&store).await;
    let found = load.check(&stored);
    check_repository(&stored, dir.path());
    println!("{found:?}; {} requests failed", load.failures().0);
    assert!(found.reports > ENVIRONMENTS, "the load was no load");
    for app in apps {
        app.stop().await;
    }
    store.close().await;
}
