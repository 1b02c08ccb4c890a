//! npm's version ranges.

use nodejs_semver::Range;

use crate::version::Version;

/// Whether a range admits a version; none if it is no range. The empty one admits every version.
pub(super) fn admits(text: &str, version: &Version) -> Option<bool> {
    let range = Range::parse(text.trim()).ok()?;
    let version = nodejs_semver::Version::parse(version.as_str()).ok()?;
    Some(range.satisfies(&version))
}

/// Whether a text is a range rather than a tag, a path, an address or a protocol.
pub(super) fn is_range(text: &str) -> bool {
    !text.contains([':', '/', '#', '$']) && Range::parse(text.trim()).is_ok()
}
