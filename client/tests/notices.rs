//! What release managers see of notices, by `pinion` against a real server.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output};

use pinion_server::app::{App, World};
use pinion_server::config::Config;
use tempfile::tempdir;

/// Nobody listens there.
const ROUTE: &str = "name = 'ops'\nkind = 'mail'\nserver = '127.0.0.1'\nport = 9\ntls = 'none'\n\
    from = 'pinion@example.org'\nto = ['ops@example.org']\npin_sets = ['mine']\n";

async fn pinion(home: &Path, app: &App, token: &str, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinion"));
    command
        .args(line.split(' '))
        .current_dir(home)
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("PINION_SERVER", format!("http://{}", app.address))
        .env("PINION_TOKEN", token);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    output.await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_listed_with_its_routes_and_a_test_says_why_it_was_not_taken() {
    let dir = tempdir().unwrap();
    let config = Config {
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: dir.path().join("data"),
        routes: vec![toml::from_str(ROUTE).unwrap()],
        ..Config::default()
    };
    let app = App::start(&config, World::default()).await.unwrap();
    let admin = app.first_admin.clone().unwrap();
    let run = async |line: &str| pinion(dir.path(), &app, &admin, line).await;

    assert_eq!(said(&run("notice list").await), "there is no such notice\n");
    let routes = said(&run("notice routes").await);
    assert!(
        routes.contains("ops   mail  ops@example.org  0        0       mine      *"),
        "{routes}"
    );
    run("pin-set create mine --ecosystem pypi").await;
    run("pin-set freeze mine --reason incident").await;
    let list = said(&run("notice list --state waiting").await);
    assert!(
        list.contains("  pin_set.frozen  Pin set frozen: mine\n    ops: waits "),
        "{list}"
    );
    let json: serde_json::Value =
        serde_json::from_slice(&run("notice list --output json").await.stdout).unwrap();
    assert_eq!(json[0]["deliveries"][0]["state"], "waiting");
    assert_eq!(
        said(&run("notice list --state given-up").await),
        "there is no such notice\n"
    );

    let test = run("notice test ops").await;
    assert_eq!(test.status.code(), Some(1));
    assert!(said(&test).contains("Connection refused"), "{test:?}");
    assert_eq!(run("notice test nobody").await.status.code(), Some(3));
    app.stop().await;
}
