//! `pinion token`: tokens made by hand.

use pinion_client::v1;

use crate::args::release::{Role, Token};
use crate::failure::Failure;
use crate::session::Session;
use crate::times::HumanDuration;
use crate::view;

pub(super) async fn token(session: &Session, args: Token) -> Result<(), Failure> {
    match args {
        Token::Create {
            name,
            role,
            pin_set,
            lifetime,
        } => {
            let request = v1::CreateTokenRequest {
                name,
                role: to_wire(role).into(),
                pin_set,
                lifetime: lifetime.map(HumanDuration::to_wire),
            };
            create(session, request).await
        }
        Token::List => list(session).await,
        Token::Revoke { name } => revoke(session, name).await,
    }
}

async fn create(session: &Session, request: v1::CreateTokenRequest) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.admin();
    let response = connection.answer(client.create_token(request)).await?;
    session
        .terminal
        .answer(&response, || format!("{}\n", response.secret));
    let token = response.token.unwrap_or_default();
    session.terminal.note(format_args!(
        "token `{}`, role {}; its secret is on stdout and cannot be shown again",
        token.name,
        view::role(token.role())
    ));
    Ok(())
}

async fn list(session: &Session) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.admin();
    let mut tokens = Vec::new();
    let mut request = v1::ListTokensRequest::default();
    loop {
        let response = connection
            .answer(client.list_tokens(request.clone()))
            .await?;
        tokens.extend(response.tokens);
        request.page_token = response.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let terminal = &session.terminal;
    terminal.answers(&tokens, || {
        terminal.table(&view::tokens(&tokens), "there are no tokens")
    });
    Ok(())
}

async fn revoke(session: &Session, name: String) -> Result<(), Failure> {
    let connection = session.connect()?;
    let mut client = connection.admin();
    let response = connection
        .answer(client.revoke_token(v1::RevokeTokenRequest { name }))
        .await?;
    session.terminal.answer(&response, || {
        let token = response.token.clone().unwrap_or_default();
        format!("token `{}` is useless from now on\n", token.name)
    });
    Ok(())
}

fn to_wire(role: Role) -> v1::Role {
    match role {
        Role::Environment => v1::Role::Environment,
        Role::Ci => v1::Role::Ci,
        Role::Viewer => v1::Role::Viewer,
        Role::ReleaseManager => v1::Role::ReleaseManager,
        Role::Admin => v1::Role::Admin,
    }
}
