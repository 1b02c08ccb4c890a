//! Filed changes: their identity.
mod key;
pub use key::{FilingKey, Kind, PackageChange, ParseFilingKeyError, branch_name};
