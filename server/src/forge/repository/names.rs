//! Names that may be handed to git: branches, paths, commits.

use super::super::{Change, Error, signature_problem};

const NAME_BYTES_MAX: usize = 200;
const PATH_BYTES_MAX: usize = 1024;

/// Refuses a change that git could not take, or could take for something else.
pub(in crate::forge) fn check_change(change: &Change) -> Result<(), Error> {
    check_branch(&change.branch)?;
    check_branch(&change.head)?;
    let author = [&change.author.name, &change.author.email];
    let mut paths: Vec<&str> = change.edits.iter().map(|edit| edit.path.as_str()).collect();
    paths.sort_unstable();
    let problem = if change.branch == change.head {
        Some("the change is for the branch that holds it")
    } else if !is_commit(&change.parent) {
        Some("the parent is no commit id")
    } else if paths.is_empty() || paths.windows(2).any(|pair| pair[0] == pair[1]) {
        Some("the change edits no file, or one twice")
    } else if change.subject.is_empty() || change.subject.contains('\n') || has_nul(change) {
        Some("the message has no subject of one line, or a NUL")
    } else if author.iter().any(|text| signature_problem(text).is_some()) {
        Some("git would not take the author as given")
    } else if change.at_unix_s < 0 {
        Some("the date lies before 1970")
    } else {
        None
    };
    match problem {
        Some(problem) => Err(Error::Stopped {
            answer: problem.to_owned(),
        }),
        None => paths.into_iter().try_for_each(check_path),
    }
}

fn has_nul(change: &Change) -> bool {
    change.subject.contains('\0') || change.body.contains('\0')
}

/// Refuses what `git check-ref-format` refuses, names that could be options, and overlong ones.
pub(in crate::forge) fn check_branch(name: &str) -> Result<(), Error> {
    let is_bad_char = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let is_bad_part =
        |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let is_bad = name.len() > NAME_BYTES_MAX
        || name.starts_with('-')
        || name.ends_with('.')
        || name == "@"
        || name.contains("..")
        || name.contains("@{")
        || name.contains(is_bad_char)
        || name.split('/').any(is_bad_part);
    match is_bad {
        true => Err(Error::Stopped {
            answer: format!("`{}` is no name for a branch", name.escape_debug()),
        }),
        false => Ok(()),
    }
}

/// Refuses paths that lead out of the repository or into its own files.
pub(in crate::forge) fn check_path(path: &str) -> Result<(), Error> {
    let is_bad_part =
        |part: &str| matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case(".git");
    let is_bad = path.len() > PATH_BYTES_MAX
        || path.contains(char::is_control)
        || path.split('/').any(is_bad_part);
    match is_bad {
        true => Err(Error::Stopped {
            answer: format!("`{}` is no path in a repository", path.escape_debug()),
        }),
        false => Ok(()),
    }
}

/// Whether the text is an object id: 40 lower-case hexadecimal digits, or 64.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_follow_the_rules_of_git() {
        for name in [
            "master",
            "rollback/oslo.log-0123abcd",
            "stable/2026.1",
            "größe",
        ] {
            assert!(check_branch(name).is_ok(), "{name}");
        }
        for name in [
            "", "-f", "a b", "a..b", "a//b", "/a", "a/", ".a", "a/.b", "a.lock", "a.", "a~1",
            "a:b", "@", "a@{1}", "a\n",
        ] {
            assert!(check_branch(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn paths_stay_in_the_repository() {
        for path in ["a", "a/b c/ü.txt", "-a", "a,b", "..a", ":a"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
        for path in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            "./a",
            ".git/config",
            "a/.GIT/x",
            "a\0b",
            "a\nb",
        ] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
    }
}
