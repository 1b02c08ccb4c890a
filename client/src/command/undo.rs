//! `pinion undo`: every file as it was before pins were applied.

use pinion_client::adapters::{self, Insist, Kept, Restored, Undone};

use crate::args::environment::Undo;
use crate::checkout::StateFolder;
use crate::failure::Failure;
use crate::session::Session;

pub(super) fn undo(session: &Session, args: &Undo) -> Result<(), Failure> {
    // A bisection needs no membership, and may have been killed.
    let folder = StateFolder::of(&session.globals.dir)?;
    if !folder.is_there() {
        session.joined()?;
    }
    let project = folder.project();
    let insist = match args.force {
        true => Insist::Yes,
        false => Insist::No,
    };
    // A note that cannot be read is gone afterwards, and not needed to put files back.
    let kept = Kept::find(&project).ok().flatten();
    let undone = adapters::undo(&project, insist)?;
    tell_restored(session, &undone);
    match &kept {
        None if undone.restored.is_empty() => session.terminal.note("there is nothing to undo"),
        None => {}
        Some(kept) => {
            let names: Vec<_> = kept.overlay().variables().map(|(name, _)| name).collect();
            if !names.is_empty() {
                let names = names.join(" ");
                session.terminal.note(format_args!(
                    "shells that evaluated them still have the pins: unset {names}"
                ));
            }
        }
    }
    Ok(())
}

/// Says which files were put back, and what was not.
pub(super) fn tell_restored(session: &Session, undone: &Undone) {
    for restored in &undone.restored {
        let path = restored.path.display();
        session.terminal.note(format_args!("restored `{path}`"));
    }
    tell_kept_aside(session, &undone.restored);
    if let Some(error) = &undone.not_installed {
        session.terminal.warn(format_args!(
            "the files are as they were, but what is installed is not: {error}"
        ));
    }
}

/// Says where bytes went that nobody had noted.
pub(super) fn tell_kept_aside(session: &Session, restored: &[Restored]) {
    for Restored { path, kept } in restored {
        if let Some(kept) = kept {
            let (path, kept) = (path.display(), kept.display());
            session
                .terminal
                .warn(format_args!("what `{path}` held is kept in `{kept}`"));
        }
    }
}
