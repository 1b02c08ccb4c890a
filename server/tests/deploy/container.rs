//! The image: what is in it, that this is enough, and that nothing else is.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::tempdir;

use super::parts::{
    Process, check, deployed, eventually, free_address, program, run, skip, text_of,
};

/// Whom it runs as.
const OWNER: u32 = 65532;
/// What is collected beside libraries and git's folder.
const FILES: [&str; 8] = [
    "etc/group",
    "etc/nsswitch.conf",
    "etc/passwd",
    "etc/ssl/certs/ca-certificates.crt",
    "tmp",
    "usr/bin/git",
    "usr/local/bin/piniond",
    "var/lib/pinion",
];

#[test]
fn the_image_is_made_from_nothing_and_gets_only_what_was_collected() {
    let Some(stages) = check("dockerfile", &deployed("container/Dockerfile")) else {
        return;
    };
    let stages = stages.as_array().unwrap();
    let (last, before) = stages.split_last().unwrap();
    for stage in before {
        let (_, tag) = stage["Base"].as_str().unwrap().split_once(':').unwrap();
        assert!(tag.contains('.'), "`{tag}` is of no exact version");
    }
    assert_eq!(last["Base"], "scratch");
    let of = |name: &str| -> Vec<&str> {
        let all = last["Instructions"].as_array().unwrap().iter();
        all.filter(|each| each["Name"] == name)
            .map(|each| each["Text"].as_str().unwrap())
            .collect()
    };
    assert_eq!(of("COPY"), ["COPY --from=collect /rootfs/ /"]);
    assert_eq!((of("ADD").len(), of("RUN").len()), (0, 0));
    assert_eq!(of("USER"), [format!("USER {OWNER}:{OWNER}")]);
    assert_eq!(of("VOLUME"), ["VOLUME /var/lib/pinion"]);
    assert_eq!(of("STOPSIGNAL"), ["STOPSIGNAL SIGTERM"]);
    assert!(of("HEALTHCHECK")[0].ends_with(r#"CMD ["/usr/local/bin/piniond", "health"]"#));
    let said: Vec<&Value> = stages.iter().map(|stage| &stage["Name"]).collect();
    assert_eq!(said, ["build", "collect", ""]);
}

#[test]
fn the_linter_of_dockerfiles_has_nothing_to_say() {
    if let Some(mut hadolint) = program("hadolint") {
        run(hadolint.arg(deployed("container/Dockerfile")));
    }
}

#[test]
fn the_builder_is_given_every_crate_and_no_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let rules = text_of("container/Dockerfile.dockerignore");
    let listed = run(Command::new("git").arg("-C").arg(&root).arg("ls-files"));
    let folder = tempdir().unwrap();
    for path in listed.lines().filter(|path| is_sent(&rules, path)) {
        let to = folder.path().join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(root.join(path), &to).unwrap();
    }
    let metadata = ["metadata", "--locked", "--offline", "--format-version=1"];
    run(Command::new(env!("CARGO"))
        .args(metadata)
        .current_dir(&folder));
    assert!(folder.path().join("deploy/container/rootfs.sh").is_file());
    assert!(!folder.path().join("server/tests").exists());
}

/// Whether the last rule about a path sends it.
fn is_sent(rules: &str, path: &str) -> bool {
    let rules = rules
        .lines()
        .filter(|rule| !rule.is_empty() && !rule.starts_with('#'));
    rules.fold(true, |sent, rule| {
        let (sends, rule) = match rule.strip_prefix('!') {
            Some(rule) => (true, rule),
            None => (false, rule),
        };
        let is_about = rule == "*" || Path::new(path).starts_with(rule);
        if is_about { sends } else { sent }
    })
}

#[test]
fn there_is_nothing_in_it_but_the_server_and_git_and_what_they_are_linked_with() {
    let Some(root) = Root::collect() else { return };
    let mut rest = Vec::new();
    for path in root.files() {
        let name = path.file_name().unwrap().to_string_lossy();
        let is_library = name.starts_with("lib") && name.contains(".so") || name.starts_with("ld-");
        let of_git =
            path.starts_with("usr/lib/git-core") || path.starts_with("usr/libexec/git-core");
        if !is_library && !of_git {
            rest.push(path.display().to_string());
        } else if of_git {
            assert!(
                ["git", "git-remote-http", "git-remote-https"].contains(&name.as_ref()),
                "{name}"
            );
        }
        let found = std::fs::symlink_metadata(root.path(&path)).unwrap();
        let mode = found.permissions().mode();
        assert_eq!(mode & 0o6000, 0, "{path:?} runs as its owner");
        let is_open = mode & 0o002 != 0 && !found.is_symlink();
        assert!(!is_open || path == Path::new("tmp"), "{path:?} is open");
    }
    rest.sort();
    assert_eq!(rest, FILES);
}

#[test]
fn what_is_in_it_is_enough_to_serve_and_to_ask_a_forge() {
    let Some(root) = Root::collect() else { return };
    let Some(inside) = root.enter() else { return };
    let listen = free_address().to_string();
    let piniond = |arguments: &[&str]| {
        let mut command = inside("/usr/local/bin/piniond");
        command.env("PINION_LISTEN", &listen).args(arguments);
        command.env("PINION_DATA_DIR", "/var/lib/pinion");
        command
    };
    let unasked = piniond(&["health"]).output().unwrap();
    assert_eq!(unasked.status.code(), Some(1));
    let said = String::from_utf8(unasked.stderr).unwrap();
    assert!(
        said.starts_with(&format!("piniond: no server answers on `{listen}`")),
        "{said}"
    );
    let server = Process::start(&mut piniond(&[]));
    assert_eq!(eventually(&mut piniond(&["health"])), "ready\n");
    let kept = root.path(Path::new("var/lib/pinion/store"));
    assert_eq!(std::fs::metadata(kept).unwrap().uid(), OWNER);
    assert_eq!(server.stop(), Some(0));

    let forge = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/pins.git", forge.local_addr().unwrap());
    let answers = std::thread::spawn(move || {
        let (mut asked, _) = forge.accept().unwrap();
        let mut request = [0; 4096];
        let length = asked.read(&mut request).unwrap();
        let refusal = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        asked.write_all(refusal).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let asked = inside("/usr/bin/git")
        .args(["ls-remote", &url])
        .output()
        .unwrap();
    let said = String::from_utf8(asked.stderr).unwrap();
    assert!(said.contains("not found"), "{said}");
    let request = answers.join().unwrap();
    assert!(request.starts_with("GET /pins.git/info/refs"), "{request}");
}

/// The folder that becomes the image.
struct Root(tempfile::TempDir);

impl Root {
    /// Nothing where this machine has no git that is linked as Debian's is, or we may not give files away.
    fn collect() -> Option<Self> {
        program("git")?;
        let folder = run(Command::new("git").arg("--exec-path"));
        let has_remote = Path::new(folder.trim()).join("git-remote-http").exists();
        if !cfg!(target_os = "linux") || !has_remote || !is_root() {
            skip("Linux, its root, and git with `git-remote-http` are needed");
            return None;
        }
        let collected = Self(tempdir().unwrap());
        run(Command::new("sh")
            .arg(deployed("container/rootfs.sh"))
            .arg(env!("CARGO_BIN_EXE_piniond"))
            .arg(collected.path(Path::new(""))));
        Some(collected)
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.0.path().join("rootfs").join(path)
    }

    /// Everything that is no folder, and folders in which nothing is.
    fn files(&self) -> Vec<PathBuf> {
        let root = self.path(Path::new(""));
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            let mut is_empty = true;
            for entry in std::fs::read_dir(&folder).unwrap() {
                let entry = entry.unwrap();
                is_empty = false;
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => found.push(entry.path().strip_prefix(&root).unwrap().to_owned()),
                }
            }
            if is_empty {
                found.push(folder.strip_prefix(&root).unwrap().to_owned());
            }
        }
        found
    }

    /// How a program is run in it, by its user, with nothing of ours around it.
    fn enter(&self) -> Option<impl Fn(&str) -> Command + use<>> {
        let root = self.path(Path::new(""));
        // What every container has beside its image.
        std::fs::create_dir(root.join("dev")).unwrap();
        let null = root.join("dev/null");
        let made = Command::new("mknod")
            .arg(&null)
            .args(["-m", "666", "c", "1", "3"])
            .status();
        if !made.is_ok_and(|status| status.success()) {
            skip("devices cannot be made here");
            return None;
        }
        std::fs::set_permissions(self.0.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Some(move |program: &str| {
            let mut command = Command::new("chroot");
            command
                .arg(format!("--userspec={OWNER}:{OWNER}"))
                .arg(&root)
                .arg(program);
            command
                .env_clear()
                .env("PATH", "/usr/local/bin:/usr/bin:/usr/sbin:/sbin:/bin");
            command
        })
    }
}

fn is_root() -> bool {
    run(Command::new("id").arg("-u")).trim() == "0"
}
