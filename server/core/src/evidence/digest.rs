//! A hash of what was counted, so that a decision stays bound to it.

use sha2::{Digest, Sha256};

use super::{Cell, Mark, Ordinal};

/// SHA-256 of cells in the order of their ordinals, hexadecimal. Cells in which nothing happened count for nothing, and
/// nor does silence, which follows from the rest at the end of the windows.
pub fn digest<'a>(cells: impl IntoIterator<Item = (Ordinal, &'a Cell)>) -> String {
    let mut hash = Sha256::new();
    for (ordinal, cell) in cells {
        if cell.first_heard().is_none() {
            continue;
        }
        hash.update(ordinal.0.to_le_bytes());
        for mark in [
            cell.polled,
            cell.polled_again,
            cell.announced,
            cell.passed,
            cell.dismissed,
            cell.failed.map(|failure| failure.mark),
        ] {
            put_mark(&mut hash, mark);
        }
        let Some(failure) = cell.failed else { continue };
        let look = failure.fingerprint.map(|look| look.0);
        let traits = failure.traits;
        hash.update([
            u8::try_from(failure.category.index()).unwrap_or(u8::MAX),
            u8::from(failure.previous_failed),
            u8::from(look.is_some()),
            traits.stratum,
            traits.platform.unwrap_or(u8::MAX),
            u8::from(traits.repeats),
            u8::from(traits.regular),
        ]);
        hash.update(look.unwrap_or(0).to_le_bytes());
        hash.update(traits.partners.to_le_bytes());
    }
    hex::encode(hash.finalize())
}

fn put_mark(hash: &mut Sha256, mark: Option<Mark>) {
    hash.update([u8::from(mark.is_some())]);
    if let Some(mark) = mark {
        hash.update(mark.order.as_u64().to_le_bytes());
        hash.update(mark.at.unix_ms().to_le_bytes());
    }
}
