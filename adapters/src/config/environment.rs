//! The environment: a variable that begins as ours do and is none of them is refused, so that a slip of
//! the pen is not a setting that is not set.

use std::ffi::OsString;

use thiserror::Error;

use super::setting::{Settings, nearest};

/// How our variables begin, but for those that everybody names alike (`DATABASE_URL`, `NATS_URL`,
/// `OTEL_…`): of those there are others beside ours.
const OURS: &str = "FLORIN_";

/// What begins so and configures something else.
const OTHERS: [(&str, &str); 13] = [
    ("FLORIN_URL", "where clients find a service; in the environment that `florin dev` writes"),
    ("FLORIN_OWNER_PASSWORD", "of the role, for florin migrate --create-roles; no flags have them"),
    ("FLORIN_OWNER_PASSWORD_FILE", "the file that has it"),
    ("FLORIN_SERVICE_PASSWORD", "the same of the service's role"),
    ("FLORIN_SERVICE_PASSWORD_FILE", "the file that has it"),
    ("FLORIN_READER_PASSWORD", "the same of the reader's role"),
    ("FLORIN_READER_PASSWORD_FILE", "the file that has it"),
    ("FLORIN_COMMIT", "what a build is told to be built of"),
    ("FLORIN_BIN", "the program that deploy/bench measures"),
    ("FLORIN_EXAMPLES", "how long deploy/contract takes"),
    ("FLORIN_LONG", "how long tests take"),
    ("FLORIN_SEED", "which random tests have"),
    ("FLORIN_FREEZE", "whether tests write what they would compare"),
];

/// A variable that configures nothing.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "the variable {name} is no setting; the nearest is {nearest}. What begins with FLORIN_ is ours: \
     correct it, unset it, or name it otherwise"
)]
pub struct UnknownVariable {
    name: String,
    nearest: String,
}

/// The names of all variables, ours and others.
pub fn names() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name)
}

/// Whether every variable of ours is known.
///
/// # Errors
/// [`UnknownVariable`]: the first by name that is not.
pub fn check(
    settings: &Settings,
    names: impl Iterator<Item = OsString>,
) -> Result<(), UnknownVariable> {
    let known = || settings.iter().map(|setting| &*setting.variable);
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let is_unknown = |name: &String| {
        name.starts_with(OURS)
            && !known().any(|known| known == name)
            && !OTHERS.iter().any(|(other, _)| other == name)
    };
    match names.filter(is_unknown).min() {
        None => Ok(()),
        Some(name) => {
            let nearest = nearest(&name, known()).unwrap_or_default().to_owned();
            Err(UnknownVariable { name, nearest })
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    fn checked(names: &[&str]) -> Result<(), String> {
        let arguments = [("port", "FLORIN_PORT"), ("database-url", "DATABASE_URL")];
        let arguments = arguments.map(|(long, variable)| Arg::new(long).long(long).env(variable));
        let settings = Settings::of(&Command::new("florin").args(arguments));
        let names = names.iter().map(OsString::from);
        check(&settings, names).map_err(|error| error.to_string())
    }

    #[test]
    fn ours_and_those_of_others_are_let_be() {
        assert_eq!(checked(&["FLORIN_PORT", "PATH", "OTEL_SERVICE_NAME", "FLORIN_LONG"]), Ok(()));
    }

    #[test]
    fn one_of_ours_that_is_none_is_refused_with_what_may_have_been_meant() {
        let refused = checked(&["FLORIN_PORT", "FLORIN_PROT"]).unwrap_err();
        assert!(
            refused.contains("FLORIN_PROT is no setting; the nearest is FLORIN_PORT."),
            "{refused}"
        );
        let refused = checked(&["FLORIN_DATABASE_URL"]).unwrap_err();
        assert!(refused.contains("the nearest is DATABASE_URL."), "{refused}");
    }
}
