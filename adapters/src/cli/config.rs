use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use serde::Serialize;

use super::Failure;
use super::arguments::command;
use super::output::{document, printable};
use crate::config::{ConfigFile, Effective, Origin, Settings, effective, reference};

/// The name of the argument that asks for JSON, here as in every verb that has it.
const JSON: &str = "json";

#[derive(Debug, Args)]
#[command(
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    arg_required_else_help = true,
    after_help = "Example: florin config serve --config florin.toml\n\
                  \n\
                  It takes what the verb itself takes, and ends with 1 if a setting is missing."
)]
pub(super) struct ConfigArgs {
    /// Print the table of every setting, as the README has it.
    #[arg(long)]
    markdown: bool,
    /// Print a file of every variable, as deploy/.env.example is.
    #[arg(long, conflicts_with = "markdown")]
    env_example: bool,
}

/// What `florin config serve --json` answers.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    verb: &'a str,
    settings: &'a [Effective],
}

/// The command line, with every verb below `config` again, where it needs nothing and prints JSON.
pub(super) fn with_verbs(florin: Command) -> Command {
    let verbs: Vec<Command> = florin.get_subcommands().cloned().map(as_asked).collect();
    let is_setting = |verb: &Command| Settings::of(verb).iter().next().is_some();
    florin
        .mut_subcommand("config", |config| config.subcommands(verbs.into_iter().filter(is_setting)))
}

fn as_asked(verb: Command) -> Command {
    let has_json = verb.get_arguments().any(|argument| argument.get_id() == JSON);
    let verb = verb.mut_args(|argument| argument.required(false)).mut_subcommands(as_asked);
    match has_json || verb.has_subcommands() {
        true => verb,
        false => verb.arg(
            Arg::new(JSON).long(JSON).action(ArgAction::SetTrue).help("Print one JSON document"),
        ),
    }
}

pub(super) fn run(
    args: &ConfigArgs,
    matches: &ArgMatches,
    file: Option<&ConfigFile>,
) -> Result<ExitCode, Failure> {
    let florin = command();
    if args.markdown {
        print!("{}", reference::table(&Settings::of(&florin)));
    } else if args.env_example {
        print!("{}", reference::env_file(&Settings::of(&florin)));
    } else {
        return of_verb(&florin, matches, file);
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings of the verb below `config`.
fn of_verb(
    florin: &Command,
    matches: &ArgMatches,
    file: Option<&ConfigFile>,
) -> Result<ExitCode, Failure> {
    let (mut verb, mut given, mut names) = (florin, matches, Vec::new());
    // The first of them is `config` itself.
    while let Some((name, below)) = given.subcommand() {
        given = below;
        if let Some(found) = verb.find_subcommand(name).filter(|found| found.get_name() != "config")
        {
            verb = found;
            names.push(name);
        }
    }
    let name = names.join(" ");
    if name.is_empty() {
        return Err("say of which verb, such as florin config serve".into());
    }
    let settings = effective(florin, verb, given, file);
    match given.get_flag(JSON) {
        true => document(&Answer { verb: &name, settings: &settings })?,
        false => print(&settings),
    }
    let is_missing = |setting: &&Effective| setting.source == Origin::Missing;
    match settings.iter().find(is_missing) {
        None => Ok(ExitCode::SUCCESS),
        Some(Effective { key, .. }) => {
            Err(format!("{key} is missing, and florin {name} needs it").into())
        }
    }
}

fn print(settings: &[Effective]) {
    let width = |of: fn(&Effective) -> usize| settings.iter().map(of).max().unwrap_or_default();
    let keys = width(|setting| setting.key.len());
    let values = width(|setting| shown(setting).chars().count());
    for setting in settings {
        let value = shown(setting);
        let source = setting.place.as_deref().unwrap_or_else(|| word(setting.source));
        println!("{:<keys$}  {value:<values$}  {}", setting.key, printable(source));
    }
}

fn shown(setting: &Effective) -> String {
    setting.value.as_deref().map_or_else(|| "-".to_owned(), printable)
}

fn word(source: Origin) -> &'static str {
    match source {
        Origin::Flag => "flag",
        Origin::Variable => "variable",
        Origin::File => "file",
        Origin::Default => "default",
        Origin::Unset => "not set",
        Origin::Missing => "missing",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;

    const BEGIN: &str = "<!-- florin config --markdown -->\n";
    const END: &str = "<!-- what it printed -->\n";
    const MENDS_IT: &str =
        "is of another version: FLORIN_FREEZE=1 cargo test -p florin-adapters config";

    /// `FLORIN_FREEZE=1` writes what is compared without it.
    fn must_be(file: &str, of: impl Fn(&str) -> String) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let committed = fs::read_to_string(&file).unwrap_or_default();
        let today = of(&committed);
        if std::env::var_os("FLORIN_FREEZE").is_some() {
            return fs::write(&file, today).unwrap();
        }
        assert!(committed == today, "{} {MENDS_IT}", file.display());
    }

    #[test]
    fn the_readme_has_the_table_of_today() {
        must_be("README.md", |readme| {
            let (before, rest) = readme.split_once(BEGIN).unwrap();
            let (_, after) = rest.split_once(END).unwrap();
            let table = reference::table(&Settings::of(&command()));
            format!("{before}{BEGIN}{table}{END}{after}")
        });
    }

    #[test]
    fn the_example_of_an_environment_has_every_variable_of_today() {
        must_be("deploy/.env.example", |_| reference::env_file(&Settings::of(&command())));
    }

    #[test]
    fn a_setting_is_the_same_wherever_it_is_taken() {
        fn walk(command: &Command, found: &mut BTreeMap<String, Arg>) {
            for argument in command.get_arguments() {
                let Some(variable) = argument.get_env() else { continue };
                let variable = variable.to_str().unwrap().to_owned();
                let first = found.entry(variable.clone()).or_insert_with(|| argument.clone());
                assert!(argument.get_long().is_some(), "{variable} has a flag");
                assert!(argument.get_action().takes_values(), "a file may set {variable}");
                assert_eq!(first.get_long(), argument.get_long(), "{variable}");
                assert_eq!(first.get_default_values(), argument.get_default_values(), "{variable}");
                let is_secret = Arg::is_hide_env_values_set;
                assert_eq!(is_secret(first), is_secret(argument), "{variable}");
            }
            command.get_subcommands().for_each(|verb| walk(verb, found));
        }
        let mut found = BTreeMap::new();
        walk(&command(), &mut found);
        let settings = Settings::of(&command());
        assert_eq!(settings.iter().count(), found.len(), "no two variables have one flag");
    }

    #[test]
    fn every_verb_that_has_settings_can_be_asked_for_them() {
        let florin = with_verbs(command());
        let config = florin.find_subcommand("config").unwrap();
        for verb in ["dev", "serve", "worker", "migrate", "relay", "monkey"] {
            assert!(config.find_subcommand(verb).is_some(), "{verb}");
        }
        for verb in ["config", "openapi"] {
            assert!(config.find_subcommand(verb).is_none(), "{verb}");
        }
        florin.debug_assert();
    }
}
