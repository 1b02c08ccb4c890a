//! Filed changes: their identity and their words.
//!
//! Everything here is a pure function of a decision, so that a change that is filed again is the
//! same change. What is edited and how it is brought to a forge is not decided here.

mod fence;
mod key;
mod message;
mod template;
mod wrap;

pub use fence::fence;
pub(crate) use fence::plain_line;
pub use key::{FilingKey, Kind, PackageChange, ParseFilingKeyError, branch_name};
pub use message::{
    CategoryCount, CommitMessage, Evidence, FingerprintCount, InvalidTrailer, MESSAGE_BYTES_MAX,
    Side, Wording, check_trailers, message,
};
pub use template::{ParseTemplateError, Template};
