//! `pinion env`: the variables of the applied pins.

use pinion_client::adapters::Overlay;

use crate::args::environment::{Env, EnvForm, Shell};
use crate::failure::Failure;
use crate::session::Session;

use super::apply;

pub(super) fn env(session: &Session, args: &Env) -> Result<(), Failure> {
    let kept = apply::kept(&session.joined()?)?;
    if kept.overlay().is_empty() {
        session.terminal.note(format_args!(
            "{} needs no variables: the pins are in the checkout's files",
            kept.tool()
        ));
    }
    let form = match session.terminal.is_json() {
        true => EnvForm::Json,
        false => args.shell,
    };
    session.terminal.print(&match form {
        EnvForm::Sh => exports(kept.overlay(), Shell::Sh),
        EnvForm::Fish => exports(kept.overlay(), Shell::Fish),
        EnvForm::Json => json(kept.overlay()),
    });
    Ok(())
}

/// The lines that a shell evaluates.
pub(super) fn exports(overlay: &Overlay, shell: Shell) -> String {
    let line = |(name, value): (&str, &str)| match shell {
        Shell::Sh => format!("export {name}={}\n", quote(value)),
        Shell::Fish => format!("set -gx {name} {}\n", quote(value)),
    };
    overlay.variables().map(line).collect()
}

fn json(overlay: &Overlay) -> String {
    let value = |(name, value): (&str, &str)| (name.to_owned(), value.into());
    let object: serde_json::Map<_, _> = overlay.variables().map(value).collect();
    format!("{:#}\n", serde_json::Value::Object(object))
}

// Single quotes work alike in sh and fish, but for the quote and, in fish, the backslash.
fn quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\"'\"'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_path_stays_in_it() {
        assert_eq!(quote("/home/ann/it's"), "'/home/ann/it'\"'\"'s'");
        assert_eq!(quote("/home/ann/c.txt"), "/home/ann/c.txt");
        assert_eq!(quote("$HOME"), "'$HOME'");
    }
}
