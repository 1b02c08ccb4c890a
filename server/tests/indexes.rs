//! Pin sets whose index is watched: what is published there becomes a rollout when it is old enough and its needs are met,
//! and is halted when it is taken back.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

#[path = "indexes/stand_in.rs"]
#[allow(unreachable_pub, dead_code, reason = "for these tests only")]
mod stand_in;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pinion_core::ecosystem::Ecosystem;
use pinion_core::name::PackageName;
use pinion_proto::v1 as proto;
use pinion_proto::v1::index_service_client::IndexServiceClient;
use pinion_server::config::Config;
use pinion_server::index::{Error, IndexConfig, Indexes, Listing, Needs};
use stand_in::{Fault, Row, StandIn, row};
use support::{DAY, HOUR, SET, Server, with_token};
use tempfile::tempdir;
use tonic::{Code, Status};

const AGE: Duration = Duration::from_secs(3 * 86_400);

/// A server whose pin set is tracked, with these pins, on a Tuesday, the 5th of March.
async fn tracking(dir: &Path, index: &StandIn, pins: &str) -> Server {
    let mut config = IndexConfig::new(&index.url("/simple/"));
    config.requests_per_s = 50;
    config.contact = Some("ops@example.org".to_owned());
    let config = Config {
        indexes: BTreeMap::from([("pypi".to_owned(), config)]),
        ..Config::default()
    };
    let server = Server::start_configured(dir, pins, config, None, false).await;
    let policy = proto::Policy {
        minimum_age: Some(prost_types::Duration {
            seconds: AGE.as_secs().cast_signed(),
            nanos: 0,
        }),
        ..Default::default()
    };
    update(&server, Some(policy), Some(true)).await.unwrap();
    server
}

async fn update(
    server: &Server,
    policy: Option<proto::Policy>,
    track: Option<bool>,
) -> Result<proto::PinSet, Status> {
    let request = proto::UpdatePinSetRequest {
        name: SET.to_owned(),
        policy,
        track,
        ..Default::default()
    };
    let mut sets = server.sets();
    let update = sets.update_pin_set(with_token(request, &server.manager));
    Ok(update.await?.into_inner().pin_set.unwrap())
}

async fn told(server: &Server) -> proto::Tracking {
    let request = proto::GetPinSetRequest {
        name: SET.to_owned(),
        ..Default::default()
    };
    let mut sets = server.sets();
    let get = sets.get_pin_set(with_token(request, &server.manager));
    let pin_set = get.await.unwrap().into_inner().pin_set.unwrap();
    pin_set.tracking.expect("it is tracked")
}

async fn open(server: &Server) -> Vec<proto::Rollout> {
    let request = proto::ListRolloutsRequest {
        pin_set: SET.to_owned(),
        open_only: true,
        ..Default::default()
    };
    let mut rollouts = server.rollouts();
    let listed = rollouts.list_rollouts(with_token(request, &server.manager));
    listed.await.unwrap().into_inner().rollouts
}

/// What waits, each with why.
async fn waiting(server: &Server) -> Vec<String> {
    let shown = |one: proto::Wanted| {
        let change = &one.changes[0];
        format!(
            "{} {} from {}: {}",
            change.package, change.to_version, one.asked_in, one.reason
        )
    };
    server.waiting().await.into_iter().map(shown).collect()
}

/// Asks again and again, until the answer is as it should be; the loops look once in a second.
macro_rules! until {
    ($ask:expr, $is_right:expr) => {{
        let mut answer = $ask;
        for _ in 0..150 {
            if $is_right(&answer) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer = $ask;
        }
        assert!($is_right(&answer), "{answer:?}");
        answer
    }};
}

/// Lets the index be asked for everything once more.
async fn next_round(server: &Server) {
    server.pass(2 * HOUR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_tried_when_it_is_old_enough_and_halted_when_it_is_yanked() {
    let (index, dir) = (StandIn::start().await, tempdir().unwrap());
    index.publish("a", &[row("1.0", 1)]);
    index.publish("b", &[row("1.0", 1), row("2.0rc1", 1)]);
    let server = tracking(dir.path(), &index, "a==1.0\nb==1.0\n").await;
    let environment = server.enroll(true, "").await;
    let tracking = until!(told(&server).await, |told: &proto::Tracking| {
        told.answered_count == 2 && told.unread_count == 0
    });
    assert_eq!((tracking.package_count, tracking.problem.as_str()), (2, ""));
    assert!(
        waiting(&server).await.is_empty(),
        "a pre-release is not for everybody"
    );

    index.publish("a", &[row("1.0", 1), row("1.1", 4), row("1.2", 5)]);
    next_round(&server).await;
    let young = until!(waiting(&server).await, |young: &Vec<String>| !young
        .is_empty());
    assert_eq!(
        young,
        ["a 1.1 from index: too young; it is old enough on 2024-03-07 10:00 UTC"]
    );
    assert!(open(&server).await.is_empty());

    server.pass(2 * DAY + HOUR).await;
    let started = until!(open(&server).await, |open: &Vec<_>| !open.is_empty());
    let rollout = started[0].clone();
    assert_eq!(rollout.changes[0].to_version, "1.1", "1.2 is too young");
    assert_eq!(rollout.created_by, "controller");
    assert_eq!(
        server.decisions(&rollout.id).await[0].reason,
        "the index has it"
    );
    server.promote(&rollout.id, 1.0).await.unwrap();
    assert_eq!(server.version(&environment.token, "a").await, "1.1");

    let yanked = Row {
        yanked: Some("deletes\neverything"),
        ..row("1.1", 4)
    };
    // That 1.2 is gone would be asked once more; that 1.1 is yanked is not.
    index.publish("a", &[row("1.0", 1), yanked]);
    next_round(&server).await;
    until!(
        server.rollout(&rollout.id).await.state(),
        |state: &proto::RolloutState| *state == proto::RolloutState::Aborted
    );
    assert_eq!(server.version(&environment.token, "a").await, "1.0");
    let last = server.decisions(&rollout.id).await.pop().unwrap();
    assert_eq!(last.actor, "controller");
    assert_eq!(
        last.reason,
        "a 1.1 was taken back by those who published it: deletes everything"
    );
    server.pass(Duration::from_secs(120)).await;
    until!(waiting(&server).await, |none: &Vec<String>| none.is_empty());
    let refused = server.start_rollout("a", "1.1").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(
        refused.message().contains("a 1.1 was taken back"),
        "{refused}"
    );

    index.publish("a", &[row("1.0", 1), row("1.1", 4)]);
    next_round(&server).await;
    let again = until!(open(&server).await, |open: &Vec<_>| !open.is_empty());
    assert_eq!(again[0].changes[0].to_version, "1.1", "it was not blocked");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_vanishes_is_halted_after_a_second_look_and_a_yanked_pin_is_told() {
    let (index, dir) = (StandIn::start().await, tempdir().unwrap());
    let bad = Row {
        yanked: Some(""),
        ..row("1.0", 1)
    };
    index.publish("a", &[bad, row("1.1", 1)]);
    let server = tracking(dir.path(), &index, "a==1.0\n").await;
    let started = until!(open(&server).await, |open: &Vec<_>| !open.is_empty());
    let yanked = told(&server).await.yanked_pins;
    assert_eq!(yanked, ["a 1.0 was taken back by those who published it"]);

    index.publish("a", &[bad]);
    index.take_asked();
    next_round(&server).await;
    until!(index.asked().len(), |asked: &usize| *asked > 0);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(open(&server).await.len(), 1, "a mirror may lag");
    server.pass(Duration::from_secs(120)).await;
    until!(open(&server).await, |open: &Vec<proto::Rollout>| open
        .is_empty());
    let last = server.decisions(&started[0].id).await.pop().unwrap();
    assert!(
        last.reason.ends_with("it is in its index no longer"),
        "{}",
        last.reason
    );
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_what_the_other_pins_do_not_meet() {
    let (index, dir) = (StandIn::start().await, tempdir().unwrap());
    let needs = |version, needs: &'static [&'static str]| Row {
        needs,
        ..row(version, 1)
    };
    // The old `c` cannot live with the new `d`, and the new `c` needs it: they go together.
    let c = [
        needs("1.0", &["d<2"]),
        needs("2.0", &["d>=2", "x>=1; extra == 'x'"]),
    ];
    index.publish("c", &c);
    index.publish("d", &[row("1.0", 1), row("2.0", 1)]);
    // Nothing brings what `e` needs, and `f` may not go past what the baseline's `g` needs.
    index.publish("e", &[row("1.0", 1), needs("2.0", &["g (>=9)"])]);
    index.publish("f", &[row("1.0", 1), row("2.0", 1)]);
    index.publish("g", &[needs("1.0", &["f>=1,<2"])]);
    let server = tracking(
        dir.path(),
        &index,
        "c==1.0\nd==1.0\ne==1.0\nf==1.0\ng==1.0\n",
    )
    .await;
    let started = until!(open(&server).await, |open: &Vec<_>| !open.is_empty());
    assert_eq!(started.len(), 1, "{started:?}");
    let of = |rollout: &proto::Rollout| -> Vec<String> {
        let changes = rollout.changes.iter();
        changes
            .map(|one| format!("{} {}", one.package, one.to_version))
            .collect()
    };
    assert_eq!(of(&started[0]), ["c 2.0", "d 2.0"]);
    let waits = until!(waiting(&server).await, |waits: &Vec<String>| waits.len()
        == 2);
    assert_eq!(
        waits,
        [
            "e 2.0 from index: e 2.0 needs g >=9, and g is at 1.0; nothing that waits or is on trial brings that",
            "f 2.0 from index: g 1.0 needs f >=1,<2, and f is at 2.0; nothing that waits or is on trial brings that"
        ]
    );
    // A rollout that a person starts is held to the same.
    let refused = server.start_rollout("f", "2.0").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    // And so is a file, whose versions the index tells more of.
    server
        .import(SET, "c==1.0\nd==1.0\ne==2.0\nf==1.0\ng==1.0\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(open(&server).await.len(), 1);

    let server = server.restart().await;
    assert_eq!(waiting(&server).await.len(), 2, "what waits is kept");
    let off = update(&server, None, Some(false)).await.unwrap();
    assert!(!off.track && off.tracking.is_none());
    until!(waiting(&server).await, |waits: &Vec<String>| waits
        .is_empty());
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_of_one_package_move_together_and_a_file_waits_for_what_it_needs() {
    let (index, dir) = (StandIn::start().await, tempdir().unwrap());
    index.publish("m", &[row("1.0", 1), row("1.1", 1), row("1.2", 1)]);
    let needy = Row {
        needs: &["m>=5"],
        ..row("2.0", 1)
    };
    index.publish("n", &[row("1.0.0", 1), needy]);
    let pins = "m==1.0 ; python_version < '3.9'\nm==1.1 ; python_version >= '3.9'\nn==1.0\n";
    let server = tracking(dir.path(), &index, pins).await;
    let started = until!(open(&server).await, |open: &Vec<_>| !open.is_empty());
    let to: Vec<&str> = started[0]
        .changes
        .iter()
        .map(|one| one.to_version.as_str())
        .collect();
    assert_eq!((started.len(), to), (1, vec!["1.2", "1.2"]));
    // A pin set that is tracked takes nothing from a file before it is read what that needs.
    let imported = server.import(SET, &pins.replace("n==1.0", "n==2.0")).await;
    assert!(imported.unwrap().started_rollouts.is_empty());
    let waits = until!(waiting(&server).await, |waits: &Vec<String>| {
        waits.len() == 1 && !waits[0].contains("not read yet")
    });
    assert!(waits[0].contains("n 2.0 needs m >=5"), "{waits:?}");
    let dropped = proto::DropWantedRequest {
        pin_set: SET.to_owned(),
        packages: vec!["n".to_owned()],
    };
    let mut sets = server.sets();
    let drop = sets.drop_wanted(with_token(dropped, &server.manager));
    let refused = drop.await.unwrap_err();
    assert!(
        refused.message().contains("would bring it back"),
        "{refused}"
    );
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_packages_are_asked_for_one_after_the_other_and_then_in_a_few_bytes() {
    const PACKAGES: usize = 300;
    let (index, dir) = (StandIn::start().await, tempdir().unwrap());
    let names: Vec<String> = (0..PACKAGES).map(|n| format!("package-{n}")).collect();
    for name in &names {
        index.publish(name, &[row("1.0", 1)]);
    }
    let pins: String = names.iter().map(|name| format!("{name}==1.0\n")).collect();
    let server = tracking(dir.path(), &index, &pins).await;
    let begun = std::time::Instant::now();
    until!(told(&server).await, |told: &proto::Tracking| {
        told.answered_count == 300 && told.unread_count == 0
    });
    let took = begun.elapsed();
    // Fifty a second, and as many for what they need.
    assert!(took >= Duration::from_secs(4), "{took:?}");
    let asked = index.take_asked();
    let listings = asked.iter().filter(|one| one.path.starts_with("/simple/"));
    assert_eq!((listings.count(), asked.len()), (PACKAGES, 2 * PACKAGES));
    next_round(&server).await;
    until!(index.asked().len(), |asked: &usize| *asked >= PACKAGES);
    let again = index.take_asked();
    let unchanged = again.iter().filter(|one| one.status == 304).count();
    println!(
        "{PACKAGES} packages: {} requests in {took:?}, then {unchanged} of {} unchanged",
        asked.len(),
        again.len()
    );
    assert_eq!((again.len(), unchanged), (PACKAGES, PACKAGES));
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_works_and_what_is_missing() {
    let (index, dir) = (StandIn::start().await, tempdir().unwrap());
    let needy = Row {
        needs: &["m>=5", "x; extra == 'y'"],
        ..row("2.0", 1)
    };
    index.publish("n", &[row("1.0", 1), needy, row("3.0rc1", 2)]);
    let server = tracking(dir.path(), &index, "n==1.0\n").await;
    let mut client = IndexServiceClient::new(server.channel.clone());
    let list = with_token(proto::ListIndexesRequest {}, &server.manager);
    let listed = client
        .list_indexes(list)
        .await
        .unwrap()
        .into_inner()
        .indexes;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].url.as_str(), &listed[0].pin_sets[..]),
        (index.url("/simple").as_str(), &[SET.to_owned()][..])
    );
    let mut check = async |ecosystem: proto::Ecosystem, package: &str| {
        let request = proto::CheckIndexRequest {
            ecosystem: ecosystem.into(),
            package: package.to_owned(),
        };
        let checked = client
            .check_index(with_token(request, &server.manager))
            .await;
        checked.map(|checked| checked.into_inner().findings)
    };
    let found = check(proto::Ecosystem::Pypi, "N").await.unwrap();
    let words: Vec<(bool, &str)> = found
        .iter()
        .map(|one| (one.works, one.words.as_str()))
        .collect();
    assert_eq!(
        words,
        [
            (
                true,
                "3 versions, 0 yanked; the newest is 2.0, published 2024-03-01 10:00 UTC"
            ),
            (true, "nothing has changed, in a few bytes"),
            (true, "m >=5")
        ]
    );
    let missing = check(proto::Ecosystem::Pypi, "not-there").await.unwrap();
    assert_eq!((missing.len(), missing[0].works), (1, false));
    assert!(missing[0].words.contains("404"), "{missing:?}");
    let refused = check(proto::Ecosystem::Npm, "a").await.unwrap_err();
    assert!(refused.message().contains("`[index.npm]`"), "{refused}");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_asked_politely() {
    let (index, dir) = (StandIn::start().await, tempdir().unwrap());
    for package in ["a", "b", "c"] {
        index.publish(package, &[row("1.0", 1)]);
    }
    index.fail("/simple/b/", [Fault::Garbage]);
    let server = tracking(
        dir.path(),
        &index,
        "a==1.0\nb==1.0\nc==1.0\nnot-there==1.0\n",
    )
    .await;
    let first = until!(told(&server).await, |told: &proto::Tracking| told
        .answered_count
        == 3);
    assert!(
        first
            .problem
            .contains("is not the JSON form of a simple index"),
        "{first:?}"
    );
    server.pass(Duration::from_secs(120)).await;
    let first = until!(told(&server).await, |told: &proto::Tracking| told
        .answered_count
        == 4);
    assert_eq!(first.absent_packages, ["not-there"]);
    let asked = index.take_asked();
    assert!(
        asked
            .iter()
            .all(|one| one.agent.ends_with("(ops@example.org)")),
        "{asked:?}"
    );

    next_round(&server).await;
    until!(index.asked().len(), |asked: &usize| *asked >= 4);
    until!(told(&server).await, |told: &proto::Tracking| told
        .problem
        .is_empty());
    let statuses = |path: &str| -> Vec<u16> {
        let asked = index.asked();
        let of_path = asked.iter().filter(|one| one.path == path);
        of_path.map(|one| one.status).collect()
    };
    assert_eq!(statuses("/simple/a/"), [304]);
    assert_eq!(
        statuses("/simple/b/"),
        [200],
        "what was not understood is asked for whole"
    );

    index.fail("/simple/a/", [Fault::Status(429, Some(7200))]);
    index.take_asked();
    next_round(&server).await;
    let limited = until!(told(&server).await, |told: &proto::Tracking| !told
        .problem
        .is_empty());
    assert!(
        limited
            .problem
            .contains("was answered with 429; it is asked again on 2024-03-05"),
        "{limited:?}"
    );
    let metrics = reqwest_text(&server, "/metrics").await;
    assert!(metrics.contains("pinion_failing_indexes 1"), "{metrics}");
    assert!(
        metrics.contains("pinion_index_requests_total{answer=\"unchanged\",ecosystem=\"pypi\""),
        "{metrics}"
    );
    index.take_asked();
    server.pass(HOUR).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(index.asked(), [], "it asked for two hours of patience");
    server.pass(HOUR + HOUR).await;
    until!(told(&server).await, |told: &proto::Tracking| told
        .problem
        .is_empty());
    server.app.stop().await;
}

async fn reqwest_text(server: &Server, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(server.app.address)
        .await
        .unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_index_that_is_not_configured_is_named() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "a==1.0\n").await;
    let refused = update(&server, None, Some(true)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused.message().contains("set `url` in `[index.pypi]`"),
        "{refused}"
    );
    server.app.stop().await;
    for (ecosystem, url, problem) in [
        ("pypi", "http://pypi.example.org/simple", "plain http"),
        (
            "pypi",
            "https://eve:s3cret@pypi.example.org/simple",
            "has a user or a password",
        ),
        ("npm", "ftp://npm.example.org", "scheme `ftp`"),
        ("go", "https://proxy.example.org", "not watched"),
        ("gems", "https://gems.example.org", "no ecosystem"),
    ] {
        let config = BTreeMap::from([(ecosystem.to_owned(), IndexConfig::new(url))]);
        let error = Indexes::open(&config).unwrap_err().to_string();
        assert!(
            error.contains(problem) && !error.contains("s3cret"),
            "{error}"
        );
    }
}

fn opened(index: &StandIn, ecosystem: Ecosystem, path: &str, config: IndexConfig) -> Indexes {
    let config = IndexConfig {
        url: IndexConfig::new(&index.url(path)).url,
        ..config
    };
    Indexes::open(&BTreeMap::from([(ecosystem.to_string(), config)])).unwrap()
}

async fn ask(
    indexes: &Indexes,
    ecosystem: Ecosystem,
    package: &str,
    known: Option<&Listing>,
) -> Result<Listing, Error> {
    let package = PackageName::parse(ecosystem, package).unwrap();
    let validator = match known {
        Some(Listing::Found(found)) => found.validator.as_ref(),
        _ => None,
    };
    let configured = indexes.get(ecosystem).unwrap();
    configured.index.listing(&package, validator).await
}

fn versions(listing: &Listing) -> Vec<String> {
    let Listing::Found(found) = listing else {
        panic!("{listing:?}");
    };
    let versions = found.releases.iter();
    versions
        .map(|one| one.release.version.to_string())
        .collect()
}

#[tokio::test]
async fn each_ecosystem_is_asked_in_its_own_way() {
    let index = StandIn::start().await;
    index.put(
        "/index/se/rd/serde_json",
        include_str!("indexes/cargo.jsonl"),
    );
    index.put("/npm/@babel%2fcore", include_str!("indexes/npm.json"));
    index.put("/simple/zope-interface/", include_str!("indexes/pypi.json"));
    for (ecosystem, base, package, found, needs) in [
        (
            Ecosystem::Cargo,
            "/index/",
            "serde-json",
            &["1.0.0", "1.0.1"][..],
            &["itoa ^1.0", "serde ^1.0.100"][..],
        ),
        (
            Ecosystem::Npm,
            "/npm",
            "@babel/core",
            &["7.0.0", "7.1.0", "8.0.0-beta.1"],
            &["@babel/types ^7.0.0"],
        ),
        (
            Ecosystem::Pypi,
            "/simple",
            "zope.interface",
            &["6.0", "6.1", "7.0.dev1"],
            &[],
        ),
    ] {
        let indexes = opened(&index, ecosystem, base, IndexConfig::new(""));
        let listing = ask(&indexes, ecosystem, package, None).await.unwrap();
        assert_eq!(versions(&listing), found);
        let Listing::Found(all) = &listing else {
            unreachable!()
        };
        let configured = indexes.get(ecosystem).unwrap();
        assert!(all.releases[0].release.published_at.is_some());
        if ecosystem != Ecosystem::Pypi {
            let read = configured
                .index
                .needs(&all.releases[0].needs)
                .await
                .unwrap();
            let read: Vec<String> = read.iter().map(ToString::to_string).collect();
            assert_eq!(read, needs);
        }
        let again = ask(&indexes, ecosystem, package, Some(&listing))
            .await
            .unwrap();
        assert!(matches!(again, Listing::Unchanged), "{again:?}");
        let none = ask(&indexes, ecosystem, "nothing-of-the-kind", None)
            .await
            .unwrap();
        assert!(matches!(none, Listing::Absent(_)), "{none:?}");
    }
}

#[tokio::test]
async fn a_fault_concerns_the_package_or_the_index() {
    let index = StandIn::start().await;
    index.publish("a", &[row("1.0", 1)]);
    let mut config = IndexConfig::new("");
    config.timeout_s = 1;
    let indexes = opened(&index, Ecosystem::Pypi, "/simple", config);
    let after = async |fault: Fault| {
        index.fail("/simple/a/", [fault]);
        ask(&indexes, Ecosystem::Pypi, "a", None).await
    };
    for (code, wait) in [(429, Some(7)), (503, None), (500, None)] {
        let error = after(Fault::Status(code, wait)).await.unwrap_err();
        let Error::Away {
            answer,
            retry_after,
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(retry_after, wait.map(Duration::from_secs));
        assert_eq!(answer, format!("GET /simple/a/ was answered with {code}"));
    }
    for fault in [Fault::Truncated, Fault::Slow(3000)] {
        let error = after(fault).await.unwrap_err();
        assert!(matches!(error, Error::Away { .. }), "{fault:?}: {error:?}");
    }
    for fault in [Fault::Garbage, Fault::NoGzip] {
        let error = after(fault).await.unwrap_err();
        assert!(
            matches!(error, Error::Garbled { .. }),
            "{fault:?}: {error:?}"
        );
    }
    let error = after(Fault::Status(401, None)).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    let none = after(Fault::Status(403, None)).await.unwrap();
    assert!(matches!(none, Listing::Absent(_)), "{none:?}");
    index.publish("moved", &[row("1.0", 1)]);
    let moved = after(Fault::Redirect("/simple/moved/")).await.unwrap();
    assert!(
        versions(&moved).is_empty(),
        "the files are of another package"
    );
    let error = after(Fault::Redirect("http://registry.example.org/"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("plain http"), "{error}");
}

#[tokio::test]
async fn the_login_is_shown_to_the_index_alone() {
    let (index, elsewhere) = (StandIn::start().await, StandIn::start().await);
    let dir = tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let mut config = IndexConfig::new("");
    config.password_file = Some(file);
    let indexes = opened(&index, Ecosystem::Pypi, "/simple", config.clone());
    elsewhere.put("/a.whl.metadata", "Requires-Dist: b>=1\n");
    let project = format!(
        r#"{{"files":[{{"filename":"a-1.0-py3-none-any.whl","url":"{}","core-metadata":true}}]}}"#,
        elsewhere.url("/a.whl")
    );
    index.put("/simple/a/", project);
    let listing = ask(&indexes, Ecosystem::Pypi, "a", None).await.unwrap();
    let Listing::Found(found) = listing else {
        unreachable!()
    };
    assert!(matches!(found.releases[0].needs, Needs::At(_)));
    let configured = indexes.get(Ecosystem::Pypi).unwrap();
    let needs = configured
        .index
        .needs(&found.releases[0].needs)
        .await
        .unwrap();
    assert_eq!(needs.len(), 1);
    assert_eq!(index.take_asked()[0].login, "Bearer s3cret");
    assert_eq!(elsewhere.take_asked()[0].login, "");
    config.user = Some("pinion".to_owned());
    let indexes = opened(&index, Ecosystem::Pypi, "/simple", config);
    ask(&indexes, Ecosystem::Pypi, "a", None).await.unwrap();
    assert_eq!(index.take_asked()[0].login, "Basic cGluaW9uOnMzY3JldA==");
    assert!(!format!("{indexes:?}").contains("s3cret"));
}
