//! What brings a change about, one step at a time. Each may be repeated, and may fail half way.

use super::super::repository::{Destination, Pushed, Repository};
use super::super::{Change, Error};
use super::answer::{is_incomplete, is_telling, refusal, with_advice};
use super::message::topic;
use super::people::{People, is_about};
use super::server::Found;
use super::{Gerrit, Step};

impl Gerrit {
    /// Does one thing, and gives what the server said.
    pub(super) async fn take(&self, step: &Step, change: &Change) -> Result<String, Error> {
        match step {
            Step::Create => self.create(change).await,
            Step::Settle(found, others) => self.settle(found, others).await,
            Step::Fill(found) => self.fill(found, change).await,
            Step::Announce(found) => self.announce(found).await,
        }
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
        let reference = for_review(&change.branch)?;
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

/// The reference that takes changes for the branch.
pub(super) fn for_review(branch: &str) -> Result<String, Error> {
    match branch.contains('%') {
        true => Err(Error::stopped(format!(
            "Gerrit takes what follows the `%` in `{branch}` for options, so nothing can be pushed for it; use \
             `via = \"rest\"`"
        ))),
        false => Ok(format!("refs/for/{branch}")),
    }
}
