//! Pages of lists: a token is the place of the last row, opaque to callers.

use super::wire::Unreadable;

/// Rows of a page, at most.
const ROWS_MAX: usize = 1000;

/// The part of a list that a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) skip: usize,
    pub(super) rows: usize,
}

/// What a request asks for.
///
/// # Errors
/// If the token is none that a page before gave.
pub(super) fn part(page_size: u32, page_token: &str, default: usize) -> Result<Part, Unreadable> {
    let skip = match page_token {
        "" => 0,
        token => token
            .strip_prefix("p")
            .and_then(|place| place.parse().ok())
            .ok_or_else(|| {
                Unreadable::new(
                    "page_token",
                    format!("`{token}` is no token of a page before; leave it empty to begin"),
                )
            })?,
    };
    let rows = if page_size == 0 {
        default
    } else {
        (page_size as usize).min(ROWS_MAX)
    };
    Ok(Part { skip, rows })
}

impl Part {
    /// The rows of the part, and the token of the next one.
    pub(super) fn of<T>(self, rows: impl IntoIterator<Item = T>) -> (Vec<T>, String) {
        let mut rest = rows.into_iter().skip(self.skip);
        let page: Vec<T> = rest.by_ref().take(self.rows).collect();
        let more = rest.next().is_some();
        (page, self.token(more))
    }

    /// The token of the part after this one, if there is one.
    pub(super) fn token(self, more: bool) -> String {
        if more {
            format!("p{}", self.skip + self.rows)
        } else {
            String::new()
        }
    }
}
