//! temporary
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use async_trait::async_trait;
use pinion_core::name::ForgeName;
#[async_trait]
pub trait Forge: Send + Sync + Debug {
    async fn read(&self, branch: &str, path: &str) -> Result<Tip, Error>;
    async fn read_at(&self, commit: &str, path: &str) -> Result<Vec<u8>, Error>;
    async fn ensure_change(&self, change: &Change) -> Result<Filed, Error>;
}
pub struct Tip { pub commit: String, pub bytes: Vec<u8> }
pub struct Filed { pub commit: String, pub answer: String }
pub struct FileEdit { pub path: String, pub bytes: Vec<u8> }
pub struct Change { pub key: String, pub branch: String, pub head: String, pub parent: String, pub edits: Vec<FileEdit>, pub subject: String, pub body: String, pub at_unix_s: i64 }
#[derive(Debug, thiserror::Error)]
pub enum Error { #[error("{answer}")] Retry{answer:String, retry_after: Option<Duration>}, #[error("{answer}")] Stopped{answer:String} }
#[derive(Clone, Debug, serde::Deserialize)]
pub struct ForgeConfig { pub name: ForgeName }
pub fn open(_c:&ForgeConfig, _d:&Path) -> Result<Arc<dyn Forge>, Error> { Err(Error::Stopped{answer:"".into()}) }
