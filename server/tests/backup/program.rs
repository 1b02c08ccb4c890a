//! `piniond backup`, `export`, `restore` and `import`, as a person runs them.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::Server;

fn piniond(data_dir: &Path, args: &[&str], token: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_piniond"))
        .env_remove("PINION_CONFIG")
        .env("PINION_TOKEN", token)
        .arg("--data-dir")
        .arg(data_dir)
        .args(args)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_taken_by_an_admin_and_restored_where_nothing_is() {
    let (dir, aside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = Server::start(dir.path(), "requests==1.0\n").await;
    let environment = server.enroll(true, "").await;
    let file = aside.path().join("pinion.backup");
    let name = file.to_str().unwrap();
    let url = server.url();
    let run = |args: &[&str], token: &str| {
        let (args, token): (Vec<_>, _) = (args.to_vec(), token.to_owned());
        tokio::task::block_in_place(|| piniond(dir.path(), &args, &token))
    };
    let refused = run(&["backup", name, "--server", &url], &server.manager);
    assert!(
        !refused.status.success() && said(&refused).contains("admin"),
        "{}",
        said(&refused)
    );
    let refused = run(
        &["backup", name, "--server", "http://192.0.2.1:1"],
        &server.admin,
    );
    assert!(
        said(&refused).contains("plain http is for loopback"),
        "{}",
        said(&refused)
    );
    assert!(!file.exists());

    let taken = run(&["backup", name, "--server", &url], &server.admin);
    assert!(taken.status.success(), "{}", said(&taken));
    let lines = run(&["export", "-", "--server", &url], &server.admin);
    assert!(lines.status.success(), "{}", said(&lines));
    let text = String::from_utf8(lines.stdout).unwrap();
    assert!(
        text.lines()
            .any(|line| line.starts_with("{\"key\":\"c/set/set\",")),
        "{text}"
    );
    assert!(!text.contains(&server.admin) && !text.contains(&environment.token));
    server.app.stop().await;

    let whole = std::fs::read(&file).unwrap();
    let refused = piniond(dir.path(), &["restore", name], "");
    assert!(
        said(&refused).contains("no store yet, but there is"),
        "{}",
        said(&refused)
    );
    let target = aside.path().join("target");
    let bad = aside.path().join("bad");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (bytes, words) in [
        (&whole[..whole.len() / 2], "is cut off"),
        (&flipped[..], "is damaged"),
        (&b"something else"[..], "is no backup of pinion's"),
    ] {
        std::fs::write(&bad, bytes).unwrap();
        let refused = piniond(&target, &["restore", bad.to_str().unwrap()], "");
        assert!(
            !refused.status.success() && said(&refused).contains(words),
            "{}",
            said(&refused)
        );
        assert!(!target.exists(), "nothing was begun");
    }
    let restored = piniond(&target, &["restore", name], "");
    assert!(
        said(&restored).contains("piniond can be started"),
        "{}",
        said(&restored)
    );
    let token = piniond(&target, &["admin-token"], "");
    assert!(token.status.success(), "{}", said(&token));

    let from_lines = aside.path().join("lines.jsonl");
    std::fs::write(&from_lines, &text).unwrap();
    let imported = aside.path().join("imported");
    let output = piniond(&imported, &["import", from_lines.to_str().unwrap()], "");
    assert!(
        said(&output).contains("piniond can be started"),
        "{}",
        said(&output)
    );
    let cut = text.rsplit_once("{\"revision\"").unwrap().0;
    std::fs::write(&from_lines, cut).unwrap();
    let other = aside.path().join("other");
    let refused = piniond(&other, &["import", from_lines.to_str().unwrap()], "");
    assert!(
        said(&refused).contains("the export was cut off"),
        "{}",
        said(&refused)
    );
    assert!(!other.exists());
}
