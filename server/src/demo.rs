//! The demo: a real server on a temporary store and a real git repository, a few hundred simulated
//! environments over real gRPC, one good and one famous bad version, days in seconds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pinion_core::time::Timestamp;
use pinion_proto::v1 as proto;

use crate::app::{App, World};
use crate::args::Demo;
use crate::clock::{Clock, ManualClock};
use crate::config::Config;
use crate::forge::ForgeConfig;
use crate::random::SeededRandom;

mod facts;
mod fleet;
mod manager;
mod repository;
mod screen;

use facts::{BAD, GOOD};
use fleet::Fleet;
use manager::Manager;
use repository::Repository;
use screen::Screen;

/// Monday, 2022-02-21, 09:00 UTC: the first working hour after MarkupSafe 2.1.0 came out on a Friday.
const MONDAY_NINE: Timestamp = Timestamp::from_unix_ms(1_645_434_000_000);
const HOUR: Duration = Duration::from_secs(3600);
/// Ordinary days before the first rollout, from which the server learns how often each environment fails by itself.
const HISTORY_DAYS: u32 = 10;
/// Working days until which both rollouts must have ended.
const DAYS_MAX: u32 = 15;

/// Why the demo could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder or file could not be written.
    #[error("the demo could not write its files: {0}")]
    Files(#[from] std::io::Error),
    /// git could not make the repository.
    #[error("{0}")]
    Git(String),
    /// The server did not start.
    #[error("the demo's server did not start: {0}")]
    Start(#[from] crate::app::Error),
    /// The server cannot be reached.
    #[error("the demo's server cannot be reached: {0}")]
    Reach(#[from] tonic::transport::Error),
    /// The server refused.
    #[error("the demo's server refused {0}")]
    Refused(String),
    /// The rollouts did not end as they should.
    #[error("the demo did not end as it should: {0}")]
    Unexpected(String),
}

/// Shows the demo.
///
/// # Errors
/// If anything it needs cannot be had, or a rollout ends otherwise than it should.
pub async fn run(demo: &Demo) -> Result<(), Error> {
    let started = Instant::now();
    let temporary = tempfile::Builder::new().prefix("pinion-demo-").tempdir()?;
    let dir: PathBuf = match &demo.keep {
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            dir.canonicalize()?
        }
        None => temporary.path().to_owned(),
    };
    let repository = Repository::create(&dir.join("requirements.git")).await?;
    // History comes first; weekends count as days, so that the first rollout begins on the Monday.
    let clock = Arc::new(ManualClock::new(
        MONDAY_NINE.minus(Duration::from_secs(u64::from(HISTORY_DAYS) * 86_400)),
    ));
    let world = World {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        random: Arc::new(SeededRandom::new(demo.seed)),
        exporter: None,
        is_simulated: true,
    };
    let app = App::start(&config(&dir, &repository), world).await?;
    let mut result = play(demo, &app, &clock, &repository, started).await;
    if demo.stay && result.is_ok() {
        result = stay(&app, &clock).await;
    }
    app.stop().await;
    if demo.keep.is_some() {
        eprintln!(
            "The server's state and the repository stay in {}.",
            dir.display()
        );
    }
    result
}

/// Serves on: time passes as it does, and what people do in the dashboard is carried out.
async fn stay(app: &App, clock: &ManualClock) -> Result<(), Error> {
    const SECOND: Duration = Duration::from_secs(1);
    println!(
        "The dashboard stays at http://{}/ until Ctrl-C.",
        app.address
    );
    let mut stop = std::pin::pin!(crate::asked_to_stop()?);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = tokio::time::sleep(SECOND) => {
                clock.advance(SECOND);
                app.controller.tick().await;
            }
        }
    }
}

fn config(dir: &Path, repository: &Repository) -> Config {
    let name = manager::FORGE.parse().expect("the demo's forge has a name");
    let forge = ForgeConfig::git(name, &repository.url());
    Config {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: dir.join("data"),
        forges: vec![forge],
        ..Config::default()
    }
}

async fn play(
    demo: &Demo,
    app: &App,
    clock: &ManualClock,
    repository: &Repository,
    started: Instant,
) -> Result<(), Error> {
    let admin = app.first_admin.clone().ok_or_else(|| {
        Error::Unexpected("the directory was used before; name an empty one".to_owned())
    })?;
    let url = format!("http://{}", app.address);
    let mut manager = Manager::connect(&url, &admin).await?;
    let imported = manager.prepare(&repository.baseline().await?).await?;
    let screen = Screen::new();
    screen.say(&format!(
        "piniond runs on {url}, with its state and a git repository in a temporary folder."
    ));
    screen.say(&format!("{imported} real pins imported: OpenStack's upper-constraints.txt, with the Flask stack of February 2022."));

    if demo.stay {
        screen.say(&format!(
            "Watch in a browser: {url}/ with the token {}",
            manager.token()
        ));
    }

    let join = screen.progress("environments join", u64::from(demo.environments));
    let mut fleet = Fleet::join(&url, manager.enrolment_token(), demo, clock.now(), &join).await?;
    join.finish_and_clear();
    screen.say(&format!(
        "{} environments joined and agreed to report. Each fails by itself on 15 % of its days;",
        demo.environments
    ));
    screen.say(&format!(
        "{} of them use {}.",
        fleet.consumers(),
        BAD.consumer
    ));

    let history = screen.progress("ten ordinary days", u64::from(HISTORY_DAYS));
    for _ in 0..HISTORY_DAYS {
        fleet.ordinary_day(clock.now()).await?;
        app.controller.tick().await;
        clock.advance(Duration::from_secs(86_400));
        history.inc(1);
    }
    history.finish_and_clear();

    let good = manager.start(&GOOD).await?;
    let bad = manager.start(&BAD.candidate()).await?;
    screen.say(&format!(
        "\nTwo versions arrive on Monday at nine: {} and {}.\n",
        GOOD,
        BAD.candidate()
    ));
    let mut ended = manager.rollouts(&[&good, &bad]).await?;
    screen.begin(&ended);
    'days: for day in 0..DAYS_MAX {
        fleet.begin_day(day);
        for hour in 0..8 {
            app.controller.tick().await;
            let now = clock.now();
            fleet.hour(hour, now).await?;
            app.controller.tick().await;
            ended = manager.rollouts(&[&good, &bad]).await?;
            screen.show(&ended, day, hour);
            if ended.iter().all(|rollout| !is_open(rollout)) {
                break 'days;
            }
            clock.advance(HOUR);
        }
        app.controller.tick().await;
        clock.advance(Duration::from_secs(16 * 3600) + weekend(day));
    }
    screen.end();
    let (good, bad) = (&ended[0], &ended[1]);
    check(good, proto::RolloutState::Completed)?;
    check(bad, proto::RolloutState::RolledBack)?;
    let filed = manager.wait_for_filing(&bad.id).await?;
    let harmed = fleet.harmed();
    screen::summary(good, bad, harmed, fleet.consumers(), started.elapsed());
    println!("\n$ git -C requirements.git log -p -1 {}\n", filed.branch);
    println!("{}", repository.log(&filed.branch).await?);
    println!("{}", screen::NEXT);
    Ok(())
}

/// Two more days after every fifth working day.
const fn weekend(day: u32) -> Duration {
    if day % 5 == 4 {
        Duration::from_secs(2 * 86_400)
    } else {
        Duration::ZERO
    }
}

fn is_open(rollout: &proto::Rollout) -> bool {
    use proto::RolloutState::{Aborted, Completed, RolledBack, Superseded};
    !matches!(
        rollout.state(),
        Completed | RolledBack | Aborted | Superseded
    )
}

fn check(rollout: &proto::Rollout, expected: proto::RolloutState) -> Result<(), Error> {
    if rollout.state() == expected {
        return Ok(());
    }
    let words = screen::changes(rollout);
    Err(Error::Unexpected(format!(
        "{words} is {} at {:.0} % and not {}: {}",
        rollout.state().as_str_name(),
        rollout.share * 100.0,
        expected.as_str_name(),
        rollout.reason
    )))
}
