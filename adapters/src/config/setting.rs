//! What can be configured, as the command line itself says: an argument with a long name and a variable
//! is a setting, and its long name is its key in a file. So a new one needs no second place.
//!
//! Not settings: what a verb is told each time (`--json`, `--at`), which has no variable.

use std::collections::BTreeMap;

use clap::{Arg, Command};

/// The key of the file itself, which no file has.
const THE_FILE: &str = "config";

/// Something that can be configured.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its name, in a file as after the `--` of its flag.
    pub key: String,
    /// Its variable.
    pub variable: String,
    /// The verbs that take it, in their order; none where all do.
    pub verbs: Vec<String>,
    /// As the first of them takes it.
    pub(super) argument: Arg,
}

/// Every setting by its key.
#[derive(Debug, Clone, Default)]
pub struct Settings(BTreeMap<String, Setting>);

impl Settings {
    /// Those of a command and of all verbs below it.
    pub fn of(command: &Command) -> Self {
        let mut settings = Self::default();
        settings.collect(command, None);
        settings
    }

    fn collect(&mut self, command: &Command, verb: Option<&str>) {
        for argument in command.get_arguments() {
            let Some((key, variable)) = names(argument) else { continue };
            let setting = self.0.entry(key.to_owned()).or_insert_with(|| Setting {
                key: key.to_owned(),
                variable: variable.to_owned(),
                verbs: Vec::new(),
                argument: argument.clone(),
            });
            setting.verbs.extend(verb.map(ToOwned::to_owned));
        }
        for below in command.get_subcommands() {
            let name = match verb {
                Some(verb) => format!("{verb} {}", below.get_name()),
                None => below.get_name().to_owned(),
            };
            self.collect(below, Some(&name));
        }
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.values()
    }

    /// What a file may set by a key.
    pub(super) fn in_file(&self, key: &str) -> Option<&Setting> {
        self.0.get(key).filter(|setting| setting.is_in_file())
    }
}

impl Setting {
    /// Whether it may be in a file: all may, but where the file is.
    pub fn is_in_file(&self) -> bool {
        self.key != THE_FILE
    }

    /// Whether its value is not to be shown.
    pub(super) fn is_secret(&self) -> bool {
        self.argument.is_hide_env_values_set()
    }

    /// What it is unless said, if that is the same everywhere.
    pub(super) fn default(&self) -> Option<String> {
        let defaults = self.argument.get_default_values().iter();
        let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
        Some(defaults.join(",")).filter(|text| !text.is_empty())
    }

    /// Its meaning in one sentence, and what it can be where that can be counted.
    pub(super) fn meaning(&self) -> String {
        let help = self.argument.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.replace('\n', " ");
        let sentence = help.split_once(". ").map_or(&*help, |(first, _)| first);
        let values = self.argument.get_possible_values();
        let values: Vec<_> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        match &*values {
            [] => sentence.to_owned(),
            values => format!("{sentence} ({})", values.join(", ")),
        }
    }
}

/// The key and the variable of an argument that is a setting.
pub(super) fn names(argument: &Arg) -> Option<(&str, &str)> {
    Some((argument.get_long()?, argument.get_env()?.to_str()?))
}

/// Of some names the one that is likest to what was written, however it was cased and joined.
pub(super) fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = plain(written);
    let likeness = |name: &str| strsim::jaro_winkler(&written, &plain(name));
    names.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
}

/// A key or a variable without what is the same in all of its kind.
fn plain(name: &str) -> String {
    let name = name.to_lowercase().replace('_', "-");
    name.strip_prefix("florin-").map_or(name.clone(), ToOwned::to_owned)
}
