//! `pinion man`: the manual pages.

use clap::CommandFactory as _;

use crate::args::{Args, release};
use crate::failure::Failure;
use crate::session::Session;

pub(super) fn man(session: &Session, args: &release::Man) -> Result<(), Failure> {
    let command = Args::command();
    if let Some(dir) = &args.into {
        let written =
            std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
        return written.map_err(|cause| Failure::file("write manual pages into", dir, &cause));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .expect("writing to memory cannot fail");
    session.terminal.print(&String::from_utf8_lossy(&page));
    Ok(())
}
