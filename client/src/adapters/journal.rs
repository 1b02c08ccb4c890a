//! The journal of edits: what the project's files held before, kept outside the project.
//!
//! One folder for each layer of edits, numbered upwards; the newest is undone first. A layer counts from the
//! moment its `journal.json` is there, which is before the first file is edited. Bytes are files named by
//! their SHA-256. A layer whose edit was cut short does not know what the files were left with: whatever is
//! found then is kept aside when the layer is undone, so nothing is ever lost.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::difference::difference;
use super::process::ToolError;
use super::tool::Tool;
use super::whole;

/// What is done about files that somebody else changed since the edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insist {
    /// They stay as they are, and so does everything else: undoing is refused.
    No,
    /// They get what was there before the edit too; what they hold now is kept aside.
    Yes,
}

/// What undoing did to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The file.
    pub path: PathBuf,
    /// Where the bytes went that nobody had noted, if there were any.
    pub kept: Option<PathBuf>,
}

/// Why an edit was not undone.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// Somebody else changed files since; nothing was touched.
    #[error("{} changed since the pins were applied", paths(.0))]
    Changed(Vec<Difference>),
    /// Another pinion is at work in this checkout.
    #[error("another pinion is at work in this checkout")]
    Busy,
    /// A file cannot be read or written.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// A file that is not as it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The file.
    pub path: PathBuf,
    /// From what it was left with to what it holds, as a unified diff.
    pub text: String,
}

/// The journal of one checkout.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    folder: PathBuf,
}

/// The edits of one application of pins.
#[derive(Debug)]
pub(super) struct Layer {
    folder: PathBuf,
    record: Record,
}

#[derive(Debug, Deserialize, Serialize)]
struct Record {
    tool: Tool,
    /// Whether the edit ended and `after` says with what.
    finished: bool,
    files: Vec<FileRecord>,
}

#[derive(Debug, Deserialize, Serialize)]
struct FileRecord {
    path: PathBuf,
    /// None: there was no such file.
    before: Option<Content>,
    /// None: the file was gone, if the edit is finished.
    after: Option<Content>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Content {
    sha256: String,
    /// The permission bits; 0 where there are none.
    mode: u32,
}

/// What is to be done with one file, decided before any is touched.
enum Step {
    /// It is as it was before.
    Nothing,
    Restore,
    /// Bytes that nobody noted are kept aside first.
    KeepAndRestore(Vec<u8>),
}

impl Journal {
    pub(super) fn at(state: &Path) -> Self {
        Self {
            folder: state.join("journal"),
        }
    }

    /// The layers, the newest first. Leftovers of layers that never counted are removed.
    pub(super) fn layers(&self) -> Result<Vec<Layer>, ToolError> {
        let mut layers = Vec::new();
        for number in self.numbers()?.into_iter().rev() {
            let folder = self.folder.join(number.to_string());
            match whole::read_if_there(&folder.join("journal.json"))
                .map_err(ToolError::file("read", &folder))?
            {
                Some(bytes) => layers.push(Layer::parse(folder, &bytes)?),
                None => remove(&folder)?,
            }
        }
        Ok(layers)
    }

    /// Notes what the files hold, durably; only then may they be edited.
    pub(super) fn begin(&self, tool: Tool, paths: &[PathBuf]) -> Result<Layer, ToolError> {
        let next = self.numbers()?.last().map_or(0, |last| last + 1);
        let folder = self.folder.join(next.to_string());
        make_private(&folder)?;
        let mut files = Vec::new();
        for path in paths {
            let path = true_name(path)?;
            let before = note(&folder, &path)?;
            let after = None;
            files.push(FileRecord {
                path,
                before,
                after,
            });
        }
        let record = Record {
            tool,
            finished: false,
            files,
        };
        let layer = Layer { folder, record };
        layer.write()?;
        whole::sync_directory(&self.folder).map_err(ToolError::file("write", &self.folder))?;
        Ok(layer)
    }

    fn numbers(&self) -> Result<BTreeSet<u32>, ToolError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(cause) => return Err(ToolError::file("read", &self.folder)(cause)),
        };
        let name = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        Ok(entries.flatten().filter_map(name).collect())
    }
}

impl Layer {
    fn parse(folder: PathBuf, bytes: &[u8]) -> Result<Self, ToolError> {
        let record = serde_json::from_slice(bytes).map_err(|error| ToolError::Broken {
            path: folder.join("journal.json"),
            problem: error.to_string(),
        })?;
        Ok(Self { folder, record })
    }

    /// The tool whose files were edited.
    pub(super) fn tool(&self) -> Tool {
        self.record.tool
    }

    /// Whether the edit came to its end.
    pub(super) fn is_finished(&self) -> bool {
        self.record.finished
    }

    /// Notes what the edit left.
    pub(super) fn finish(&mut self) -> Result<(), ToolError> {
        for file in &mut self.record.files {
            file.after = note(&self.folder, &file.path)?;
        }
        self.record.finished = true;
        self.write()
    }

    /// Whether the edit came to its end and changed nothing.
    pub(super) fn is_empty(&self) -> bool {
        let mut files = self.record.files.iter();
        self.record.finished && files.all(|file| file.before == file.after)
    }

    /// Whether every file is as the edit left it.
    pub(super) fn is_as_left(&self) -> Result<bool, ToolError> {
        for file in &self.record.files {
            let now = content(&file.path)?.map(|(content, _)| content);
            if !self.record.finished || now != file.after {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts back what was there before, all files or none, and forgets the layer.
    pub(super) fn undo(self, insist: Insist) -> Result<Vec<Restored>, UndoError> {
        let mut steps = Vec::new();
        let mut changed = Vec::new();
        for file in &self.record.files {
            match self.step(file, insist)? {
                Ok(step) => steps.push((file, step)),
                Err(difference) => changed.push(difference),
            }
        }
        if !changed.is_empty() {
            return Err(UndoError::Changed(changed));
        }
        let mut restored = Vec::new();
        for (file, step) in steps {
            restored.extend(self.carry_out(file, step)?);
        }
        self.forget()?;
        Ok(restored)
    }

    /// Forgets the edits; the files stay as they are.
    pub(super) fn forget(self) -> Result<(), ToolError> {
        // Without its journal a layer does not count; the rest is litter.
        let journal = self.folder.join("journal.json");
        std::fs::remove_file(&journal).map_err(ToolError::file("remove", &journal))?;
        remove(&self.folder)
    }

    fn step(
        &self,
        file: &FileRecord,
        insist: Insist,
    ) -> Result<Result<Step, Difference>, ToolError> {
        let now = content(&file.path)?;
        let (now, bytes) = match now {
            Some((content, bytes)) => (Some(content), bytes),
            None => (None, Vec::new()),
        };
        if now == file.before {
            return Ok(Ok(Step::Nothing));
        }
        if self.record.finished && now == file.after {
            return Ok(Ok(Step::Restore));
        }
        if !self.record.finished || insist == Insist::Yes {
            return Ok(Ok(match now {
                Some(_) => Step::KeepAndRestore(bytes),
                None => Step::Restore,
            }));
        }
        let left = self.bytes(file.after.as_ref())?;
        Ok(Err(Difference {
            path: file.path.clone(),
            text: difference(&left, &bytes),
        }))
    }

    fn carry_out(&self, file: &FileRecord, step: Step) -> Result<Option<Restored>, ToolError> {
        let kept = match step {
            Step::Nothing => return Ok(None),
            Step::Restore => None,
            Step::KeepAndRestore(bytes) => Some(self.keep_aside(&file.path, &bytes)?),
        };
        match &file.before {
            Some(before) => {
                let bytes = self.bytes(Some(before))?;
                whole::write(&file.path, &bytes, permissions(before.mode))
                    .map_err(ToolError::file("write", &file.path))?;
            }
            None => remove_file(&file.path)?,
        }
        let path = file.path.clone();
        Ok(Some(Restored { path, kept }))
    }

    /// Keeps bytes beside the journal, under the file's own name and their hash.
    fn keep_aside(&self, path: &Path, bytes: &[u8]) -> Result<PathBuf, ToolError> {
        let folder = self.folder.parent().unwrap_or(&self.folder).join("kept");
        make_private(&folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kept = folder.join(format!("{}-{name}", &hash(bytes)[..16]));
        whole::write(&kept, bytes, None).map_err(ToolError::file("write", &kept))?;
        Ok(kept)
    }

    fn bytes(&self, content: Option<&Content>) -> Result<Vec<u8>, ToolError> {
        let Some(content) = content else {
            return Ok(Vec::new());
        };
        let path = self.folder.join(&content.sha256);
        let bytes = std::fs::read(&path).map_err(ToolError::file("read", &path))?;
        match hash(&bytes) == content.sha256 {
            true => Ok(bytes),
            false => Err(ToolError::Broken {
                path,
                problem: "its bytes are not those that its name stands for".to_owned(),
            }),
        }
    }

    fn write(&self) -> Result<(), ToolError> {
        let path = self.folder.join("journal.json");
        let text = serde_json::to_vec_pretty(&self.record).map_err(|error| ToolError::Broken {
            path: path.clone(),
            problem: error.to_string(),
        })?;
        whole::write(&path, &text, None).map_err(ToolError::file("write", &path))
    }
}

/// Copies a file's bytes into the layer's folder.
fn note(folder: &Path, path: &Path) -> Result<Option<Content>, ToolError> {
    let Some((content, bytes)) = content(path)? else {
        return Ok(None);
    };
    let kept = folder.join(&content.sha256);
    whole::write(&kept, &bytes, None).map_err(ToolError::file("write", &kept))?;
    Ok(Some(content))
}

fn content(path: &Path) -> Result<Option<(Content, Vec<u8>)>, ToolError> {
    let Some(bytes) = whole::read_if_there(path).map_err(ToolError::file("read", path))? else {
        return Ok(None);
    };
    let metadata = std::fs::metadata(path).map_err(ToolError::file("read", path))?;
    let sha256 = hash(&bytes);
    let mode = mode(&metadata.permissions());
    Ok(Some((Content { sha256, mode }, bytes)))
}

/// The file that a path leads to, so that a link stays a link.
fn true_name(path: &Path) -> Result<PathBuf, ToolError> {
    match std::fs::canonicalize(path) {
        Ok(path) => Ok(path),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(cause) => Err(ToolError::file("find", path)(cause)),
    }
}

#[cfg(unix)]
fn mode(permissions: &Permissions) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(permissions) & 0o7777
}

#[cfg(unix)]
fn permissions(mode: u32) -> Option<Permissions> {
    Some(std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn mode(_: &Permissions) -> u32 {
    0
}

#[cfg(not(unix))]
fn permissions(_: u32) -> Option<Permissions> {
    None
}

fn make_private(folder: &Path) -> Result<(), ToolError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(ToolError::file("make", folder))
}

fn remove(folder: &Path) -> Result<(), ToolError> {
    std::fs::remove_dir_all(folder).map_err(ToolError::file("remove", folder))
}

fn remove_file(path: &Path) -> Result<(), ToolError> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(ToolError::file("remove", path)(cause))
        }
        _ => Ok(()),
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn paths(differences: &[Difference]) -> String {
    let paths = differences
        .iter()
        .map(|one| format!("`{}`", one.path.display()));
    paths.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        dir: tempfile::TempDir,
        journal: Journal,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let journal = Journal::at(&dir.path().join("state"));
            std::fs::write(dir.path().join("Cargo.lock"), "before\n").expect("written");
            Self { dir, journal }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().canonicalize().expect("there").join(name)
        }

        fn begin(&self) -> Layer {
            let paths = [self.path("Cargo.lock"), self.path("new.lock")];
            self.journal.begin(Tool::Cargo, &paths).expect("noted")
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.path(name), text).expect("written");
        }

        fn edited(&self) -> Layer {
            let mut layer = self.begin();
            self.write("Cargo.lock", "after\n");
            self.write("new.lock", "made\n");
            layer.finish().expect("noted");
            assert!(!layer.is_empty());
            layer
        }

        fn read(&self, name: &str) -> Option<String> {
            std::fs::read_to_string(self.path(name)).ok()
        }

        fn newest(&self) -> Layer {
            self.journal.layers().expect("readable").remove(0)
        }
    }

    #[test]
    fn an_undone_edit_leaves_every_file_as_it_was() {
        let scene = Scene::new();
        assert!(scene.edited().is_as_left().expect("readable"));
        let restored = scene.newest().undo(Insist::No).expect("undone");
        assert_eq!(restored.len(), 2);
        assert_eq!(scene.read("Cargo.lock").as_deref(), Some("before\n"));
        assert_eq!(scene.read("new.lock"), None);
        assert!(scene.journal.layers().expect("readable").is_empty());
    }

    #[test]
    fn a_file_that_somebody_else_changed_is_left_alone_and_the_difference_is_told() {
        let scene = Scene::new();
        scene.edited();
        scene.write("Cargo.lock", "after\nmine\n");
        let error = scene.newest().undo(Insist::No).expect_err("refused");
        let UndoError::Changed(differences) = error else {
            panic!("another error")
        };
        assert_eq!(differences.len(), 1);
        assert!(differences[0].text.contains("\n+mine"), "{differences:?}");
        assert_eq!(scene.read("Cargo.lock").as_deref(), Some("after\nmine\n"));
        assert_eq!(
            scene.read("new.lock").as_deref(),
            Some("made\n"),
            "all or nothing"
        );

        let restored = scene.newest().undo(Insist::Yes).expect("undone");
        assert_eq!(scene.read("Cargo.lock").as_deref(), Some("before\n"));
        let kept = restored
            .iter()
            .find_map(|one| one.kept.clone())
            .expect("kept aside");
        assert_eq!(
            std::fs::read_to_string(kept).expect("readable"),
            "after\nmine\n"
        );
    }

    #[test]
    fn an_edit_that_was_cut_short_is_undone_and_its_bytes_are_kept_aside() {
        let scene = Scene::new();
        drop(scene.begin());
        assert_eq!(scene.newest().undo(Insist::No).expect("undone"), []);

        drop(scene.begin());
        scene.write("Cargo.lock", "half");
        let restored = scene.newest().undo(Insist::No).expect("undone");
        assert_eq!(scene.read("Cargo.lock").as_deref(), Some("before\n"));
        let kept = restored[0].kept.as_ref().expect("kept aside");
        assert_eq!(std::fs::read_to_string(kept).expect("readable"), "half");
    }

    #[test]
    fn the_newest_layer_goes_first() {
        let scene = Scene::new();
        scene.edited();
        let mut second = scene.begin();
        scene.write("Cargo.lock", "later\n");
        second.finish().expect("noted");
        scene.newest().undo(Insist::No).expect("undone");
        assert_eq!(scene.read("Cargo.lock").as_deref(), Some("after\n"));
        scene.newest().undo(Insist::No).expect("undone");
        assert_eq!(scene.read("Cargo.lock").as_deref(), Some("before\n"));
    }

    #[test]
    fn an_edit_that_changed_nothing_leaves_no_layer() {
        let scene = Scene::new();
        let mut layer = scene.begin();
        assert!(!layer.is_empty(), "it may still change something");
        layer.finish().expect("noted");
        assert!(layer.is_empty());
        layer.forget().expect("forgotten");
        assert!(scene.journal.layers().expect("readable").is_empty());
    }

    #[test]
    fn a_layer_without_its_journal_never_counted() {
        let scene = Scene::new();
        let layer = scene.begin();
        std::fs::remove_file(layer.folder.join("journal.json")).expect("removed");
        assert!(scene.journal.layers().expect("readable").is_empty());
        assert!(!layer.folder.exists());
    }

    #[test]
    fn damaged_bytes_are_not_put_into_a_project() {
        let scene = Scene::new();
        let layer = scene.edited();
        let blob = layer.folder.join(hash(b"before\n"));
        std::fs::write(blob, "rotten").expect("written");
        let error = layer.undo(Insist::No).expect_err("refused").to_string();
        assert!(error.contains("its bytes are not those"), "{error}");
        assert_eq!(scene.read("Cargo.lock").as_deref(), Some("after\n"));
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_stay() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let scene = Scene::new();
        let file = scene.path("real.lock");
        std::fs::write(&file, "before").expect("written");
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("set");
        symlink(&file, scene.path("linked.lock")).expect("linked");
        let paths = [scene.path("linked.lock")];
        let mut layer = scene.journal.begin(Tool::Cargo, &paths).expect("noted");
        std::fs::write(&file, "after").expect("written");
        layer.finish().expect("noted");
        layer.undo(Insist::No).expect("undone");
        assert_eq!(scene.read("linked.lock").as_deref(), Some("before"));
        assert!(scene.path("linked.lock").is_symlink());
        let mode = file.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
}
