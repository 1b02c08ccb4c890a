//! What every engine refuses before it looks at its data: the limits of the trait.
//!
//! They are those that the strictest engine sets, so that a program that runs on one runs on all.

use std::collections::HashSet;

use super::{
    Condition, Error, KEY_BYTES_MAX, Key, Operation, PAGE_MAX, TXN_BYTES_MAX, TXN_ITEMS_MAX,
    Transaction, VALUE_BYTES_MAX,
};

/// The key under which an engine keeps the version of its format, in decimal.
pub const FORMAT_KEY: &str = "meta/format";
/// The key under which an engine keeps the store's id, a UUID.
pub const ID_KEY: &str = "meta/id";
/// The key under which an engine that cannot set its own revisions keeps what it adds to them, in decimal.
pub const BASE_KEY: &str = "meta/revision-base";
/// The key that is there until a restore has ended: the backup's SHA-256, in hexadecimal.
pub const RESTORING_KEY: &str = "meta/restoring";
/// What the keys of the leases begin with.
pub const LEASE_PREFIX: &str = "lead/";

/// How much of a refused key is shown, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// Whether the engine itself writes this key: transactions may depend on it, but not change it.
pub fn is_own_key(key: &Key) -> bool {
    let key = key.as_str();
    [FORMAT_KEY, ID_KEY, BASE_KEY, RESTORING_KEY].contains(&key) || key.starts_with(LEASE_PREFIX)
}

/// Refuses a transaction that breaks a limit, naming the limit.
pub fn check_transaction(transaction: &Transaction) -> Result<(), Error> {
    let Transaction {
        conditions,
        operations,
    } = transaction;
    if operations.is_empty() {
        return refuse("the transaction has no operations: give it at least one".to_owned());
    }
    check_count("conditions", conditions.len())?;
    check_count("operations", operations.len())?;

    for condition in conditions {
        check_key(condition.key())?;
    }
    let mut seen = HashSet::with_capacity(operations.len());
    for operation in operations {
        let key = operation.key();
        check_key(key)?;
        check_operation(operation)?;
        if !seen.insert(key) {
            return refuse(format!(
                "the key `{key}` has two operations in one transaction: keep one"
            ));
        }
    }
    let bytes = transaction.bytes();
    if bytes > TXN_BYTES_MAX {
        return refuse(format!(
            "the transaction's keys and values have {bytes} bytes, at most {TXN_BYTES_MAX} are allowed: split it"
        ));
    }
    Ok(())
}

/// Refuses a key that is empty, too long, or not of the form that [`Key`] describes.
pub fn check_key(key: &Key) -> Result<(), Error> {
    let key = key.as_str();
    if key.is_empty() {
        return refuse("a key is empty: name what is stored".to_owned());
    }
    check_characters("key", key)?;
    if key.split('/').any(str::is_empty) {
        return refuse(format!(
            "the key `{}` has an empty segment: put something before, between and after each `/`",
            shown(key)
        ));
    }
    Ok(())
}

/// Refuses a prefix that no key can begin with; the empty one is that of all keys.
pub fn check_prefix(prefix: &str) -> Result<(), Error> {
    check_characters("prefix", prefix)
}

/// Refuses a page of no entries, or of more than [`PAGE_MAX`].
pub fn check_page(prefix: &str, entries_max: usize) -> Result<(), Error> {
    if entries_max == 0 || entries_max > PAGE_MAX {
        return refuse(format!(
            "a page of {entries_max} entries was asked for, 1 to {PAGE_MAX} are allowed"
        ));
    }
    check_prefix(prefix)
}

/// The key of the lease `name`, or why there can be none.
pub fn lease_key(name: &str) -> Result<Key, Error> {
    let key = Key::new(format!("{LEASE_PREFIX}{name}"));
    check_key(&key)?;
    Ok(key)
}

impl Transaction {
    /// The bytes of its keys and values, those of the conditions too.
    pub(super) fn bytes(&self) -> usize {
        let conditions: usize = self
            .conditions
            .iter()
            .map(|it| it.key().as_str().len())
            .sum();
        let operations: usize = self
            .operations
            .iter()
            .map(|it| it.key().as_str().len() + it.value_bytes())
            .sum();
        conditions + operations
    }
}

impl Condition {
    /// The key it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Absent(key) | Self::Modified(key, _) | Self::Created(key, _) => key,
        }
    }
}

impl Operation {
    /// The key it changes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }

    fn value_bytes(&self) -> usize {
        match self {
            Self::Put(_, value) => value.len(),
            Self::Delete(_) => 0,
        }
    }
}

fn check_count(what: &str, count: usize) -> Result<(), Error> {
    if count > TXN_ITEMS_MAX {
        return refuse(format!(
            "the transaction has {count} {what}, at most {TXN_ITEMS_MAX} are allowed: split it"
        ));
    }
    Ok(())
}

fn check_operation(operation: &Operation) -> Result<(), Error> {
    let key = operation.key();
    if is_own_key(key) {
        return refuse(format!(
            "the key `{key}` is written by the store itself: choose another"
        ));
    }
    let bytes = operation.value_bytes();
    if bytes > VALUE_BYTES_MAX {
        return refuse(format!(
            "the value of `{key}` has {bytes} bytes, at most {VALUE_BYTES_MAX} are allowed: split it over several keys"
        ));
    }
    Ok(())
}

fn check_characters(what: &str, text: &str) -> Result<(), Error> {
    if text.len() > KEY_BYTES_MAX {
        return refuse(format!(
            "the {what} `{}` has {} bytes, at most {KEY_BYTES_MAX} are allowed: shorten it",
            shown(text),
            text.len()
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse(format!(
            "the {what} `{}` has a character other than printable ASCII, or a space: escape it",
            shown(text)
        ));
    }
    Ok(())
}

fn shown(text: &str) -> String {
    text.escape_default().take(SHOWN_CHARS_MAX).collect()
}

fn refuse(message: String) -> Result<(), Error> {
    Err(Error::Invalid(message))
}
