//! Power that fails: the program is killed, and its files become what the disk has of them.
//!
//! A preloaded library (`power_cut.c`) keeps what was synced. Of what was not, either nothing is left, or a part of it at
//! random, in blocks of 4 KiB, as a disk writes them: then new and removed names are there or not, too.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use tempfile::TempDir;

/// What a disk writes at once, in bytes.
const BLOCK: usize = 4096;

/// A disk that forgets what was not synced.
pub(crate) struct Disk {
    work: TempDir,
}

/// An inode with its time of birth: inodes are used again.
type Key = String;

impl Disk {
    /// Builds the library; none where there is no C compiler.
    pub(crate) fn new() -> Option<Self> {
        let work = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kill/power_cut.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
            .arg(work.path().join("power_cut.so"))
            .args([source, "-ldl", "-lpthread"])
            .status();
        match built {
            Ok(status) => assert!(status.success(), "the library is built"),
            Err(_) => return None,
        }
        fs::create_dir(work.path().join("kept")).unwrap();
        Some(Self { work })
    }

    fn kept(&self) -> PathBuf {
        self.work.path().join("kept")
    }

    /// What a program needs so that what it syncs in `root` is kept.
    pub(crate) fn environment(&self, root: &Path) -> [(&'static str, PathBuf); 3] {
        [
            ("LD_PRELOAD", self.work.path().join("power_cut.so")),
            ("POWER_CUT_ROOT", root.canonicalize().unwrap()),
            ("POWER_CUT_KEPT", self.kept()),
        ]
    }

    /// Takes everything in `root` for synced: it was there when the machine came up.
    pub(crate) fn settle(&self, root: &Path) {
        let kept = self.kept();
        fs::remove_dir_all(&kept).unwrap();
        fs::create_dir_all(kept.join("data")).unwrap();
        fs::create_dir_all(kept.join("names")).unwrap();
        let mut folders = vec![root.canonicalize().unwrap()];
        while let Some(folder) = folders.pop() {
            let mut names = String::new();
            for (name, key) in names_in(&folder) {
                let path = folder.join(&name);
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(fs::copy(&path, kept.join("data").join(&key)).unwrap()),
                }
                names.push_str(&format!("{key} {name}\n"));
            }
            fs::write(kept.join("names").join(key_of(&folder)), names).unwrap();
        }
    }

    /// Makes of `root` what a power cut leaves of it; `parts`: of what was not synced a part survives.
    pub(crate) fn cut(&self, root: &Path, parts: bool, random: &mut fastrand::Rng) {
        let image = self.work.path().join("image");
        let live = root.canonicalize().unwrap();
        self.image(&live, &key_of(&live), &image, parts, random);
        for entry in fs::read_dir(&live).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => fs::remove_dir_all(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
        }
        for entry in fs::read_dir(&image).unwrap() {
            let entry = entry.unwrap();
            move_to(&entry.path(), &live.join(entry.file_name()));
        }
        fs::remove_dir(&image).unwrap();
        self.settle(root);
    }

    /// The folder `key`, which is `live` if it is there still, as it is found again.
    fn image(&self, live: &Path, key: &Key, to: &Path, parts: bool, random: &mut fastrand::Rng) {
        fs::create_dir(to).unwrap();
        let now = match live.is_dir() && key_of(live) == *key {
            true => names_in(live),
            false => BTreeMap::new(),
        };
        let synced = self.synced_names(key);
        for (name, key) in chosen(&now, &synced, parts, random) {
            let path = now
                .iter()
                .find(|(_, other)| **other == key)
                .map(|(name, _)| live.join(name));
            let is_folder = self.kept().join("names").join(&key).exists()
                || path.as_ref().is_some_and(|path| path.is_dir());
            match is_folder {
                true => {
                    let path = path.unwrap_or_else(|| live.join(&name));
                    self.image(&path, &key, &to.join(&name), parts, random);
                }
                false => {
                    let synced = fs::read(self.kept().join("data").join(&key)).unwrap_or_default();
                    let bytes = match path.filter(|_| parts) {
                        Some(path) => mixed(&fs::read(path).unwrap(), &synced, random),
                        None => synced,
                    };
                    fs::write(to.join(&name), bytes).unwrap();
                }
            }
        }
    }

    fn synced_names(&self, key: &Key) -> BTreeMap<String, Key> {
        let text = fs::read_to_string(self.kept().join("names").join(key)).unwrap_or_default();
        let name = |line: &str| {
            let (key, name) = line.split_once(' ').unwrap();
            (name.to_owned(), key.to_owned())
        };
        text.lines().map(name).collect()
    }
}

/// The names that a folder has afterwards.
fn chosen(
    now: &BTreeMap<String, Key>,
    synced: &BTreeMap<String, Key>,
    parts: bool,
    random: &mut fastrand::Rng,
) -> BTreeMap<String, Key> {
    if !parts {
        return synced.clone();
    }
    let mut names = synced.clone();
    for (name, key) in now
        .iter()
        .filter(|(name, key)| synced.get(*name) != Some(key))
    {
        // A new name, or one that stands for another file now. What was renamed has one of its names.
        if random.bool() {
            names.retain(|other, before| before != key || now.get(other) == Some(before));
            names.insert(name.clone(), key.clone());
        }
    }
    let moved: Vec<Key> = now.values().cloned().collect();
    names.retain(|name, key| {
        let was_removed = !now.contains_key(name) && !moved.contains(key);
        !was_removed || random.bool()
    });
    names
}

/// A file of which some blocks were written, and some not.
fn mixed(now: &[u8], synced: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let len = match random.bool() {
        true => now.len(),
        false => synced.len(),
    };
    let mut bytes = vec![0; len];
    for (index, block) in bytes.chunks_mut(BLOCK).enumerate() {
        let from = match random.bool() {
            true => now,
            false => synced,
        };
        let from = from.get(index * BLOCK..).unwrap_or_default();
        let n = from.len().min(block.len());
        block[..n].copy_from_slice(&from[..n]);
    }
    bytes
}

fn names_in(folder: &Path) -> BTreeMap<String, Key> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, key_of(&entry.path()))
    };
    entries.map(name).collect()
}

fn key_of(path: &Path) -> Key {
    let found = fs::symlink_metadata(path).unwrap();
    let born = found.created().map_or_else(
        |_| std::time::Duration::ZERO,
        |born| born.duration_since(UNIX_EPOCH).unwrap(),
    );
    format!(
        "{}-{}.{:09}",
        found.ino(),
        born.as_secs(),
        born.subsec_nanos()
    )
}

fn move_to(from: &Path, to: &Path) {
    if fs::rename(from, to).is_ok() {
        return;
    }
    // Another file system.
    match from.is_dir() {
        true => {
            fs::create_dir(to).unwrap();
            for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
                move_to(&entry.path(), &to.join(entry.file_name()));
            }
            fs::remove_dir(from).unwrap();
        }
        false => {
            fs::copy(from, to).unwrap();
            fs::remove_file(from).unwrap();
        }
    }
}
