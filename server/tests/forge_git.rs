//! What the plain-git forge does to a real repository, and what it never does.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use pinion_server::forge::{Change, Error, FileEdit, Filed, Forge, ForgeConfig, open};

const FILE: &str = "upper-constraints.txt";
const BEFORE: &str = "left===1.0\ndemo-lib===1.0\nright===2.0\n";
const AFTER: &str = "left===1.0\ndemo-lib===1.1\nright===2.0\n";
const HEAD: &str = "pinion/demo-lib-1.1";

fn call(dir: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .args([
            "-c",
            "user.name=Somebody",
            "-c",
            "user.email=somebody@example.org",
        ])
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .output()
        .expect("git is installed")
}

/// Runs git, which has to succeed, and gives its output without the last line end.
fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = call(dir, arguments);
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// A bare repository with a branch `master`, a clone that stands for a person, and room for work folders.
struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        Self::with(FILE, BEFORE.as_bytes(), 0o644)
    }

    fn with(path: &str, bytes: &[u8], mode: u32) -> Self {
        let repository = Self {
            dir: tempfile::tempdir().expect("a folder"),
        };
        let dir = repository.dir.path();
        git(
            dir,
            &["init", "-q", "--bare", "-b", "master", "repository.git"],
        );
        git(dir, &["init", "-q", "-b", "master", "person"]);
        let person = repository.person();
        git(&person, &["config", "core.autocrlf", "false"]);
        std::fs::write(person.join("README"), "not to be touched\n").expect("writes");
        std::fs::write(person.join(path), bytes).expect("writes");
        std::fs::set_permissions(person.join(path), PermissionsExt::from_mode(mode))
            .expect("sets the mode");
        repository.commit_and_push("start", "master");
        repository
    }

    fn bare(&self) -> PathBuf {
        self.dir.path().join("repository.git")
    }

    fn person(&self) -> PathBuf {
        self.dir.path().join("person")
    }

    fn work(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn url(&self) -> String {
        format!("file://{}", self.bare().display())
    }

    /// A forge on the repository that keeps its work in the folder of that name.
    fn forge(&self, work: &str) -> Arc<dyn Forge> {
        forge(&self.url(), &self.work(work)).expect("opens")
    }

    /// What a person does: commits all there is, and pushes it to a branch.
    fn commit_and_push(&self, subject: &str, branch: &str) -> String {
        let person = self.person();
        git(&person, &["add", "-A"]);
        git(&person, &["commit", "-q", "--allow-empty", "-m", subject]);
        let target = format!("HEAD:refs/heads/{branch}");
        let bare = self.bare();
        git(
            &person,
            &["push", "-q", bare.to_str().expect("UTF-8"), &target],
        );
        git(&person, &["rev-parse", "HEAD"])
    }

    fn tip(&self, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        let output = call(&self.bare(), &["rev-parse", "--verify", "--quiet", &name]);
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn bytes(&self, commit: &str, path: &str) -> Vec<u8> {
        call(
            &self.bare(),
            &["cat-file", "blob", &format!("{commit}:{path}")],
        )
        .stdout
    }

    fn hook(&self, name: &str, script: &str) {
        let path = self.bare().join("hooks").join(name);
        std::fs::create_dir_all(self.bare().join("hooks")).expect("makes a folder");
        std::fs::write(&path, script).expect("writes");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("sets the mode");
    }
}

fn forge(url: &str, work: &Path) -> Result<Arc<dyn Forge>, Error> {
    open(
        &ForgeConfig::git("requirements", url).expect("a name"),
        work,
    )
}

fn change(parent: &str, bytes: &[u8]) -> Change {
    Change {
        branch: "master".to_owned(),
        head: HEAD.to_owned(),
        parent: parent.to_owned(),
        edits: vec![FileEdit {
            path: FILE.to_owned(),
            bytes: bytes.to_owned(),
        }],
        subject: "Move demo-lib to 1.1".to_owned(),
        body: "It did well.\n\nSeen in 12 environments – all fine.".to_owned(),
        at_unix_s: 1_709_632_800,
    }
}

/// The change that most facts are about, built on the tip of `master`.
async fn usual(forge: &dyn Forge) -> Change {
    let tip = forge.read("master", FILE).await.expect("reads");
    assert_eq!(tip.bytes, BEFORE.as_bytes());
    change(&tip.commit, AFTER.as_bytes())
}

#[track_caller]
fn stopped<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Stopped { answer }) => answer,
        other => panic!("a person has to look at it, but: {other:?}"),
    }
}

#[tokio::test]
async fn a_change_is_the_edit_and_nothing_else() {
    let repository = Repository::new();
    let forge = repository.forge("work");
    let change = usual(&*forge).await;
    let Filed { commit, .. } = forge.ensure_change(&change).await.expect("files");
    assert_eq!(repository.tip(HEAD).as_ref(), Some(&commit));
    assert_eq!(repository.tip("master").as_ref(), Some(&change.parent));
    let bare = repository.bare();
    let numbers = git(&bare, &["diff", "--numstat", "master", &commit]);
    assert_eq!(numbers, format!("1\t1\t{FILE}"));
    assert_eq!(
        git(&bare, &["rev-list", "--parents", "-1", &commit]),
        format!("{commit} {}", change.parent)
    );
    assert_eq!(repository.bytes(&commit, FILE), AFTER.as_bytes());
    let who_and_when = git(
        &bare,
        &["log", "-1", "--format=%an <%ae> %at %cn <%ce> %ct", &commit],
    );
    let pinion = "Pinion <pinion@localhost> 1709632800";
    assert_eq!(who_and_when, format!("{pinion} {pinion}"));
    let message = git(&bare, &["log", "-1", "--format=%B", &commit]);
    assert_eq!(message, format!("{}\n\n{}", change.subject, change.body));
    assert_eq!(
        git(&bare, &["for-each-ref", "--format=%(refname)"]),
        format!("refs/heads/master\nrefs/heads/{HEAD}")
    );
}

#[tokio::test]
async fn the_same_change_filed_again_is_the_same_commit() {
    let repository = Repository::new();
    let first = repository.forge("work");
    let change = usual(&*first).await;
    let filed = first.ensure_change(&change).await.expect("files");
    assert!(filed.answer.contains("created"), "{}", filed.answer);
    let again = first.ensure_change(&change).await.expect("is there");
    assert_eq!(again.commit, filed.commit);
    assert!(again.answer.contains("already"), "{}", again.answer);
    let elsewhere = repository.forge("elsewhere");
    assert_eq!(
        elsewhere
            .ensure_change(&change)
            .await
            .expect("is there")
            .commit,
        filed.commit
    );
    std::fs::remove_dir_all(repository.work("work")).expect("removes the work folder");
    assert_eq!(
        first.ensure_change(&change).await.expect("is there").commit,
        filed.commit
    );
    assert_eq!(
        git(&repository.bare(), &["rev-list", "--count", "--all"]),
        "2"
    );
}

#[tokio::test]
async fn a_removed_branch_is_filed_anew_as_the_same_commit() {
    let repository = Repository::new();
    let forge = repository.forge("work");
    let change = usual(&*forge).await;
    let filed = forge.ensure_change(&change).await.expect("files");
    git(
        &repository.bare(),
        &["update-ref", "-d", &format!("refs/heads/{HEAD}")],
    );
    std::fs::remove_dir_all(repository.work("work")).expect("removes the work folder");
    assert_eq!(
        forge.ensure_change(&change).await.expect("files").commit,
        filed.commit
    );
    assert_eq!(repository.tip(HEAD), Some(filed.commit));
}

#[tokio::test]
async fn a_persons_commit_on_the_head_branch_is_named_and_kept() {
    let repository = Repository::new();
    let forge = repository.forge("work");
    let change = usual(&*forge).await;
    let theirs = repository.commit_and_push("by hand", HEAD);
    let answer = stopped(forge.ensure_change(&change).await);
    assert!(
        answer.contains(HEAD) && answer.contains(&theirs),
        "{answer}"
    );
    assert_eq!(repository.tip(HEAD), Some(theirs));
}

#[tokio::test]
async fn a_persons_commit_on_top_of_ours_is_kept() {
    let repository = Repository::new();
    let forge = repository.forge("work");
    let change = usual(&*forge).await;
    forge.ensure_change(&change).await.expect("files");
    let person = repository.person();
    git(
        &person,
        &[
            "pull",
            "-q",
            "--ff-only",
            repository.bare().to_str().expect("UTF-8"),
            HEAD,
        ],
    );
    let theirs = repository.commit_and_push("on top", HEAD);
    let answer = stopped(forge.ensure_change(&change).await);
    assert!(answer.contains(&theirs), "{answer}");
    assert_eq!(repository.tip(HEAD), Some(theirs));
}

#[tokio::test]
async fn a_branch_that_appears_between_the_look_and_the_push_is_kept() {
    let repository = Repository::new();
    let forge = repository.forge("work");
    let change = usual(&*forge).await;
    // The hook runs after the look and before the branch is made: a person is faster.
    repository.hook("pre-receive", &format!("#!/bin/sh\nunset GIT_QUARANTINE_PATH\ngit update-ref refs/heads/{HEAD} refs/heads/master\n"));
    let answer = stopped(forge.ensure_change(&change).await);
    assert!(
        answer.contains(HEAD) && answer.contains(&change.parent),
        "{answer}"
    );
    assert_eq!(repository.tip(HEAD), Some(change.parent));
}

#[tokio::test]
async fn what_is_missing_stops_with_its_name() {
    let repository = Repository::new();
    let present = repository.forge("work");
    let answer = stopped(present.read("no-branch", FILE).await);
    assert!(answer.contains("no-branch"), "{answer}");
    let answer = stopped(present.read("master", "no-file.txt").await);
    assert!(answer.contains("no-file.txt"), "{answer}");
    let tip = present.read("master", FILE).await.expect("reads");
    let answer = stopped(present.read_at("master", &tip.commit, "no-file.txt").await);
    assert!(answer.contains("no-file.txt"), "{answer}");

    let url = format!("file://{}", repository.work("no-repository.git").display());
    let missing = forge(&url, &repository.work("other")).expect("opens");
    stopped(missing.read("master", FILE).await);
    stopped(
        missing
            .ensure_change(&change(&tip.commit, AFTER.as_bytes()))
            .await,
    );

    let lost = Change {
        branch: "no-branch".to_owned(),
        ..change(&"1".repeat(40), AFTER.as_bytes())
    };
    stopped(present.ensure_change(&lost).await);
    stopped(
        present
            .ensure_change(&change(&"1".repeat(40), AFTER.as_bytes()))
            .await,
    );
    assert_eq!(repository.tip(HEAD), None);
}

#[tokio::test]
async fn an_executable_file_stays_executable() {
    let repository = Repository::with(FILE, BEFORE.as_bytes(), 0o755);
    let forge = repository.forge("work");
    let change = usual(&*forge).await;
    let filed = forge.ensure_change(&change).await.expect("files");
    let listed = git(&repository.bare(), &["ls-tree", &filed.commit, FILE]);
    assert!(listed.starts_with("100755 "), "{listed}");
    assert_eq!(
        git(
            &repository.bare(),
            &["diff", "--numstat", "master", &filed.commit]
        ),
        format!("1\t1\t{FILE}")
    );
}

#[tokio::test]
async fn bytes_come_and_go_as_they_are() {
    let before =
        b"# caf\xe9 \xff \0 not UTF-8\r\ndemo-lib===1.0\r\n# Gr\xc3\xbc\xc3\x9fe, no line end"
            .as_slice();
    let after =
        b"# caf\xe9 \xff \0 not UTF-8\r\ndemo-lib===1.1\r\n# Gr\xc3\xbc\xc3\x9fe, no line end"
            .as_slice();
    let repository = Repository::with(FILE, before, 0o644);
    let forge = repository.forge("work");
    let tip = forge.read("master", FILE).await.expect("reads");
    assert_eq!(tip.bytes, before);
    let filed = forge
        .ensure_change(&change(&tip.commit, after))
        .await
        .expect("files");
    assert_eq!(repository.bytes(&filed.commit, FILE), after);
}

#[tokio::test]
async fn a_change_is_built_on_the_parent_that_was_read() {
    let repository = Repository::new();
    let forge = repository.forge("work");
    let change = usual(&*forge).await;
    std::fs::write(repository.person().join(FILE), "everything is new\n").expect("writes");
    let newer = repository.commit_and_push("moves on", "master");
    // The parent comes from the remote repository again: it is no longer the tip.
    std::fs::remove_dir_all(repository.work("work")).expect("removes the work folder");
    let filed = forge.ensure_change(&change).await.expect("files");
    let parents = git(
        &repository.bare(),
        &["rev-list", "--parents", "-1", &filed.commit],
    );
    assert_eq!(parents, format!("{} {}", filed.commit, change.parent));
    assert_eq!(repository.bytes(&filed.commit, FILE), AFTER.as_bytes());
    assert_eq!(
        forge
            .read_at("master", &change.parent, FILE)
            .await
            .expect("reads"),
        BEFORE.as_bytes()
    );
    assert_eq!(
        forge.read("master", FILE).await.expect("reads").commit,
        newer
    );
}

#[tokio::test]
async fn a_relative_work_folder_works() {
    let repository = Repository::new();
    let here = std::env::current_dir().expect("a folder");
    let depth = here.components().count() - 1;
    let up = "../".repeat(depth);
    // As deep as here, so that the same steps up from there do not end at the root as well.
    let work = repository.work(&format!("{}work", "deep/".repeat(depth)));
    let relative = Path::new(&up).join(work.strip_prefix("/").expect("absolute"));
    let forge = forge(&repository.url(), &relative).expect("opens");
    let change = usual(&*forge).await;
    let filed = forge.ensure_change(&change).await.expect("files");
    assert_eq!(repository.tip(HEAD), Some(filed.commit));
}

#[test]
fn a_url_with_a_secret_is_refused_without_showing_it() {
    let dir = tempfile::tempdir().expect("a folder");
    for url in [
        "https://robot:hunter2@example.org/x.git",
        "https://hunter2@example.org/x.git",
        "http://hunter2@127.0.0.1/x.git",
        "ssh://robot:hunter2@example.org/x.git",
    ] {
        let answer = stopped(forge(url, dir.path()));
        assert!(
            answer.contains("secret") && !answer.contains("hunter2"),
            "{answer}"
        );
    }
    forge("ssh://robot@example.org/x.git", dir.path()).expect("a user's name is no secret");
}

#[test]
fn only_safe_transports_are_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    for url in [
        "ext::sh -c true",
        "ext::sh -c true://",
        "git://example.org/x.git",
        "/srv/x.git",
        "--upload-pack=true",
        "http://example.org/x.git",
        "http://127.0.0.1.example.org/x.git",
        "http://localhost.example.org:80/x.git",
    ] {
        stopped(forge(url, dir.path()));
    }
    for url in [
        "http://127.0.0.1:3000/x.git",
        "http://[::1]:3000/x.git",
        "http://localhost/x.git",
    ] {
        forge(url, dir.path()).expect("loopback is safe");
    }
}

#[tokio::test]
async fn a_remote_that_is_not_there_now_may_be_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "http://{}/x.git",
        listener.local_addr().expect("an address")
    );
    drop(listener);
    let dir = tempfile::tempdir().expect("a folder");
    let result = forge(&url, dir.path())
        .expect("opens")
        .read("master", FILE)
        .await;
    assert!(matches!(result, Err(Error::Retry { .. })), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_make_one_commit() {
    for _ in 0..10 {
        let repository = Repository::new();
        let (one, two) = (repository.forge("one"), repository.forge("two"));
        let change = usual(&*one).await;
        usual(&*two).await;
        let (first, second) = (Arc::clone(&one), Arc::clone(&two));
        let (for_first, for_second) = (change.clone(), change.clone());
        let first = tokio::spawn(async move { first.ensure_change(&for_first).await });
        let second = tokio::spawn(async move { second.ensure_change(&for_second).await });
        let (first, second) = (first.await.expect("ends"), second.await.expect("ends"));
        let (first, second) = (first.expect("files"), second.expect("files"));
        assert_eq!(first.commit, second.commit);
        assert_eq!(repository.tip(HEAD), Some(first.commit));
        assert_eq!(
            git(&repository.bare(), &["rev-list", "--count", "--all"]),
            "2"
        );
    }
}

#[tokio::test]
async fn a_branch_that_another_push_has_locked_may_be_tried_again() {
    let repository = Repository::new();
    let forge = repository.forge("work");
    let change = usual(&*forge).await;
    let lock = repository.bare().join(format!("refs/heads/{HEAD}.lock"));
    std::fs::create_dir_all(lock.parent().expect("a folder")).expect("makes a folder");
    std::fs::write(&lock, "").expect("writes");
    let result = forge.ensure_change(&change).await;
    assert!(matches!(result, Err(Error::Retry { .. })), "{result:?}");
    std::fs::remove_file(&lock).expect("removes the lock");
    forge.ensure_change(&change).await.expect("files");
}

#[tokio::test]
async fn a_refusal_of_the_server_stops_in_its_words() {
    let repository = Repository::new();
    let forge = repository.forge("work");
    let change = usual(&*forge).await;
    repository.hook(
        "pre-receive",
        "#!/bin/sh\necho 'changes need a ticket number' >&2\nexit 1\n",
    );
    let answer = stopped(forge.ensure_change(&change).await);
    assert!(answer.contains("changes need a ticket number"), "{answer}");
    assert_eq!(repository.tip(HEAD), None);
}
