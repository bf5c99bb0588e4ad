//! The passwords of the ledger's roles, from variables or files alone: what is in a command line, others
//! see. So these settings have no flag.

use std::env::{self, VarError};
use std::fs;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::auth::Secret;
use crate::postgres::Passwords;

/// What nobody guesses, if it is random.
const MIN_PASSWORD_BYTES: usize = 16;

/// Why a password is not known, or none.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// Both.
    #[error("{0} and {0}_FILE are both set: unset one of them")]
    Both(&'static str),
    /// The file cannot be read.
    #[error("{name}_FILE: {}: {cause}", path.display())]
    File {
        /// Which.
        name: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Easily guessed.
    #[error(
        "{0} is shorter than {MIN_PASSWORD_BYTES} bytes and easily guessed: set a longer one, such as \
         that of `openssl rand -hex 24`, which needs no escapes in a URL"
    )]
    Short(&'static str),
    /// Bytes that are no text.
    #[error("{0} is no UTF-8")]
    NoText(&'static str),
}

/// Those that are set.
///
/// # Errors
/// [`PasswordError`], which never shows one.
pub fn passwords() -> Result<Passwords, PasswordError> {
    Ok(Passwords {
        owner: password("FLORIN_OWNER_PASSWORD", "FLORIN_OWNER_PASSWORD_FILE")?,
        service: password("FLORIN_SERVICE_PASSWORD", "FLORIN_SERVICE_PASSWORD_FILE")?,
        reader: password("FLORIN_READER_PASSWORD", "FLORIN_READER_PASSWORD_FILE")?,
    })
}

fn password(name: &'static str, file: &'static str) -> Result<Option<Secret>, PasswordError> {
    let said = match env::var(name) {
        Ok(text) => Some(text),
        Err(VarError::NotPresent) => None,
        Err(VarError::NotUnicode(_)) => return Err(PasswordError::NoText(name)),
    };
    let text = match (said, env::var_os(file).map(PathBuf::from)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(PasswordError::Both(name)),
        (Some(text), None) => text,
        (None, Some(path)) => match fs::read_to_string(&path) {
            // The last line of a file ends, too.
            Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
            Err(cause) => return Err(PasswordError::File { name, path, cause }),
        },
    };
    match text.len() >= MIN_PASSWORD_BYTES {
        true => Ok(text.parse().ok()),
        false => Err(PasswordError::Short(name)),
    }
}
