//! The exit codes of `pinion`.

/// What the process says to its caller. `pinion run` returns the status of its command instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// The server, or something here, refused: a precondition does not hold.
    Refused = 1,
    /// The command line is wrong.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// The token is missing, wrong, or may not do this.
    Denied = 4,
    /// The server is away or too slow.
    Unreachable = 5,
    /// Somebody else changed it meanwhile, or the name is taken.
    Conflict = 6,
    /// A value is invalid: a file, a version, a policy.
    Invalid = 7,
}

/// The same as text, for `--help` and the man pages.
pub(crate) const TABLE: &str = "\
Exit codes:
  0  done
  1  refused: a precondition does not hold (not joined, blocked version, closed rollout,
     a file that somebody else changed); a pin that did not take
  2  the command line is wrong
  3  there is no such thing
  4  the token is missing, wrong, or may not do this
  5  the server is away or too slow
  6  conflict: changed meanwhile (stale revision), or the name is taken
  7  a value is invalid (a file, a version, a policy)
  `pinion run`, `pinion exec` and `pinion gate run` exit as their command did: its own status, or 128 + n
  after signal n
  `pinion bisect` exits with 130 when it was interrupted; the same command goes on";

impl From<tonic::Code> for Exit {
    fn from(code: tonic::Code) -> Self {
        use tonic::Code;
        match code {
            Code::Ok => Self::Ok,
            Code::NotFound => Self::NotFound,
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Self::Unreachable,
            Code::Aborted | Code::AlreadyExists => Self::Conflict,
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid,
            Code::FailedPrecondition
            | Code::ResourceExhausted
            | Code::Unimplemented
            | Code::Unknown
            | Code::Internal
            | Code::DataLoss => Self::Refused,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_in_the_help_and_in_the_readme() {
        for exit in [
            Exit::Ok,
            Exit::Refused,
            Exit::Usage,
            Exit::NotFound,
            Exit::Denied,
            Exit::Unreachable,
            Exit::Conflict,
            Exit::Invalid,
        ] {
            assert!(TABLE.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
            let row = format!("\n| {} | ", exit as u8);
            assert!(include_str!("../README.md").contains(&row), "{exit:?}");
        }
    }
}
