//! What a person may do to a pin set, as forms on its page and on that of its queue.

use maud::{Markup, html};
use pinion_core::name::PinSetName;

/// What a person may do to a pin set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web::dashboard) enum SetAction {
    Freeze,
    Unfreeze,
    Lift,
    Drop,
}

/// A form as it was sent and refused, to be shown again.
#[derive(Clone, Debug)]
pub(in crate::web::dashboard) struct SetForm {
    pub(in crate::web::dashboard) action: SetAction,
    pub(in crate::web::dashboard) reason: String,
    pub(in crate::web::dashboard) until: String,
    pub(in crate::web::dashboard) package: String,
    pub(in crate::web::dashboard) version: String,
    pub(in crate::web::dashboard) fault: String,
}

/// A form to show.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub(super) pin_set: &'a PinSetName,
    pub(super) csrf: &'a str,
    /// The form that was refused, if one was.
    pub(super) form: Option<&'a SetForm>,
}

impl SetAction {
    /// The action whose forms are sent here.
    pub(in crate::web::dashboard) fn of_path(path: &str) -> Option<Self> {
        let all = [Self::Freeze, Self::Unfreeze, Self::Lift, Self::Drop];
        all.into_iter().find(|action| action.path() == path)
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
            Self::Lift => "lift",
            Self::Drop => "drop",
        }
    }

    /// Where its forms stand.
    pub(in crate::web::dashboard) fn page(self, pin_set: &PinSetName) -> String {
        match self {
            Self::Freeze | Self::Unfreeze | Self::Lift => format!("/pin-sets/{pin_set}"),
            Self::Drop => format!("/pin-sets/{pin_set}/queue"),
        }
    }
}

impl Shown<'_> {
    /// The form by which all shares are kept where they are, or go on.
    pub(super) fn freeze(&self, is_frozen: bool) -> Markup {
        let action = if is_frozen {
            SetAction::Unfreeze
        } else {
            SetAction::Freeze
        };
        let name = action.path();
        let form = self.form.filter(|form| form.action == action);
        html! {
            details.action #{ "act-" (name) } open[form.is_some()] {
                summary { @if is_frozen { "Unfreeze…" } @else { "Freeze…" } }
                (self.form_of(action, form, html! {
                    @if is_frozen {
                        p { "Shares rise again as policies and evidence allow." }
                    } @else {
                        p { "No share of any rollout here is raised, and none completes. Harm is rolled back as ever, and people stop what they want." }
                        div {
                            label for="until" { "Until " span.hint { "as 2026-12-01 08:00, UTC; empty: until it is unfrozen" } }
                            input #until name="until" maxlength="40" autocomplete="off" spellcheck="false" value=(form.map(|form| form.until.as_str()).unwrap_or_default());
                        }
                    }
                    (reason(name, form, !is_frozen))
                    div { button.go type="submit" { (if is_frozen { "Unfreeze " } else { "Freeze " }) (self.pin_set) } }
                }))
            }
        }
    }

    /// The form by which a block is lifted, or others are asked to.
    pub(super) fn lift(&self, package: &str, version: &str, missing: u32) -> Markup {
        let is_this = |form: &&SetForm| {
            form.action == SetAction::Lift && form.package == package && form.version == version
        };
        let form = self.form.filter(is_this);
        let id = format!("lift-{package}-{version}");
        html! {
            details.action #{ "act-" (id) } open[form.is_some()] {
                summary { "Lift…" span.hidden { " the block of " (package) " " (version) } }
                (self.form_of(SetAction::Lift, form, html! {
                    input type="hidden" name="package" value=(package);
                    input type="hidden" name="version" value=(version);
                    p {
                        @if missing <= 1 { "The version may be tried again." }
                        @else { "It takes " (missing) " different people; yours is one." }
                    }
                    (reason(&id, form, true))
                    div { button.go type="submit" { "Lift " (package) " " (version) } }
                }))
            }
        }
    }

    /// The form by which something leaves the queue.
    pub(super) fn drop(&self, packages: &str) -> Markup {
        let is_this = |form: &&SetForm| form.action == SetAction::Drop && form.package == packages;
        let form = self.form.filter(is_this);
        html! {
            details.action open[form.is_some()] {
                summary { "Take out…" span.hidden { " " (packages) } }
                (self.form_of(SetAction::Drop, form, html! {
                    input type="hidden" name="package" value=(packages);
                    p { "It is not tried, until somebody asks for it again." }
                    div { button.stop type="submit" { "Take out " (packages) } }
                }))
            }
        }
    }

    /// The refusal of a form that is not on the page any more.
    pub(super) fn orphan(&self, is_shown: impl Fn(&SetForm) -> bool) -> Markup {
        let form = self.form.filter(|form| !is_shown(form));
        html! {
            @if let Some(form) = form {
                div.fault role="alert" {
                    p { strong { "Nothing was done. " } (form.fault) }
                    @if !form.reason.is_empty() { p { "You had written: " (form.reason) } }
                }
            }
        }
    }

    fn form_of(&self, action: SetAction, form: Option<&SetForm>, body: Markup) -> Markup {
        html! {
            form method="post" action={ "/pin-sets/" (self.pin_set) "/" (action.path()) } {
                input type="hidden" name="csrf" value=(self.csrf);
                @if let Some(form) = form {
                    div.fault role="alert" { p { (form.fault) } p { "What you wrote is still here." } }
                }
                (body)
            }
        }
    }
}

fn reason(id: &str, form: Option<&SetForm>, is_required: bool) -> Markup {
    html! {
        div {
            label for={ "reason-" (id) } { "Reason " span.hint { @if is_required { "people will ask why" } @else { "for the log; may be empty" } } }
            input type="text" #{ "reason-" (id) } name="reason" maxlength="200" autocomplete="off" required[is_required]
                value=(form.map(|form| form.reason.as_str()).unwrap_or_default());
        }
    }
}
