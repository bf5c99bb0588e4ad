//! What a verb goes by: the value of each of its settings, as it may be shown, and where that is from.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use serde::Serialize;

use super::file::ConfigFile;
use super::mask::mask;
use super::setting::names;

/// One setting as it is in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// Its key.
    pub key: String,
    /// Its value, with what is secret masked; none where there is none.
    pub value: Option<String>,
    /// Where that is from.
    pub source: Origin,
    /// The flag, the variable, or the place in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// Where a value is from; each goes before what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Variable,
    /// The file of settings.
    File,
    /// Nobody has said anything else.
    Default,
    /// There is no value, and none is needed.
    Unset,
    /// There is no value, and one is needed.
    Missing,
}

/// The settings of a verb in its order, after those of every verb.
pub fn effective(
    florin: &Command,
    verb: &Command,
    given: &ArgMatches,
    file: Option<&ConfigFile>,
) -> Vec<Effective> {
    let of_all = florin.get_arguments().filter(|argument| argument.is_global_set());
    let arguments = of_all.chain(verb.get_arguments());
    arguments.filter_map(|argument| one(argument, given, file)).collect()
}

fn one(argument: &Arg, given: &ArgMatches, file: Option<&ConfigFile>) -> Option<Effective> {
    let (key, variable) = names(argument)?;
    let id = argument.get_id().as_str();
    let in_file = file.and_then(|file| file.place(key));
    let (source, place) = match given.value_source(id) {
        Some(ValueSource::CommandLine) => (Origin::Flag, Some(format!("--{key}"))),
        Some(ValueSource::EnvVariable) => (Origin::Variable, Some(variable.to_owned())),
        Some(_) if in_file.is_some() => (Origin::File, in_file),
        Some(_) => (Origin::Default, None),
        None if argument.is_required_set() => (Origin::Missing, None),
        None => (Origin::Unset, None),
    };
    let values = given.get_raw(id).map(|values| {
        let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        mask(&values.join(","), argument.is_hide_env_values_set())
    });
    Some(Effective { key: key.to_owned(), value: values, source, place })
}
