//! A project on Gerrit. A change is known by its Change-Id, which follows from its key, so a second try does not make a second
//! one. Two tries at the very same time may; then the older one stands.
//!
//! A change is made by one `git push`, or by several requests; either way it is brought about step by step, looking before
//! every step, so that whatever was begun, by whichever way, is finished. What a person did to it is left as it is.

mod answer;
mod check;
mod message;
mod people;
mod server;
mod steps;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::message::{change_id, for_gerrit};
use self::people::People;
use self::server::{Found, Server, Status};
use super::http::{Api, Scheme};
use super::repository::Repository;
use super::{
    Change, ChangeState, ConfigError, Error, Filed, FiledChange, FiledOutcome, Finding, Forge,
    ForgeConfig, Signature, Target, Tip, Via,
};

/// The most steps of one call: make it, fill it, announce it, and some more for servers that do the same at once.
const STEPS_MAX: usize = 6;

/// The longest wait, in milliseconds, before the edit of a change is made again that another server made at the same time.
const COLLISION_WAIT_MS_MAX: u64 = 1000;

/// A project that changes are filed in.
#[derive(Debug)]
struct Gerrit {
    /// The server's address, without a slash at its end.
    url: String,
    /// The project's name there.
    name: String,
    /// The project's address.
    project: String,
    user: String,
    server: Server,
    /// For changes that are pushed.
    repository: Option<Repository>,
    people: People,
    hashtags: Vec<String>,
    is_draft: bool,
    author: Signature,
}

/// What brings a change about.
#[derive(Debug)]
enum Step {
    /// There is none yet.
    Create,
    /// There are others beside the one that stands.
    Settle(Found, Vec<Found>),
    /// It lacks our edits.
    Fill(Found),
    /// Nobody was asked to review it.
    Announce(Found),
}

/// What this call has done so far, and what the server said.
#[derive(Debug, Default)]
struct Progress {
    is_created: bool,
    is_filled: bool,
    is_announced: bool,
    said: Vec<String>,
}

/// Opens the forge; nothing is contacted. It works in `folder`, which can be deleted at any time.
pub(super) fn open(config: &ForgeConfig, folder: &Path) -> Result<Arc<dyn Forge>, ConfigError> {
    config.refuse_keys(&["api_url"])?;
    let url = config.url.as_str().trim_end_matches('/').to_owned();
    let (name, user) = names(config)?;
    let (people, hashtags) = words(config)?;
    let api = Api::open(config, &url, Scheme::Basic(user.clone()))?;
    let repository = match config.via.unwrap_or(Via::Push) {
        Via::Push => {
            let remote = format!("{url}/a/{name}");
            Some(Repository::open(config, &remote, folder)?)
        }
        Via::Rest => None,
    };
    Ok(Arc::new(Gerrit {
        project: format!("{url}/{name}"),
        url,
        server: Server::new(api, name.clone()),
        name,
        user,
        repository,
        people,
        hashtags,
        is_draft: config.draft,
        author: config.author(),
    }))
}

/// The project and the account.
fn names(config: &ForgeConfig) -> Result<(String, String), ConfigError> {
    let (Some(project), Some(user), Some(_)) = (&config.project, &config.user, config.secret()?)
    else {
        return Err(config.error(
            "`gerrit` needs `project`, such as `openstack/requirements`; `user`; and the HTTP password or token of that \
             account by `password_file` or `password_command`",
        ));
    };
    let is_bad = |c: char| c.is_control() || c.is_whitespace() || "?#%\"\\".contains(c);
    let is_bad_part = |part: &str| matches!(part, "" | "." | "..");
    match project.contains(is_bad) || project.split('/').any(is_bad_part) {
        true => Err(config.error("`project` is no name of a project on Gerrit")),
        false => Ok((project.clone(), user.clone())),
    }
}

/// Who is asked, and the labels as Gerrit keeps them.
fn words(config: &ForgeConfig) -> Result<(People, Vec<String>), ConfigError> {
    let people = People {
        reviewers: config.reviewers.clone(),
        cc: config.cc.clone(),
    };
    let as_hashtag = |label: &String| label.trim().trim_start_matches('#').trim().to_owned();
    let hashtags: Vec<_> = config.labels.iter().map(as_hashtag).collect();
    let is_bad = |text: &String| text.is_empty() || text.contains(char::is_control);
    if people.all().chain(&hashtags).any(is_bad) {
        return Err(
            config.error("`reviewers`, `cc` and `labels` take single lines that are not empty")
        );
    }
    Ok((people, hashtags))
}

#[async_trait]
impl Forge for Gerrit {
    fn project(&self) -> &str {
        &self.project
    }

    fn author(&self) -> &Signature {
        &self.author
    }

    async fn read(&self, branch: &str, path: &str) -> Result<Tip, Error> {
        self.server.read(branch, path).await
    }

    async fn read_at(&self, _: &str, commit: &str, path: &str) -> Result<Vec<u8>, Error> {
        self.server.file(commit, path).await
    }

    async fn ensure_change(&self, change: &Change) -> Result<Filed, Error> {
        let change = &for_gerrit(change);
        let mut progress = Progress::default();
        loop {
            let step = match self.next(change, progress.is_announced).await? {
                ControlFlow::Break(filed) => return Ok(progress.ended(filed)),
                ControlFlow::Continue(step) => step,
            };
            // The server may take a while to show what it has taken.
            if progress.said.len() == STEPS_MAX || progress.is_in_vain(&step) {
                break;
            }
            if progress.is_filled && matches!(step, Step::Fill(_)) {
                // Another server is at it with the same edit; the one that waits finds it done.
                let wait_ms = fastrand::u64(0..=COLLISION_WAIT_MS_MAX);
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            }
            progress.note(&step);
            progress.said.push(self.take(&step, change).await?);
        }
        Err(Error::retry(format!(
            "the server does not show the change as it should be; it said: {}",
            progress.said.join("; ")
        )))
    }

    async fn state(&self, change: &FiledChange) -> Result<ChangeState, Error> {
        let id = change_id(&change.key);
        let found = self.server.changes(&change.branch, &id).await?;
        match standing(found) {
            Some((found, _)) => Ok(state_of(found.status)),
            // A change that is gone although its branch can be seen was deleted by a person.
            None => {
                self.server.tip(&change.branch).await?;
                Ok(ChangeState::Declined)
            }
        }
    }

    async fn check(&self, target: Option<&Target>) -> Vec<Finding> {
        self.findings(target).await
    }
}

impl Gerrit {
    /// Looks at the change: what is left to do, or what has come of it.
    async fn next(
        &self,
        change: &Change,
        is_announced: bool,
    ) -> Result<ControlFlow<Filed, Step>, Error> {
        let id = change_id(&change.key);
        let Some((found, others)) = standing(self.server.changes(&change.branch, &id).await?)
        else {
            return Ok(ControlFlow::Continue(Step::Create));
        };
        if !others.is_empty() && self.is_ours(&found).await? {
            return Ok(ControlFlow::Continue(Step::Settle(found, others)));
        }
        let words = match found.status {
            Status::Merged => "was merged".to_owned(),
            Status::Abandoned => "was abandoned, and stays so".to_owned(),
            Status::New if self.holds(&found, change).await? => {
                let is_announced = is_announced || self.is_announced(&found);
                if !is_announced && self.is_ours(&found).await? {
                    return Ok(ControlFlow::Continue(Step::Announce(found)));
                }
                "waits for its review".to_owned()
            }
            Status::New if is_begun(&found, change)? && self.is_ours(&found).await? => {
                return Ok(ControlFlow::Continue(Step::Fill(found)));
            }
            Status::New => {
                let revision = found.revision()?;
                format!(
                    "has another content since patch set {} by {}, and is left as it is",
                    revision.number,
                    revision.uploader.words()
                )
            }
        };
        Ok(ControlFlow::Break(self.filed(change, &found, &words)))
    }

    fn filed(&self, change: &Change, found: &Found, words: &str) -> Filed {
        Filed {
            commit: found.current_revision.clone(),
            branch: change_id(&change.key),
            url: Some(format!("{}/c/{}/+/{}", self.url, self.name, found.number)),
            state: state_of(found.status),
            answer: format!("change {} {words}", found.number),
            outcome: FiledOutcome::Existed,
        }
    }

    /// Whether the change has our edits and no others.
    async fn holds(&self, found: &Found, change: &Change) -> Result<bool, Error> {
        let files = &found.revision()?.files;
        if files.len() != change.edits.len() {
            return Ok(false);
        }
        for edit in &change.edits {
            let is_there = files.contains_key(&edit.path)
                && self.server.content(found, &edit.path).await?.as_ref() == Some(&edit.bytes);
            if !is_there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether people know of the change as they should; a draft waits for a person who says that it is ready.
    fn is_announced(&self, found: &Found) -> bool {
        match self.is_draft {
            false => !found.work_in_progress || found.has_review_started,
            true => {
                let has_people = found.reviewers.values().any(|people| !people.is_empty());
                (has_people || self.people.is_empty())
                    && self.hashtags.iter().all(|tag| found.hashtags.contains(tag))
            }
        }
    }

    /// Whether the change and its present content come from our account.
    async fn is_ours(&self, found: &Found) -> Result<bool, Error> {
        let us = self.server.account().await?.id;
        Ok(found.owner.id == us && found.revision()?.uploader.id == us)
    }
}

impl Progress {
    fn note(&mut self, step: &Step) {
        self.is_created |= matches!(step, Step::Create);
        self.is_filled |= matches!(step, Step::Fill(_));
        self.is_announced |= matches!(step, Step::Announce(_));
    }

    /// Whether the step was taken and has left no trace.
    fn is_in_vain(&self, step: &Step) -> bool {
        self.is_created && matches!(step, Step::Create)
    }

    /// What became of the change, with what was said on the way.
    fn ended(self, filed: Filed) -> Filed {
        let outcome = match self.said.is_empty() {
            true => FiledOutcome::Existed,
            false => FiledOutcome::Created,
        };
        let words: Vec<_> = [filed.answer].into_iter().chain(self.said).collect();
        Filed {
            answer: words.join("; "),
            outcome,
            ..filed
        }
    }
}

/// Of several changes with the same Change-Id, the one that stands, with the open ones of the same account beside it.
fn standing(mut found: Vec<Found>) -> Option<(Found, Vec<Found>)> {
    found.sort_by_key(|found| {
        let rank = match found.status {
            Status::Merged => 0,
            Status::New => 1,
            Status::Abandoned => 2,
        };
        (rank, found.number)
    });
    let mut found = found.into_iter();
    let first = found.next()?;
    let is_beside = |other: &Found| other.status == Status::New && other.owner.id == first.owner.id;
    let others = found.filter(is_beside).collect();
    Some((first, others))
}

/// Whether the change is one of ours that stopped half way: on our parent, and no file changed but ours.
fn is_begun(found: &Found, change: &Change) -> Result<bool, Error> {
    let revision = found.revision()?;
    let is_on_parent =
        matches!(&revision.commit.parents[..], [only] if only.commit == change.parent);
    let mut files = revision.files.keys();
    Ok(is_on_parent && files.all(|path| change.edits.iter().any(|edit| edit.path == *path)))
}

fn state_of(status: Status) -> ChangeState {
    match status {
        Status::New => ChangeState::Open,
        Status::Merged => ChangeState::Merged,
        Status::Abandoned => ChangeState::Declined,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn config() -> ForgeConfig {
        ForgeConfig {
            project: Some("openstack/requirements".into()),
            user: Some("pinion".into()),
            password_file: Some(PathBuf::from("/p")),
            ..ForgeConfig::new(
                "a".parse().expect("a name"),
                "gerrit",
                "https://x.example/r/",
            )
        }
    }

    fn refused(config: &ForgeConfig) -> String {
        let opened = open(config, Path::new("/tmp"));
        opened.expect_err("it is refused").to_string()
    }

    #[test]
    fn the_address_of_the_project_is_known_without_asking() {
        let forge = open(&config(), Path::new("/tmp")).expect("a forge");
        assert_eq!(
            forge.project(),
            "https://x.example/r/openstack/requirements"
        );
    }

    #[test]
    fn a_project_an_account_and_its_password_are_needed() {
        for lacking in [
            ForgeConfig {
                project: None,
                ..config()
            },
            ForgeConfig {
                user: None,
                ..config()
            },
            ForgeConfig {
                password_file: None,
                ..config()
            },
        ] {
            let problem = refused(&lacking);
            assert!(problem.contains("needs `project`"), "{problem}");
        }
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_refused() {
        for project in ["", "../a", "a//b", "a b", "a?b", "a\"b"] {
            let project = Some(project.to_owned());
            let problem = refused(&ForgeConfig {
                project,
                ..config()
            });
            assert!(problem.contains("no name of a project"), "{problem}");
        }
        for label in ["#", "a\nb"] {
            let labels = vec![label.to_owned()];
            refused(&ForgeConfig { labels, ..config() });
        }
    }

    fn found(number: u64, status: &str, owner: u64) -> Found {
        serde_json::from_value(serde_json::json!({
            "_number": number, "status": status, "owner": {"_account_id": owner},
            "current_revision": "1", "revisions": {},
        }))
        .expect("a change")
    }

    #[test]
    fn of_several_changes_a_merged_one_stands_then_the_oldest_open_one() {
        let numbers = |all: &[(u64, &str, u64)]| {
            let all = all
                .iter()
                .map(|(number, status, owner)| found(*number, status, *owner));
            let (first, others) = standing(all.collect()).expect("a change");
            let others: Vec<_> = others.iter().map(|other| other.number).collect();
            (first.number, others)
        };
        let three = [(3, "NEW", 7), (1, "ABANDONED", 7), (2, "NEW", 7)];
        assert_eq!(numbers(&three), (2, vec![3]));
        assert_eq!(numbers(&[(1, "NEW", 7), (2, "MERGED", 7)]), (2, vec![1]));
        assert_eq!(numbers(&[(1, "NEW", 7), (2, "NEW", 8)]), (1, vec![]));
        assert!(standing(Vec::new()).is_none());
    }
}
