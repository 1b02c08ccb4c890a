//! Newer versions in an imported file become rollouts, the oldest first, as places become free; and no environment gets
//! one that the rest of its pins does not admit.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pinion_proto::v1 as proto;
use pinion_proto::v1::pin_service_client::PinServiceClient;
use serde::Deserialize;
use support::{Environment, HOUR, SET, Server, with_token};
use tempfile::tempdir;
use tonic::{Code, Status};

async fn set_places(server: &Server, places: u32) {
    let request = proto::UpdatePinSetRequest {
        name: SET.to_owned(),
        policy: Some(proto::Policy {
            open_rollouts_max: Some(places),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut sets = server.sets();
    let update = sets.update_pin_set(with_token(request, &server.manager));
    update.await.unwrap();
}

async fn open(server: &Server) -> Vec<proto::Rollout> {
    let request = proto::ListRolloutsRequest {
        pin_set: SET.to_owned(),
        open_only: true,
        ..Default::default()
    };
    let mut rollouts = server.rollouts();
    let listed = rollouts.list_rollouts(with_token(request, &server.manager));
    let mut open = listed.await.unwrap().into_inner().rollouts;
    open.reverse();
    open
}

fn packages(changes: &[proto::PackageChange]) -> Vec<&str> {
    let mut packages: Vec<&str> = changes.iter().map(|one| one.package.as_str()).collect();
    packages.dedup();
    packages
}

async fn import(
    server: &Server,
    content: &str,
    requires: &[(&str, &str)],
    validate_only: bool,
) -> Result<proto::ImportPinsResponse, Status> {
    let request = proto::ImportPinsRequest {
        name: SET.to_owned(),
        content: content.to_owned(),
        requires: requires.iter().map(requirement).collect(),
        validate_only,
        ..Default::default()
    };
    let mut sets = server.sets();
    let import = sets.import_pins(with_token(request, &server.manager));
    Ok(import.await?.into_inner())
}

fn requirement((package, needs): &(&str, &str)) -> proto::Requirement {
    proto::Requirement {
        package: (*package).to_owned(),
        needs: (*needs).to_owned(),
    }
}

async fn start(
    server: &Server,
    candidates: &[(&str, &str)],
    requires: &[(&str, &str)],
) -> Result<proto::Rollout, Status> {
    let candidate = |(package, version): &(&str, &str)| proto::Candidate {
        package: (*package).to_owned(),
        version: (*version).to_owned(),
        ..Default::default()
    };
    let request = proto::CreateRolloutRequest {
        pin_set: SET.to_owned(),
        candidates: candidates.iter().map(candidate).collect(),
        requires: requires.iter().map(requirement).collect(),
        ..Default::default()
    };
    let mut rollouts = server.rollouts();
    let create = rollouts.create_rollout(with_token(request, &server.manager));
    Ok(create.await?.into_inner().rollout.unwrap())
}

/// Gives a rollout to everybody and lets it complete.
async fn complete(server: &Server, id: &str) {
    server.promote(id, 1.0).await.unwrap();
    for _ in 0..60 {
        server.pass(8 * HOUR).await;
        if server.rollout(id).await.state() == proto::RolloutState::Completed {
            return;
        }
    }
    panic!("{:?}", server.rollout(id).await);
}

/// Waits until the loop has started something.
async fn started(server: &Server, count: usize) -> Vec<proto::Rollout> {
    for _ in 0..100 {
        let open = open(server).await;
        if open.len() >= count {
            return open;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!(
        "{} are open, {:?}",
        open(server).await.len(),
        server.waiting().await
    );
}

async fn why(server: &Server, token: &str, package: &str) -> String {
    let request = proto::ExplainPinsRequest {
        pin_set: SET.to_owned(),
        package: package.to_owned(),
        ..Default::default()
    };
    let mut pins = PinServiceClient::new(server.channel.clone());
    let explained = pins.explain_pins(with_token(request, token)).await;
    explained.unwrap().into_inner().sentences.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_versions_are_tried_as_places_become_free_and_the_rest_is_taken_at_once() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "a==1\nb==1\nc==1\nd==2\n").await;
    let fleet = server.enroll_many(8).await;
    set_places(&server, 2).await;
    let file = "a==2\nb==2\nc==2\nd==1\ne==1\n";
    let checked = import(&server, file, &[], true).await.unwrap();
    assert_eq!((checked.change_count, checked.at_once_count), (5, 2));
    let reasons: Vec<&str> = checked
        .waiting
        .iter()
        .map(|one| one.reason.as_str())
        .collect();
    assert_eq!(&reasons[..2], ["", ""]);
    assert!(
        reasons[2].contains("as many as the policy allows"),
        "{reasons:?}"
    );
    assert!(open(&server).await.is_empty() && server.waiting().await.is_empty());

    let imported = import(&server, file, &[], false).await.unwrap();
    assert_eq!(imported.started_rollouts.len(), 2);
    assert_eq!(server.version(&fleet[0].token, "d").await, "1");
    assert_eq!(server.version(&fleet[0].token, "a").await, "1");
    let first = open(&server).await;
    assert_eq!(packages(&first[0].changes), ["a"]);
    assert_eq!(packages(&first[1].changes), ["b"]);
    assert_eq!(first[0].created_by, "manager");
    let waiting = server.waiting().await;
    assert_eq!(
        (packages(&waiting[0].changes), waiting.len()),
        (vec!["c"], 1)
    );
    assert_eq!(
        (&*waiting[0].asked_by, &*waiting[0].asked_in),
        ("manager", "import")
    );

    // What waits survives a restart, and a newer version takes its place.
    let server = server.restart().await;
    import(&server, "a==1\nb==1\nc==3\nd==1\ne==1\n", &[], false)
        .await
        .unwrap();
    let waiting = server.waiting().await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].changes[0].to_version, "3");
    complete(&server, &first[0].id).await;
    let open = started(&server, 2).await;
    assert_eq!(open[1].changes[0].to_version, "3");
    assert!(server.waiting().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_that_need_each_other_are_one_rollout_and_others_wait_for_what_they_need() {
    let dir = tempdir().unwrap();
    let server = Server::start(
        dir.path(),
        "jinja2==2\nmarkupsafe==1\nflask==1\nwerkzeug==1\n",
    )
    .await;
    server.enroll_many(8).await;
    let file = "jinja2==3\nmarkupsafe==2\nflask==2\nwerkzeug==2\n";
    let requires = [
        ("markupsafe", "jinja2>=3"),
        ("jinja2", "markupsafe>=2"),
        ("flask", "werkzeug>=2"),
    ];
    let checked = import(&server, file, &requires, true).await.unwrap();
    assert_eq!(packages(&checked.waiting[0].changes), ["flask"]);
    assert!(
        checked.waiting[0].reason.contains("werkzeug waits too"),
        "{checked:?}"
    );
    import(&server, file, &requires, false).await.unwrap();
    let first = open(&server).await;
    let tried: Vec<_> = first.iter().map(|one| packages(&one.changes)).collect();
    assert_eq!(tried, [vec!["jinja2", "markupsafe"], vec!["werkzeug"]]);
    assert!(
        first[0]
            .requires
            .contains(&"markupsafe 2 needs jinja2 >=3".to_owned())
    );
    let waiting = server.waiting().await;
    assert_eq!(packages(&waiting[0].changes), ["flask"]);
    assert!(
        waiting[0]
            .reason
            .contains(&format!("rollout {} tries what it needs", first[1].id)),
        "{waiting:?}"
    );
    complete(&server, &first[1].id).await;
    let open = started(&server, 2).await;
    assert_eq!(packages(&open[1].changes), ["flask"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_can_be_taken_out_by_name() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "a==1\nb==1\n").await;
    set_places(&server, 1).await;
    import(&server, "a==2\nb==2\n", &[], false).await.unwrap();
    let drop = |package: &str| proto::DropWantedRequest {
        pin_set: SET.to_owned(),
        packages: vec![package.to_owned()],
    };
    let mut sets = server.sets();
    let refused = sets
        .drop_wanted(with_token(drop("a"), &server.manager))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    let dropped = sets
        .drop_wanted(with_token(drop("b"), &server.manager))
        .await;
    assert_eq!(dropped.unwrap().into_inner().dropped, ["b==2"]);
    assert!(server.waiting().await.is_empty());
    let refused = sets.drop_wanted(with_token(drop("b"), &server.team)).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_most_pins_is_taken_only_at_once() {
    let dir = tempdir().unwrap();
    let pins: String = (0..20).map(|n| format!("pkg{n:02}==1\n")).collect();
    let server = Server::start(dir.path(), &pins).await;
    let refused = server.import(SET, "pkg00==2\n").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("--at-once"), "{refused}");
    let taken = server.import_at_once(SET, "pkg00==2\n").await.unwrap();
    assert_eq!(taken.pin_set.unwrap().pin_count, 1);
}

/// Of each environment, its versions of two packages.
async fn pairs(server: &Server, fleet: &[Environment]) -> BTreeMap<(String, String), usize> {
    let mut pairs = BTreeMap::new();
    for environment in fleet {
        let jinja = server.version(&environment.token, "jinja2").await;
        let markup = server.version(&environment.token, "markupsafe").await;
        *pairs.entry((jinja, markup)).or_default() += 1;
    }
    pairs
}

#[tokio::test(flavor = "multi_thread")]
async fn no_environment_gets_what_its_other_pins_do_not_admit_whatever_its_cohorts() {
    let dir = tempdir().unwrap();
    let server = Server::start(dir.path(), "jinja2==2\nmarkupsafe==1\n").await;
    let fleet = server.enroll_many(60).await;
    let needs = [("markupsafe", "jinja2>=3")];
    let refused = start(&server, &[("markupsafe", "2")], &needs)
        .await
        .unwrap_err();
    assert!(
        refused
            .message()
            .contains("markupsafe 2 needs jinja2 >=3, and jinja2 is at 2")
            && refused.message().contains("start them together"),
        "{refused}"
    );
    let jinja = start(&server, &[("jinja2", "3")], &[]).await.unwrap().id;
    let markup = start(&server, &[("markupsafe", "2")], &needs)
        .await
        .unwrap()
        .id;
    server.promote(&jinja, 0.5).await.unwrap();
    // By itself it does not begin before the baseline has what it needs; a person may let it.
    for _ in 0..3 {
        server.pass(HOUR).await;
    }
    let waits = server.rollout(&markup).await;
    assert_eq!(waits.state(), proto::RolloutState::Gating);
    assert!(
        waits.reason.contains("needs jinja2 >=3"),
        "{}",
        waits.reason
    );
    server.promote(&markup, 0.5).await.unwrap();
    let found = pairs(&server, &fleet).await;
    let with = |jinja: &str, markup: &str| {
        let pair = (jinja.to_owned(), markup.to_owned());
        found.get(&pair).copied().unwrap_or(0)
    };
    assert_eq!(with("2", "2"), 0, "{found:?}");
    for (jinja, markup) in [("2", "1"), ("3", "1"), ("3", "2")] {
        assert!(with(jinja, markup) > 0, "{found:?}");
    }
    for environment in &fleet {
        if server.version(&environment.token, "jinja2").await == "2" {
            let why = why(&server, &environment.token, "markupsafe").await;
            assert!(
                why.contains("with your other pins, markupsafe 2 needs jinja2 >=3"),
                "{why}"
            );
            break;
        }
    }
    // What they stand on is taken back: nobody keeps the one without the other.
    server.abort(&jinja).await.unwrap();
    let found = pairs(&server, &fleet).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found.contains_key(&("2".to_owned(), "1".to_owned())),
        "{found:?}"
    );
    // Nor does it become the baseline.
    server.promote(&markup, 1.0).await.unwrap();
    let mut reasons = BTreeSet::new();
    for _ in 0..60 {
        server.pass(4 * HOUR).await;
        let waits = server.rollout(&markup).await;
        assert_eq!(waits.state(), proto::RolloutState::Baking);
        reasons.insert(waits.reason);
    }
    let told = |reason: &String| reason.contains("needs jinja2 >=3");
    assert!(reasons.iter().any(told), "{reasons:?}");
}

#[derive(Clone, Debug, Deserialize)]
struct Row {
    branch: String,
    merge: String,
    package: String,
    marker: Option<String>,
    old: Option<String>,
    new: Option<String>,
}

fn normal(package: &str) -> String {
    package.to_lowercase().replace(['_', '.'], "-")
}

/// The rows of the landed change with the most newer versions of at most twelve packages.
fn a_day() -> Vec<Row> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = here.join("../../shared/data/openstack/constraints-timeline-2015-2018.jsonl");
    let part = here.join("tests/fixtures/constraints-timeline.jsonl");
    let path: PathBuf = if beside.is_file() { beside } else { part };
    let text = std::fs::read_to_string(&path).unwrap();
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Row>(line).unwrap());
    let mut changes: BTreeMap<(String, String), Vec<Row>> = BTreeMap::new();
    for row in rows.filter(|row| row.marker.is_none()) {
        let change = (row.branch.clone(), row.merge.clone());
        changes.entry(change).or_default().push(row);
    }
    let is_fit = |rows: &&Vec<Row>| (5..=12).contains(&rows.len());
    changes
        .values()
        .filter(is_fit)
        .max_by_key(|rows| rows.len())
        .cloned()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_real_bump_is_tried_package_by_package_until_all_is_the_baseline() {
    let rows = a_day();
    let file = |version: fn(&Row) -> &Option<String>| -> String {
        let lines = rows.iter().filter_map(|row| {
            let version = version(row).as_ref()?;
            Some(format!("{}==={version}\n", row.package))
        });
        lines.collect()
    };
    let dir = tempdir().unwrap();
    let server = Server::start_as(dir.path(), &file(|row| &row.old), None, false).await;
    server.enroll_many(8).await;
    set_places(&server, 3).await;
    let imported = import(&server, &file(|row| &row.new), &[], false)
        .await
        .unwrap();
    let bumps: BTreeSet<String> = imported
        .changes
        .iter()
        .map(|one| one.package.clone())
        .collect();
    let tried = bumps.len() - imported.at_once_count as usize;
    assert!(tried >= 5, "{imported:?}");
    let mut seen: Vec<String> = Vec::new();
    for ended in 0..tried {
        let open = started(&server, (tried - ended).min(3)).await;
        let mut packages: Vec<&str> = open.iter().flat_map(|one| packages(&one.changes)).collect();
        let distinct: BTreeSet<&str> = packages.iter().copied().collect();
        assert_eq!(distinct.len(), packages.len(), "they overlap: {packages:?}");
        assert!(open.len() <= 3 && open.iter().all(|one| one.changes.len() == 1));
        // Those that started at once are equally old.
        packages.sort_by_key(|package| normal(package));
        let new = packages.into_iter().map(str::to_owned);
        let new: Vec<String> = new.filter(|package| !seen.contains(package)).collect();
        seen.extend(new);
        complete(&server, &open[0].id).await;
    }
    assert!(server.waiting().await.is_empty());
    let mut in_order = seen.clone();
    in_order.sort_by_key(|package| normal(package));
    assert_eq!(seen, in_order, "equally old ones go by name");
    let pins = server.pins(&server.team).await.unwrap().pins;
    for row in &rows {
        let Some(new) = &row.new else { continue };
        let pin = pins
            .iter()
            .find(|pin| pin.package.eq_ignore_ascii_case(&row.package));
        assert_eq!(&pin.unwrap().version, new, "{}", row.package);
    }
    println!("{tried} newer versions of one landed change were tried in the order {seen:?}");
}
