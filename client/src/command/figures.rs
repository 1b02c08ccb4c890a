//! `pinion figures`: how delivery goes.

use pinion_client::v1;

use crate::args::figures::Figures;
use crate::failure::Failure;
use crate::session::Session;
use crate::view;

pub(super) async fn figures(session: &Session, args: Figures) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.figures();
    let request = v1::GetFiguresRequest {
        pin_set: args.pin_set,
        package: args.package,
        over: Some(args.since.to_wire()),
        until: None,
    };
    let response = connection.answer(client.get_figures(request)).await?;
    let terminal = &session.terminal;
    terminal.answer(&response, || {
        let when_empty = format!("no rollout has ended in {}", args.since);
        let table = view::figures(&response, args.by_package);
        terminal.table(&table, &when_empty) + &view::figures_notes(&response)
    });
    Ok(())
}
