//! Pages as HTML. What comes from elsewhere is escaped by the templates; no page has a script or a style in itself.

mod action;
mod decisions;
mod environment;
mod figures;
mod import;
mod layout;
mod overview;
mod parts;
mod pin_set;
mod policy;
mod queue;
mod rollout;
mod set_action;
mod start;

pub(super) use action::{Action, ActionForm};
pub(super) use decisions::{DecisionsPage, decisions};
pub(super) use environment::{EnvironmentPage, environment};
pub(super) use figures::{FiguresPage, figures};
pub(super) use import::{ImportPage, import, imported_in_words};
pub(super) use layout::{come_in, for_machines, layout, sign_in, unauthenticated};
pub(super) use overview::{OpenRollout, Overview, overview, rollouts};
pub(super) use pin_set::{Block, PinSetPage, pin_set};
pub(super) use policy::{PolicyPage, policy};
pub(super) use queue::{QueuePage, queue};
pub(super) use rollout::{RolloutPage, rollout};
pub(super) use set_action::{SetAction, SetForm};
pub(super) use start::{StartPage, Trial, start};
