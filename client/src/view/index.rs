//! Indexes as a table.

use pinion_client::v1;

use super::pin_set::ecosystem;
use crate::table::Table;

/// Indexes as a table.
pub(crate) fn indexes(indexes: &[v1::Index]) -> Table {
    let mut table = Table::new(["ECOSYSTEM", "URL", "TRACKED BY", "PROBLEM"]);
    for index in indexes {
        table.row([
            ecosystem(index.ecosystem()),
            index.url.clone(),
            index.pin_sets.join(", "),
            index.problem.clone(),
        ]);
    }
    table
}
