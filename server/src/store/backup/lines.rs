//! The same as lines of JSON, for people and for other programs.
//!
//! Each entry is a line with `key`, `created`, `modified` and `value`, or `value_base64` where that is no
//! text; the last line has `revision` and `entries`, so that a file which was cut off shows.

use std::io::{self, BufRead, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Backup, Refused, Writer};
use crate::store::{Entry, Key, Revision, Sink};

/// Why lines cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLines {
    /// The file cannot be read, or the backup not be written.
    #[error("the lines cannot be copied")]
    Io(#[from] io::Error),
    /// A line is none of an export's.
    #[error("line {line} is refused: {cause}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// Why.
        cause: String,
    },
    /// The end is missing.
    #[error("the last line, with `revision` and `entries`, is missing: the export was cut off")]
    Cut,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Entry {
        key: String,
        created: Revision,
        modified: Revision,
        #[serde(flatten)]
        value: Value,
    },
    End {
        revision: Revision,
        entries: u64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
enum Value {
    #[serde(rename = "value")]
    Text(String),
    #[serde(rename = "value_base64")]
    Base64(String),
}

/// Writes the entries of a backup as lines.
///
/// # Errors
/// If the backup can no longer be read, or `out` takes nothing.
pub fn write(backup: &Backup, out: &mut dyn Write) -> Result<(), WriteError> {
    for entry in backup.entries()? {
        let entry = entry?;
        let value = match std::str::from_utf8(&entry.value) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Base64(STANDARD.encode(&entry.value)),
        };
        write_line(
            out,
            &Line::Entry {
                key: entry.key.as_str().to_owned(),
                created: entry.created,
                modified: entry.modified,
                value,
            },
        )?;
    }
    let end = Line::End {
        revision: backup.revision,
        entries: backup.entries,
    };
    write_line(out, &end)?;
    out.flush()?;
    Ok(())
}

/// Why lines could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The backup.
    #[error(transparent)]
    Backup(#[from] Refused),
    /// Where they go.
    #[error("the export could not be written")]
    Io(#[from] io::Error),
}

/// Makes a backup of lines; that is to be checked like any other.
///
/// # Errors
/// Which line is refused, and why.
pub fn read<W: Write + Send>(input: impl BufRead, out: W) -> Result<W, InvalidLines> {
    let mut writer = Writer::new(out)?;
    let (mut count, mut end) = (0, None);
    for (place, text) in input.lines().enumerate() {
        let refuse = |cause: String| InvalidLines::Line {
            line: place + 1,
            cause,
        };
        if end.is_some() {
            return Err(refuse("it follows the end".to_owned()));
        }
        let parsed = serde_json::from_str(&text?);
        match parsed.map_err(|_| refuse("it is no line of an export".to_owned()))? {
            Line::Entry {
                key,
                created,
                modified,
                value,
            } => {
                let value = match value {
                    Value::Text(text) => text.into_bytes(),
                    Value::Base64(text) => STANDARD
                        .decode(text)
                        .map_err(|cause| refuse(cause.to_string()))?,
                };
                count += 1;
                writer.entry(&Entry {
                    key: Key::new(key),
                    value: value.into(),
                    created,
                    modified,
                })?;
            }
            Line::End { revision, entries } if entries == count => end = Some(revision),
            Line::End { entries, .. } => {
                return Err(refuse(format!(
                    "{entries} entries were exported, {count} are here"
                )));
            }
        }
    }
    Ok(writer.end(end.ok_or(InvalidLines::Cut)?)?)
}

fn write_line(out: &mut dyn Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
