//! A bare repository with a constraints file, made with git itself.

use std::path::Path;
use std::process::Command;

pub const FILE: &str = "# pins\nrequests===2.0  # the new one\nsix===1.0\n";

pub fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Dev", "-c", "user.email=dev@example.org"])
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("git is installed: the project needs it");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A bare repository whose `master` has [`FILE`].
pub fn repository(dir: &Path) -> String {
    let work = dir.join("work");
    std::fs::create_dir_all(&work).unwrap();
    git(&work, &["init", "--quiet", "--initial-branch=master", "."]);
    std::fs::write(work.join("upper-constraints.txt"), FILE).unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "--quiet", "-m", "Update constraints"]);
    git(dir, &["clone", "--quiet", "--bare", "work", "pins.git"]);
    format!("file://{}", dir.join("pins.git").display())
}

pub fn branches(dir: &Path) -> Vec<String> {
    let listed = git(
        &dir.join("pins.git"),
        &["for-each-ref", "--format=%(refname:short)", "refs/heads"],
    );
    listed.lines().map(str::to_owned).collect()
}

/// Commits new content of the file on `master`, as a merged change does; gives the commit.
pub fn merge(dir: &Path, content: &str) -> String {
    merge_file(dir, "upper-constraints.txt", content)
}

/// The same for any file.
pub fn merge_file(dir: &Path, path: &str, content: &str) -> String {
    let work = dir.join("work");
    let bare = dir.join("pins.git");
    let bare = bare.to_str().unwrap();
    git(&work, &["fetch", "--quiet", bare, "master"]);
    git(&work, &["reset", "--quiet", "--hard", "FETCH_HEAD"]);
    std::fs::write(work.join(path), content).unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "--quiet", "-m", "Update constraints"]);
    git(&work, &["push", "--quiet", bare, "HEAD:master"]);
    git(&work, &["rev-parse", "HEAD"])
}
