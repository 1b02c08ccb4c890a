//! `pinion pin-set`: create, fill and read pin sets.

use std::io::Read as _;
use std::path::Path;

use pinion_client::v1;
use pinion_core::pin::split_need;

use crate::args::release::{
    CreatePinSet, Ecosystem, ImportPins, PinSet, Queue, QueueStep, Source, UpdatePinSet,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::policy_file::read_policy;
use crate::session::Session;
use crate::terminal::clean;
use crate::times::to_wire_time;
use crate::view;

pub(super) async fn pin_set(session: &Session, args: PinSet) -> Result<(), Failure> {
    match args {
        PinSet::Create(args) => create(session, args).await,
        PinSet::Import(args) => import(session, args).await,
        PinSet::Queue(args) => queue(session, args).await,
        PinSet::Show { name, pins } => show(session, name, pins).await,
        PinSet::List => list(session).await,
        PinSet::Update(args) => update(session, args).await,
        PinSet::Blocks { name } => blocks(session, name).await,
        PinSet::Freeze {
            name,
            until,
            reason,
        } => {
            let request = v1::FreezePinSetRequest {
                name,
                end_time: until.map(to_wire_time),
                reason,
            };
            freeze(session, request).await
        }
        PinSet::Unfreeze { name, reason } => {
            unfreeze(session, v1::UnfreezePinSetRequest { name, reason }).await
        }
        PinSet::Lift {
            name,
            package,
            version,
            reason,
        } => {
            let request = v1::LiftBlockRequest {
                pin_set: name,
                package,
                version,
                reason,
            };
            lift(session, request).await
        }
    }
}

async fn create(session: &Session, args: CreatePinSet) -> Result<(), Failure> {
    let request = v1::CreatePinSetRequest {
        name: args.name,
        ecosystem: to_wire(args.ecosystem).into(),
        policy: args.policy.as_deref().map(read_policy).transpose()?,
        source: source(args.source),
        track: args.track,
    };
    let connection = session.connect()?;
    let mut client = connection.pin_sets();
    let response = connection.answer(client.create_pin_set(request)).await?;
    let set = response.pin_set.clone().unwrap_or_default();
    session.terminal.answer(&response, || view::pin_set(&set));
    let follows = set.source.as_ref().is_some_and(|source| source.follow);
    session.terminal.note(match follows {
        true => format!(
            "its file is read by itself; next: pinion pin-set show {}",
            set.name
        ),
        false => format!("next: pinion pin-set import {} FILE", set.name),
    });
    Ok(())
}

async fn import(session: &Session, args: ImportPins) -> Result<(), Failure> {
    let unkept = match args.keep_unkept {
        true => v1::UnkeptLines::KeepVerbatim,
        false => v1::UnkeptLines::Refuse,
    };
    let newer = match args.at_once {
        true => v1::NewerVersions::TakeAtOnce,
        false => v1::NewerVersions::Try,
    };
    let request = v1::ImportPinsRequest {
        name: args.name,
        content: read_text(&args.file)?,
        expected_revision: args.expected_revision,
        unkept_lines: unkept.into(),
        supersede: args.supersede,
        validate_only: args.check,
        newer_versions: newer.into(),
        requires: requirements(&args.requires)?,
    };
    let connection = session.connect()?;
    let mut client = connection.pin_sets();
    let response = connection.answer(client.import_pins(request)).await?;
    session
        .terminal
        .answer(&response, || view::imported(&response, args.check));
    Ok(())
}

async fn queue(session: &Session, args: Queue) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.pin_sets();
    if let Some(QueueStep::Drop { name, packages }) = args.step {
        let request = v1::DropWantedRequest {
            pin_set: name,
            packages,
        };
        let response = connection.answer(client.drop_wanted(request)).await?;
        session.terminal.answer(&response, || {
            let lines = response.dropped.iter();
            lines
                .map(|exact| format!("{} no longer waits\n", clean(exact)))
                .collect()
        });
        return Ok(());
    }
    let mut wanted = Vec::new();
    let mut request = v1::ListWantedRequest {
        pin_set: args.name.unwrap_or_default(),
        ..Default::default()
    };
    loop {
        let response = connection
            .answer(client.list_wanted(request.clone()))
            .await?;
        wanted.extend(response.wanted);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let terminal = &session.terminal;
    terminal.answers(&wanted, || {
        terminal.table(&view::wanted(&wanted), "nothing waits")
    });
    Ok(())
}

/// Reads `PACKAGE: NEEDS`, such as `MarkupSafe: Jinja2>=3`; the server knows what is a range.
pub(super) fn requirements(texts: &[String]) -> Result<Vec<v1::Requirement>, Failure> {
    let requirement = |text: &String| match split_need(text) {
        Some((package, needs)) => Ok(v1::Requirement {
            package: package.to_owned(),
            needs: needs.to_owned(),
        }),
        None => Err(
            Failure::new(Exit::Invalid, format!("`{text}` is no requirement"))
                .next("write it as \"PACKAGE: NEEDS\", such as \"MarkupSafe: Jinja2>=3\""),
        ),
    };
    texts.iter().map(requirement).collect()
}

async fn show(session: &Session, name: String, with_pins: bool) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.pin_sets();
    let mut request = v1::GetPinSetRequest {
        name,
        page_size: if with_pins { 1_000 } else { 1 },
        page_token: String::new(),
    };
    let mut whole = connection
        .answer(client.get_pin_set(request.clone()))
        .await?;
    if !with_pins {
        whole.pins.clear();
        whole.next_page_token.clear();
    }
    while !whole.next_page_token.is_empty() {
        request.page_token = std::mem::take(&mut whole.next_page_token);
        let page = connection
            .answer(client.get_pin_set(request.clone()))
            .await?;
        whole.pins.extend(page.pins);
        whole.next_page_token = page.next_page_token;
    }
    let terminal = &session.terminal;
    terminal.answer(&whole, || {
        let set = whole.pin_set.clone().unwrap_or_default();
        let mut text = view::pin_set(&set);
        if with_pins {
            text.push('\n');
            text.push_str(&terminal.table(&view::pins(&whole.pins), "there are no pins"));
        }
        text
    });
    Ok(())
}

async fn list(session: &Session) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.pin_sets();
    let mut sets = Vec::new();
    let mut request = v1::ListPinSetsRequest::default();
    loop {
        let response = connection
            .answer(client.list_pin_sets(request.clone()))
            .await?;
        sets.extend(response.pin_sets);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let terminal = &session.terminal;
    terminal.answers(&sets, || {
        terminal.table(&view::pin_sets(&sets), "there are no pin sets")
    });
    Ok(())
}

async fn update(session: &Session, args: UpdatePinSet) -> Result<(), Failure> {
    let request = v1::UpdatePinSetRequest {
        name: args.name,
        expected_revision: args.expected_revision,
        policy: args.policy.as_deref().map(read_policy).transpose()?,
        source: source(args.source),
        clear_source: args.clear_source,
        track: match (args.track, args.no_track) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        },
    };
    let connection = session.connect()?;
    let mut client = connection.pin_sets();
    let response = connection.answer(client.update_pin_set(request)).await?;
    session.terminal.answer(&response, || {
        view::pin_set(&response.pin_set.clone().unwrap_or_default())
    });
    Ok(())
}

async fn blocks(session: &Session, pin_set: String) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.pin_sets();
    let mut blocks = Vec::new();
    let mut request = v1::ListBlocksRequest {
        pin_set,
        ..Default::default()
    };
    loop {
        let response = connection
            .answer(client.list_blocks(request.clone()))
            .await?;
        blocks.extend(response.blocks);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let terminal = &session.terminal;
    terminal.answers(&blocks, || {
        terminal.table(&view::blocks(&blocks), "nothing is blocked")
    });
    Ok(())
}

async fn lift(session: &Session, request: v1::LiftBlockRequest) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.pin_sets();
    let response = connection.answer(client.lift_block(request)).await?;
    session
        .terminal
        .answer(&response, || view::lifted(&response));
    Ok(())
}

async fn freeze(session: &Session, request: v1::FreezePinSetRequest) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.pin_sets();
    let response = connection.answer(client.freeze_pin_set(request)).await?;
    let set = response.pin_set.clone().unwrap_or_default();
    session.terminal.answer(&response, || view::pin_set(&set));
    session.terminal.note(format_args!(
        "no share is raised from now on; next: pinion pin-set unfreeze {}",
        set.name
    ));
    Ok(())
}

async fn unfreeze(session: &Session, request: v1::UnfreezePinSetRequest) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.pin_sets();
    let response = connection.answer(client.unfreeze_pin_set(request)).await?;
    session.terminal.answer(&response, || {
        view::pin_set(&response.pin_set.clone().unwrap_or_default())
    });
    Ok(())
}

fn source(args: Source) -> Option<v1::Source> {
    Some(v1::Source {
        forge: args.forge?,
        branch: args.branch?,
        path: args.path?,
        exclusions_path: args.exclusions_path.unwrap_or_default(),
        follow: args.follow,
    })
}

fn read_text(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text).map(|_| text),
        _ => std::fs::read_to_string(file),
    };
    read.map_err(|cause| Failure::file("read", file, &cause))
}

pub(super) fn to_wire(ecosystem: Ecosystem) -> v1::Ecosystem {
    match ecosystem {
        Ecosystem::Pypi => v1::Ecosystem::Pypi,
        Ecosystem::Cargo => v1::Ecosystem::Cargo,
        Ecosystem::Npm => v1::Ecosystem::Npm,
        Ecosystem::Go => v1::Ecosystem::Go,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_a_package_and_what_it_needs() {
        let read = |text: &str| {
            let read = requirements(&[text.to_owned()]);
            read.map(|mut read| read.pop().map(|one| (one.package, one.needs)))
        };
        assert_eq!(
            read("MarkupSafe: Jinja2>=3").expect("one"),
            Some(("MarkupSafe".to_owned(), "Jinja2>=3".to_owned()))
        );
        for text in ["Jinja2>=3", ": Jinja2", "a:"] {
            assert_eq!(read(text).expect_err(text).exit, Exit::Invalid);
        }
    }
}
