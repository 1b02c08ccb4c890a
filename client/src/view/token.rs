//! Tokens and roles.

use pinion_client::v1;

use crate::table::Table;
use crate::times::show_time;

/// A role as it is typed.
pub(crate) fn role(role: v1::Role) -> String {
    let name = role.as_str_name().trim_start_matches("ROLE_");
    name.to_lowercase().replace('_', "-")
}

/// Tokens as a table.
pub(crate) fn tokens(tokens: &[v1::Token]) -> Table {
    let mut table = Table::new(["NAME", "ROLE", "PIN SET", "CREATED", "EXPIRES", "LAST USED"]);
    for token in tokens {
        let pin_set = match token.pin_set.as_str() {
            "" => "all".to_owned(),
            name => name.to_owned(),
        };
        table.row([
            token.name.clone(),
            role(token.role()),
            pin_set,
            show_time(token.create_time.as_ref()),
            show_time(token.expire_time.as_ref()),
            show_time(token.last_use_time.as_ref()),
        ]);
    }
    table
}
