//! People who sign in with an OpenID provider: the authorization code flow with PKCE, state and nonce.
//!
//! Nothing of a provider is kept but what it publishes; of a person, who they are and what they may do, for one session.

mod claims;
mod config;
mod provider;
mod verification;

pub use claims::Person;
pub use config::{InvalidOidc, OidcConfig, RoleRule};
pub(crate) use provider::plain;
pub use provider::{Attempt, Provider};

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The provider could not be asked.
    #[error("the identity provider could not be asked for {what}")]
    Unreachable {
        /// For what.
        what: &'static str,
        /// Why not.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The provider answered something that makes no sense.
    #[error("the identity provider's {what} cannot be used: {cause}")]
    Answer {
        /// Which answer.
        what: &'static str,
        /// Why not.
        cause: String,
    },
    /// The provider said no.
    #[error("the identity provider says `{0}`")]
    Refused(String),
    /// The identity token does not prove what it should.
    #[error("the identity token is refused: {0}")]
    Token(String),
    /// The secret of this server cannot be read.
    #[error("`client_secret_file` cannot be read")]
    Secret(#[source] std::io::Error),
    /// The person is known and may not come in.
    #[error("{0}")]
    NotAdmitted(String),
}
