//! Who gets in: what is in a token, and what it is verified with.

use clap::{Args, ValueEnum};
use thiserror::Error;

use crate::auth;
use crate::auth::{ClaimPath, Expected, MIN_SECRET_BYTES, Pace, Secret, Source};

/// Whether callers have to say who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// By a JWT.
    Jwt,
    /// Not at all: whoever can connect may do everything.
    Off,
}

/// Who gets in.
#[derive(Debug, Clone, Args)]
pub struct AuthArgs {
    /// Whether a request needs a token; `florin dev` does without unless said, all else needs one.
    #[arg(long, env = "FLORIN_AUTH", value_name = "MODE")]
    pub auth: Option<AuthMode>,
    /// The public keys that tokens are signed with (a JWKS): a file, or a URL.
    #[arg(long, env = "FLORIN_JWKS", value_name = "FILE|URL")]
    pub jwks: Option<Source>,
    /// The cookie that may carry the token for GET /api/v1/wallet/user.
    #[arg(long, env = "FLORIN_JWT_COOKIE", value_name = "NAME")]
    pub jwt_cookie: Option<String>,
    /// What is in them.
    #[command(flatten)]
    pub tokens: TokenArgs,
}

/// What is in a token, and the secret that it may be signed with.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// The secret that tokens are signed with (HS256), of 32 bytes at least. Better set as a
    /// variable: what is in a command line, others see.
    #[arg(long, env = "FLORIN_JWT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub jwt_secret: Option<Secret>,
    /// The issuer (`iss`) that tokens must have.
    #[arg(long, env = "FLORIN_JWT_ISSUER", value_name = "ISS")]
    pub jwt_issuer: Option<String>,
    /// The audience (`aud`) that tokens must be meant for.
    #[arg(long, env = "FLORIN_JWT_AUDIENCE", value_name = "AUD")]
    pub jwt_audience: Option<String>,
    /// The claim that says who the bearer is: the owner of their wallets. Its name, or the way to it,
    /// such as `user.id`.
    #[arg(long, env = "FLORIN_JWT_USER_CLAIM", default_value = "sub", value_name = "CLAIM")]
    pub jwt_user_claim: ClaimPath,
}

impl TokenArgs {
    /// What must be in a token.
    pub fn expected(&self) -> Expected {
        Expected {
            issuer: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
            user_claim: self.jwt_user_claim.clone(),
        }
    }
}

/// Who a client of the service is.
#[derive(Debug, Clone, Default, Args)]
pub struct BearerArgs {
    /// The token that is sent, where the service wants one: with ledger:read and ledger:write. Better
    /// set as a variable: what is in a command line, others see.
    #[arg(long, env = "FLORIN_TOKEN", hide_env_values = true, value_name = "JWT")]
    pub token: Option<Secret>,
}

/// Why it is not known how tokens are verified.
#[derive(Debug, Error)]
pub enum AuthError {
    /// Neither a secret nor public keys.
    #[error(
        "there is no key to verify tokens with: set FLORIN_JWT_SECRET to the secret of their issuer \
         ({MIN_SECRET_BYTES} bytes at least) or FLORIN_JWKS to its public keys (a file or a URL); or \
         run with --auth=off, where something in front of Florin decides who gets in"
    )]
    NoKey,
    /// Too short to be one.
    #[error(
        "FLORIN_JWT_SECRET is shorter than {MIN_SECRET_BYTES} bytes and easily guessed: set a longer \
         one, such as that of `openssl rand -base64 48`"
    )]
    ShortSecret,
}

impl AuthArgs {
    /// How tokens are verified; `None` where none are needed.
    ///
    /// # Errors
    /// [`AuthError`] when they are needed, and there is nothing to verify them with.
    pub fn settings(&self, unless_said: AuthMode) -> Result<Option<auth::Settings>, AuthError> {
        match self.auth.unwrap_or(unless_said) {
            AuthMode::Off => return Ok(None),
            AuthMode::Jwt => {}
        }
        let secret = self.tokens.jwt_secret.clone();
        if secret.is_none() && self.jwks.is_none() {
            return Err(AuthError::NoKey);
        }
        if secret.as_ref().is_some_and(|secret| !secret.is_long_enough()) {
            return Err(AuthError::ShortSecret);
        }
        Ok(Some(auth::Settings {
            secret,
            jwks: self.jwks.clone(),
            expected: self.tokens.expected(),
            cookie: self.jwt_cookie.clone(),
            pace: Pace::default(),
        }))
    }
}
