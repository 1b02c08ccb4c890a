//! TLS, accounts, and nobody there.

use pinion_server::store::etcd::EtcdOptions;
use pinion_server::store::{Error, Store};
use tempfile::TempDir;

use crate::cluster::{Cluster, TlsFiles, has_etcd};
use crate::{keys, open, options, put, put_at_last, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_checked_on_both_sides() {
    if !has_etcd() {
        return;
    }
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (files, foreign) = (TlsFiles::make(dir.path()), TlsFiles::make(other.path()));
    let cluster = Cluster::start_with(1, &[], Some(files.clone()));
    let with = |ca: &TlsFiles, own: Option<&TlsFiles>| EtcdOptions {
        ca_file: Some(ca.ca.clone()),
        cert_file: own.map(|own| own.cert.clone()),
        key_file: own.map(|own| own.key.clone()),
        timeout_s: 1,
        ..options(&cluster)
    };
    let store = pinion_server::store::etcd::EtcdStore::open(&with(&files, Some(&files)), None)
        .await
        .unwrap();
    put(&store, "t/a", "x").await.unwrap();
    assert_eq!(keys(&store, "t/").await, ["t/a"]);

    for (what, refused) in [
        ("another authority", with(&foreign, Some(&files))),
        ("no certificate", with(&files, None)),
        ("another's certificate", with(&files, Some(&foreign))),
    ] {
        let error = refusal(&refused).await;
        assert!(
            error.contains("no member of etcd is ready"),
            "{what}: {error}"
        );
        println!("{what}: {error}");
    }
    let missing = EtcdOptions {
        ca_file: Some(dir.path().join("missing.pem")),
        ..with(&files, None)
    };
    let error = refusal(&missing).await;
    assert!(error.contains("missing.pem` cannot be read"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_opens_its_prefix_only_and_its_token_is_renewed() {
    if !has_etcd() {
        return;
    }
    let mut cluster = Cluster::start(1);
    for args in [
        &["user", "add", "root:secret-root"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "pinion"],
        &[
            "role",
            "grant-permission",
            "pinion",
            "--prefix=true",
            "readwrite",
            "pinion/",
        ],
        &["user", "add", "pinion:secret-one"],
        &["user", "grant-role", "pinion", "pinion"],
        &["auth", "enable"],
    ] {
        cluster.etcdctl_ok(args);
    }
    let dir = TempDir::new().unwrap();
    let password_file = dir.path().join("password");
    std::fs::write(&password_file, "secret-one\n").unwrap();
    let options = EtcdOptions {
        user: Some("pinion".to_owned()),
        password_file: Some(password_file.clone()),
        ..options(&cluster)
    };
    let store = pinion_server::store::etcd::EtcdStore::open(&options, None)
        .await
        .unwrap();
    let mut watcher = store.watch("t/", 0).await.unwrap();
    put(&store, "t/a", "x").await.unwrap();
    crate::next(&mut watcher).await;

    // Tokens do not outlive a member.
    cluster.restart_all();
    put_at_last(&store, "t/b").await;
    assert_eq!(keys(&store, "t/").await, ["t/a", "t/b"]);
    crate::next(&mut watcher).await;

    // Another password is taken from the file when the token is no longer good.
    cluster.etcdctl_ok(&["--user", "root:secret-root", "user", "delete", "pinion"]);
    cluster.etcdctl_ok(&[
        "--user",
        "root:secret-root",
        "user",
        "add",
        "pinion:secret-two",
    ]);
    cluster.etcdctl_ok(&[
        "--user",
        "root:secret-root",
        "user",
        "grant-role",
        "pinion",
        "pinion",
    ]);
    std::fs::write(&password_file, "secret-two").unwrap();
    put_at_last(&store, "t/c").await;

    let elsewhere = EtcdOptions {
        prefix: "other/".to_owned(),
        ..options.clone()
    };
    let error = refusal(&elsewhere).await;
    assert!(error.contains("permission denied"), "{error}");
    let anonymous = EtcdOptions {
        user: None,
        password_file: None,
        ..options.clone()
    };
    let error = refusal(&anonymous).await;
    assert!(error.contains("set `user` and `password_file`"), "{error}");
    std::fs::write(&password_file, "secret-wrong").unwrap();
    let error = refusal(&options).await;
    assert!(error.contains("invalid user ID or password"), "{error}");
    assert!(
        error.contains("`pinion`") && !error.contains("secret"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installations_with_their_own_prefixes_do_not_see_each_other() {
    if !has_etcd() {
        return;
    }
    let cluster = Cluster::start(1);
    let one = open(&cluster).await;
    let beside = EtcdOptions {
        prefix: "pinion2/".to_owned(),
        ..options(&cluster)
    };
    let two = pinion_server::store::etcd::EtcdStore::open(&beside, None)
        .await
        .unwrap();
    put(&one, "t/a", "one").await.unwrap();
    put(&two, "t/b", "two").await.unwrap();
    assert_eq!(keys(&one, "").await, ["meta/format", "meta/id", "t/a"]);
    assert_eq!(keys(&two, "").await, ["meta/format", "meta/id", "t/b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_said_in_time() {
    if !has_etcd() {
        return;
    }
    let mut cluster = Cluster::start(1);
    let store = open(&cluster).await;
    cluster.kill(0);
    let error = put(&store, "t/a", "x").await.unwrap_err();
    assert!(
        matches!(error, Error::Unavailable(_) | Error::Unknown(_)),
        "{error}"
    );
    let impatient = EtcdOptions {
        timeout_s: 1,
        ..options(&cluster)
    };
    let error = refusal(&impatient).await;
    assert!(error.contains("no member of etcd is ready"), "{error}");
    assert!(error.contains(&cluster.endpoint(0)), "{error}");
}
