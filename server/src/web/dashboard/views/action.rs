//! What a person may ask of a rollout, as forms on its page: each says what it does, asks for a reason, and is confirmed
//! by a button that names it.

use maud::{Markup, html};
use pinion_core::rollout::Rollout;

use super::rollout::RolloutPage;
use crate::controller::{Controller, Identity, MissingApprovals, Verb};
use crate::store::records::{FilingState, Role};
use crate::web::dashboard::told::Told;

/// What a person may ask of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web::dashboard) enum Action {
    Abort,
    Approve,
    Withdraw,
    Deny,
    RollBack,
    Pause,
    Resume,
    Promote,
    File,
}

/// A form as it was sent, to be shown again.
#[derive(Clone, Debug)]
pub(in crate::web::dashboard) struct ActionForm {
    pub(in crate::web::dashboard) action: Action,
    pub(in crate::web::dashboard) reason: String,
    pub(in crate::web::dashboard) share: String,
    pub(in crate::web::dashboard) past_approvals: bool,
    pub(in crate::web::dashboard) fault: Option<String>,
}

/// A promotion past approvals that are missing.
const PAST_APPROVALS: Verb = Verb::Promote {
    share: None,
    approvals: MissingApprovals::Override,
};

impl Action {
    const ALL: [Self; 9] = [
        Self::Abort,
        Self::Approve,
        Self::Withdraw,
        Self::Deny,
        Self::RollBack,
        Self::Pause,
        Self::Resume,
        Self::Promote,
        Self::File,
    ];

    /// The action whose forms are sent here.
    pub(in crate::web::dashboard) fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.path() == path)
    }

    pub(in crate::web::dashboard) const fn path(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Approve => "approve",
            Self::Withdraw => "withdraw",
            Self::Deny => "deny",
            Self::RollBack => "rollback",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::File => "file",
        }
    }

    /// What it asks of the promotion loop, of a promotion the ordinary one; none: it asks the filing loop.
    pub(in crate::web::dashboard) const fn verb(self) -> Option<Verb> {
        Some(match self {
            Self::Abort => Verb::Abort,
            Self::Approve => Verb::Approve,
            Self::Withdraw => Verb::Withdraw,
            Self::Deny => Verb::Deny,
            Self::RollBack => Verb::RollBack,
            Self::Pause => Verb::Pause,
            Self::Resume => Verb::Resume,
            Self::Promote => Verb::Promote {
                share: None,
                approvals: MissingApprovals::Respect,
            },
            Self::File => return None,
        })
    }

    /// What somebody may ask of a rollout as it stands.
    pub(in crate::web::dashboard) fn allowed(
        controller: &Controller,
        caller: &Identity,
        told: &Told,
    ) -> Vec<Self> {
        let may = |action: &Self| match action.verb() {
            Some(verb) => {
                let is_override = *action == Self::Promote
                    && Self::may_override(controller, caller, &told.rollout);
                is_override || controller.may(caller, &told.rollout, verb)
            }
            None => {
                let state = told.filing.as_ref().map(|filing| &filing.state);
                caller.require(&[Role::ReleaseManager]).is_ok()
                    && state.is_some_and(FilingState::may_be_filed_again)
            }
        };
        Self::ALL.into_iter().filter(may).collect()
    }

    /// Whether somebody may promote a rollout past approvals that are missing.
    pub(in crate::web::dashboard) fn may_override(
        controller: &Controller,
        caller: &Identity,
        rollout: &Rollout,
    ) -> bool {
        rollout.epoch.is_none()
            && rollout.approvals_missing() > 0
            && controller.may(caller, rollout, PAST_APPROVALS)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Abort => "Stop",
            Self::Approve => "Approve",
            Self::Withdraw => "Withdraw my approval",
            Self::Deny => "Deny",
            Self::RollBack => "Roll back",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Promote => "Promote",
            Self::File => "File again",
        }
    }

    /// What it does, before it is done.
    const fn meaning(self) -> &'static str {
        match self {
            Self::Abort => {
                "Every environment gets the baseline on its next pull. The version is not blocked and nothing is filed."
            }
            Self::Approve => {
                "It begins as soon as it has all the approvals that its policy asks for."
            }
            Self::Withdraw => "Your approval does not count any more.",
            Self::Deny => {
                "It ends before anybody gets it. The version is not blocked and may be started again."
            }
            Self::RollBack => {
                "Every environment gets the baseline on its next pull, the version is blocked, and the rollback is filed where the pin set has a source."
            }
            Self::Pause => {
                "The share stays as it is: who has the candidate keeps it, nobody else gets it, and evidence goes on."
            }
            Self::Resume => "It goes on from its present share.",
            Self::Promote => {
                "The share rises now, before the evidence asks for it. What was gathered as evidence of harm does not count any more."
            }
            Self::File => "The change is filed once more.",
        }
    }

    /// What was done.
    pub(in crate::web::dashboard) fn done(self, rollout: &Rollout) -> String {
        match self {
            Self::Abort => "Stopped: every environment gets the baseline on its next pull.".to_owned(),
            Self::Approve => match rollout.approvals_missing() {
                0 => "Approved: it has all the approvals that it takes.".to_owned(),
                missing => format!("Approved: {missing} more must approve it."),
            },
            Self::Withdraw => "Your approval was taken back.".to_owned(),
            Self::Deny => "Denied: it has ended, and nobody gets it.".to_owned(),
            Self::RollBack => {
                "Rolled back: every environment gets the baseline on its next pull, and the version is blocked.".to_owned()
            }
            Self::Pause => format!("Paused at {}.", rollout.share()),
            Self::Resume => "Resumed.".to_owned(),
            Self::Promote => format!("Promoted to {}.", rollout.share()),
            Self::File => "It is filed again in a moment.".to_owned(),
        }
    }
}

/// What the reader can do, or why nothing.
pub(super) fn actions(page: &RolloutPage) -> Markup {
    let fault = page.form.as_ref().filter(|form| {
        // Of an action that is no longer there, the form cannot be shown again.
        form.fault.is_some() && !page.allowed.contains(&form.action)
    });
    html! {
        @if let Some(form) = fault {
            div.fault role="alert" {
                p { strong { (form.action.name()) " was not done. " } (form.fault.as_deref().unwrap_or_default()) }
                @if !form.reason.is_empty() { p { "You had written: " (form.reason) } }
            }
        }
        @if !page.allowed.is_empty() {
            section aria-labelledby="do" {
                h2 #do { "What you can do" }
                div.actions {
                    @for action in &page.allowed { (action_form(page, *action)) }
                }
            }
        } @else if page.told.rollout.state.is_open() {
            p.quiet { "To stop it takes the role release-manager; yours may look." }
        }
    }
}

fn action_form(page: &RolloutPage, action: Action) -> Markup {
    let rollout = &page.told.rollout;
    let form = page.form.as_ref().filter(|form| form.action == action);
    let fault = form.and_then(|form| form.fault.as_deref());
    let name = action.path();
    let ends = matches!(action, Action::Abort | Action::RollBack | Action::Deny);
    html! {
        details class={ "action" @if action == Action::Abort { " stop" } } #{ "act-" (name) } open[form.is_some()] {
            summary { (action.name()) "…" }
            form method="post" action={ "/rollouts/" (rollout.id) "/" (name) } {
                input type="hidden" name="csrf" value=(page.csrf);
                input type="hidden" name="expected_revision" value=(rollout.decisions);
                @if let Some(fault) = fault {
                    div.fault role="alert" #{ "fault-" (name) } { p { (fault) } p { "What you wrote is still here: look at the page, then confirm again." } }
                }
                p #{ "meaning-" (name) } { (action.meaning()) }
                @if action == Action::Promote { (shares(page, form)) (past_approvals(page, form)) }
                div {
                    label for={ "reason-" (name) } { "Reason " span.hint { "for the decision log; may be empty" } }
                    input type="text" #{ "reason-" (name) } name="reason" maxlength="500" autocomplete="off"
                        value=(form.map(|form| form.reason.as_str()).unwrap_or_default());
                }
                div {
                    button type="submit" class=(if ends { "stop" } else { "go" })
                        aria-describedby={ "meaning-" (name) } {
                        (action.name()) @if action == Action::Withdraw { " of" } " " (page.told.candidate())
                    }
                }
            }
        }
    }
}

fn shares(page: &RolloutPage, form: Option<&ActionForm>) -> Markup {
    let ahead = page
        .told
        .standing
        .iter()
        .flat_map(|standing| &standing.ahead);
    let chosen = form.map(|form| form.share.as_str()).unwrap_or_default();
    html! {
        div {
            label for="share" { "To" }
            select #share name="share" {
                option value="" selected[chosen.is_empty()] { "the next planned share" }
                @for (_, share) in ahead {
                    @let value = share.value().to_string();
                    option value=(value) selected[chosen == value] { (share) }
                }
            }
        }
    }
}

fn past_approvals(page: &RolloutPage, form: Option<&ActionForm>) -> Markup {
    let is_chosen = form.is_some_and(|form| form.past_approvals);
    html! {
        @if page.may_override {
            label.choice {
                input type="checkbox" name="past_approvals" value="yes" checked[is_chosen];
                " Past approvals that are missing: it takes a reason, and the log says so"
            }
        }
    }
}
