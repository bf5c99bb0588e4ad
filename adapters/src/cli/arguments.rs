//! What florin is told: by arguments, beneath them by variables, beneath those by the file of settings.
//!
//! The arguments are read twice. First for nothing but the file, whatever else is wrong or missing; then
//! in earnest, with what the file says in place of the defaults.

use std::ffi::OsString;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use thiserror::Error;

use super::{Cli, config};
use crate::config::environment::{self, UnknownVariable};
use crate::config::{ConfigFile, ConfigFileArgs, ConfigFileError, Settings};
use crate::version;

/// What was told.
pub(super) struct Told {
    pub(super) cli: Cli,
    /// The same as clap has it: it knows where each value is from.
    pub(super) matches: ArgMatches,
    pub(super) file: Option<ConfigFile>,
}

/// Why it is not understood.
#[derive(Debug, Error)]
pub(super) enum NotUnderstood {
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    #[error(transparent)]
    File(#[from] ConfigFileError),
    #[error(transparent)]
    Variable(#[from] UnknownVariable),
}

/// The whole command line; what can be configured is read off it.
pub(super) fn command() -> Command {
    let florin = ConfigFileArgs::augment_args(Command::new("florin"));
    Cli::augment_args(florin).version(version::text())
}

/// Reads arguments, the first of which is the name of the program, and the file that they name; looks
/// through the names of the variables.
pub(super) fn read(
    arguments: &[OsString],
    variables: impl Iterator<Item = OsString>,
) -> Result<Told, NotUnderstood> {
    let settings = Settings::of(&command());
    let florin = config::with_verbs(command());
    let first = florin.clone().ignore_errors(true).try_get_matches_from(arguments);
    let mut file = None;
    // Else it is help that is asked for, and shown below.
    if let Ok(first) = first {
        environment::check(&settings, variables)?;
        let path = ConfigFileArgs::from_arg_matches(&first)?.config;
        file = path.map(|path| ConfigFile::read(&path, &settings)).transpose()?;
    }
    let mut florin = match &file {
        Some(file) => file.beneath(florin),
        None => florin,
    };
    let matches = florin.try_get_matches_from_mut(arguments)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut florin))?;
    Ok(Told { cli, matches, file })
}
