//! TOML with the places of its strings.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::literal::Literal;
use super::text::{Malformed, Text};

/// The table that a text is.
pub(super) fn parse<'a>(text: &Text<'a>) -> Result<DeTable<'a>, Malformed> {
    match DeTable::parse(text.body) {
        Ok(table) => Ok(table.into_inner()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            Err(text.malformed(at, error.message().replace('\n', " ")))
        }
    }
}

/// The table at a path of keys.
pub(super) fn table_at<'t, 'a>(table: &'t DeTable<'a>, path: &[&str]) -> Option<&'t DeTable<'a>> {
    path.iter()
        .try_fold(table, |table, key| table.get(*key)?.get_ref().as_table())
}

/// The tables that a table at a path has under any key.
pub(super) fn tables_under<'t, 'a>(
    table: &'t DeTable<'a>,
    path: &[&str],
) -> impl Iterator<Item = &'t DeTable<'a>> + use<'t, 'a> {
    let tables = table_at(table, path).into_iter().flat_map(DeTable::values);
    tables.filter_map(|value| value.get_ref().as_table())
}

/// The strings of the array under a key.
pub(super) fn strings_of<'t, 'a>(
    table: &'t DeTable<'a>,
    key: &str,
) -> impl Iterator<Item = &'t Spanned<DeValue<'a>>> + use<'t, 'a> {
    let array = table.get(key).and_then(|value| value.get_ref().as_array());
    array
        .into_iter()
        .flat_map(|array| array.iter())
        .filter(|value| value.get_ref().is_str())
}

/// A string with its place; none if the value is none.
pub(super) fn literal<'a>(text: &Text<'a>, value: &Spanned<DeValue<'a>>) -> Option<Literal<'a>> {
    match value.get_ref() {
        DeValue::String(meaning) => Some(Literal::quoted(text.body, value.span(), meaning)),
        _ => None,
    }
}
