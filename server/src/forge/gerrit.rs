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

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use self::answer::{is_incomplete, is_telling, refusal, with_advice};
use self::message::{change_id, for_gerrit, topic};
use self::people::{People, is_about};
use self::server::{Found, Server, Status};
use super::http::{Api, Scheme};
use super::repository::{Destination, Pushed, Repository};
use super::{
    Change, ChangeState, ConfigError, Error, Filed, FiledChange, FiledOutcome, Finding, Forge,
    ForgeConfig, Signature, Target, Tip, Via,
};

/// The most steps of one call: make it, fill it, announce it, and some more for servers that do the same at once.
const STEPS_MAX: usize = 6;

/// A project that changes are filed in.
#[derive(Debug)]
struct Gerrit {
    /// The server's address, without a slash at its end.
    url: String,
    project: String,
    /// Where the project is.
    address: String,
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
    is_announced: bool,
    said: Vec<String>,
}

/// Opens the forge; nothing is contacted. It works in `folder`, which can be deleted at any time.
pub(super) fn open(config: &ForgeConfig, folder: &Path) -> Result<Arc<dyn Forge>, ConfigError> {
    config.refuse_keys(&["api_url"])?;
    let url = config.url.as_str().trim_end_matches('/').to_owned();
    let (project, user) = match (&config.project, &config.user, config.secret()?) {
        (Some(project), Some(user), Some(_)) => (project.clone(), user.clone()),
        _ => {
            return Err(config.error(
                "`gerrit` needs `project`, such as `openstack/requirements`; `user`; and the HTTP password or token of \
                 that account by `password_file` or `password_command`",
            ));
        }
    };
    let is_bad_part = |part: &str| matches!(part, "" | "." | "..");
    if project.contains(|c: char| c.is_control() || c.is_whitespace() || "?#%\\".contains(c))
        || project.split('/').any(is_bad_part)
    {
        return Err(config.error("`project` is no name of a project on Gerrit"));
    }
    let people = People {
        reviewers: config.reviewers.clone(),
        cc: config.cc.clone(),
    };
    let hashtags: Vec<_> = config
        .labels
        .iter()
        .map(|label| as_hashtag(label))
        .collect();
    let is_bad = |text: &String| text.is_empty() || text.contains(char::is_control);
    if people.all().chain(&hashtags).any(is_bad) {
        return Err(config.error("`reviewers`, `cc` and `labels` take lines that are not empty"));
    }
    let server = Server::new(
        Api::open(config, &url, Scheme::Basic(user.clone()))?,
        project.clone(),
    );
    let repository = match config.via.unwrap_or(Via::Push) {
        Via::Push => {
            let remote = format!("{url}/a/{project}");
            Some(Repository::open(config, &remote, folder)?)
        }
        Via::Rest => None,
    };
    Ok(Arc::new(Gerrit {
        address: format!("{url}/{project}"),
        url,
        project,
        user,
        server,
        repository,
        people,
        hashtags,
        is_draft: config.draft,
        author: config.author(),
    }))
}

#[async_trait]
impl Forge for Gerrit {
    fn project(&self) -> &str {
        &self.address
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
        while progress.said.len() < STEPS_MAX {
            let step = match self.next(change, progress.is_announced).await? {
                ControlFlow::Break(filed) => return Ok(progress.ended(filed)),
                // The server may take a while to show what it has taken.
                ControlFlow::Continue(Step::Create) if progress.is_created => break,
                ControlFlow::Continue(step) => step,
            };
            progress.is_created |= matches!(step, Step::Create);
            progress.is_announced |= matches!(step, Step::Announce(_));
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

    /// Does one thing, and gives what the server said.
    async fn take(&self, step: &Step, change: &Change) -> Result<String, Error> {
        match step {
            Step::Create => self.create(change).await,
            Step::Settle(found, others) => self.settle(found, others).await,
            Step::Fill(found) => self.fill(found, change).await,
            Step::Announce(found) => self.announce(found).await,
        }
    }

    fn filed(&self, change: &Change, found: &Found, words: &str) -> Filed {
        Filed {
            commit: found.current_revision.clone(),
            branch: change_id(&change.key),
            url: Some(format!(
                "{}/c/{}/+/{}",
                self.url, self.project, found.number
            )),
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

    async fn create(&self, change: &Change) -> Result<String, Error> {
        for edit in &change.edits {
            if self.server.file(&change.parent, &edit.path).await? == edit.bytes {
                return Err(Error::stopped(format!(
                    "the change alters nothing of `{}` in commit {}",
                    edit.path, change.parent
                )));
            }
        }
        match &self.repository {
            Some(repository) => self.push(repository, change).await,
            None => self.server.create(change).await,
        }
    }

    /// Pushes all of the change at once.
    async fn push(&self, repository: &Repository, change: &Change) -> Result<String, Error> {
        if change.branch.contains('%') {
            return Err(Error::stopped(format!(
                "Gerrit takes what follows the `%` in `{}` for options, so nothing can be pushed for it; use `via = \"rest\"`",
                change.branch
            )));
        }
        let mut people = self.people.clone();
        loop {
            let pushed = self.try_push(repository, change, &people).await?;
            if !pushed.is_refused || is_telling(&pushed.summary) {
                return Ok(pushed.summary + &self.people.words_of_missing(&people));
            }
            people = people
                .without(|name| is_about(&pushed.summary, name))
                .ok_or_else(|| refusal(pushed))?;
        }
    }

    async fn try_push(
        &self,
        repository: &Repository,
        change: &Change,
        people: &People,
    ) -> Result<Pushed, Error> {
        let reference = format!("refs/for/{}", change.branch);
        let options = self.options(change, people);
        let destination = Destination {
            reference: &reference,
            only_if_new: false,
            options: &options,
        };
        let push = || async {
            let pushed = repository.push(change, &destination).await;
            pushed.map_err(with_advice)
        };
        let pushed = push().await?;
        if !is_incomplete(&pushed) {
            return Ok(pushed);
        }
        // Gerrit names open changes as known to it, but does not take what builds on their files. Git then leaves these
        // out, unless it has never seen them.
        repository.forget().await?;
        push().await
    }

    fn options(&self, change: &Change, people: &People) -> Vec<String> {
        let progress = match self.is_draft {
            true => ["wip", "notify=NONE"],
            false => ["ready", "notify=OWNER_REVIEWERS"],
        };
        let topic = format!("topic={}", topic(change));
        let hashtags = self.hashtags.iter().map(|tag| format!("hashtag={tag}"));
        let options = progress.map(str::to_owned).into_iter().chain([topic]);
        options.chain(hashtags).chain(people.options()).collect()
    }

    /// Leaves one of several changes that were made at the same time.
    async fn settle(&self, found: &Found, others: &[Found]) -> Result<String, Error> {
        for other in others {
            self.server.abandon(other, found).await?;
        }
        Ok(format!("it was made {} times at once", others.len() + 1))
    }

    /// Gives a change that was begun our edits, as its next patch set.
    async fn fill(&self, found: &Found, change: &Change) -> Result<String, Error> {
        self.server.drop_edit(found).await?;
        for edit in &change.edits {
            self.server.edit(found, edit).await?;
        }
        self.server.publish(found).await
    }

    /// Asks for the review of a change that has our edits.
    async fn announce(&self, found: &Found) -> Result<String, Error> {
        if !self.hashtags.is_empty() {
            self.server.tag(found, &self.hashtags).await?;
        }
        let mut people = self.people.clone();
        while let Err(refused) = self.server.ask(found, &people, !self.is_draft).await? {
            people = people.without(|name| refused.names(name)).ok_or_else(|| {
                Error::stopped("the server refuses reviewers that were not named")
            })?;
        }
        Ok(format!(
            "announced{}",
            self.people.words_of_missing(&people)
        ))
    }
}

impl Progress {
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

/// The label as Gerrit keeps it.
fn as_hashtag(label: &str) -> String {
    label.trim().trim_start_matches('#').trim().to_owned()
}
