//! Pages as HTML. What comes from elsewhere is escaped by the templates; no page has a script or a style in itself.

mod decisions;
mod environment;
mod layout;
mod overview;
mod parts;
mod pin_set;
mod rollout;

pub(super) use decisions::{DecisionsPage, decisions};
pub(super) use environment::{EnvironmentPage, environment};
pub(super) use layout::{for_machines, layout, sign_in, unauthenticated};
pub(super) use overview::{OpenRollout, Overview, overview, rollouts};
pub(super) use pin_set::{PinSetPage, pin_set};
pub(super) use rollout::{Action, ActionForm, RolloutPage, rollout};
