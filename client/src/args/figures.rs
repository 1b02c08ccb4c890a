//! `pinion figures`, as typed.

use clap::Parser;

use crate::times::HumanDuration;

/// `pinion figures`.
#[derive(Debug, Parser)]
pub(crate) struct Figures {
    /// Only of this pin set.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) pin_set: String,
    /// Only of this package.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) package: String,
    /// Of rollouts that ended in so much time until now.
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    pub(crate) since: HumanDuration,
    /// Tell of packages instead of pin sets.
    #[arg(long)]
    pub(crate) by_package: bool,
}
